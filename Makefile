# The only commands to know. What they do stands in cargo's manifests, or in a script beside what it builds.
.PHONY: help run build test bench bench-plugins bench-stages bench-check kernels fuzz ebpf plugins clean

LIGHTMON := target/release/lightmon
PLUGINS := target/plugins
# The kernel program as it was built from source just now; the host embeds the one in ebpf/prebuilt.
FRESH := $(CURDIR)/target/ebpf/lightmon.bpf.o
# Where `make bench` keeps what it measures, and draws it; the README's: make bench BENCH=host/load/results/side-by-side. It also takes
# ROUNDS=5, QUICK=1, LOADS='tcp-1000 rest', LIGHTMON_GO=PROGRAM.
BENCH := target/bench/side-by-side
STAGES_BENCH := LIGHTMON_BENCH_PLUGINS=$(CURDIR)/$(PLUGINS) cargo bench --package lightmon --bench stages --
ARGS ?= --plugin $(PLUGINS)/geoip.wasm --format table
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 20

run: build plugins ## run lightmon with the geoip plugin as a table; other arguments: make run ARGS='…'
	$(SUDO) $(LIGHTMON) $(ARGS)

build: ## build target/release/lightmon
	@host/setup.sh build
	cargo build --release --package lightmon --package lightmon-load

test: plugins ## install what the tests need, and run all of them
	@host/setup.sh test
	host/agent/tests/kubelet.sh target/kubelet
	ebpf/build.sh $(FRESH)
	cargo fmt --all --check
	cargo clippy --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --no-deps
	plugin-sdk/conformance/build.sh
	plugins/others.sh
	LIGHTMON_EBPF_OBJECT=$(FRESH) cargo test -- --include-ignored

bench: build plugins ## lightmon beside bpftrace and tcplife under the same loads; in a few minutes: make bench ROUNDS=1 QUICK=1
	$(SUDO) target/release/lightmon-load side-by-side --results $(BENCH).json --plot $(BENCH).svg \
		$$(host/load/src/side_by_side/peers.sh $(HOME)/.cache/lightmon/peers) $(if $(LIGHTMON_GO),--original $(LIGHTMON_GO)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick) $(LOADS:%=--load %)

bench-plugins: plugins ## what a plugin costs, beside the same work done natively
	plugins/build.sh bench-guest
	LIGHTMON_BENCH_GUEST=$(CURDIR)/$(PLUGINS)/bench-guest.wasm cargo bench --package lightmon-plugin-host --bench plugin

bench-stages: plugins ## how long each stage takes for an event; some of them: make bench-stages STAGES=format
	plugins/build.sh bench-guest
	$(STAGES_BENCH) $(STAGES)

bench-check: plugins ## name each stage that needs 10 % more instructions for an event than recorded; to record: make bench-check RECORD=1
	@host/setup.sh bench-check
	plugins/build.sh bench-guest
	$(STAGES_BENCH) --check $(if $(RECORD),--record) $(STAGES)

kernels: ## run the kernel tests on Debian's 5.10, 6.1, 6.12 and newest kernels in QEMU; one of them: make kernels KERNELS=5.10
	@host/setup.sh kernels
	ebpf/build.sh $(FRESH)
	host/kernels/run.sh $(KERNELS)

fuzz: ## fuzz each reader of outside bytes for FUZZ_SECONDS (default 600); one of them: make fuzz TARGETS=btf
	@host/setup.sh fuzz
	host/fuzz/run.sh $(TARGETS)

ebpf: ## rebuild the kernel program that the host embeds (ebpf/prebuilt)
	@host/setup.sh build
	ebpf/prebuilt/update.sh

plugins: ## build target/plugins/*.wasm
	@host/setup.sh build
	plugins/build.sh

clean: ## delete what was built
	cargo clean
