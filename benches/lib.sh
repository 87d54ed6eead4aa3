# What the measurements share. To be sourced.
# shellcheck shell=bash

BENCHES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../hack/lib.sh
source "$BENCHES/../hack/lib.sh"

now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{printf "%.2f", $1 - $2}'; }
median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

resident() { # SUBCOMMAND: of the youngest `/warren SUBCOMMAND` on this machine, in MiB
  local pid
  pid=$(pgrep -n -f "^/warren $1") || die "no /warren $1 runs here"
  awk '/^VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$pid/status"
}

# Runs SQL by Trino's client protocol and prints its data, one page a line; fails when there is no answer yet. No client's
# own start-up time is in it.
ask() { # URL SQL
  local page next
  page=$(curl -sf --max-time 20 -H 'X-Trino-User: bench' --data-binary "$2" "$1/v1/statement") || return 1
  while :; do
    jq -e 'has("error") | not' <<<"$page" >/dev/null || return 1
    jq -c '.data // empty' <<<"$page"
    next=$(jq -r '.nextUri // empty' <<<"$page") || return 1
    [ -n "$next" ] || return 0
    page=$(curl -sf --max-time 20 -H 'X-Trino-User: bench' "$next") || return 1
  done
}

# Asks again and again until rows come.
until_answered() { # URL SQL SECONDS
  local end=$((SECONDS + $3)) rows
  until rows=$(ask "$1" "$2") && [ -n "$rows" ]; do
    ((SECONDS < end)) || die "no answer from $1 within $3 s"
    sleep 0.1
  done
  echo "$rows"
}
