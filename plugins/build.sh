#!/usr/bin/env bash
# Builds Rust plugins to target/plugins/NAME.wasm: build.sh [NAME]…. Without names, builds all Rust plugins. The plugins
# `conformance` and `tiny` are part of the SDK.
#
# build.sh --env prints the environment variables, one KEY=VALUE on each line, that cargo needs to build for WebAssembly. It
# prints nothing if the default compiler can build for WebAssembly.
#
# Writes only to target/ and ~/.cache/lightmon. If there is no compiler for WebAssembly, and the script runs as root on Debian,
# it installs one with apt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=wasm32-unknown-unknown
debian_rustc=/usr/bin/rustc
debian_source=/usr/lib/rustlib/src/rust/library
# Uses no standard library and must import no function. Built in a separate call of cargo, because other packages in the same
# call would enable the standard library.
bare=tiny

main() {
    if [ "${1-}" = --env ]; then
        choose_compiler
        [ -z "${changed-}" ] || printf '%s\n' "RUSTC=$RUSTC" "RUSTFLAGS=${RUSTFLAGS-}"
        return
    fi
    local names=("$@") name packages=() checks=() bare_checks=()
    if [ ${#names[@]} -eq 0 ]; then
        # Plugins in other languages have no Cargo.toml.
        for name in plugins/*/Cargo.toml; do names+=("$(basename "$(dirname "$name")")"); done
        names+=("$bare")
    fi
    choose_compiler
    for name in "${names[@]}"; do
        if [ "$name" = "$bare" ]; then
            build -p "$name"
            bare_checks=(--bare "$name.wasm")
        else
            packages+=(-p "$name")
            checks+=("$name.wasm")
        fi
    done
    [ ${#packages[@]} -eq 0 ] || build "${packages[@]}"

    mkdir -p target/plugins
    for name in "${names[@]}"; do
        local built=target/wasm/$target/plugin/${name//-/_}.wasm out=target/plugins/$name.wasm
        # Unchanged files keep their time, so that nothing that depends on them is rebuilt.
        cmp -s "$built" "$out" || cp "$built" "$out"
    done
    if command -v python3 >/dev/null; then
        python3 plugins/check.py "${checks[@]}" "${bare_checks[@]}"
    fi
}

build() {
    cargo build --profile plugin --target "$target" --target-dir target/wasm --lib "$@"
}

# Selects the default compiler if it has the standard library for WebAssembly; otherwise Debian's compiler, with a standard
# library built from source.
choose_compiler() {
    has_library rustc && return
    if ! has_debian && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "plugins/build.sh: installing Debian's rustc" >&2
        install_debian >&2 || true
    fi
    if has_debian; then
        export RUSTC=$debian_rustc
        changed=yes
        has_library "$RUSTC" && return
        make_sysroot
        export RUSTFLAGS="--sysroot $sysroot"
        return
    fi
    cat >&2 <<-END
		plugins/build.sh: Rust's standard library for $target is missing. Install it and try again:

		    rustup target add $target
	END
    exit 1
}

has_library() {
    local library
    library=$("$1" --print target-libdir --target "$target" 2>/dev/null) && ls "$library"/libstd-*.rlib >/dev/null 2>&1
}

has_debian() {
    [ -x "$debian_rustc" ] && [ -d "$debian_source/vendor" ] && command -v cargo rust-lld >/dev/null
}

install_debian() {
    local packages=(rustc-web rust-web-src rust-web-llvm lld-22)
    command -v cargo >/dev/null || packages+=(cargo-web)
    apt-get install -y --no-install-recommends "${packages[@]}" ||
        { apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; }
}

# Sets `sysroot`, and builds it if needed. There is one for each version of the compiler. The build uses no network.
make_sysroot() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/lightmon/wasm-sysroot
    sysroot=$cache/$("$RUSTC" --version | cut -d' ' -f2,3 | tr ' ' - | tr -d '()')
    [ -d "$sysroot" ] && return
    echo "plugins/build.sh: building the standard library for $target (only once)" >&2
    mkdir -p "$cache"
    local work
    work=$(mktemp -d "$cache/tmp.XXXXXX")
    # shellcheck disable=SC2064  # expand the variable now, not when the trap runs
    trap "rm -rf '$work'" EXIT
    mkdir -p "$work/crate/src" "$work/crate/.cargo" "$work/root/lib/rustlib/$target/lib"
    : >"$work/crate/src/lib.rs"
    cat >"$work/crate/Cargo.toml" <<-END
		[package]
		name = "empty"
		edition = "2021"
		[profile.release]
		panic = "abort"
		[workspace]
	END
    cat >"$work/crate/.cargo/config.toml" <<-END
		[source.crates-io]
		replace-with = "debian"
		[source.debian]
		directory = "$debian_source/vendor"
	END
    (
        cd "$work/crate"
        # Plugins are linked with LTO, which needs the bitcode of the library. RUSTC_BOOTSTRAP enables the option -Z.
        RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C embed-bitcode=yes" CARGO_HOME=$work/cargo CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=$work/target \
            cargo build --release -Z build-std=std,panic_abort --target "$target"
    )
    cp "$work/target/$target"/release/deps/*.rlib "$work/root/lib/rustlib/$target/lib/"
    rm -f "$work/root/lib/rustlib/$target/lib"/libempty-*
    local host
    host=$("$RUSTC" -vV | sed -n 's/^host: //p')
    ln -s "$("$RUSTC" --print sysroot)/lib/rustlib/$host" "$work/root/lib/rustlib/$host"
    # Rename atomically. If another process was faster, use its result.
    mv -T "$work/root" "$sysroot" 2>/dev/null || [ -d "$sysroot" ]
}

main "$@"
