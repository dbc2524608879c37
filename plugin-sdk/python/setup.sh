#!/usr/bin/env bash
# Makes componentize-py available for plugins in Python: target/toolchains/bin/componentize-py, from a virtual environment of
# its own. Gives the projects of this tree what `lightmon plugin new` writes into others: the helper and the contract.
# Says where it is; does nothing where it has been done.
set -euo pipefail
cd "$(dirname "$0")/../.."
toolchains=${LIGHTMON_TOOLCHAINS:-target/toolchains}
projects=(plugin-sdk/python/conformance plugins/rules)
version=0.25.1

mkdir -p "$toolchains/bin"
toolchains=$(cd "$toolchains" && pwd)
componentize=$toolchains/bin/componentize-py
if [ "$("$componentize" --version 2>/dev/null)" != "componentize-py $version" ]; then
    if ! command -v python3 >/dev/null || ! python3 -c 'import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        echo "plugin-sdk/python/setup.sh: no python3 (from 3.10 on) with venv; on Debian, install python3-venv" >&2
        exit 1
    fi
    python3 -m venv --clear "$toolchains/python"
    # One wheel without dependencies, which holds CPython for WebAssembly.
    "$toolchains/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "componentize-py==$version" >&2
    ln -sfn ../python/bin/componentize-py "$componentize"
fi

for project in "${projects[@]}"; do
    [ -d "$project" ] || continue
    # Copies, since componentize-py follows no link that leaves the project's folder.
    for helper in plugin-sdk/python/lightmon*.py; do
        cmp -s "$helper" "$project/${helper##*/}" || cp "$helper" "$project/"
    done
    mkdir -p "$project/wit"
    cmp -s wit/v0.1/plugin.wit "$project/wit/plugin.wit" || cp wit/v0.1/plugin.wit "$project/wit/"
done
echo "$componentize"
