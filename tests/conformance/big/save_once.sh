#!/usr/bin/env bash
# Saves a memory in the page of an empty Lar. Codex and Claude Code, connected by `lar connect`, recall it. A Python
# program corrects it, and all three then show the correction with its day and the previous text.
set -euo pipefail
. "$(dirname "$0")/lar.sh"
page() { node "$root/tests/conformance/big/page.mjs" "$("$lar" open --print)" "$@"; }
today=$(date -u +%F)

page save "The dentist is on 4 May."
echo "saved in the page: The dentist is on 4 May."
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
messages = [{"role": "user", "content": "No, that's wrong, the dentist is on 11 May."}]
answer = client.chat.completions.with_raw_response.create(model="default+memory", messages=messages, max_tokens=8)
saved = answer.headers["x-lar-saved"]
print("corrected from Python:", messages[0]["content"], saved)
END
for client in codex claude; do
  finishes $client "Search memory: dentist" "11 May" "supersedes" "The dentist is on 4 May." "$today"
  echo "$client shows the correction with its day and the previous text"
done
page search "dentist" "11 May" "Until " "“The dentist is on 4 May.”"
echo "the page shows the correction with its day and the previous text"

# Lar connected only to this machine.
elsewhere=$(curl -sS "$url/metrics" -H "authorization: Bearer $LAR_OWNER_KEY" | grep '^lar_egress' | grep -v '127.0.0.1' || true)
[ -z "$elsewhere" ] || { echo "$elsewhere"; exit 1; }
devices=$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')
if [ "$devices" = lo ]; then
  python3 - <<'END'
lines = [line.split() for line in open("/proc/net/snmp") if line.startswith("Ip:")]
print("the only network device is loopback, so no packet left; packets that the clients tried to send:", dict(zip(*lines))["OutNoRoutes"])
END
fi
