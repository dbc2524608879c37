#!/usr/bin/env bash
# Copies the SDK of a language and the contract into plugin projects, as `lightmon plugin new` does: copy-sdk.sh LANGUAGE PROJECT….
# Does not touch files that are up to date, so that nothing is rebuilt.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
language=$1
shift

for project in "$@"; do
    for source in "$root/plugin-sdk/$language"/lightmon*; do
        cmp -s "$source" "$project/${source##*/}" || cp -r "$source" "$project/"
    done
    mkdir -p "$project/wit"
    cmp -s "$root/wit/v0.1/plugin.wit" "$project/wit/plugin.wit" || cp "$root/wit/v0.1/plugin.wit" "$project/wit/"
done
