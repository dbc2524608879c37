#!/usr/bin/env bash
# Runs the kernel tests (host/capture/tests/kernel) on other kernels in QEMU, without KVM.
# host/kernels/run.sh [SERIES…]; without SERIES: on all of them.
# Prints one table row per kernel. Fails if any test fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
object=$PWD/target/ebpf/lightmon.bpf.o # built by `make kernels`
work=$PWD/target/kernels
kernels=${XDG_CACHE_HOME:-$HOME/.cache}/lightmon/kernels
boot_timeout=1800 # seconds; old kernels verify the program slowly: minutes on a busy machine
PATH=$PATH:/usr/sbin:/sbin # for `ip`
series=("$@")
[ $# -gt 0 ] || series=(5.10 6.1 6.12 newest)

# Builds the tests as one static program, which needs only a kernel. Prints its path.
build_test() {
    RUSTFLAGS="-C target-feature=+crt-static" cargo test --no-run --package lightmon-capture --test kernel \
        --target x86_64-unknown-linux-gnu --target-dir "$work" --message-format json-render-diagnostics |
        sed -n '/"kind":\["test"\]/s/.*"executable":"\([^"]*\)".*/\1/p'
}

# The tests start these programs, and others that busybox provides.
programs=(bash ip)

# make_initramfs TEST KERNEL OUT
make_initramfs() {
    local root=$work/root program
    rm -rf "$root"
    mkdir -p "$root"/{bin,etc,proc,sys,dev,tmp,lib/modules}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for program in "${programs[@]}"; do
        program=$(command -v "$program")
        cp "$program" "$root/bin/"
        # Its libraries, under the same paths.
        ldd "$program" | sed -nE 's/.*[[:space:]](\/[^ ]+) \(0x.*/\1/p' | (cd "$root" && xargs -n 1 cp --parents --dereference --target-directory .)
    done
    cp host/kernels/init "$root/init"
    strip -o "$root/kernel" "$1"
    cp "$object" "$root/lightmon.bpf.o"
    echo root:x:0:0:root:/:/bin/sh >"$root/etc/passwd"
    cp "$2"/modules/*.ko "$root/lib/modules/"
    (cd "$root" && find . | cpio --quiet --create --format newc --owner 0:0) | gzip -1 >"$3"
}

# boot KERNEL INITRAMFS LOG: prints the result of each test when it ends. QEMU's exit code does not depend on the tests.
# Both virtual CPUs share one thread: with two threads, QEMU 7.2 sometimes runs code while the kernel patches it.
boot() {
    timeout "$boot_timeout" qemu-system-x86_64 -accel tcg,thread=single -machine q35 -cpu max -m 1024 -smp 2 \
        -kernel "$1/vmlinuz" -initrd "$2" -append "console=ttyS0 panic=-1 quiet mitigations=off" \
        -nographic -no-reboot -nodefaults -serial stdio -net none </dev/null |
        sed -u 's/\r$//' | tee "$3" | grep --text --line-buffered -E '^(test|lightmon-kernels:) ' || true
}

# row LOG: prints one table row. A run without an exit code has failed, whatever its tests printed.
row() {
    local release passed failed end
    release=$(sed -n 's/^lightmon-kernels: release //p' "$1")
    end=$(sed -n 's/^lightmon-kernels: exit //p' "$1")
    passed=$(sed -nE 's/^test result: .* ([0-9]+) passed;.*/\1/p' "$1")
    # The last list of failures contains the names.
    failed=$(awk '/^failures:$/ { names = "" } /^    [^ ]+$/ { names = names ", " $1 } END { print substr(names, 3) }' "$1")
    case $end in
    0) failed=none ;;
    "") failed="the run did not end" ;;
    *) failed=${failed:-"exit code $end"} ;;
    esac
    echo "| ${release:-unknown} | ${passed:-0} | $failed |"
    [ "$end" = 0 ] && [ "${passed:-0}" -gt 0 ]
}

test=$(build_test)
bad=()
rows=()
for one in "${series[@]}"; do
    kernel=$(host/kernels/fetch.sh "$kernels" "$one")
    make_initramfs "$test" "$kernel" "$work/$one.initramfs"
    log=$work/$one.log
    echo "host/kernels/run.sh: ${kernel##*/}"
    boot "$kernel" "$work/$one.initramfs" "$log"
    rows+=("$(row "$log")") || bad+=("$log")
done
printf '\n| kernel | passed | failed |\n|---|---|---|\n'
printf '%s\n' "${rows[@]}"
if [ ${#bad[@]} -gt 0 ]; then
    echo "host/kernels/run.sh: failed; see ${bad[*]}" >&2
    exit 1
fi
