#!/usr/bin/env bash
# Builds llama.cpp's own server for this machine, for the tests and figures of the llama-server driver; its source
# comes from the Python package that carries it. Does nothing when it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

package=llama-cpp-python
version=0.3.36
home=$PWD/.build/llama-server
program=$home/llama-server

if [ -x "$program" ] && [ "$(cat "$home/version" 2>/dev/null)" = "$version" ]; then exit 0; fi
printf '\033[1m· building llama-server from %s %s (some minutes)\033[0m\n' "$package" "$version" >&2
rm -rf "$home"
mkdir -p "$home/source"
pip() { python3 -m pip "$@" --quiet --disable-pip-version-check; }
# pip asks a source package for its metadata, which takes its build tool but builds nothing.
pip install --root-user-action=ignore --target "$home/tool" scikit-build-core
PYTHONPATH=$home/tool pip download --no-deps --no-binary :all: --no-build-isolation --dest "$home" "$package==$version"
tar -xzf "$home"/*.tar.gz -C "$home/source" --strip-components=1
cmake -S "$home/source/vendor/llama.cpp" -B "$home/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_APP=OFF \
  -DLLAMA_OPENSSL=OFF >"$home/cmake.log"
cmake --build "$home/build" --target llama-server --parallel "$(nproc)" >"$home/build.log" 2>&1 || {
  tail -n 30 "$home/build.log" >&2
  exit 1
}
cp "$home/build/bin/llama-server" "$program"
rm -rf "$home/source" "$home/build" "$home/tool" "$home"/*.tar.gz
echo "$version" >"$home/version"
