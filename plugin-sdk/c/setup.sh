#!/usr/bin/env bash
# Provides clang and wasm-ld for plugins in C, as target/toolchains/bin/clang. Uses clang 14 or later if it is installed with its
# linker; otherwise installs Debian's. Prints the path of clang.
set -euo pipefail
cd "$(dirname "$0")/../.."

# clang needs the wasm-ld of the same version, or the one without a version in its name.
find_clang() {
    local clang version
    for clang in "${CLANG:-}" clang clang-{30..14}; do
        [ -n "$clang" ] && command -v "$clang" >/dev/null || continue
        version=$("$clang" -dumpversion) && version=${version%%.*}
        [ "$version" -ge 14 ] || continue
        if "$clang" --target=wasm32-unknown-unknown -print-prog-name=wasm-ld | grep -q / ||
            command -v "wasm-ld-$version" wasm-ld >/dev/null; then
            command -v "$clang"
            return
        fi
    done
    return 1
}

if ! clang=$(find_clang); then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "plugin-sdk/c/setup.sh: clang 14 or later with wasm-ld is missing; install clang and lld, or run this script as root on Debian or Ubuntu" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends clang lld >&2
    clang=$(find_clang) || {
        echo "plugin-sdk/c/setup.sh: clang does not find wasm-ld although both are installed; set CLANG to the path of clang" >&2
        exit 1
    }
fi
bin=${LIGHTMON_TOOLCHAINS:-$PWD/target/toolchains}/bin
mkdir -p "$bin"
ln -sfn "$(realpath "$clang")" "$bin/clang"
echo "$bin/clang"
