# The other scripts of this folder source this file. It installs the clients once, at pinned versions, and starts a
# Lar on an empty data directory. Its chat model calls tools.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
clients=$root/.build/clients lar=$root/target/release/lar
export PATH=$root/.build/bin:$PATH
packages=(@openai/codex@0.171.0 @anthropic-ai/claude-code@2.1.332)
if [ "$(cat "$clients/installed" 2>/dev/null)" != "${packages[*]}" ]; then
  mkdir -p "$clients/openclaw"
  npm install --prefix "$clients" --no-audit --no-fund --loglevel=error "${packages[@]}"
  npm install --prefix "$clients/openclaw" --no-audit --no-fund --loglevel=error --ignore-scripts openclaw@2026.9.6
  echo "${packages[*]}" >"$clients/installed"
fi
if [ ! -e "$clients/gguf/bin/gguf-new-metadata" ]; then
  python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --target "$clients/gguf" gguf==0.19.0
fi
codex=$clients/node_modules/.bin/codex claude=$clients/node_modules/.bin/claude
openclaw=("$(command -v node)" "$clients/openclaw/node_modules/openclaw/openclaw.mjs")

# The starter model does not call tools on its own. A template with worked examples makes it call them, and drops most
# of the clients' long prompts so that they fit.
models=${LAR_TEST_MODELS:-$root/.build/models}
starter=$models/blobs/sha256-b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
template=$root/tests/conformance/big/caller.jinja caller=$clients/caller.gguf
if [ ! -e "$caller" ] || [ "$template" -nt "$caller" ]; then
  PYTHONPATH=$clients/gguf "$clients/gguf/bin/gguf-new-metadata" --force --chat-template-file "$template" \
    --general-name caller "$starter" "$caller" >/dev/null 2>&1
fi

work=$(mktemp -d)
mkdir -p "$work/home" "$work/project"
# Each run starts with the same models and has its own copy, which it may change.
cp -r "$models" "$work/models"
export HOME=$work/home LAR_MODELS_DIR=$work/models LAR_DATA_DIR=$work/data LAR_LISTEN=127.0.0.1:0 LAR_LOG=error
export LAR_OWNER_KEY=lar_key_of_the_big_clients
# Without these, the clients would connect to servers of their makers.
export DISABLE_AUTOUPDATER=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
"$lar" serve </dev/null >"$work/out" &
server=$! also=
trap 'kill $server $also 2>/dev/null || true; wait $server $also 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 200); do grep -q '^Lar is at' "$work/out" && break; sleep 0.05; done
url=$(sed -n 's/^Lar is at //p' "$work/out")
"$lar" models pull "$caller" --name caller >/dev/null
"$lar" alias set default caller >/dev/null

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# has WORDS TEXT: fails unless TEXT contains WORDS.
has() { grep -qF -- "$1" <<<"$2" || { printf 'missing: %s\n%s\n' "$1" "$2"; exit 1; }; }
connect() { "$lar" connect "$@" >"$work/connected" || { cat "$work/connected"; exit 1; }; }
# Runs one turn of a client with its own prompts and tools, and prints its report as JSON lines.
codex_says() {
  "$codex" exec --profile lar --skip-git-repo-check --sandbox danger-full-access --json "$1" </dev/null 2>"$work/codex.log"
}
# Without tool search, the client sends all tools with the prompt.
claude_says() {
  ENABLE_TOOL_SEARCH=false "$claude" -p "$1" --allowedTools "Bash mcp__lar__memory_search" --output-format stream-json --verbose \
    </dev/null 2>"$work/claude.log"
}
# finishes CLIENT PROMPT WORDS…: runs the prompt and fails unless the report contains all WORDS. A very small model with
# sampling does not succeed each time, so it gets three tries.
finishes() {
  local client=$1 prompt=$2 report words missing
  shift 2
  for _ in 1 2 3; do
    report=$(${client}_says "$prompt")
    missing=
    for words in "$@"; do grep -qF -- "$words" <<<"$report" || missing=$words; done
    [ -n "$missing" ] || return 0
  done
  has "$missing" "$report"
}
