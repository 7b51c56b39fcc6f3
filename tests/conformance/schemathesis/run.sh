#!/usr/bin/env bash
# Schemathesis sends requests that the OpenAPI document of Lar's own API allows, and requests that it does not allow,
# and compares the answers with the document. Set SEED and EXAMPLES (per operation) for another run. Excluded are:
# - operations that would end the run (they remove its key, user, model or session), or that download or copy something;
# - operations that make a model generate (`/messages`), wait for a model (`/readyz`) or read a stream (`/stream`);
# - the check that valid data is accepted: Lar also rejects requests for reasons that a schema cannot express (an
#   unknown name, a reused Idempotency-Key, a text that is not a time).
set -euo pipefail
cd "$(dirname "$0")/../../.."
root=$PWD
package=schemathesis==4.32.5
packages=$root/.build/schemathesis
if [ ! -e "$packages/installed-$package" ]; then
  rm -rf "$packages"
  python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --no-compile --target "$packages" "$package"
  touch "$packages/installed-$package"
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

here=$root/tests/conformance/schemathesis
cd "$data"
PYTHONPATH=$packages SCHEMATHESIS_HOOKS=$here/hooks.py python3 -m schemathesis.cli --config-file "$here/schemathesis.toml" \
  run "$url/openapi.json" --header "Authorization: Bearer $LAR_OWNER_KEY" \
  --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-5}" --seed "${SEED:-1}" --continue-on-failure --warnings off \
  --exclude-checks positive_data_acceptance \
  --exclude-path-regex '^/readyz|keys/\{id\}|users/\{id\}|catalog/(models/\{name\}|pulls|adopt)|backups|sign-|pools/\{id\}/(un)?load|/stream$|/messages'
kill -0 $pid
