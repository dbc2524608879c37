#!/usr/bin/env bash
# Checks all dependencies against .deny.toml: licences, bans, sources. Needs the network for the first run only.
# The first run compiles cargo-deny (about 75 s on two cores) and keeps it in ~/.cache/lightmon.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tool=${XDG_CACHE_HOME:-$HOME/.cache}/lightmon/cargo-deny-$version

if [ ! -x "$tool/bin/cargo-deny" ]; then
    # Without optimisation: a check takes one second all the same.
    CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --locked --profile dev cargo-deny --version "$version" --root "$tool"
fi
# cargo-deny reads the manifest of every dependency of the target in .deny.toml; a build downloads only those that it compiles.
fetch=(cargo fetch --quiet --locked --target x86_64-unknown-linux-gnu)
"${fetch[@]}" --offline 2>/dev/null || "${fetch[@]}"
"$tool/bin/cargo-deny" --offline check licenses bans sources
