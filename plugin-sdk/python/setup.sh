#!/usr/bin/env bash
# Provides componentize-py for plugins in Python, as target/toolchains/bin/componentize-py, in its own virtual environment. Also
# copies the SDK and the contract into the projects of this repository, as `lightmon plugin new` does for new projects. Prints
# the path of componentize-py.
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
        echo "plugin-sdk/python/setup.sh: Python 3.10 or later with venv is missing; on Debian, install python3-venv" >&2
        exit 1
    fi
    python3 -m venv --clear "$toolchains/python"
    # The wheel has no dependencies and contains CPython for WebAssembly.
    "$toolchains/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "componentize-py==$version" >&2
    ln -sfn ../python/bin/componentize-py "$componentize"
fi

# Copies, because componentize-py does not follow links that leave the folder of the project.
plugin-sdk/copy-sdk.sh python "${projects[@]}"
echo "$componentize"
