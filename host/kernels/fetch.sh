#!/usr/bin/env bash
# Downloads a Debian kernel: host/kernels/fetch.sh FOLDER SERIES. SERIES is 5.10, 6.1, 6.12 or newest.
# Prints the folder that then contains `vmlinuz` and `modules/*.ko`. Does not change the package lists of the machine.
set -euo pipefail
cache=${1:?usage: host/kernels/fetch.sh FOLDER SERIES}
# Kernel modules that the tests use. tun: a network device whose packets the test reads and writes.
modules=(tun)

# Debian removes old builds from its archive. The patterns match the part of a package name that stays the same.
case ${2:-} in
5.10) suite=bullseye-security pattern='linux-image-5\.10\.0-[0-9]*-cloud-amd64' ;;
6.1) suite=bookworm-security pattern='linux-image-6\.1\.0-[0-9]*-cloud-amd64' ;;
6.12) suite=bookworm-security pattern='linux-image-6\.12\.[0-9]*+deb12-cloud-amd64' ;;
# Since 6.19, Debian splits a kernel into two packages: image and modules.
newest) suite=trixie-backports pattern='linux-binary-[0-9.]*+deb13-cloud-amd64' ;;
*)
    echo "host/kernels/fetch.sh: unknown kernel \`${2:-}\`; use 5.10, 6.1, 6.12 or newest" >&2
    exit 2
    ;;
esac
APT_CONFIG=$("$(dirname "$0")/../apt.sh" "$cache/$suite" "$suite")
export APT_CONFIG
apt-get update -qq
image=$(apt-cache dumpavail | sed -n "s/^Package: \($pattern\)\$/\1/p" | sort -V | tail -n 1)
release=${image#linux-*-}
kernel=$cache/$release
if [ ! -e "$kernel/vmlinuz" ]; then
    packages=("$image")
    [ "$image" = "linux-image-$release" ] || packages+=("linux-modules-$release")
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    (cd "$unpacked" && apt-get download -qq "${packages[@]}")
    for package in "$unpacked"/*.deb; do
        dpkg-deb --extract "$package" "$unpacked"
    done
    rm -rf "$kernel"
    mkdir -p "$kernel/modules"
    for module in "${modules[@]}"; do
        find "$unpacked" -name "$module.ko*" -exec cp {} "$kernel/modules" \;
    done
    find "$kernel/modules" -name '*.xz' -exec xz --decompress {} +
    # `vmlinuz` comes last: its presence says that the folder is complete.
    cp "$(find "$unpacked" -name 'vmlinuz*' -print -quit)" "$kernel/vmlinuz"
fi
echo "$kernel"
