#!/usr/bin/env bash
# Makes a project that is complete in its own folder from one of this tree: assemble.sh LANGUAGE FROM WORK puts FROM, the
# language's helper and the contract into WORK, as `lightmon plugin new` does, and sees to it that the toolchain is there.
# What was installed and built in WORK stays.
set -euo pipefail
cd "$(dirname "$0")/.."
language=$1 from=$2 work=$3
"plugin-sdk/$language/setup.sh" >/dev/null
mkdir -p "$work"
find "$work" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name build -exec rm -rf {} +
cp -r "$from/." "$work/"
for helper in "plugin-sdk/$language"/lightmon*; do
    cp -r "$helper" "$work/"
done
cp -r wit/v0.1 "$work/wit"
