#!/usr/bin/env bash
# Runs unmodified clients at pinned versions that are too big for every test run. `make big-clients` runs this script.
set -euo pipefail
cd "$(dirname "$0")"
./clients.sh
./save_once.sh
echo "the same test without a network:"
unshare --net -- sh -c 'ip link set lo up && exec ./save_once.sh'
./continue.sh
./home_assistant.sh
./open_webui.sh
