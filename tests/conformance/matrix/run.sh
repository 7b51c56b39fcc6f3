#!/usr/bin/env bash
# The client matrix: small scripts of our own on pinned versions of the libraries that people use, against a real Lar.
# Installs them into .build/matrix (about 1.5 GB), prints one table, and fails where a check fails that is not listed in known.json.
# `run.sh NAME…` runs only these; MATRIX_CHECK=TEXT only checks whose name holds it, with their tracebacks.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
installed=${LAR_MATRIX_DIR:-$root/.build/matrix}
source "$here/packages.sh"

mkdir -p "$installed"
for line in "${python_packages[@]}"; do
  name=${line%%=*} packages=${line#*=}
  if [ "$(cat "$installed/$name/installed" 2>/dev/null)" != "$packages" ]; then
    rm -rf "${installed:?}/$name"
    python3 -m venv "$installed/$name"
    read -ra list <<<"$packages"
    "$installed/$name/bin/python" -m pip install --quiet --disable-pip-version-check "${list[@]}"
    echo "$packages" >"$installed/$name/installed"
  fi
done
if ! cmp -s "$here/package.json" "$installed/node/package.json"; then
  rm -rf "$installed/node"
  mkdir -p "$installed/node"
  cp "$here/package.json" "$installed/node/"
  (cd "$installed/node" && npm install --legacy-peer-deps --no-package-lock --no-audit --no-fund --loglevel=error) || { rm -rf "$installed/node"; exit 1; }
fi
# Node looks for packages beside a script, so the scripts are run beside them.
cp "$here"/*.mjs "$installed/node/"

data=$(mktemp -d)
export LAR_DATA_DIR=$data LAR_MODELS_DIR=${LAR_TEST_MODELS:-$root/.build/models} LAR_LISTEN=127.0.0.1:0
export LAR_OWNER_KEY=lar_key_of_the_client_matrix LAR_LOG=error LAR_PROGRAM=${LAR_PROGRAM:-$root/target/release/lar}
"$LAR_PROGRAM" serve >"$data/out" &
pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf "$data"' EXIT
for _ in $(seq 200); do
  url=$(sed -n 's/^Lar is at //p' "$data/out")
  [ -n "$url" ] && break
  sleep 0.05
done
export LAR_URL=$url LAR_KEY=$LAR_OWNER_KEY

results=$data/results
wanted() { [ "$#" -eq 1 ] || [[ " ${*:2} " == *" $1 "* ]]; }
run() {
  local name=$1 log=$data/log
  shift
  timeout 300 "$@" >"$log" 2>&1 || true
  if ! tail -n 1 "$log" | grep '^{"client"' | sed "s/^{/{\"script\":\"$name\",/" >>"$results"; then
    echo "{\"script\":\"$name\",\"client\":\"$name\",\"passed\":0,\"failed\":{\"start\":\"it did not end\"}}" >>"$results"
    tail -n 20 "$log" >&2
  fi
  [ -z "${MATRIX_CHECK:-}" ] || cat "$log" >&2
}
for line in "${python_packages[@]}"; do
  name=${line%%=*}
  wanted "$name" "$@" || continue
  run "$name" "$installed/$name/bin/python" "$here/${name%_early}.py"
done
for script in "$installed"/node/*_js.mjs; do
  name=$(basename "$script" .mjs)
  wanted "$name" "$@" || continue
  (cd "$installed/node" && run "$name" node "$script")
done
python3 "$here/table.py" "$results" "$here/known.json"
