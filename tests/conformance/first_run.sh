#!/usr/bin/env bash
# README's first command, as a newcomer runs it: `make run` fetches the model that suits this machine and starts Lar. Then
# the page opens, `lar open` tells a link, and the model answers a question. What was fetched stays in .build.
set -euo pipefail
cd "$(dirname "$0")/../.."

data=$(mktemp -d)
export LAR_DATA_DIR=$data LAR_MODELS_DIR=$PWD/.build/starter-models LAR_LISTEN=127.0.0.1:0
export LAR_OWNER_KEY=lar_key_of_the_first_run LAR_LOG=error
make --no-print-directory run WHAT="${WHAT:--p lar}" >"$data/out" &
make=$!
# The server is make's child: it is asked to end, and make waits for it.
trap 'kill $make 2>/dev/null || true; wait $make 2>/dev/null || true; rm -rf "$data"' EXIT
url=
for _ in $(seq 600); do
  url=$(sed -n 's/^Lar is at //p' "$data/out")
  [ -n "$url" ] && break
  kill -0 $make 2>/dev/null || { echo "make run ended before Lar was there:"; cat "$data/out"; exit 1; }
  sleep 1
done
[ -n "$url" ] || { echo "no Lar after ten minutes of make run:"; cat "$data/out"; exit 1; }
link=$(target/release/lar open </dev/null)
case $link in *"$url/#sign-in="*) ;; *) echo "lar open told no link: $link"; exit 1 ;; esac
python3 - "$url" <<'PYTHON'
import json
import os
import sys
import urllib.request

site = sys.argv[1]
navigation = urllib.request.Request(site, headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
page = urllib.request.urlopen(navigation, timeout=60).read().decode()
assert "<title>" in page, page[:500]
question = {"model": "default", "temperature": 0, "max_tokens": 40, "messages": [{"role": "user", "content": "What is the capital of France?"}]}
headers = {"Authorization": "Bearer " + os.environ["LAR_OWNER_KEY"], "Content-Type": "application/json"}
request = urllib.request.Request(site + "/v1/chat/completions", json.dumps(question).encode(), headers)
answer = json.load(urllib.request.urlopen(request, timeout=300))
said = answer["choices"][0]["message"]["content"]
assert "Paris" in said, said
print(f"first run: {answer['model']} says: {said}")
PYTHON
