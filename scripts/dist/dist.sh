#!/usr/bin/env bash
# Builds a release for all machines of this architecture in .build/dist: an archive, a Debian package and a container
# image, each with its checksum. Then tests each of them in isolation from this machine. `make dist` runs this script.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$(rustc -vV | sed -n 's/^host: //p')
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=lar-$version-${target%%-*}-linux
dist=$PWD/.build/dist
# Without new dtags, libraries that are loaded at run time also find their own dependencies by the path of the program.
export RUSTFLAGS='-C link-arg=-Wl,--disable-new-dtags,-rpath,$ORIGIN/lib'
cargo build --release -p lar --features portable --target "$target"

# The program is built for the baseline of the architecture. lib/ has the engine's code for each kind of processor; the
# best one is loaded at run time.
built=target/$target/release
engine=$(find "$built/build" -path '*/llama-cpp-sys-2-*/out' -type d -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
rm -rf "$dist" && mkdir -p "$dist/$name/lib"
cp "$built/lar" LICENSE "$dist/$name/"
cp -L "$engine"/lib/lib{llama,ggml,ggml-base}.so.0 "$engine"/backends/libggml-cpu-*.so "$dist/$name/lib/"
# Libraries that come with compilers, and that a bare machine lacks.
for library in libgomp.so.1 libstdc++.so.6 libgcc_s.so.1; do
  cp -L "$(cc -print-file-name=$library)" "$dist/$name/lib/"
done
strip --strip-unneeded "$dist/$name/lar" "$dist/$name"/lib/*.so*
tar -C "$dist" --owner=0 --group=0 -czf "$dist/$name.tar.gz" "$name"

scripts/dist/deb.sh "$dist/$name" "$version" "$dist"
scripts/dist/image.sh "$dist/$name" "$version" "$dist/$name-oci.tar"
(cd "$dist" && for file in *.tar.gz *.deb *.tar; do sha256sum "$file" | tee "$file.sha256"; done)
scripts/dist/try.sh "$dist" "$name" "$version"
