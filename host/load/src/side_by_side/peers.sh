#!/usr/bin/env bash
# Downloads the programs that the benchmark compares with lightmon, in Debian's newest version: peers.sh FOLDER.
# Prints `--bpftrace PROGRAM --tcplife PROGRAM`. FOLDER contains all their libraries, libc too; no package is installed.
# If Debian's archive is not available, prints the programs that are installed on the machine.
set -euo pipefail
cache=${1:?usage: host/load/src/side_by_side/peers.sh FOLDER}
suite=sid

main() {
    mkdir -p "$cache"
    cache=$(cd "$cache" && pwd)
    [ -e "$cache/bin/tcplife" ] || fetch >&2 || echo "host/load/src/side_by_side/peers.sh: download failed; using the installed programs" >&2
    local options=() name program
    for name in bpftrace tcplife; do
        program=$cache/bin/$name
        # Debian's names of the libbpf-tools end with -libbpf.
        [ -x "$program" ] || program=$(command -v "$name" || command -v "$name-libbpf") || continue
        options+=("--$name" "$program")
    done
    echo "${options[@]}"
}

fetch() {
    command -v dpkg-deb >/dev/null && [ "$(dpkg --print-architecture)" = amd64 ] || return
    local apt=$cache/apt root=$cache/root library=$cache/root/usr/lib/x86_64-linux-gnu package
    mkdir -p "$root" "$cache/bin"
    APT_CONFIG=$("$(dirname "$0")/../../../apt.sh" "$apt" $suite) || return
    export APT_CONFIG
    apt-get update -qq || return
    apt-get install -qq --yes --download-only bpftrace libbpf-tools || return
    for package in "$apt"/archives/*.deb; do
        dpkg-deb --extract "$package" "$root" || return
    done
    rm -r "$apt"
    wrap bpftrace "$root/usr/bin/bpftrace"
    # tcplife comes last: its presence says that the folder is complete.
    wrap tcplife "$root/usr/sbin/tcplife-libbpf"
}

# wrap NAME PROGRAM: writes a script that runs the program with the downloaded loader and libraries.
wrap() {
    cat >"$cache/bin/$1" <<SCRIPT
#!/bin/sh
exec "$library/ld-linux-x86-64.so.2" --library-path "$library" "$2" "\$@"
SCRIPT
    chmod +x "$cache/bin/$1"
}

main
