#!/usr/bin/env bash
# Builds llama.cpp's own benchmarks for this machine, from the very source that the embedded engine is built from:
# they show what that source can do here. Does nothing when they are there already.
set -euo pipefail
cd "$(dirname "$0")/.."

home=$PWD/.build/llama-limits
manifest=$(cargo metadata --format-version 1 --locked |
  python3 -c 'import json, sys; print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "llama-cpp-sys-2"))')
source=$(dirname "$manifest")

if [ -x "$home/llama-batched-bench" ] && [ "$(cat "$home/source" 2>/dev/null)" = "$source" ]; then exit 0; fi
printf '\033[1m· building llama-bench and llama-batched-bench (some minutes)\033[0m\n' >&2
rm -rf "$home"
mkdir -p "$home"
# The package carries neither tests nor the page.
cp -r "$source/llama.cpp" "$home/copy"
cmake -S "$home/copy" -B "$home/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_UI=OFF \
  -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_CURL=OFF >"$home/cmake.log" 2>&1 || { tail -n 20 "$home/cmake.log" >&2; exit 1; }
cmake --build "$home/build" --target llama-bench llama-batched-bench --parallel "$(nproc)" >"$home/build.log" 2>&1 || {
  tail -n 30 "$home/build.log" >&2
  exit 1
}
cp "$home/build/bin/llama-bench" "$home/build/bin/llama-batched-bench" "$home/"
rm -rf "$home/copy" "$home/build"
echo "$source" >"$home/source"
