# The only commands to know. Details are in cargo's manifests, and in scripts beside what they build.
.PHONY: help run build dist check test bench bench-plugins bench-stages bench-check kernels fuzz ebpf plugins clean

LIGHTMON := target/release/lightmon
PLUGINS := target/plugins
# `cargo test` builds it. A separate `cargo build` would compile most dependencies again, with other features.
DEBUG := $(CURDIR)/target/debug/lightmon
# The kernel program, built from this tree. The host embeds ebpf/prebuilt instead.
FRESH := $(CURDIR)/target/ebpf/lightmon.bpf.o
# `make bench` writes its results and its chart there. The README's: make bench BENCH=host/load/results/side-by-side
BENCH := target/bench/side-by-side
# Benchmarks measure what packages ship: the profile `dist`.
CARGO_BENCH := cargo bench --profile dist
STAGES_BENCH := LIGHTMON_BENCH_PLUGINS=$(CURDIR)/$(PLUGINS) $(CARGO_BENCH) --package lightmon --bench stages --
ARGS ?= --plugin $(PLUGINS)/geoip.wasm --format table
# The plugins in Rust that ARGS names. `make run` builds these only.
RUN_PLUGINS := $(filter $(patsubst plugins/%/Cargo.toml,%,$(wildcard plugins/*/Cargo.toml)),$(patsubst %.wasm,%,$(notdir $(filter $(PLUGINS)/%.wasm,$(ARGS)))))
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 20

run: build ## run lightmon with the geoip plugin (ARGS='…')
	$(if $(RUN_PLUGINS),plugins/build.sh $(RUN_PLUGINS))
	$(SUDO) $(LIGHTMON) $(ARGS)

build: ## build target/release/lightmon
	@host/setup.sh build
	cargo build --release --package lightmon

dist: ## build target/dist/lightmon for packages and benchmarks
	@host/setup.sh build
	cargo build --profile dist --package lightmon --package lightmon-load

check: ## check format, lints, docs, licences; run unit tests
	@host/setup.sh check
	cargo fmt --all --check
	host/deny.sh
	cargo clippy --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --no-deps
	cargo test

test: check plugins ## run `make check` and all other tests (root, Debian)
	@host/setup.sh test
	host/agent/tests/kubelet.sh target/kubelet
	ebpf/build.sh $(FRESH)
	LIGHTMON=$(DEBUG) plugin-sdk/conformance/build.sh
	LIGHTMON=$(DEBUG) plugins/others.sh
	LIGHTMON_EBPF_OBJECT=$(FRESH) cargo test -- --ignored

bench: dist plugins ## compare lightmon with bpftrace and tcplife (ROUNDS=, QUICK=1, LOADS=)
	$(SUDO) target/dist/lightmon-load side-by-side --results $(BENCH).json --plot $(BENCH).svg \
		$$(host/load/src/side_by_side/peers.sh $(HOME)/.cache/lightmon/peers) $(if $(LIGHTMON_GO),--original $(LIGHTMON_GO)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick) $(LOADS:%=--load %)

bench-plugins: plugins ## compare a plugin with the same work done natively
	plugins/build.sh bench-guest
	LIGHTMON_BENCH_GUEST=$(CURDIR)/$(PLUGINS)/bench-guest.wasm $(CARGO_BENCH) --package lightmon-plugin-host --bench plugin

bench-stages: plugins ## measure the time per event of each stage (STAGES=)
	plugins/build.sh bench-guest
	$(STAGES_BENCH) $(STAGES)

bench-check: plugins ## compare instructions per event with the baseline (RECORD=1, STAGES=)
	@host/setup.sh bench-check
	plugins/build.sh bench-guest
	$(STAGES_BENCH) --check $(if $(RECORD),--record) $(STAGES)

kernels: ## run the kernel tests on other kernels in QEMU (KERNELS=)
	@host/setup.sh kernels
	ebpf/build.sh $(FRESH)
	host/kernels/run.sh $(KERNELS)

fuzz: ## fuzz each parser of untrusted input (TARGETS=, FUZZ_SECONDS=)
	@host/setup.sh fuzz
	host/fuzz/run.sh $(TARGETS)

ebpf: ## rebuild the embedded kernel program (ebpf/prebuilt)
	@host/setup.sh build
	ebpf/prebuilt/update.sh

plugins: ## build target/plugins/*.wasm
	@host/setup.sh build
	plugins/build.sh

clean: ## delete all build results
	cargo clean
