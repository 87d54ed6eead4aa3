#!/usr/bin/env bash
# The upgrade of a Trino cluster under load, the way back while all proxies are replaced, and one that is taken back while the
# old cluster drains; on a real Kubernetes cluster, each by one edit of `version`, while threads of the JDBC driver check each
# result by count and checksum. No query fails, none runs twice, no row is lost, and a cluster is there at each moment. One line,
# `ok` or `FAILED`, and of each exchange what took how long.
#
#   upgrade.sh [FROM TO]       versions of Trino; default: the two that Warren is tested with
#   THREADS=20                 queries in flight
#   WARREN_IMAGE=REF           tests this image, and builds none
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LOGS=$(realpath -m "$HACK/../target/test-logs/upgrade")
THREADS=${THREADS:-20}
LIMIT=420 # seconds that one exchange may take
NAMESPACE=warren-upgrade
# shellcheck source=clients/programs.sh
source "$HACK/clients/programs.sh"
# shellcheck source=load.sh
source "$HACK/load.sh"

k() { kubectl --namespace "$NAMESPACE" "$@"; }

fleet() { # VERSION: that of the end-to-end tests with two proxies, and time enough for each query
  sed -e "s/version: \"[0-9]*\"/version: \"$1\"/" -e 's/drainTimeout: 5s/drainTimeout: 30m/' -e '/^kind: ProxyGroup/,$s/replicas: 1/replicas: 2/' \
    -e 's/^\( *\)catalogs:/\1config: {query.client.timeout: 1m}\n&/' -e 's/sleepSeconds: 0/sleepSeconds: 5/' -e 's/timeout: 5s/timeout: 2m/' <(fleet_for_load) | k apply -f -
}

ready() { k wait --for=condition=Ready --timeout=10s trinogateway/gw trinoclustergroup/adhoc proxygroup/pxg; }

# The one cluster of the group has this version and takes queries.
exchanged() { # VERSION
  [ "$(k get tcl -o json | jq -r '[.items[] | "\(.spec.version) \(.status.phase)"] | join(",")')" = "$1 Active" ]
}

