#!/usr/bin/env bash
# Says what is wrong in a namespace, for people and for the logs of failed tests: conditions that are not as they should
# be, pods, the last events, the end of the logs of pods that are not ready, and of the operator. It changes nothing.
#
#   diagnose.sh NAMESPACE
set -uo pipefail # not -e: what can be told is told

NAMESPACE=${1:?usage: diagnose.sh NAMESPACE}
KINDS=trinogateways,trinoclustergroups,trinoclusters,trinocatalogs,proxygroups

heading() { printf '\n--- %s\n' "$*"; }
pods() { kubectl -n "$NAMESPACE" get pods -l app.kubernetes.io/managed-by=warren "$@"; }

not_ready_pods() {
  pods -o json | jq -r '.items[] | select(all(.status.conditions[]?; .type != "Ready" or .status != "True")) | .metadata.name'
}

heading "Conditions in $NAMESPACE"
kubectl -n "$NAMESPACE" get "$KINDS" -o json | jq -r '.items[] |
  "\(.kind)/\(.metadata.name) \(.status.phase // ""): " + ([.status.conditions[]? | "\(.type)=\(.status) \(.reason)"] | join(", ")),
  ([.status.conditions[]?.message] | unique[] | "    \(.)")'
heading "Pods"
pods -o wide
heading "Events, the last 20"
kubectl -n "$NAMESPACE" get events --sort-by=.lastTimestamp | tail -n 20
for pod in $(not_ready_pods); do
  heading "Log of $pod"
  kubectl -n "$NAMESPACE" logs "$pod" --all-containers --prefix --tail=20
  kubectl -n "$NAMESPACE" logs "$pod" --all-containers --prefix --tail=10 --previous 2>/dev/null
done
heading "Operator"
kubectl get pods -A -l app.kubernetes.io/name=warren,app.kubernetes.io/component=operator
kubectl -n warren-system logs -l app.kubernetes.io/component=operator --prefix --tail=25
exit 0
