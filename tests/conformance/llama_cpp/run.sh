#!/usr/bin/env bash
# llama.cpp's own server tests, unchanged and pinned, against a Lar with the starter model. They come with the source
# package that also brings llama-server; nothing of them is kept here. `adapter.py` stands in for the server process
# they start, `left-out.txt` says which tests are not run and why. Any other test that fails, fails this. `make
# conformance` does not call it yet.
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=$PWD/tests/conformance/llama_cpp
package=llama-cpp-python
version=$(sed -n 's/^version=//p' scripts/llama-server.sh)
home=$PWD/.build/llama-cpp-tests
packages=(pytest==8.3.5 openai==2.14.0 requests==2.32.5 filelock==3.20.3 wget==3.2)
program=${LAR_PROGRAM:-$PWD/target/release/lar}

pip() { python3 -m pip "$@" --quiet --disable-pip-version-check; }
if [ "$(cat "$home/version" 2>/dev/null)" != "$version ${packages[*]}" ]; then
  rm -rf "$home"
  mkdir -p "$home/download"
  # pip asks a source package for its metadata, which takes its build tool but builds nothing.
  pip install --root-user-action=ignore --target "$home/tool" scikit-build-core
  PYTHONPATH=$home/tool pip download --no-deps --no-binary :all: --no-build-isolation --dest "$home/download" "$package==$version"
  mkdir -p "$home/source"
  tar -xzf "$home"/download/*.tar.gz -C "$home/source" --strip-components=1 --wildcards '*/vendor/llama.cpp/tools/server/tests/*'
  pip install --root-user-action=ignore --target "$home/packages" "${packages[@]}"
  rm -rf "$home/tool" "$home/download"
  echo "$version ${packages[*]}" >"$home/version"
fi

data=$(mktemp -d)
# Two sequences of 256 tokens and a key, as the tests start their server.
key=sk-this-is-the-secret-key
cat >"$data/lar.toml" <<EOF
[engines]
concurrency = 2
context_tokens_max = 256
EOF
export LAR_DATA_DIR=$data LAR_MODELS_DIR=${LAR_TEST_MODELS:-$PWD/.build/models} LAR_LISTEN=127.0.0.1:0
export LAR_OWNER_KEY=$key LAR_LOG=error
"$program" serve >"$data/out" &
pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf "$data"' EXIT
for _ in $(seq 200); do
  url=$(sed -n 's/^Lar is at //p' "$data/out")
  [ -n "$url" ] && break
  sleep 0.05
done
cd "$home/source/vendor/llama.cpp/tools/server/tests"
LAR_URL=$url LAR_KEY=$key LAR_LEFT_OUT=$here/left-out.txt PYTHONPATH=$home/packages:$here PYTHONDONTWRITEBYTECODE=1 \
  python3 -m pytest -p adapter -p no:cacheprovider -m 'not slow' --tb=short -q "$@"
