#!/usr/bin/env bash
# Real clients that are too big for every run (1.5 GB): Codex, Claude Code and OpenClaw, unchanged and pinned, connected by
# `lar connect`, chat with a model of Lar's and use its memory. `make big-clients` runs it.
set -euo pipefail
cd "$(dirname "$0")/../../.."
clients=$PWD/.build/clients lar=$PWD/target/release/lar
packages=(@openai/codex@0.171.0 @anthropic-ai/claude-code@2.1.332)
mkdir -p "$clients/openclaw"
if [ ! -e "$clients/installed" ] || [ "$(cat "$clients/installed")" != "${packages[*]}" ]; then
  npm install --prefix "$clients" --no-audit --no-fund --loglevel=error "${packages[@]}"
  npm install --prefix "$clients/openclaw" --no-audit --no-fund --loglevel=error --ignore-scripts openclaw@2026.9.6
  echo "${packages[*]}" >"$clients/installed"
fi
codex=$clients/node_modules/.bin/codex claude=$clients/node_modules/.bin/claude
openclaw=("$(command -v node)" "$clients/openclaw/node_modules/openclaw/openclaw.mjs")

work=$(mktemp -d)
mkdir -p "$work/home/.openclaw" "$work/project"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export LAR_MODELS_DIR=${LAR_TEST_MODELS:-$PWD/.build/models} LAR_DATA_DIR=$work/data LAR_LISTEN=127.0.0.1:0 LAR_LOG=error
export HOME=$work/home LAR_OWNER_KEY=lar_key_of_the_big_clients OPENCLAW_GATEWAY_TOKEN=of-this-run
cat >"$HOME/.openclaw/openclaw.json" <<END
{
  gateway: { mode: "local", port: $port, bind: "loopback", auth: { mode: "token", token: "$OPENCLAW_GATEWAY_TOKEN" } },
  agents: { defaults: { model: "lar/default", skipBootstrap: true } },
  tools: { profile: "minimal", alsoAllow: ["memory_search", "memory_get", "search", "ingest", "smart_ingest", "promote", "demote"] },
}
END
"$lar" serve >"$work/out" &
server=$! gateway=
trap 'kill $server $gateway 2>/dev/null || true; wait $server $gateway 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 200); do grep -q '^Lar is at' "$work/out" && break; sleep 0.05; done
url=$(sed -n 's/^Lar is at //p' "$work/out")
for client in codex "claude-code --models" "openclaw --models"; do "$lar" connect $client >"$work/connected" || { cat "$work/connected"; exit 1; }; done
# The starter model's context is 8,192 tokens; OpenClaw wants to be told of a larger one.
sed -i 's|"name": "Lar"|"name": "Lar", "contextWindow": 32768, "maxTokens": 32|' "$HOME/.openclaw/openclaw.json"
cd "$work/project"

has() { grep -qF -- "$1" <<<"$2" || { echo "missing: $1"; echo "$2"; exit 1; }; }
has "lar" "$("$codex" mcp list 2>&1)"
echo You are brief. >instructions.md
off=(-c features.multi_agent=false -c features.goals=false -c features.skills=false -c mcp_servers.lar.enabled=false)
said=$("$codex" exec --profile lar --skip-git-repo-check -c "model_instructions_file=\"$PWD/instructions.md\"" "${off[@]}" --json "Say hello." </dev/null 2>/dev/null)
has '"agent_message"' "$said"
echo "codex $("$codex" --version | cut -d' ' -f2): its MCP server is known, and a chat through /v1/responses"

has "✔ Connected" "$("$claude" mcp list 2>&1)"
said=$("$claude" -p "Say hello." --system-prompt "You are brief." --tools "" --strict-mcp-config --output-format json </dev/null 2>/dev/null)
has '"is_error":false' "$said"
echo "claude code $("$claude" --version | cut -d' ' -f1): its MCP server is connected, and a chat through /v1/messages"

"${openclaw[@]}" gateway >"$work/gateway" 2>&1 &
gateway=$!
for _ in $(seq 120); do grep -q 'http server listening' "$work/gateway" && break; sleep 0.5; done
call() {
  curl -sS -m 30 "http://127.0.0.1:$port/tools/invoke" -H "authorization: Bearer $OPENCLAW_GATEWAY_TOKEN" \
    -H 'content-type: application/json' -d "{\"tool\": \"$1\", \"args\": $2}"
}
has '"ok":true' "$(call smart_ingest '{"content": "The ferry leaves from the north harbour.", "tags": ["travel"]}')"
found=$(call memory_search '{"query": "Which harbour does the ferry leave from?"}')
has north "$found"
id=$(grep -o 'mem_[0-9a-f]*' <<<"$found" | head -1)
for tool in memory_get promote demote; do has '"ok":true' "$(call $tool "{\"id\": \"$id\"}")"; done
has '"ok":true' "$(call ingest '{"content": "Two berths are free in May.", "node_type": "event"}')"
has berths "$(call search '{"query": "berths in May"}')"
has '"ok":false' "$(call memory_get '{"id": "mem_none"}')"
kill $gateway
wait $gateway 2>/dev/null || true
gateway=
"${openclaw[@]}" agent --local --agent main --session-id one -m "Remember that the dentist is on 4 May at noon." >/dev/null 2>&1
has "the dentist is on 4 May" "$("$lar" memory list --json)"
"${openclaw[@]}" agent --local --agent main --session-id two -m "When is the dentist?" >/dev/null 2>&1
python3 - "$HOME/.openclaw/agents/main/agent/openclaw-agent.sqlite" <<'END'
import sqlite3, sys
told = "\n".join(sqlite3.connect(sys.argv[1]).iterdump())
assert "<memory>" in told and "the dentist is on 4 May at noon." in told and "When is the dentist?" in told
END
echo "openclaw 2026.9.6: the plugin's seven tools through the gateway, a turn captured, a turn recalled"
for client in codex claude-code openclaw; do "$lar" connect $client --undo >/dev/null; done
echo "all of it taken back"
