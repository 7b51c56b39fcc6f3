# Users need only `make run`, developers also `make test`. Both install missing tools.

export PATH := $(CURDIR)/.build/bin:$(CURDIR)/.build/tools/bin:$(PATH)
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

LAR := target/release/lar
PAGE := web/dist/index.html
# Tests have their own models and data, and never use the Lar of the person who runs them.
TEST_MODELS := $(CURDIR)/.build/models
# `cargo build` builds WHAT: only the program by default. The test suite builds EVERYTHING together, because a part of
# the workspace enables other features of shared libraries. Otherwise llama.cpp and most crates would be built twice.
WHAT := -p lar
EVERYTHING := --workspace --all-targets

.PHONY: build run dist test check rust-test page-test conformance first-run quality docs bench clean bootstrap test-bootstrap models llama-server plugin-test client-matrix big-clients nightly

build: bootstrap $(PAGE)
	@test -x $(LAR) || printf '\033[1m· building Lar: some 350 crates and llama.cpp, ten to twenty minutes on two idle cores; the last of them takes some minutes alone\033[0m\n'
	cargo build --release $(WHAT)

## Builds Lar for this machine, downloads a suitable chat model and an embedder, and starts Lar. Prints a sign-in link.
run: build
	$(LAR) models pull --starter
	$(LAR) serve

## Builds an archive, a Debian package and a container image for all machines of this architecture, and tests each of
## them on a bare system.
dist: models
	scripts/bootstrap.sh dist
	scripts/dist/dist.sh

## Runs the whole suite: format, lints, tests with real parts, page tests in a real browser, real clients, the search
## quality of memory, and the docs.
TEST_PARTS := test-bootstrap check models llama-server rust-test page-test plugin-test conformance first-run quality docs
test:
	@times=; for part in $(TEST_PARTS); do \
	  from=$$SECONDS; $(MAKE) --no-print-directory WHAT='$(EVERYTHING)' $$part; times+=", $$part $$((SECONDS - from)) s"; \
	done; echo "everything passed: $${times#, }"

check: $(PAGE)
	cargo fmt --all --check
	cargo clippy --release $(EVERYTHING) -- -D warnings

models: $(PAGE)
	cargo build --release $(WHAT)
	LAR_DATA_DIR=$(CURDIR)/.build/models-data LAR_MODELS_DIR=$(TEST_MODELS) LAR_LISTEN=127.0.0.1:0 $(LAR) models pull --starter --minimal

# Builds llama.cpp's server for the tests and benchmarks of its driver.
llama-server: test-bootstrap
	scripts/llama-server.sh

rust-test: models llama-server
	LAR_TEST_MODELS=$(TEST_MODELS) cargo nextest run --release --workspace

page-test: models
	cd web && LAR_TEST_MODELS=$(TEST_MODELS) npx playwright test

plugin-test: test-bootstrap
	cd integrations/openclaw && npm install --no-audit --no-fund --no-package-lock --legacy-peer-deps --loglevel=error && npm run check && npm test

# Checks the search quality of memory on public questions: not worse than keywords alone, nor than the recorded quality.
quality: models
	scripts/bench-data.sh questions
	cargo build --release -q $(EVERYTHING)
	LAR_TEST_MODELS=$(TEST_MODELS) target/release/lar-benches gate

conformance: models
	cargo build --release -q $(EVERYTHING)
	LAR_TEST_MODELS=$(TEST_MODELS) tests/conformance/run.sh

# Tests `make run` itself, with the model that it chooses for this machine (1 GB).
first-run:
	WHAT='$(WHAT)' tests/conformance/first_run.sh

# Runs small scripts on pinned versions of common client libraries, and prints one table. Installs 2.2 GB.
client-matrix: models
	LAR_TEST_MODELS=$(TEST_MODELS) tests/conformance/matrix/run.sh

# Tests whole applications: Codex, Claude Code, OpenClaw, Continue, Home Assistant and Open WebUI. Installs 4 GB.
big-clients: models
	LAR_TEST_MODELS=$(TEST_MODELS) tests/conformance/big/run.sh

# Runs the tests that take too long for every run, for example every night.
nightly: client-matrix big-clients

docs:
	mdbook build docs
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --release --workspace --no-deps --document-private-items --quiet

bench: models
	scripts/rivals.sh
	scripts/llama-server.sh llama-bench llama-batched-bench
	scripts/bench-data.sh
	cargo build --release -q $(EVERYTHING)
	LAR_TEST_MODELS=$(TEST_MODELS) target/release/lar-benches

# The build writes `web/src/generated` from the OpenAPI document, so those files are no prerequisites.
$(PAGE): web/package-lock.json web/generator/package.json web/index.html web/vite.config.ts openapi/v1.json \
    $(shell find web/src web/public -path web/src/generated -prune -o -type f -print)
	@printf '\033[1m· building the page\033[0m\n'
	cd web && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --no-progress --no-update-notifier --loglevel=error && npm run --silent build
	@touch $(PAGE)

bootstrap:
	@scripts/bootstrap.sh
test-bootstrap:
	@scripts/bootstrap.sh test

clean:
	cargo clean
	rm -rf web/dist web/node_modules web/generator/node_modules web/src/generated docs/book .build
