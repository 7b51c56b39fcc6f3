# `make run` and `make test` are all that is needed; they install what is missing.

export PATH := $(CURDIR)/.build/bin:$(CURDIR)/.build/tools/bin:$(PATH)
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

LAR := target/release/lar
PAGE := web/dist/index.html
# What is started here talks to no Lar of the person who runs it.
TEST_MODELS := $(CURDIR)/.build/models
# What is built: the program. The suite builds everything at once, tests included: parts of it have other features of the
# libraries that they share, so that llama.cpp and most crates would be built twice.
WHAT := -p lar
EVERYTHING := --workspace --all-targets

.PHONY: build run dist test check rust-test page-test conformance first-run quality docs bench clean bootstrap test-bootstrap models llama-server plugin-test client-matrix big-clients nightly

build: bootstrap $(PAGE)
	@test -x $(LAR) || printf '\033[1m· building Lar: some 350 crates and llama.cpp, ten to twenty minutes on two idle cores; the last of them takes some minutes alone\033[0m\n'
	cargo build --release $(WHAT)

## Builds for this machine, fetches a chat model that suits it and an embedder, starts Lar; ends with a link to open.
run: build
	$(LAR) models pull --starter
	$(LAR) serve

## An archive, a Debian package and a container image for any machine of this architecture, each tried on a bare system.
dist: models
	scripts/bootstrap.sh dist
	scripts/dist/dist.sh

## The whole suite: format, lints, tests on real parts, page tests in a real browser, real clients, how well memories
## are found, the docs.
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

# llama.cpp's own server, which the tests and figures of that driver run.
llama-server: test-bootstrap
	scripts/llama-server.sh

rust-test: models llama-server
	LAR_TEST_MODELS=$(TEST_MODELS) cargo nextest run --release --workspace

page-test: models
	cd web && LAR_TEST_MODELS=$(TEST_MODELS) npx playwright test

plugin-test: test-bootstrap
	cd integrations/openclaw && npm install --no-audit --no-fund --no-package-lock --legacy-peer-deps --loglevel=error && npm run check && npm test

# How well memories are found on public questions: not worse than words alone, nor than was recorded.
quality: models
	scripts/bench-data.sh questions
	cargo build --release -q $(EVERYTHING)
	LAR_TEST_MODELS=$(TEST_MODELS) target/release/lar-benches gate

conformance: models
	cargo build --release -q $(EVERYTHING)
	LAR_TEST_MODELS=$(TEST_MODELS) tests/conformance/run.sh

# `make run` itself, with the model that it chooses for this machine: 1 GB.
first-run:
	WHAT='$(WHAT)' tests/conformance/first_run.sh

# Small scripts on pinned versions of the libraries that people use, in one table; 2.2 GB of them.
client-matrix: models
	LAR_TEST_MODELS=$(TEST_MODELS) tests/conformance/matrix/run.sh

# Codex, Claude Code, OpenClaw and Open WebUI themselves, 4 GB of them.
big-clients: models
	LAR_TEST_MODELS=$(TEST_MODELS) tests/conformance/big/run.sh

# What is too long for every run, for a schedule.
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

$(PAGE): web/package-lock.json web/index.html web/vite.config.ts $(shell find web/src web/public -type f)
	@printf '\033[1m· building the page\033[0m\n'
	cd web && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --no-progress --no-update-notifier --loglevel=error && npm run --silent build
	@touch $(PAGE)

bootstrap:
	@scripts/bootstrap.sh
test-bootstrap:
	@scripts/bootstrap.sh test

clean:
	cargo clean
	rm -rf web/dist web/node_modules docs/book .build
