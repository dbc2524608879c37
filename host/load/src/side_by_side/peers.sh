#!/usr/bin/env bash
# Fetches what lightmon is compared with, the newest that Debian has: peers.sh FOLDER. Prints `--bpftrace PROGRAM --tcplife PROGRAM`.
# They lie in the folder with all libraries that they need, libc too: the machine's own packages and their lists stay as they are.
# Where Debian's archive can't be used, those that the machine has are taken.
set -euo pipefail
cache=${1:?usage: host/load/src/side_by_side/peers.sh FOLDER}
suite=sid

main() {
    mkdir -p "$cache"
    cache=$(cd "$cache" && pwd)
    [ -e "$cache/bin/tcplife" ] || fetch >&2 || echo "host/load/src/side_by_side/peers.sh: nothing fetched; the machine's own are taken" >&2
    local options=() name program
    for name in bpftrace tcplife; do
        program=$cache/bin/$name
        # Debian adds to the names of libbpf-tools.
        [ -x "$program" ] || program=$(command -v "$name" || command -v "$name-libbpf") || continue
        options+=("--$name" "$program")
    done
    echo "${options[@]}"
}

fetch() {
    command -v dpkg-deb >/dev/null && [ "$(dpkg --print-architecture)" = amd64 ] || return
    local apt=$cache/apt root=$cache/root library=$cache/root/usr/lib/x86_64-linux-gnu package
    mkdir -p "$root" "$cache/bin"
    # Nothing is installed there, so that all is fetched that is needed.
    APT_CONFIG=$("$(dirname "$0")/../../../apt.sh" "$apt" $suite) || return
    export APT_CONFIG
    apt-get update -qq || return
    apt-get install -qq --yes --download-only bpftrace libbpf-tools || return
    for package in "$apt"/archives/*.deb; do
        dpkg-deb --extract "$package" "$root" || return
    done
    rm -r "$apt"
    wrap bpftrace "$root/usr/bin/bpftrace"
    # Last, since it says that all is there.
    wrap tcplife "$root/usr/sbin/tcplife-libbpf"
}

# A program that is run with its own loader and libraries.
wrap() {
    cat >"$cache/bin/$1" <<SCRIPT
#!/bin/sh
exec "$library/ld-linux-x86-64.so.2" --library-path "$library" "$2" "\$@"
SCRIPT
    chmod +x "$cache/bin/$1"
}

main
