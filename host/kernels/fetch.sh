#!/usr/bin/env bash
# Fetches a kernel of Debian's: host/kernels/fetch.sh FOLDER SERIES, SERIES being 5.10, 6.1, 6.12 or newest.
# Prints the folder in which its `vmlinuz` and `modules/*.ko` are then. The machine's own package lists stay as they are.
set -euo pipefail
cache=${1:?usage: host/kernels/fetch.sh FOLDER SERIES}
# What the tests may need beyond a kernel: a device whose other end is the test itself.
modules=(tun)

# Debian's archive drops old builds, so packages are found by what stays in their names.
case ${2:-} in
5.10) suite=bullseye-security pattern='linux-image-5\.10\.0-[0-9]*-cloud-amd64' ;;
6.1) suite=bookworm-security pattern='linux-image-6\.1\.0-[0-9]*-cloud-amd64' ;;
6.12) suite=bookworm-security pattern='linux-image-6\.12\.[0-9]*+deb12-cloud-amd64' ;;
# Since 6.19 the image is a package of two.
newest) suite=trixie-backports pattern='linux-binary-[0-9.]*+deb13-cloud-amd64' ;;
*)
    echo "host/kernels/fetch.sh: unknown kernel ${2:-}: it is one of 5.10, 6.1, 6.12, newest" >&2
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
    # Last, since it says that all is there.
    cp "$(find "$unpacked" -name 'vmlinuz*' -print -quit)" "$kernel/vmlinuz"
fi
echo "$kernel"
