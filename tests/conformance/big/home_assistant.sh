#!/usr/bin/env bash
# Home Assistant, set up manually as `lar connect home-assistant` describes: a listener that adds a key to requests
# without one; the key may only use models. Then the test adds the Ollama integration, as the page of Home Assistant
# does, and talks to the model.
set -euo pipefail
. "$(dirname "$0")/lar.sh"
python=
for candidate in "${PYTHON313:-}" python3.13; do
  if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
  echo "home assistant: skipped, because it needs Python 3.13 (set PYTHON313 to its path)"
  exit 0
fi
venv=$clients/home-assistant
# Home Assistant installs the packages of an integration when the integration is added. These are the packages that
# this test needs, at the versions that Home Assistant names.
packages=(homeassistant==2025.4.4 home-assistant-frontend==20250411.0 ollama==0.4.7 hassil==2.2.3 home-assistant-intents==2025.3.28)
if [ "$(cat "$venv/installed" 2>/dev/null)" != "${packages[*]}" ]; then
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
  echo "${packages[*]}" >"$venv/installed"
fi

"$lar" alias set default smollm2-135m-instruct >/dev/null
connect home-assistant
has "key_file = \"$LAR_DATA_DIR/clients/home-assistant.key\"" "$(cat "$work/connected")"
ollama=$(free_port)
printf '[[listener]]\naddr = "127.0.0.1:%s"\nkey_file = "%s"\n' "$ollama" "$LAR_DATA_DIR/clients/home-assistant.key" >"$LAR_DATA_DIR/lar.toml"
kill "$server" && wait "$server" || true
"$lar" serve </dev/null >"$work/out" &
server=$!
for _ in $(seq 200); do curl -sf "http://127.0.0.1:$ollama/api/tags" >/dev/null && break; sleep 0.05; done
# The key may use models; it may not read memories.
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$ollama/lar/v1/memories")" = 403 ] || { echo "the key of the listener can read memories"; exit 1; }

port=$(free_port)
mkdir "$work/ha"
cat >"$work/ha/configuration.yaml" <<END
homeassistant: { name: Home, country: NL, language: en, unit_system: metric, time_zone: Europe/Amsterdam }
http: { server_host: 127.0.0.1, server_port: $port }
api:
config:
onboarding:
conversation:
END
"$venv/bin/hass" -c "$work/ha" --skip-pip >"$work/ha.log" 2>&1 &
also=$!
"$venv/bin/python" "$root/tests/conformance/big/home_assistant.py" "http://127.0.0.1:$port" "http://127.0.0.1:$ollama" ||
  { tail -40 "$work/ha.log"; exit 1; }
"$lar" connect home-assistant --undo >/dev/null
echo "home assistant 2025.4.4: its Ollama integration listed Lar's models, and one of them answered"
