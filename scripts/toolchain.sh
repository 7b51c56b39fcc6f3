#!/usr/bin/env bash
# Finds a Rust toolchain that works and is new enough, and makes `make` use it.
#
#   scripts/toolchain.sh LINKS OLDEST
#
# The first `cargo` on PATH is used if it works. Otherwise the script links the tools of the first working toolchain
# into the folder LINKS, which the Makefile puts first on PATH. This is needed if a rustup proxy without a default
# toolchain precedes the toolchain of the distribution on PATH. Prints the folder of the toolchain. Exits with 1 if
# none works.
set -euo pipefail
links=$1 oldest=$2
tools=(cargo rustc rustdoc cargo-fmt rustfmt cargo-clippy clippy-driver)

# version_of TOOL: the version, such as 1.96.0; empty if the tool does not run.
version_of() { "$1" --version 2>/dev/null | awk 'NR == 1 { print $2 }' || true; }
new_enough() { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "${1%%-*}" "$oldest" | sort -V | head -n 1)" = "$oldest" ]; }
works() { new_enough "$(version_of "$1/cargo")" && new_enough "$(version_of "$1/rustc")"; }

for tool in "${tools[@]}"; do
  if [ -L "$links/$tool" ]; then rm "$links/$tool"; fi
done
# Folders on PATH with a cargo, in order, followed by the toolchains of rustup that are not its default.
folders=()
while read -r cargo; do folders+=("$(dirname "$cargo")"); done < <(type -ap cargo || true)
if command -v rustup >/dev/null 2>&1; then
  while read -r name _; do
    cargo=$(rustup which --toolchain "$name" cargo 2>/dev/null || true)
    if [ -n "$cargo" ]; then folders+=("$(dirname "$cargo")"); fi
  done < <(rustup toolchain list 2>/dev/null || true)
fi
for folder in ${folders[@]+"${folders[@]}"}; do
  works "$folder" || continue
  if [ "$folder" != "${folders[0]}" ]; then
    mkdir -p "$links"
    for tool in "${tools[@]}"; do
      if [ -x "$folder/$tool" ]; then ln -sf "$folder/$tool" "$links/$tool"; fi
    done
  fi
  echo "$folder"
  exit 0
done
exit 1
