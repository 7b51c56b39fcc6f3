#!/usr/bin/env bash
# Builds programs of llama.cpp for this machine: by default its server, for the tests and benchmarks of that driver, or
# the programs in the arguments. llama-bench and llama-batched-bench measure the limit of llama.cpp. The source comes
# from a Python package. Does nothing if the programs exist.
set -euo pipefail
cd "$(dirname "$0")/.."

package=llama-cpp-python
version=0.3.36
home=$PWD/.build/llama-server
programs=("${@:-llama-server}")
# Some virtual machines offer AMX, but its instructions fail there.
flags=
if [ "$(uname -m)" = x86_64 ]; then flags='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16'; fi
build="$version $flags"

[ "$(cat "$home/version" 2>/dev/null)" = "$build" ] || rm -rf "$home"
missing=()
for program in "${programs[@]}"; do [ -x "$home/$program" ] || missing+=("$program"); done
if [ ${#missing[@]} = 0 ]; then exit 0; fi
printf '\033[1m· building %s from %s %s (some minutes)\033[0m\n' "${missing[*]}" "$package" "$version" >&2
mkdir -p "$home/source"
pip() { python3 -m pip "$@" --quiet --disable-pip-version-check; }
# pip reads the metadata of a source package with its build tool. This builds nothing.
pip install --root-user-action=ignore --target "$home/tool" scikit-build-core
PYTHONPATH=$home/tool pip download --no-deps --no-binary :all: --no-build-isolation --dest "$home" "$package==$version"
tar -xzf "$home"/*.tar.gz -C "$home/source" --strip-components=1
cmake -S "$home/source/vendor/llama.cpp" -B "$home/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_APP=OFF \
  -DLLAMA_OPENSSL=OFF -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" >"$home/cmake.log"
cmake --build "$home/build" --target "${missing[@]}" --parallel "$(nproc)" >"$home/build.log" 2>&1 || {
  tail -n 30 "$home/build.log" >&2
  exit 1
}
for program in "${missing[@]}"; do cp "$home/build/bin/$program" "$home/$program"; done
rm -rf "$home/source" "$home/build" "$home/tool" "$home"/*.tar.gz
echo "$build" >"$home/version"
