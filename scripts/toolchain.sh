#!/usr/bin/env bash
# Finds a Rust toolchain that works and is new enough, and makes it the one that `make` calls.
#
#   scripts/toolchain.sh LINKS OLDEST
#
# The first `cargo` of PATH is used where it works. Otherwise the tools of the first one that does work are linked into the
# folder LINKS, which the Makefile puts first on PATH: a rustup proxy without a default toolchain fails, and stays first on
# PATH after a distribution's toolchain was installed behind it. Prints the folder of the toolchain. Exit status 1: none works.
set -euo pipefail
links=$1 oldest=$2
tools=(cargo rustc rustdoc cargo-fmt rustfmt cargo-clippy clippy-driver)

# version_of TOOL: such as 1.96.0; nothing where it does not run.
version_of() { "$1" --version 2>/dev/null | awk 'NR == 1 { print $2 }' || true; }
new_enough() { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "${1%%-*}" "$oldest" | sort -V | head -n 1)" = "$oldest" ]; }
works() { new_enough "$(version_of "$1/cargo")" && new_enough "$(version_of "$1/rustc")"; }

for tool in "${tools[@]}"; do
  if [ -L "$links/$tool" ]; then rm "$links/$tool"; fi
done
# Folders of PATH with a cargo, in order; then toolchains that rustup has and does not use by default.
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
