#!/usr/bin/env bash
# Runs the unmodified server tests of llama.cpp, at a pinned version, against Lar with the test models. They come from
# the source package of llama-server; this repository has no copy. `adapter.py` starts a Lar when a test starts a
# llama-server. `left-out.txt` lists the tests that are not run, with the reasons. Arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=$PWD/tests/conformance/llama_cpp
package=llama-cpp-python
version=$(sed -n 's/^version=//p' scripts/llama-server.sh)
home=$PWD/.build/llama-cpp-tests
packages=(pytest==8.3.5 openai==2.14.0 requests==2.32.5 filelock==3.20.3 wget==3.2)
export LAR_PROGRAM=${LAR_PROGRAM:-$PWD/target/release/lar} LAR_MODELS_DIR=${LAR_TEST_MODELS:-$PWD/.build/models}

pip() { python3 -m pip "$@" --quiet --disable-pip-version-check; }
if [ "$(cat "$home/version" 2>/dev/null)" != "$version ${packages[*]}" ]; then
  rm -rf "$home"
  mkdir -p "$home/download" "$home/source"
  # pip reads the metadata of a source package with its build tool. This builds nothing.
  pip install --root-user-action=ignore --target "$home/tool" scikit-build-core
  PYTHONPATH=$home/tool pip download --no-deps --no-binary :all: --no-build-isolation --dest "$home/download" "$package==$version"
  tar -xzf "$home"/download/*.tar.gz -C "$home/source" --strip-components=3 --wildcards \
    '*/vendor/llama.cpp/tools/server/tests/*' '*/vendor/llama.cpp/models/templates/*'
  pip install --root-user-action=ignore --target "$home/packages" "${packages[@]}"
  rm -rf "$home/tool" "$home/download"
  echo "$version ${packages[*]}" >"$home/version"
fi

cd "$home/source/tools/server/tests"
PYTHONPATH=$home/packages:$here PYTHONDONTWRITEBYTECODE=1 \
  python3 -m pytest -p adapter -p no:cacheprovider -m 'not slow' --tb=short -q "$@"
