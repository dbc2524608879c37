#!/usr/bin/env bash
# Rebuilds the prebuilt kernel program, which the host embeds, and its stamp: the checksums of its sources.
set -euo pipefail
cd "$(dirname "$0")/../.."
ebpf/build.sh ebpf/prebuilt/lightmon.bpf.o

# One line a source, which host/capture/tests/prebuilt.rs compares. The last line names the compiler, for people.
{
    sha256sum ebpf/Cargo.toml ebpf/common/Cargo.toml ebpf/src/*.rs ebpf/common/src/*.rs ebpf/prebuilt/lightmon.bpf.o
    echo "# $("${RUSTC:-$(test -d /usr/lib/rustlib/bpfel-unknown-none && echo /usr/bin/rustc || echo rustc)}" --version)"
} >ebpf/prebuilt/stamp
