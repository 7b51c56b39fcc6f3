#!/usr/bin/env bash
# Open WebUI, with the settings that `lar connect open-webui` writes: it lists Lar's models, and a person signs up in
# its page and chats. The test does not install the packages that run Open WebUI's own models (torch and CUDA, 5 GB).
set -euo pipefail
. "$(dirname "$0")/lar.sh"
venv=$clients/open-webui
if [ ! -e "$venv/installed-0.12.4" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --dry-run --report "$work/report.json" open-webui==0.12.4
  python3 - "$work/report.json" >"$work/requirements" <<'END'
import json, sys
left_out = ("nvidia-", "cuda-", "torch", "triton")
for package in json.load(open(sys.argv[1]))["install"]:
    name, version = package["metadata"]["name"], package["metadata"]["version"]
    if not name.lower().startswith(left_out):
        print(f"{name}=={version}")
END
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$work/requirements"
  touch "$venv/installed-0.12.4"
fi
"$lar" alias set default smollm2-135m-instruct >/dev/null
connect open-webui
port=$(free_port)
(
  set -a
  . "$LAR_DATA_DIR/clients/open-webui.env"
  DATA_DIR=$work/webui OFFLINE_MODE=true HF_HUB_OFFLINE=1 RAG_EMBEDDING_ENGINE=openai ENABLE_VERSION_UPDATE_CHECK=false
  WEBUI_SECRET_KEY=of-this-run ANONYMIZED_TELEMETRY=false DO_NOT_TRACK=true
  set +a
  exec "$venv/bin/open-webui" serve --host 127.0.0.1 --port "$port"
) >"$work/webui.log" 2>&1 &
also=$!
for _ in $(seq 240); do curl -sf "http://127.0.0.1:$port/health" >/dev/null && break; kill -0 $also 2>/dev/null || break; sleep 0.5; done
curl -sf "http://127.0.0.1:$port/health" >/dev/null || { tail -40 "$work/webui.log"; exit 1; }
node "$root/tests/conformance/big/open_webui.mjs" "http://127.0.0.1:$port"
# Open WebUI must have used its own key.
key=$(curl -sS "$url/lar/v1/keys" -H "authorization: Bearer $LAR_OWNER_KEY" | python3 -c '
import json, sys
print(next(key["last_seen_at"] for key in json.load(sys.stdin)["data"] if key.get("client") == "open-webui"))')
has "20" "$key"
"$lar" connect open-webui --undo >/dev/null
echo "open webui 0.12.4: its page listed Lar's models and chatted through Lar"
