#!/usr/bin/env bash
# Continue's command line, with the files that `lar connect continue` writes: it chats through Lar, knows the context
# size of the model, and searches memory with a tool. Its editor extension reads the two files separately; here they
# are merged into one.
set -euo pipefail
. "$(dirname "$0")/lar.sh"
package=@continuedev/cli@1.5.47
if [ "$(cat "$clients/continue/installed" 2>/dev/null)" != "$package" ]; then
  npm install --prefix "$clients/continue" --no-audit --no-fund --loglevel=error "$package"
  echo "$package" >"$clients/continue/installed"
fi
connect continue
settings=$work/continue.yaml
{ cat "$HOME/.continue/models/lar.yaml"; sed -n '/^mcpServers:/,$p' "$HOME/.continue/mcpServers/lar.yaml"; } >"$settings"
continue_says() {
  (cd "$work/project" && CONTINUE_TELEMETRY_ENABLED=0 timeout 120 "$clients/continue/node_modules/.bin/cn" -p "$1" --allow '*' \
    --verbose --config "$settings" </dev/null 2>"$work/continue.log")
}
"$lar" remember "The colour of the boat is turquoise." >/dev/null
finishes continue "Search memory: colour of the boat" turquoise
log=$(cat "$HOME/.continue/logs/cn.log")
has '"memory_search"' "$(grep -F '"toolNames"' <<<"$log")"
context=$(sed -n 's/.*contextLength: \([0-9]*\).*/\1/p' "$settings")
has "\"contextLimit\":${context:?}" "$log"
"$lar" connect continue --undo >/dev/null
[ ! -e "$HOME/.continue/models/lar.yaml" ] || { echo "--undo did not remove the file of continue"; exit 1; }
echo "continue 1.5.47: its command line chatted through Lar, knew the context size, and reported a result of memory search"
