#!/usr/bin/env bash
# A million rows by trino-cli, from a real coordinator itself and through the gateway, in turns: wall time, as a ratio.
# Needs no Kubernetes. ROUNDS (5) and WARREN_BINARY as for gateway.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
CASES=$(realpath "$HACK/../tests/clients")
LOGS=$(realpath -m "$HACK/../target/test-logs/rows")
RUN=$LOGS/run
QUERY='SELECT * FROM tpch.sf1.lineitem LIMIT 1000000'
# shellcheck source=../hack/images/warren.sh
source "$HACK/images/warren.sh"
# shellcheck source=../hack/clients/programs.sh
source "$HACK/clients/programs.sh"
# shellcheck source=../hack/clients/servers.sh
source "$HACK/clients/servers.sh"

read_rows() { # NAME: milliseconds; the rows must all come
  local begin end rows
  begin=$(date +%s%N)
  rows=$("$JAVA" -jar "$TRINO_CLI" --server "$(address "$1")" --user bench --execute "$QUERY" --output-format TSV | wc -l)
  end=$(date +%s%N)
  ((rows == 1000000)) || die "$1 gave $rows rows"
  echo $(((end - begin) / 1000000))
}

median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

rm -rf "$LOGS"
mkdir -p "$RUN"
trap stop_all EXIT
trap 'exit 143' TERM INT
WARREN_BINARY=$(warren_binary)
export WARREN_BINARY
prepare_programs "$LOGS"
coordinator blue
await_coordinators blue
gateway one blue
count_nations() { "$JAVA" -jar "$TRINO_CLI" --server "$(address one)" --user bench --execute 'SELECT count(*) FROM tpch.tiny.nation'; }
wait_for "a first answer" 60 count_nations || die "the coordinator answers no query"
read_rows blue >/dev/null # it warms up
for round in $(seq "${ROUNDS:-5}"); do
  direct=$(read_rows blue) through=$(read_rows one)
  echo "$direct $through" >>"$LOGS/rounds"
  info "round $round: $direct ms directly, $through ms through the gateway"
done
direct=$(cut -d' ' -f1 "$LOGS/rounds" | median) through=$(cut -d' ' -f2 "$LOGS/rounds" | median)
ratio=$(awk '{ print $2 / $1 }' "$LOGS/rounds" | median)
printf '| | median | \n| --- | --- |\n| directly | %s ms |\n| through the gateway | %s ms |\n| ratio of a round | %s (aim: 1.05) |\n' "$direct" "$through" "$ratio"
