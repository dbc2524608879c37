#!/usr/bin/env bash
# Builds the kernel program: ebpf/build.sh OBJECT. Installs what it needs where apt and root are there.
set -euo pipefail
cd "$(dirname "$0")/.."
object=${1:?usage: ebpf/build.sh OBJECT}
linker=${XDG_CACHE_HOME:-$HOME/.cache}/lightmon/bpf-linker-0.13.0
debian=/usr/lib/rustlib/bpfel-unknown-none

install_debian() {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        rustc-web cargo-web rust-web-src libstd-rust-web-dev-bpf llvm-22-dev libpolly-22-dev lld-22 rust-web-llvm clang-22
}

# aya-ebpf asks for a newer compiler than Debian's, but uses nothing that Debian's lacks.
flags=(--quiet --ignore-rust-version --package lightmon-ebpf --profile ebpf --target bpfel-unknown-none --target-dir target/ebpf)
if [ ! -d $debian ] && [ "$(id -u)" = 0 ] && apt-cache show libstd-rust-web-dev-bpf >/dev/null 2>&1; then
    install_debian
fi
if [ -d $debian ]; then
    # Debian's compiler brings a `core` for the kernel's target; it allows what is unstable only when asked to.
    cargo=/usr/bin/cargo
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 LLVM_PREFIX=/usr/lib/llvm-22
    install=(--no-default-features --features llvm-22)
elif rustup run nightly rustc --print sysroot >/dev/null 2>&1 && [ -d "$(rustup run nightly rustc --print sysroot)/lib/rustlib/src" ]; then
    cargo="rustup run nightly cargo"
    flags+=(-Z build-std=core)
    install=()
else
    echo "ebpf/build.sh: no compiler for the kernel program; install one with
  rustup toolchain install nightly --component rust-src
(on Debian 12 as root this script installs rustc-web and LLVM 22 by itself)" >&2
    exit 1
fi

if [ ! -x "$linker/bin/bpf-linker" ]; then
    PATH=${LLVM_PREFIX:-/usr}/bin:$PATH env -u RUSTC -u RUSTC_BOOTSTRAP cargo install --quiet bpf-linker --version 0.13.0 "${install[@]}" --root "$linker"
fi

# The paths of this machine are nobody's business, and would make each machine's object another one.
remap="--remap-path-prefix=$PWD=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
PATH=$linker/bin:$PATH RUSTFLAGS="-C linker=bpf-linker -C link-arg=--btf -C debuginfo=2 $remap" \
    $cargo build "${flags[@]}"
mkdir -p "$(dirname "$object")"
cp target/ebpf/bpfel-unknown-none/ebpf/lightmon "$object"
# BTF stays, DWARF goes: four fifths of the size.
if command -v "${LLVM_PREFIX:-/usr}/bin/llvm-strip" >/dev/null; then
    "${LLVM_PREFIX:-/usr}/bin/llvm-strip" --strip-debug "$object"
fi
