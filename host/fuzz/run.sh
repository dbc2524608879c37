#!/usr/bin/env bash
# Fuzzes one target after the other, each for FUZZ_SECONDS (default 600): host/fuzz/run.sh [TARGET…]. Without TARGET: all of them.
# A finding stops its target; the input is saved in target/fuzz/findings. `host/fuzz/run.sh TARGET FILE` runs a target on one file.
set -euo pipefail
cd "$(dirname "$0")/../.."
tool=${XDG_CACHE_HOME:-$HOME/.cache}/lightmon/cargo-fuzz-0.13
work=target/fuzz
seconds=${FUZZ_SECONDS:-600}

if [ ! -x "$tool/bin/cargo-fuzz" ]; then
    cargo install --quiet --locked cargo-fuzz --version '^0.13' --root "$tool"
fi
# RUSTC_BOOTSTRAP: coverage is an unstable feature. No sanitizer: the fuzzed code has no `unsafe`, and runs twice as fast without.
export RUSTC_BOOTSTRAP=1 PATH=$tool/bin:$PATH
flags=(--fuzz-dir host/fuzz --sanitizer none --target-dir "$work")
# Use the same versions as the program. Cargo adds the fuzzer's own dependencies to the copy.
cp Cargo.lock host/fuzz/Cargo.lock

if [ $# = 2 ] && [ -f "$2" ]; then
    exec cargo fuzz run "${flags[@]}" "$1" "$2"
fi
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir host/fuzz)
cargo fuzz build "${flags[@]}"
bad=()
for target in "${targets[@]}"; do
    corpora=("$work/corpus/$target")
    mkdir -p "${corpora[0]}" "$work/findings"
    [ ! -d "host/fuzz/seeds/$target" ] || corpora+=("host/fuzz/seeds/$target")
    dictionary=host/fuzz/dictionaries/$target
    [ -f "$dictionary" ] && dictionary=-dict=$dictionary || dictionary=
    echo "host/fuzz/run.sh: $target, $seconds s"
    log=$work/$target.log
    if ! cargo fuzz run "${flags[@]}" "$target" "${corpora[@]}" -- ${dictionary:+"$dictionary"} \
        -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$work/findings/$target-" >"$log" 2>&1; then
        bad+=("$target")
        grep -vE '^#[0-9]+' "$log" | tail -n 40 >&2
    fi
    grep -E '^stat::(number_of_executed_units|average_exec_per_sec|slowest_unit_time_sec)' "$log" || true
done
if [ ${#bad[@]} -gt 0 ]; then
    echo "host/fuzz/run.sh: findings in ${bad[*]}: see above, and $work/findings" >&2
    exit 1
fi
