#!/usr/bin/env bash
# From nothing to a query's rows: a cluster, the images, the operator by its chart, the quickstart example, and SELECT
# through the gateway with the real trino-cli. Each step says how long it took; a second run skips what is there.
# It leaves everything running. Gone again by: kubectl delete namespace trino; make node-down.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

NAMESPACE=trino
EXAMPLES=$HACK/../deploy/examples
PROXY=quickstart-proxy
KINDS=trinoclusters,trinoclustergroups,proxygroups,trinogateways # those that others wait for come first
LIMIT=${WARREN_DEMO_TIMEOUT:-300}  # seconds until everything is ready
STALLED_LIMIT=60                   # seconds for which something may be stalled: a moment is normal
QUERY='SELECT r.name AS region, count(*) AS nations FROM tpch.tiny.nation n JOIN tpch.tiny.region r ON n.regionkey = r.regionkey GROUP BY r.name ORDER BY r.name'

timed() { # WHAT COMMAND…
  local begin=$SECONDS
  step "$1"
  "${@:2}"
  info "took $((SECONDS - begin)) s"
}

choose_cluster() {
  local settings
  settings=$("$HACK/cluster.sh" env)
  eval "$settings"
}

images() {
  local version
  version=$(sed -n 's/^ *version: "\(.*\)".*/\1/p' "$EXAMPLES/quickstart.yaml")
  "$HACK/images.sh" trino "$version"
}

apply() {
  kubectl apply -f "$EXAMPLES/namespace.yaml" >&2
  kubectl -n "$NAMESPACE" apply -f "$EXAMPLES/quickstart.yaml" >&2
}

# One line per object that is not ready yet: its name, phase and what it says it waits for. Nothing: all are ready.
# An object that the operator has not looked at since its last edit is not ready, whatever its conditions say.
waiting() {
  kubectl -n "$NAMESPACE" get "$KINDS" -o json | jq -r '
    .items[]
    | .metadata.generation as $generation
    | ([.status.conditions[]? | select(.type == "Ready")][0] // {status: "Unknown", reason: "NotSeen", message: "the operator has not looked at it yet"}) as $ready
    | ([.status.conditions[]? | select(.type == "Stalled" and .status == "True")] | length > 0) as $stalled
    | select($ready.status != "True" or $ready.observedGeneration != $generation or $stalled)
    | "\(.kind)/\(.metadata.name)\(if .status.phase then " (" + .status.phase + ")" else "" end)\(if $stalled then " STALLED" else "" end): \($ready.message)"'
}

wait_until_ready() {
  local begin=$SECONDS stalled_since='' lines
  while :; do
    lines=$(waiting)
    [ -n "$lines" ] || return 0
    info "$((SECONDS - begin)) s: $(head -n 1 <<<"$lines")$( (($(wc -l <<<"$lines") == 1)) || echo " (and $(($(wc -l <<<"$lines") - 1)) more)")"
    ((SECONDS - begin < LIMIT)) || fail "not ready after $LIMIT s"
    case $lines in
      *' STALLED'*) : "${stalled_since:=$SECONDS}"; ((SECONDS - stalled_since < STALLED_LIMIT)) || fail "something must be mended" ;;
      *) stalled_since='' ;;
    esac
    sleep 3
  done
}

fail() { # MESSAGE
  "$HACK/diagnose.sh" "$NAMESPACE" >&2
  die "$1; above: the conditions, pods, events and logs of namespace $NAMESPACE"
}

query() {
  "$HACK/query.sh" "$NAMESPACE" "$PROXY" "$QUERY" --output-format ALIGNED || fail "the query failed"
}

next_steps() {
  local address set_up=
  address=$("$HACK/query.sh" "$NAMESPACE" "$PROXY")
  [ "$WARREN_CLUSTER_KIND" = existing ] || set_up="export KUBECONFIG=$KUBECONFIG PATH=$("$HACK/tools.sh" path):\$PATH"
  if [ -n "$address" ]; then
    say "The gateway: $address"
  else
    say "The gateway: http://localhost:8080, with this in another shell:"
    say "  kubectl -n $NAMESPACE port-forward service/$PROXY 8080"
    address=http://localhost:8080
  fi
  say
  say "To try next${set_up:+, after}:"
  [ -z "$set_up" ] || say "  $set_up"
  say "  trino --server $address --catalog tpch --schema sf1"
  say "  kubectl -n $NAMESPACE get trino"
  say "  kubectl -n $NAMESPACE scale tcg/adhoc --replicas=2"
}

timed "Kubernetes" choose_cluster
timed "Trino's image" images
timed "The operator" "$HACK/install.sh"
timed "The quickstart: kubectl -n $NAMESPACE apply -f deploy/examples/quickstart.yaml" apply
timed "Waiting until it is ready" wait_until_ready
timed "trino --execute \"$QUERY\"" query
step "Done."
next_steps
