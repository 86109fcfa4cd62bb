# The two commands a newcomer needs: `make image` and `make test`. Both set the machine up first.

RECIPE   ?= recipes/docker-host.toml
TARGET   := x86_64-unknown-linux-gnu
STATIC   := target/static/$(TARGET)/guest
SLIPWAY  := target/release/slipway
GUEST    := target/release/guest
# Paths of this machine stay out of the guest's binaries: they are inputs of every image.
REMAP    := --remap-path-prefix=$(CURDIR)=/slipway --remap-path-prefix=$(HOME)/.cargo=/cargo

.PHONY: help image test scenarios bench faults fuzz check setup build unit vm clean

help:
	@echo 'make image       set up, build recipes/docker-host.toml, boot it in QEMU and show it running'
	@echo 'make test        set up, all checks and tests'
	@echo 'make scenarios   what a host must survive, on virtual machines: all of it, a line for each'
	@echo 'make bench       each budget, ours and the peer beside it'
	@echo 'make faults      plants faults in the agent, one at a time, and shows that a test catches each'
	@echo 'make fuzz        runs each fuzz target for FUZZ_SECONDS seconds, 20 unless set'
	@echo 'make check       formatting, lints, licences (no tests)'
	@echo 'make setup       install what is missing on Debian 12 or 13'

setup:
	@scripts/setup.sh

build: target/components
	cargo build --release --locked -p slipway-builder

# initrd and agent run in the image: static, so that they fit any glibc. They are in a folder of their own, since `cargo test`
# puts others of their name beside slipway. The initrd never unwinds: its tables for that are a tenth of its packed size.
.PHONY: target/components
target/components:
	RUSTFLAGS='-C target-feature=+crt-static $(REMAP)' cargo build --profile guest --locked --target $(TARGET) \
	    --target-dir target/static -p slipway-initrd -p slipway-updater --bin slipway-initrd --bin slipway-agent
	@mkdir -p $(GUEST)
	@cp $(STATIC)/slipway-agent $(GUEST)
	@objcopy --remove-section=.eh_frame --remove-section=.eh_frame_hdr --remove-section=.gcc_except_table \
	    $(STATIC)/slipway-initrd $(GUEST)/slipway-initrd

image: setup build
	$(SLIPWAY) build $(RECIPE)
	$(SLIPWAY) test $(RECIPE)
	@echo
	@echo 'To log in to it yourself:  $(SLIPWAY) run $(RECIPE)'

check:
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --offline check bans licenses sources; \
	else echo 'check: cargo-deny is not installed; licences, bans and sources are checked by a test of the builder'; fi

# Always the whole workspace: with fewer packages, the crates below them have other features and are compiled once more.
unit: target/components
	cargo test --release --locked --workspace

# Of the scenarios, those that aren't ignored: the core set.
vm: target/components
	cargo test --release --locked --workspace --test e2e -- --test-threads=1
	$(SLIPWAY) test recipes/minimal.toml --junit out/minimal.xml
	$(SLIPWAY) test recipes/docker-host.toml --junit out/docker-host.xml
	$(SLIPWAY) test recipes/containerd-host.toml --no-reboot --junit out/containerd-host.xml

test: setup check unit vm

scenarios: setup build
	@scripts/scenarios.sh

bench: setup build
	@scripts/bench.sh

faults:
	@scripts/planted-faults.sh

fuzz:
	@scripts/fuzz.sh

clean:
	rm -rf out target
