#!/usr/bin/env bash
# Assembles a complete plugin project: assemble.sh LANGUAGE FROM WORK. Copies the project FROM, the SDK of the language and the
# contract to the folder WORK, as `lightmon plugin new` does. Installs the toolchain first. Keeps the installed packages and the
# build results that are already in WORK.
set -euo pipefail
cd "$(dirname "$0")/.."
language=$1 from=$2 work=$3
"plugin-sdk/$language/setup.sh" >/dev/null
mkdir -p "$work"
find "$work" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name build -exec rm -rf {} +
cp -r "$from/." "$work/"
plugin-sdk/copy-sdk.sh "$language" "$work"
