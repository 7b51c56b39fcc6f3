#!/usr/bin/env bash
# From an empty data directory: told in the page, recalled in Codex and Claude Code by the settings that `lar connect` wrote,
# corrected from Python, and the correction seen in all three with its day and the value before.
set -euo pipefail
. "$(dirname "$0")/lar.sh"
page() { node "$root/tests/conformance/big/page.mjs" "$("$lar" open --print)" "$@"; }
today=$(date -u +%F)

page tell "The dentist is on 4 May."
echo "told in the page: The dentist is on 4 May."
connect codex
connect claude-code --models
connect python
cd "$work/project"
for client in codex claude; do
  finishes $client "Search memory: dentist" "The dentist is on 4 May."
  echo "recalled in $client"
done

PYTHONPATH=$root/.build/conformance python3 - "$url/v1" "$LAR_DATA_DIR/clients/python.key" <<'END'
import sys
from openai import OpenAI
client = OpenAI(base_url=sys.argv[1], api_key=open(sys.argv[2]).read().strip())
said = [{"role": "user", "content": "Actually, the dentist is on 11 May, not on 4 May."}]
answer = client.chat.completions.with_raw_response.create(model="default+memory", messages=said, max_tokens=8)
saved = answer.headers["x-lar-saved"]
print("corrected from Python:", said[0]["content"], saved)
END
for client in codex claude; do
  finishes $client "Search memory: dentist" "11 May" "instead_of" "The dentist is on 4 May." "$today"
  echo "seen in $client, with its day and what it was before"
done
page search "dentist" "11 May" "Until " "“The dentist is on 4 May.”"
echo "seen in the page, with its day and what it was before"

# Whatever Lar connected to, it was this machine.
elsewhere=$(curl -sS "$url/metrics" -H "authorization: Bearer $LAR_OWNER_KEY" | grep '^lar_egress' | grep -v '127.0.0.1' || true)
[ -z "$elsewhere" ] || { echo "$elsewhere"; exit 1; }
devices=$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')
if [ "$devices" = lo ]; then
  python3 - <<'END'
lines = [line.split() for line in open("/proc/net/snmp") if line.startswith("Ip:")]
print("no device but loopback, so no packet left; tried by the clients:", dict(zip(*lines))["OutNoRoutes"])
END
fi
