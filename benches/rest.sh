#!/usr/bin/env bash
# What the operator writes in two minutes in which nothing changes: nothing is the aim. It counts by the operator's own
# metric, with whatever fleet runs now, and once more after each object was made to be looked at again.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
SECONDS_OF_REST=${SECONDS_OF_REST:-120}

writes() {
  local address
  address=$(kubectl -n warren-system get service -l app.kubernetes.io/name=warren -o jsonpath='{.items[0].spec.clusterIP}')
  curl -sf --max-time 5 "http://$address:8080/metrics" | awk '/^warren_operator_writes_total/ {sum += $2} END {print sum + 0}'
}

before=$(writes)
sleep "$SECONDS_OF_REST"
after=$(writes)
echo "rest: $((after - before)) writes in $SECONDS_OF_REST s ($(kubectl get trinoclusters -A --no-headers 2>/dev/null | wc -l) clusters; 0 is the aim)"
