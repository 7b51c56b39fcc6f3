#!/usr/bin/env bash
# Codex, Claude Code and OpenClaw, connected by `lar connect`: a chat, a complete tool call, and memory by MCP, hooks
# and the plugin.
set -euo pipefail
. "$(dirname "$0")/lar.sh"

port=$(free_port)
mkdir -p "$HOME/.openclaw"
export OPENCLAW_GATEWAY_TOKEN=of-this-run
cat >"$HOME/.openclaw/openclaw.json" <<END
{
  gateway: { mode: "local", port: $port, bind: "loopback", auth: { mode: "token", token: "$OPENCLAW_GATEWAY_TOKEN" } },
  agents: { defaults: { model: "lar/default", skipBootstrap: true } },
  tools: { profile: "minimal", alsoAllow: ["memory_search", "memory_get", "search", "ingest", "smart_ingest", "promote", "demote"] },
}
END
connect codex
connect claude-code --models --hooks
connect openclaw --models
# OpenClaw needs a larger context than the starter model's, so its settings declare one.
sed -i 's|"name": "Lar"|"name": "Lar", "contextWindow": 32768, "maxTokens": 32|' "$HOME/.openclaw/openclaw.json"
cd "$work/project"
echo "The ferry leaves from berth 17." >harbour.txt

has "lar" "$("$codex" mcp list 2>&1)"
ran='"aggregated_output":"The ferry leaves from berth 17.\n","exit_code":0,"status":"completed"'
finishes codex "Run this: cat harbour.txt" "$ran" '"type":"agent_message","text":"It printed:'
echo "codex $("$codex" --version | cut -d' ' -f2): knows Lar's MCP server; ran a command and reported its output, through /v1/responses"

has "✔ Connected" "$("$claude" mcp list 2>&1)"
ran='"content":"The ferry leaves from berth 17.","is_error":false'
finishes claude "Run this: cat harbour.txt" "$ran" '"result":"It printed:'
claude_says "Remember that the owl eats at nine." >/dev/null
has "the owl eats at nine." "$("$lar" memory list --json)"
claude_says "Run this: cat harbour.txt" >/dev/null
grep -q 'the owl eats at nine' "$HOME"/.claude/projects/*/*.jsonl
echo "claude code $("$claude" --version | cut -d' ' -f1): connected to Lar's MCP server; ran a command and reported its output, through /v1/messages;" \
  "its hook saved a memory from a prompt, and its session started with the brief"

"${openclaw[@]}" gateway >"$work/gateway" 2>&1 &
also=$!
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
kill $also
wait $also 2>/dev/null || true
also=
"$lar" alias set default smollm2-135m-instruct >/dev/null
"${openclaw[@]}" agent --local --agent main --session-id one -m "Remember that the dentist is on 4 May at noon." >/dev/null 2>&1
has "the dentist is on 4 May" "$("$lar" memory list --json)"
"${openclaw[@]}" agent --local --agent main --session-id two -m "When is the dentist?" >/dev/null 2>&1
python3 - "$HOME/.openclaw/agents/main/agent/openclaw-agent.sqlite" <<'END'
import sqlite3, sys
dump = "\n".join(sqlite3.connect(sys.argv[1]).iterdump())
assert "<memory>" in dump and "the dentist is on 4 May at noon." in dump and "When is the dentist?" in dump
END
echo "openclaw 2026.9.6: called the plugin's seven tools through the gateway, captured a turn, recalled in a turn"
for client in codex claude-code openclaw; do "$lar" connect $client --undo >/dev/null; done
echo "all clients disconnected with --undo"
