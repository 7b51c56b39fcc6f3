#!/usr/bin/env bash
# Measures the same adds and searches with Lar and other memory systems in one run. It installs those into .build,
# starts a Lar on a data directory of its own and prints the table of benches/RESULTS.md. The systems are used for
# benchmarks only. basic-memory needs Python 3.12, which Debian 12 lacks; it is measured only if there is a
# `python3.12`.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=$PWD/.build/peers
packages=(mem0ai==2.2.1 chromadb==1.5.9 openai==3.57.0)
server=@modelcontextprotocol/server-memory@2026.8.31
newer=basic-memory==0.24.1

if [ ! -e "$peers/installed-${packages[*]}-$newer" ]; then
  rm -rf "$peers"
  mkdir -p "$peers"
  python3 -m venv "$peers/venv"
  "$peers/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
  npm install --silent --prefix "$peers" "$server"
  if python3.12 --version >/dev/null 2>&1; then
    python3.12 -m venv "$peers/newer"
    "$peers/newer/bin/pip" install --quiet --disable-pip-version-check --upgrade pip
    "$peers/newer/bin/pip" install --quiet --disable-pip-version-check "$newer"
  fi
  touch "$peers/installed-${packages[*]}-$newer"
fi

data=$(mktemp -d)
export LAR_DATA_DIR=$data LAR_MODELS_DIR=${LAR_TEST_MODELS:-$PWD/.build/models} LAR_LISTEN=127.0.0.1:0
export LAR_OWNER_KEY=lar_key_of_the_memory_peers LAR_LOG=error
target/release/lar serve >"$data/out" </dev/null &
pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf "$data"' EXIT
for _ in $(seq 200); do
  url=$(sed -n 's/^Lar is at //p' "$data/out")
  [ -n "$url" ] && break
  sleep 0.05
done
if [ -x "$peers/newer/bin/basic-memory" ]; then export BASIC_MEMORY=$peers/newer/bin/basic-memory; fi
LAR_URL=$url LAR_KEY=$LAR_OWNER_KEY SERVER_MEMORY=$peers/node_modules/@modelcontextprotocol/server-memory/dist/index.js \
  "$peers/venv/bin/python" benches/memory_peers.py
