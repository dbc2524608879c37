#!/usr/bin/env bash
# Prepares a folder in which apt can use another Debian suite: host/apt.sh FOLDER SUITE [deb-src]. Prints the path of a configuration
# file: commands of apt use the suite if APT_CONFIG is that path. With deb-src, source packages are available too.
# Does not change the package lists of the machine. In FOLDER no package is installed, so apt downloads all dependencies.
set -euo pipefail
folder=${1:?usage: host/apt.sh FOLDER SUITE [deb-src]} suite=${2:?}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
if [ ! -e $keyring ] || ! command -v apt-get >/dev/null; then
    echo "host/apt.sh: apt or $keyring is missing: install debian-archive-keyring" >&2
    exit 1
fi
mkdir -p "$folder"/{lists/partial,archives/partial}
folder=$(cd "$folder" && pwd)
touch "$folder/status"
archive=debian
[ "${suite%-security}" = "$suite" ] || archive=debian-security
for kind in deb ${3:-}; do
    echo "$kind [signed-by=$keyring] http://deb.debian.org/$archive $suite main"
done >"$folder/sources.list"
cat >"$folder/apt.conf" <<CONF
APT::Architecture "$(dpkg --print-architecture)";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::Etc::SourceList "$folder/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$folder/lists";
Dir::State::Status "$folder/status";
Dir::Cache "$folder";
CONF
echo "$folder/apt.conf"
