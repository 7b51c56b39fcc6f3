#!/usr/bin/env bash
# The client matrix: tests a real Lar with small scripts on pinned versions of common client libraries.
#
# It installs the libraries into .build/matrix (2.2 GB) and prints one table. It fails if a check fails that
# known.json does not list, or if known.json lists a check that passes.
#
# `run.sh NAME…` runs only these scripts. MATRIX_CHECK=TEXT runs only checks whose names contain TEXT, and prints
# tracebacks. LAR_PROGRAM is the program to test, LAR_TEST_MODELS the models, LAR_MATRIX_DIR the folder of the
# libraries.
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
# Node searches for packages beside a script, so the scripts are copied beside the packages.
cp "$here"/*.mjs "$installed/node/"

data=$(mktemp -d)
export LAR_DATA_DIR=$data LAR_MODELS_DIR=${LAR_TEST_MODELS:-$root/.build/models} LAR_LISTEN=127.0.0.1:0
export LAR_OWNER_KEY=lar_key_of_the_client_matrix LAR_LOG=error LAR_PROGRAM=${LAR_PROGRAM:-$root/target/release/lar}
"$LAR_PROGRAM" serve >"$data/out" &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -rf "$data"' EXIT
for _ in $(seq 200); do
  url=$(sed -n 's/^Lar is at //p' "$data/out")
  [ -n "$url" ] && break
  sleep 0.05
done
[ -n "$url" ] || { echo "Lar did not start." >&2; exit 1; }
export LAR_URL=$url LAR_KEY=$LAR_OWNER_KEY

results=$data/results
touch "$results"
chosen() { [ "$#" -eq 1 ] || [[ " ${*:2} " == *" $1 "* ]]; }
run() {
  local name=$1 log=$data/log
  shift
  # Libraries store caches and settings in the home folder. Each run starts with an empty one.
  HOME=$data/home LITELLM_LOCAL_MODEL_COST_MAP=True timeout 600 "$@" >"$log" 2>&1 || true
  if ! tail -n 1 "$log" | grep '^{"client"' | sed "s/^{/{\"script\":\"$name\",/" >>"$results"; then
    echo "{\"script\":\"$name\",\"client\":\"$name\",\"version\":\"–\",\"checks\":[\"start\"],\"failed\":{\"start\":\"the script ended before its checks did, or took longer than 600 s\"}}" >>"$results"
    tail -n 20 "$log" >&2
  fi
  [ -z "${MATRIX_CHECK:-}" ] || cat "$log" >&2
}
for line in "${python_packages[@]}"; do
  name=${line%%=*}
  chosen "$name" "$@" || continue
  run "$name" "$installed/$name/bin/python" "$here/${name%_early}.py"
done
for script in "$here"/*_js.mjs; do
  name=$(basename "$script" .mjs)
  chosen "$name" "$@" || continue
  (cd "$installed/node" && run "$name" node "$installed/node/$name.mjs")
done
python3 "$here/table.py" "$results" "$here/known.json" "$@"
