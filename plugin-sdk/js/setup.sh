#!/usr/bin/env bash
# Provides componentize-js and esbuild for plugins in JavaScript and TypeScript, in target/toolchains/js/node_modules and in the
# versions of package-lock.json. Also copies the SDK and the contract into the projects of this repository, as `lightmon plugin
# new` does for new projects, and links the packages. Prints the path of the packages.
set -euo pipefail
cd "$(dirname "$0")/../.."
toolchains=${LIGHTMON_TOOLCHAINS:-target/toolchains}
projects=(plugin-sdk/js/conformance plugins/template)

if ! command -v npm >/dev/null || ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; then
    echo "plugin-sdk/js/setup.sh: node 20 or later with npm is missing; install it from https://nodejs.org" >&2
    exit 1
fi

mkdir -p "$toolchains/js"
js=$(cd "$toolchains/js" && pwd)
# Copy the lock file last: if npm is interrupted, the next run installs the packages again.
if ! cmp -s plugin-sdk/js/package-lock.json "$js/done.json"; then
    rm -f "$js/done.json"
    cp plugin-sdk/js/package.json plugin-sdk/js/package-lock.json "$js/"
    # Only esbuild has an install script. It replaces esbuild's launcher by its binary, which is not necessary.
    npm --prefix "$js" ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    cp plugin-sdk/js/package-lock.json "$js/done.json"
fi

for project in "${projects[@]}"; do
    plugin-sdk/copy-sdk.sh js "$project"
    # Keep the project's own node_modules, if it has one.
    [ -d "$project/node_modules" ] && [ ! -L "$project/node_modules" ] || ln -sfn "$js/node_modules" "$project/node_modules"
done
echo "$js/node_modules"
