#!/usr/bin/env bash
# Runs SQL with the real trino-cli through a proxy's Service: by its ClusterIP where this shell can reach it (the local
# node), else by a port-forward for as long as it runs. Rows as CSV on stdout.
#
#   query.sh NAMESPACE SERVICE SQL [trino-cli flag…]
#   query.sh NAMESPACE SERVICE                         only prints the address, or nothing when it cannot be reached
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
case $PATH in *"/trino-cli-$TRINO_CLI_VERSION"*) ;; *) PATH=$("$HACK/tools.sh" path):$PATH ;; esac

(($# >= 2)) || die "usage: query.sh NAMESPACE SERVICE [SQL [trino-cli flag…]]"
NAMESPACE=$1 SERVICE=$2

direct_address() { # any answer will do: it is the network that is asked about
  local address
  address=$(kubectl -n "$NAMESPACE" get service "$SERVICE" -o jsonpath='{.spec.clusterIP}:{.spec.ports[0].port}')
  curl -s -o /dev/null --max-time 3 "http://$address/v1/info" && echo "http://$address"
}

forward() { # sets ADDRESS; kubectl chooses a free port and says which
  local out
  out=$(mktemp)
  kubectl -n "$NAMESPACE" port-forward "service/$SERVICE" :"$1" >"$out" 2>&1 &
  FORWARD=$!
  # shellcheck disable=SC2064 # the values of now
  trap "kill $FORWARD 2>/dev/null; rm -f $out" EXIT
  wait_for "a port-forward to $SERVICE" 15 grep -q 'Forwarding from 127.0.0.1:' "$out" || { cat "$out" >&2; die "cannot reach $SERVICE"; }
  ADDRESS=http://127.0.0.1:$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$out" | head -n 1)
}

ADDRESS=$(direct_address) || ADDRESS=
(($# > 2)) || { echo "$ADDRESS"; exit 0; }
[ -n "$ADDRESS" ] || forward "$(kubectl -n "$NAMESPACE" get service "$SERVICE" -o jsonpath='{.spec.ports[0].port}')"
"$HACK/tools.sh" trino
TRINO_CLI_SHORT=1 timeout "${WARREN_QUERY_TIMEOUT:-120}" trino --server "$ADDRESS" --user "${WARREN_USER:-demo}" --no-progress --execute "$3" "${@:4}" \
  2> >(grep -vE 'org[.]jline[.]utils[.]Log|dumb terminal' >&2) # of no use to anybody here
