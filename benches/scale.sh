#!/usr/bin/env bash
# 200 groups in one API server: how long an edit of one takes to reach its objects, and the operator's resident memory.
# Their pods are not admitted (a quota sees to it): what is measured is the operator and the API server.
#
#   COUNT=50 EDITS=100 scale.sh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
NAMESPACE=bench-scale
COUNT=${COUNT:-200} EDITS=${EDITS:-200}
OUT=$(mktemp -d)

[ "${WARREN_CLUSTER_KIND:-}" = node ] || die "this reads the memory of a process on this machine: it needs the local node"
finish() {
  # The watch is a pipeline: its members end with their shell only when they are told.
  [ -z "${WATCH:-}" ] || { pkill -P "$WATCH"; kill "$WATCH"; } 2>/dev/null || true
  [ -z "${API:-}" ] || kill "$API" 2>/dev/null || true
  kubectl delete namespace "$NAMESPACE" --ignore-not-found --wait=false >/dev/null
  rm -r "$OUT"
}
trap finish EXIT

group() { printf 'g%03d' "$1"; }

groups() { # a gateway, so that each change of a cluster has its table looked at, too
  local number
  cat <<Y
apiVersion: trinowarren.io/v1alpha1
kind: TrinoGateway
metadata: {name: scale, namespace: $NAMESPACE}
spec: {routing: {default: {group: $(group 1)}}}
Y
  for ((number = 1; number <= COUNT; number++)); do
    cat <<Y
---
apiVersion: trinowarren.io/v1alpha1
kind: TrinoClusterGroup
metadata: {name: $(group "$number"), namespace: $NAMESPACE}
spec: {template: {spec: {version: "476", workers: {replicas: 1}, catalogs: {inline: {tpch: {connector.name: tpch}}}}}}
Y
  done
}

made() { [ "$(kubectl -n "$NAMESPACE" get deployments -l app.kubernetes.io/component=worker -o name | wc -l)" -ge "$COUNT" ]; }

watch_workers() { # TIME NAME REPLICAS: a line for each that is there, then for each change
  kubectl -n "$NAMESPACE" get deployments -l app.kubernetes.io/component=worker --watch \
    -o jsonpath='{.metadata.name} {.spec.replicas}{"\n"}' | while read -r line; do echo "$EPOCHREALTIME $line"; done
}

edit() { # NUMBER REPLICAS
  local path
  path=apis/trinowarren.io/v1alpha1/namespaces/$NAMESPACE/trinoclustergroups/$(group "$1")
  curl -sf --max-time 10 -o /dev/null -X PATCH -H 'Content-Type: application/merge-patch+json' \
    --data "{\"spec\":{\"template\":{\"spec\":{\"workers\":{\"replicas\":$2}}}}}" "http://127.0.0.1:$PORT/$path"
}

# Of each edit the first change of its workers' Deployment that shows it.
latencies() {
  awk 'NR == FNR { sub(/-.*/, "", $2); if (!(($2, $3) in seen)) seen[$2, $3] = $1; next }
    { key = $2 SUBSEP $3; if (key in seen) printf "%.0f\n", (seen[key] - $1) * 1000; else print "lost" }' "$OUT/seen" "$OUT/edits" |
    sort -n
}

kubectl delete namespace "$NAMESPACE" --ignore-not-found >/dev/null
kubectl create namespace "$NAMESPACE" >/dev/null
kubectl -n "$NAMESPACE" create quota none --hard=pods=0 >/dev/null
info "operator before: $(resident operator) MiB"
begin=$(now)
groups | kubectl apply -f - >/dev/null
info "applied after $(since "$begin") s"
wait_for "the objects of $COUNT groups" 900 made
info "the workloads of $COUNT groups are there after $(since "$begin") s"
sleep 20

kubectl proxy --port=0 >"$OUT/proxy" &
API=$!
wait_for "kubectl proxy" 10 grep -q 'Starting to serve' "$OUT/proxy"
PORT=$(sed -n 's/.*127.0.0.1:\([0-9]*\)$/\1/p' "$OUT/proxy")
watch_workers >"$OUT/seen" &
WATCH=$!
all_seen() { [ "$(wc -l <"$OUT/seen")" -ge "$COUNT" ]; }
wait_for "the watch" 60 all_seen
sleep 2
for ((edit = 0; edit < EDITS; edit++)); do
  number=$((edit * 37 % COUNT + 1)) replicas=$((edit / COUNT + 2))
  echo "$EPOCHREALTIME $(group "$number") $replicas" >>"$OUT/edits"
  edit "$number" "$replicas"
  sleep 0.2
done
sleep 10
latencies >"$OUT/latencies"
! grep -q lost "$OUT/latencies" || die "$(grep -c lost "$OUT/latencies") of $EDITS edits reached no object"
percentile() { sed -n "$(((EDITS * $1 + 99) / 100))p" "$OUT/latencies"; }
echo "scale: $COUNT groups, $EDITS edits: p50 $(percentile 50) ms, p99 $(percentile 99) ms, longest $(tail -n 1 "$OUT/latencies") ms (p99 under 2000 is the aim)"
echo "scale: the operator with $COUNT groups $(resident operator) MiB (at most 200 is the aim)"
