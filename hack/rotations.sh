#!/usr/bin/env bash
# Certificates that are renewed under load: a cluster with TLS on each hop on a real Kubernetes node, threads of the JDBC driver, and
# twenty times one of its two certificates, or that of the proxies' port for events, is taken away, so that the operator makes
# another. Each time the new serial number must show on the wire; events arrive, no pod restarts, and no query fails. One line, `ok`
# or `FAILED`.
#
#   rotations.sh
#   ROTATIONS=20 THREADS=8
#   WARREN_IMAGE=REF       tests this image, and builds none
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LOGS=$(realpath -m "$HACK/../target/test-logs/rotations")
ROTATIONS=${ROTATIONS:-20} THREADS=${THREADS:-8}
LIMIT=300 # seconds that one rotation may take
export NAMESPACE=warren-rotations
# shellcheck source=clients/programs.sh
source "$HACK/clients/programs.sh"
# shellcheck source=load.sh
source "$HACK/load.sh"

k() { kubectl --namespace "$NAMESPACE" "$@"; }
check() { "$HACK/../tests/kuttl/check.sh" "$@"; }

# That of the end-to-end tests with TLS, a worker, and Trino looking for new certificates each second.
fleet() {
  sed -e 's/^      version: .*/&\n      tls: {server: {enabled: true}, internal: {enabled: true}}/' \
    -e 's/^\( *\)catalogs:/\1config: {http-server.https.ssl-context.refresh-time: 1s}\n&/' \
    -e 's/workers: {replicas: 0/workers: {replicas: 1/' -e 's/memory: 1Gi/memory: 2Gi/' "$HACK/../tests/kuttl/fleet.yaml"
}

ready() { check ready trinogateway/gw trinoclustergroup/adhoc proxygroup/pxg && check workers 1; }

clean() {
  stop_load
  k annotate tcg/adhoc trinowarren.io/force-removal=true &>/dev/null || true
  kubectl delete namespace "$NAMESPACE" --ignore-not-found --wait=false >/dev/null
}

main() {
  local number component fault='' components=(coordinator worker events)
  rm -rf "$LOGS"
  mkdir -p "$LOGS"
  prepare_fleets "${TRINO_VERSIONS##* }"
  trap clean EXIT
  kubectl delete namespace "$NAMESPACE" --ignore-not-found >&2 # of an earlier run
  kubectl create namespace "$NAMESPACE" >/dev/null
  step "a fleet with TLS on each hop"
  fleet | k apply -f - >&2
  wait_for "the fleet" "$LIMIT" ready || die "the fleet is not ready: $(k get tcg,tcl,pxg)"
  check remember app.kubernetes.io/managed-by=warren
  step "$THREADS threads of queries, $ROTATIONS rotations"
  begin_load rotations "$(proxies_address "$NAMESPACE")" $((ROTATIONS * LIMIT))
  for ((number = 1; number <= ROTATIONS && ${#fault} == 0; number++)); do
    component=${components[(number - 1) % 3]}
    check renews adhoc "$component" "$LIMIT" >"$LOGS/$number.log" 2>&1 || fault="rotation $number: $(tail -n 1 "$LOGS/$number.log")"
    info "$number: $(tail -n 1 "$LOGS/$number.log")"
  done
  end_load rotations || fault=${fault:-queries failed}
  check remembered >"$LOGS/pods.log" || fault=${fault:-$(cat "$LOGS/pods.log")}
  if [ -z "$fault" ]; then
    printf 'ok      rotations: %s of them, the same pods; %s; %s threads, %s s\n' "$ROTATIONS" "$SAID" "$THREADS" "$SECONDS"
  else
    printf 'FAILED  rotations: %s; %s\n' "$fault" "$SAID"
    load_faults rotations
    exit 1
  fi
}

main "$@"