# A moment in which the routing table has no cluster for new queries would be a gap: each look is noted, with the clusters' phases.
watch_capacity() {
  while :; do
    k get tcl,configmaps -o json | jq -r '(.items[] | select(.metadata.name == "gw-routing") | .data["routing-table.json"] | fromjson) as $table
      | [$table.groups[].clusters[] | select((.serving // "Active") == "Active")] as $open
      | "\(now | floor) open=\($open | length) " + ([.items[] | select(.kind == "TrinoCluster") | "\(.spec.version)=\(.status.phase)"] | join(" "))' || true
    sleep 1
  done >"$LOGS/phases.log" 2>/dev/null
}

# Each query that a coordinator lists, and its comment: that of one that ran twice is there with two ids. And when a cluster had
# queries that go on.
watch_queries() {
  local name address listed
  while :; do
    for name in $(k get services -l app.kubernetes.io/component=coordinator -o name); do
      address=$(k get "$name" -o jsonpath='{.spec.clusterIP}:{.spec.ports[0].port}') || continue
      [[ $address != None* ]] || continue
      listed=$(curl -sf --max-time 5 -H 'X-Trino-User: soak' "http://$address/v1/query") || continue
      jq -r '.[] | (.query | capture("-- soak (?<comment>.*)$")?) as $of | "\($of.comment) \(.queryId)"' <<<"$listed" >>"$LOGS/queries.log" || continue # cut off
      jq -r --arg name "${name#service/}" '"\(now | floor) \($name) \([.[] | select(.state | IN("FINISHED", "FAILED") | not)] | length)"' <<<"$listed" >>"$LOGS/busy.log" || continue
    done
    sleep 1
  done 2>/dev/null
}
repeated() { sort -u "$LOGS/queries.log" | cut -d' ' -f1,2 | uniq -d; }

edit() { k patch tcg/adhoc --type=merge -p "{\"spec\":{\"template\":{\"spec\":{\"version\":\"$1\"}}}}" >&2; } # VERSION

exchange() { # VERSION
  local begin=$SECONDS since=$EPOCHSECONDS old
  old=$(k get tcl -o jsonpath='{.items[0].metadata.name}')
  edit "$1"
  wait_for "the cluster of Trino $1" "$LIMIT" exchanged "$1" || die "no exchange after $LIMIT s: $(k get tcl)"
  info "Trino $1 has taken over, and the other one is gone, after $((SECONDS - begin)) s: $(breakdown "$1" "$old" "$since")"
}

# Of an exchange that is over: how long the new cluster started and was verified, how long queries went on at the old one after
# that, and what is left, which is Warren's own; by what was seen about once a second.
breakdown() { # VERSION OLD-CLUSTER SINCE
  local last
  last=$(awk -v name="$2-coordinator" '$2 == name && $3 > 0 {last = $1} END {print last + 0}' "$LOGS/busy.log")
  awk -v new="$1" -v since="$3" -v busy="$last" -v now="$EPOCHSECONDS" '$1 >= since {
      for (part = 2; part <= NF; part++) { split($part, of, "="); if (of[1] != new) continue
        if (of[2] == "Provisioning") { started = $1; if (!made) made = $1 } if (of[2] == "Active" && !active) active = $1 }
    } END {
      queries = busy > active ? busy - active : 0
      printf "it started for %d s and was verified for %d s; queries went on at the old one for %d s; Warren'"'"'s own: %d s",
        started - made, active - started, queries, now - active - queries + made - since }' "$LOGS/phases.log"
}

# All proxies are replaced: their pods are others.
roll_proxies() {
  k patch pxg/pxg --type=merge -p '{"spec":{"template":{"spec":{"env":[{"name":"ROLLED","value":"'"$SECONDS"'"}]}}}}' >&2
}

phase_of() { k get tcl "$1" --ignore-not-found -o jsonpath='{.status.phase}'; } # CLUSTER
is_draining() { [ "$(phase_of "$1")" = Draining ]; } # CLUSTER

# An upgrade that is taken back while the old cluster drains: that one serves on, and the new one goes.
take_back() { # FROM TO
  local begin=$SECONDS old
  old=$(k get tcl -o jsonpath='{.items[0].metadata.name}')
  edit "$2"
  wait_for "$old to drain" "$LIMIT" is_draining "$old" || die "$old does not drain: $(k get tcl)"
  edit "$1"
  wait_for "$old to serve alone" "$LIMIT" exchanged "$1" || die "no way back after $LIMIT s: $(k get tcl)"
  [ "$(phase_of "$old")" = Active ] || die "$old is not the one that serves: $(k get tcl)"
  info "Trino $2 was taken back while Trino $1 drained, which serves on; the other one is gone, after $((SECONDS - begin)) s"
}

clean() {
  stop_load
  kill "${WATCH:-}" "${LISTING:-}" 2>/dev/null || true
  k annotate tcg/adhoc trinowarren.io/force-removal=true &>/dev/null || true
  kubectl delete namespace "$NAMESPACE" --ignore-not-found --wait=false >/dev/null
}

main() {
  local from=${1:-${TRINO_VERSIONS%% *}} to=${2:-${TRINO_VERSIONS##* }} status=0
  rm -rf "$LOGS"
  mkdir -p "$LOGS"
  prepare_fleets "$from" "$to"
  trap clean EXIT
  kubectl delete namespace "$NAMESPACE" --ignore-not-found >&2 # of an earlier run
  kubectl create namespace "$NAMESPACE" >/dev/null
  step "a fleet of Trino $from"
  fleet "$from" >&2
  wait_for "the fleet" "$LIMIT" ready || die "the fleet is not ready: $(k get tcg,tcl,pxg)"
  step "$THREADS threads of queries; then $from → $to → $from, and $to once more, taken back"
  begin_load upgrade "$(proxies_address "$NAMESPACE")" $((3 * LIMIT))
  watch_capacity &
  WATCH=$!
  watch_queries &
  LISTING=$!
  exchange "$to"
  roll_proxies
  exchange "$from"
  take_back "$from" "$to"
  end_load upgrade || status=1
  [ -s "$LOGS/queries.log" ] || die "no coordinator listed a query"
  grep -q "open=1" "$LOGS/phases.log" || die "nobody saw the routing table"
  if ((status == 0)) && ! grep -q 'open=0' "$LOGS/phases.log" && [ -z "$(repeated)" ]; then
    printf 'ok      upgrade %s → %s → %s: %s; %s listed, none twice; %s threads, %s s\n' "$from" "$to" "$from" "$SAID" \
      "$(sort -u "$LOGS/queries.log" | wc -l)" "$THREADS" "$SECONDS"
  else
    printf 'FAILED  upgrade %s → %s → %s: %s\n' "$from" "$to" "$from" "$SAID"
    load_faults upgrade
    repeated | head -n 5 | sed 's/^/        | ran twice: /'
    grep 'open=0' "$LOGS/phases.log" | head -n 5 | sed 's/^/        | no cluster is active: /'
    exit 1
  fi
}

main "$@"
