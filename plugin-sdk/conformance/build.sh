#!/usr/bin/env bash
# Builds the conformance plugins to target/conformance/LANGUAGE.wasm: build.sh [rust|c|go|js|python]…. Without arguments, builds
# all of them. $LIGHTMON is the lightmon to use; if it is not set, cargo builds one.
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
        echo "plugin-sdk/conformance/build.sh: unknown language \`$language\`, expected rust, c, go, js or python" >&2
        exit 2
        ;;
    esac
    if [ "$language" = rust ]; then
        # The Rust plugin is part of the workspace.
        plugins/build.sh conformance
        cp target/plugins/conformance.wasm "$out/rust.wasm"
        continue
    fi
    work=$out/build/$language
    plugin-sdk/assemble.sh "$language" "$from" "$work"
    "$LIGHTMON" plugin build "$work"
    cp "$work/build/conformance.wasm" "$out/$language.wasm"
done
