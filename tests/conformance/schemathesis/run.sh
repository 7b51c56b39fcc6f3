#!/usr/bin/env bash
# Schemathesis sends what the description of Lar's own API allows, and what it does not, and compares the answers with it.
# Operations that would end the run (its own key, its own person, its model) or fetch something are left out.
set -euo pipefail
cd "$(dirname "$0")/../../.."
root=$PWD
venv=${LAR_SCHEMATHESIS_DIR:-$root/.build/schemathesis}
version=4.32.5
if [ "$(cat "$venv/installed" 2>/dev/null)" != "$version" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "schemathesis==$version"
  echo "$version" >"$venv/installed"
fi
data=$(mktemp -d)
export LAR_DATA_DIR=$data LAR_MODELS_DIR=${LAR_TEST_MODELS:-$root/.build/models} LAR_LISTEN=127.0.0.1:0
export LAR_OWNER_KEY=lar_key_of_the_description LAR_LOG=error
printf '[engines]\ncontext_tokens_max = 256\npreload = false\n' >"$data/lar.toml"
"${LAR_PROGRAM:-$root/target/release/lar}" serve >"$data/out" &
pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf "$data"' EXIT
for _ in $(seq 200); do
  url=$(sed -n 's/^Lar is at //p' "$data/out")
  [ -n "$url" ] && break
  sleep 0.05
done
cd "$data"
"$venv/bin/schemathesis" run "$url/openapi.json" --header "Authorization: Bearer $LAR_OWNER_KEY" \
  --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-5}" --seed 1 --continue-on-failure --warnings off \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
  --exclude-path-regex '^/(metrics|readyz|healthz)|keys/\{id\}|users/\{id\}|catalog/(models/\{name\}|pulls|adopt)|backups|sign-|pools/\{id\}/(un)?load|/stream$|/messages'
kill -0 $pid
