#!/usr/bin/env bash
# Makes componentize-js and esbuild available for plugins in JavaScript and TypeScript: target/toolchains/js/node_modules, in
# the versions of package-lock.json. Gives the projects of this tree what `lightmon plugin new` writes into others: the
# helper and the contract, and the packages. Says where they are; does little where it has been done.
set -euo pipefail
cd "$(dirname "$0")/../.."
toolchains=${LIGHTMON_TOOLCHAINS:-target/toolchains}
projects=(plugin-sdk/js/conformance plugins/template)

if ! command -v npm >/dev/null || ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; then
    echo "plugin-sdk/js/setup.sh: no node (from 20 on) with npm; get it from https://nodejs.org" >&2
    exit 1
fi

mkdir -p "$toolchains/js"
js=$(cd "$toolchains/js" && pwd)
# npm ci begins anew; the lock's copy is written last, so that what was cut off is done again.
if ! cmp -s plugin-sdk/js/package-lock.json "$js/done.json"; then
    rm -f "$js/done.json"
    cp plugin-sdk/js/package.json plugin-sdk/js/package-lock.json "$js/"
    # The only script among them puts esbuild's program into the place of its launcher, which does without.
    npm --prefix "$js" ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    cp plugin-sdk/js/package-lock.json "$js/done.json"
fi

for project in "${projects[@]}"; do
    [ -d "$project" ] || continue
    for helper in plugin-sdk/js/lightmon*; do
        cmp -s "$helper" "$project/${helper##*/}" || cp "$helper" "$project/"
    done
    mkdir -p "$project/wit"
    cmp -s wit/v0.1/plugin.wit "$project/wit/plugin.wit" || cp wit/v0.1/plugin.wit "$project/wit/"
    # A folder of the project's own stays.
    [ -d "$project/node_modules" ] && [ ! -L "$project/node_modules" ] || ln -sfn "$js/node_modules" "$project/node_modules"
done
echo "$js/node_modules"
