#!/usr/bin/env bash
# Fetches a kernel of Debian's: host/kernels/fetch.sh FOLDER SERIES, SERIES being 5.10, 6.1, 6.12 or newest.
# Prints the folder in which its `vmlinuz` and `modules/*.ko` are then. The machine's own package lists stay as they are.
set -euo pipefail
cache=${1:?usage: host/kernels/fetch.sh FOLDER SERIES}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
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
if [ ! -e $keyring ]; then
    echo "host/kernels/fetch.sh: $keyring is missing: install debian-archive-keyring" >&2
    exit 1
fi

apt=$cache/$suite
mkdir -p "$apt"/{lists/partial,archives/partial}
touch "$apt/status"
archive=debian
[ "${suite%-security}" = "$suite" ] || archive=debian-security
echo "deb [signed-by=$keyring] http://deb.debian.org/$archive $suite main" >"$apt/sources.list"
cat >"$apt/apt.conf" <<CONF
APT::Architecture "amd64";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$apt/lists";
Dir::State::Status "$apt/status";
Dir::Cache "$apt";
CONF
export APT_CONFIG=$apt/apt.conf
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
