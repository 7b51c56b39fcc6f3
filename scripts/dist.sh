#!/usr/bin/env bash
# Makes the release archive: one build for all x86-64 or arm64 machines, whose engine chooses the processor's variant
# when it starts, from libraries beside the program. Wants the page built (`make` does it).
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=lar-$version-linux-$(uname -m)
target=$PWD/target/dist
folder=$target/$name

# In place of .cargo/config.toml, which builds for the machine at hand.
RUSTFLAGS='-C link-arg=-Wl,-rpath,$ORIGIN' \
  cargo build --release --locked -p lar --features dynamic-backends --target-dir "$target"
made=$(find "$target/release/build" -maxdepth 3 -path '*llama-cpp-sys-2-*/out/backends' -printf '%T@ %h\n' | sort -n | tail -n 1 | cut -d' ' -f2)
rm -rf "$folder"
mkdir -p "$folder"
cp "$target/release/lar" LICENSE README.md "$folder/"
find "$made/lib" "$made/lib64" -maxdepth 1 -name '*.so*' -exec cp -P {} "$folder/" \; 2>/dev/null || true
find "$made/backends" -maxdepth 1 -name '*.so*' -exec cp -P {} "$folder/" \;
find "$folder" -type f \( -name lar -o -name '*.so*' \) -exec strip --strip-unneeded {} +
tar -C "$target" -czf "$target/$name.tar.gz" "$name"
(cd "$target" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
printf '%s\n' "$target/$name.tar.gz"
