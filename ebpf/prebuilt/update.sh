#!/usr/bin/env bash
# Rebuilds the kernel program that the host embeds, and the stamp that tells which sources it came from.
set -euo pipefail
cd "$(dirname "$0")/../.."
ebpf/build.sh ebpf/prebuilt/lightmon.bpf.o

# One line a source, as host/agent/tests/prebuilt.rs makes them again; then the compiler, for people.
{
    sha256sum ebpf/Cargo.toml ebpf/common/Cargo.toml ebpf/src/*.rs ebpf/common/src/*.rs ebpf/prebuilt/lightmon.bpf.o
    echo "# $("${RUSTC:-$(test -d /usr/lib/rustlib/bpfel-unknown-none && echo /usr/bin/rustc || echo rustc)}" --version)"
} >ebpf/prebuilt/stamp
