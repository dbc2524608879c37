#!/usr/bin/env bash
# Builds the plugins that are not written in Rust to target/plugins/NAME.wasm, those that are named or all of them, and runs their
# tests: first the language's own, then `lightmon plugin test`. $LIGHTMON is the lightmon for it; without it cargo makes one.
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
# Times are written in the own zone.
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
        echo "plugins/others.sh: no plugin in another language than Rust: $from" >&2
        exit 2
    fi
    plugin-sdk/assemble.sh "$language" "$from" "$work"
    "$LIGHTMON" plugin build "$work"
    # C has no test of its own: what it does is in the fixtures.
    case $language in
    go) (cd "$work" && go test ./rhythm) ;;
    js) (cd "$work" && npm test) ;;
    python) (cd "$work" && python3 -m unittest discover -s tests) ;;
    esac
    (cd "$work" && "$LIGHTMON" plugin test "build/$name.wasm")
    cp "$work/build/$name.wasm" "target/plugins/$name.wasm"
done
