#!/usr/bin/env bash
# Makes clang and wasm-ld available for plugins in C: target/toolchains/bin/clang. Takes any clang from 14 on that has its
# linker; installs Debian's where there is none. Says where it is; does nothing where it has been done.
set -euo pipefail
cd "$(dirname "$0")/../.."

# A clang of a version goes with the wasm-ld of that version, or with the one without a number.
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
        echo "plugin-sdk/c/setup.sh: no clang (from 14 on) with wasm-ld; install clang and lld, or run this as root on Debian or Ubuntu" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends clang lld >&2
    clang=$(find_clang) || {
        echo "plugin-sdk/c/setup.sh: clang and lld are installed, but do not find each other: set CLANG" >&2
        exit 1
    }
fi
bin=${LIGHTMON_TOOLCHAINS:-$PWD/target/toolchains}/bin
mkdir -p "$bin"
ln -sfn "$(realpath "$clang")" "$bin/clang"
echo "$bin/clang"
