#!/usr/bin/env bash
# Builds the conformance plugins: build.sh [rust|c|go|js|python]… makes target/conformance/LANGUAGE.wasm, of all languages when none
# is named. $LIGHTMON is the lightmon that builds them; without it cargo makes one.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
out=$root/target/conformance
[ $# -gt 0 ] || set -- rust c go js python
if [ -z "${LIGHTMON:-}" ]; then
    cargo build --quiet --package lightmon --bin lightmon
    LIGHTMON=$root/${CARGO_TARGET_DIR:-target}/debug/lightmon
fi
export LIGHTMON_TOOLCHAINS=${LIGHTMON_TOOLCHAINS:-$root/target/toolchains}
export PATH=$LIGHTMON_TOOLCHAINS/bin:$PATH
mkdir -p "$out"

for language in "$@"; do
    case $language in
    rust) from=$root/plugin-sdk/conformance/rust ;;
    c | go | js | python) from=$root/plugin-sdk/$language/conformance ;;
    *)
        echo "plugin-sdk/conformance/build.sh: \`$language\` is none of rust, c, go, js, python" >&2
        exit 2
        ;;
    esac
    if [ "$language" = rust ]; then
        # Part of the workspace, and built like the other plugins in Rust.
        plugins/build.sh conformance
        cp target/plugins/conformance.wasm "$out/rust.wasm"
        continue
    fi
    work=$out/build/$language
    plugin-sdk/assemble.sh "$language" "$from" "$work"
    "$LIGHTMON" plugin build "$work"
    cp "$work/build/conformance.wasm" "$out/$language.wasm"
done
