#!/usr/bin/env bash
# Builds and tests the plugins in C, Go, JavaScript and Python: others.sh [NAME]…. Writes target/plugins/NAME.wasm. Without names,
# builds all of them. Runs the tests of the language, then `lightmon plugin test`. $LIGHTMON is the lightmon to use; if it is not
# set, cargo builds one.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
[ $# -gt 0 ] || set -- services beacon template rules
if [ -z "${LIGHTMON:-}" ]; then
    cargo build --quiet --package lightmon --bin lightmon
    LIGHTMON=$root/${CARGO_TARGET_DIR:-target}/debug/lightmon
fi
export LIGHTMON_TOOLCHAINS=${LIGHTMON_TOOLCHAINS:-$root/target/toolchains}
export PATH=$LIGHTMON_TOOLCHAINS/bin:$PATH
# lightmon writes times in the local time zone; the expected outputs are in UTC.
export TZ=UTC
export LIGHTMON_CACHE_DIR=$root/target/others/cache
mkdir -p target/plugins target/others

for name in "$@"; do
    from=plugins/$name work=$root/target/others/$name
    if [ -e "$from/go.mod" ]; then
        language=go
    elif [ -e "$from/package.json" ]; then
        language=js
    elif [ -e "$from/plugin.py" ]; then
        language=python
    elif compgen -G "$from/*.c" >/dev/null; then
        language=c
    else
        echo "plugins/others.sh: $from is not a plugin in C, Go, JavaScript or Python" >&2
        exit 2
    fi
    plugin-sdk/assemble.sh "$language" "$from" "$work"
    "$LIGHTMON" plugin build "$work"
    # The plugin in C has no unit tests; `lightmon plugin test` checks it.
    case $language in
    go) (cd "$work" && go test ./rhythm) ;;
    js) (cd "$work" && npm test) ;;
    python) (cd "$work" && python3 -m unittest discover -s tests) ;;
    esac
    (cd "$work" && "$LIGHTMON" plugin test "build/$name.wasm")
    cp "$work/build/$name.wasm" "target/plugins/$name.wasm"
done
