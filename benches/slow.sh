#!/usr/bin/env bash
# What 10,000 slow connections do to clients that behave, and to the proxy's memory: slow.py, before a real coordinator.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
CASES=$(realpath "$HACK/../tests/clients")
LOGS=$(realpath -m "$HACK/../target/test-logs/slow")
RUN=$LOGS/run
# shellcheck source=../hack/images/warren.sh
source "$HACK/images/warren.sh"
# shellcheck source=../hack/clients/programs.sh
source "$HACK/clients/programs.sh"
# shellcheck source=../hack/clients/servers.sh
source "$HACK/clients/servers.sh"

rm -rf "$LOGS"
mkdir -p "$RUN"
trap stop_all EXIT
trap 'exit 143' TERM INT
ulimit -n "$(ulimit -Hn)"
WARREN_BINARY=$(warren_binary)
export WARREN_BINARY
prepare_programs "$LOGS"
coordinator blue
await_coordinators blue
gateway one blue
"$PYTHON" "$BENCHES/slow.py" "${PORT[one]}" "${PID[one]}"
