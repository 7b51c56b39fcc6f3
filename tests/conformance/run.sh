#!/usr/bin/env bash
# Tests a real Lar with unmodified clients at pinned versions. Installs the clients into .build, starts a Lar on a data
# directory of its own, runs the script of each client, and stops that Lar.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$PWD/.build/conformance
packages=(openai==3.54.0 anthropic==2.14.0 ollama==0.6.3 mcp==2.3.0 langchain-openai==1.7.4 llm==0.36)

if [ ! -e "$venv/installed-${packages[*]}" ]; then
  rm -rf "$venv"
  python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --target "$venv" "${packages[@]}"
  touch "$venv/installed-${packages[*]}"
fi

data=$(mktemp -d)
export LAR_DATA_DIR=$data LAR_MODELS_DIR=${LAR_TEST_MODELS:-$PWD/.build/models} LAR_LISTEN=127.0.0.1:0
export LAR_OWNER_KEY=lar_key_of_the_conformance_suite LAR_LOG=error
target/release/lar serve >"$data/out" &
pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf "$data"' EXIT
for _ in $(seq 200); do
  url=$(sed -n 's/^Lar is at //p' "$data/out")
  [ -n "$url" ] && break
  sleep 0.05
done
for client in tests/conformance/*.py; do
  PYTHONPATH=$venv LAR_PROGRAM=$PWD/target/release/lar LAR_URL=$url LAR_KEY=$LAR_OWNER_KEY python3 "$client"
done
LAR_URL=$url LAR_KEY=$LAR_OWNER_KEY tests/conformance/mcp/run.sh
tests/conformance/llama_cpp/run.sh
tests/conformance/schemathesis/run.sh
