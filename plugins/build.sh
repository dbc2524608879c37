#!/usr/bin/env bash
# Builds plugins to target/plugins/NAME.wasm: those that are named, or all that are written in Rust. `conformance` and `tiny`
# are the SDK's own. With --env, prints the variables that other calls of cargo need to build for WebAssembly, KEY=VALUE a line;
# none where the compiler at hand can.
# Changes nothing outside target/ and ~/.cache/lightmon; only when the compiler is missing, as root on Debian, apt installs it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=wasm32-unknown-unknown
debian_rustc=/usr/bin/rustc
debian_source=/usr/lib/rustlib/src/rust/library
# Without the standard library, which another package in the same call would bring; imports nothing.
bare=tiny

main() {
    if [ "${1-}" = --env ]; then
        choose_compiler
        [ -z "${changed-}" ] || printf '%s\n' "RUSTC=$RUSTC" "RUSTFLAGS=${RUSTFLAGS-}"
        return
    fi
    local names=("$@") name packages=() checks=() bare_checks=()
    if [ ${#names[@]} -eq 0 ]; then
        # Folders without Cargo.toml are plugins in other languages.
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
        # What did not change keeps its time, so that nothing that depends on it is made again.
        cmp -s "$built" "$out" || cp "$built" "$out"
    done
    if command -v python3 >/dev/null; then
        python3 plugins/check.py "${checks[@]}" "${bare_checks[@]}"
    fi
}

build() {
    cargo build --profile plugin --target "$target" --target-dir target/wasm --lib "$@"
}

# The compiler at hand if it has a library for WebAssembly; else Debian's, with a library built from its source.
choose_compiler() {
    has_library rustc && return
    if ! has_debian && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing Debian's rustc" >&2
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
		plugins/build.sh: no Rust library for $target. Install it, then try again:

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

# Sets `sysroot`: one a version of the compiler, made without the network.
make_sysroot() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/lightmon/wasm-sysroot
    sysroot=$cache/$("$RUSTC" --version | cut -d' ' -f2,3 | tr ' ' - | tr -d '()')
    [ -d "$sysroot" ] && return
    echo "building the standard library for $target, once" >&2
    mkdir -p "$cache"
    local work
    work=$(mktemp -d "$cache/tmp.XXXXXX")
    # shellcheck disable=SC2064  # the folder's name is wanted as it is now
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
        # Plugins are linked with LTO: the library has to come with its bitcode. -Z needs the bootstrap switch.
        RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C embed-bitcode=yes" CARGO_HOME=$work/cargo CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=$work/target \
            cargo build --release -Z build-std=std,panic_abort --target "$target"
    )
    cp "$work/target/$target"/release/deps/*.rlib "$work/root/lib/rustlib/$target/lib/"
    rm -f "$work/root/lib/rustlib/$target/lib"/libempty-*
    local host
    host=$("$RUSTC" -vV | sed -n 's/^host: //p')
    ln -s "$("$RUSTC" --print sysroot)/lib/rustlib/$host" "$work/root/lib/rustlib/$host"
    # In one step; when somebody else was faster, theirs is as good.
    mv -T "$work/root" "$sysroot" 2>/dev/null || [ -d "$sysroot" ]
}

main "$@"
