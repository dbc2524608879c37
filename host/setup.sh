#!/usr/bin/env bash
# Installs the programs that `make TARGET` needs and cargo does not provide: host/setup.sh build|check|test|kernels|fuzz|bench-check.
# Does nothing if all of them are installed.
set -euo pipefail

declare -A package=(
    [cc]=gcc # links Rust programs
    [c++]=g++ # compiles libFuzzer
    [dockerd]=docker.io [containerd]=containerd [runc]=runc [iptables]=iptables [busybox]=busybox-static [ip]=iproute2
    [/usr/lib/cni/bridge]=containernetworking-plugins
    [podman]=podman [conmon]=conmon [curl]=curl [nc]=netcat-openbsd [python3]=python3
    [qemu-system-x86_64]=qemu-system-x86 [cpio]=cpio [xz]=xz-utils
    [valgrind]=valgrind
)
case ${1:-} in
build | check) needed=(cc) ;;
test) needed=(cc dockerd containerd runc /usr/lib/cni/bridge podman conmon iptables busybox ip curl nc python3) ;;
kernels) needed=(cc busybox ip cpio qemu-system-x86_64 xz) ;;
fuzz) needed=(cc c++) ;;
bench-check) needed=(cc valgrind) ;;
*)
    echo "usage: host/setup.sh build|check|test|kernels|fuzz|bench-check" >&2
    exit 2
    ;;
esac

if ! command -v cargo >/dev/null; then
    echo "host/setup.sh: cargo is missing; install Rust with rustup: https://rustup.rs" >&2
    exit 1
fi
missing=()
for command in "${needed[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null || missing+=("${package[$command]}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "host/setup.sh: missing: ${missing[*]}; install them, or run this as root on Debian or Ubuntu" >&2
    exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
