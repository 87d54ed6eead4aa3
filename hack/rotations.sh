#!/usr/bin/env bash
# Certificates that are renewed under load: a cluster with TLS on each hop on a real Kubernetes node, threads of the JDBC driver, and
# twenty times one of its two certificates, or that of the proxies' port for events, is taken away, so that the operator makes
# another. Each time the new serial number must show on the wire; events arrive, no pod restarts, and no query fails. Before that the CA
# changes: it begins in the hour in which a new one is trusted and does not sign yet. One line, `ok` or `FAILED`.
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
    -e 's/workers: {replicas: 0/workers: {replicas: 1/' <(fleet_for_load)
}

# The namespace's CA, some minutes before the second one begins to sign.
authorities() {
  authority old '10 hours ago' '4 hours'
  authority new '61 minutes ago' '90 days'
  cat "$LOGS/old.crt" "$LOGS/new.crt" >"$LOGS/ca.crt"
  k create secret generic warren-ca --from-file="$LOGS/ca.crt" --from-file="$LOGS/old.crt" --from-file="$LOGS/old.key" \
    --from-file="$LOGS/new.crt" --from-file="$LOGS/new.key" >/dev/null
}

authority() { # NAME FROM UNTIL
  local at=$LOGS/$1
  at() { date -u -d "$1" +%Y%m%d%H%M%SZ; }
  touch "$at.index"
  printf '%s\n' '[ca]' 'default_ca=own' '[own]' "database=$at.index" "new_certs_dir=$LOGS" 'rand_serial=yes' 'default_md=sha256' \
    'policy=any' 'x509_extensions=ca_extensions' '[any]' 'commonName=supplied' '[ca_extensions]' 'basicConstraints=critical,CA:TRUE,pathlen:0' \
    'keyUsage=critical,keyCertSign,cRLSign' 'subjectKeyIdentifier=hash' >"$at.cnf"
  {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout "$at.key" -out "$at.csr" &&
      openssl ca -batch -selfsign -notext -config "$at.cnf" -keyfile "$at.key" -in "$at.csr" -out "$at.crt" \
        -startdate "$(at "$2")" -enddate "$(at "$3")"
  } >"$at.log" 2>&1 || die "no CA can be made, log in $at.log"
}

issued_by() { # CN: the certificates of coordinator and worker on the wire
  local cluster component
  cluster=$(k get tcl -o jsonpath='{.items[0].metadata.name}')
  for component in coordinator worker; do
    [ "$(check shown "$cluster-$component" 8443 issuer)" = "issuer=CN = $1" ] || return 1
  done
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
  authorities
  fleet | k apply -f - >&2
  wait_for "the fleet" "$LIMIT" ready || die "the fleet is not ready: $(k get tcg,tcl,pxg)"
  issued_by old || die "the certificates are not of the CA that is to end"
  check remember app.kubernetes.io/managed-by=warren
  step "$THREADS threads of queries, $ROTATIONS rotations"
  begin_load rotations "$(proxies_address "$NAMESPACE")" $((900 + ROTATIONS * LIMIT))
  wait_for "certificates of the new CA" 900 issued_by new || fault="no certificate of the new CA is shown"
  for ((number = 1; number <= ROTATIONS && ${#fault} == 0; number++)); do
    component=${components[(number - 1) % 3]}
    check renews adhoc "$component" "$LIMIT" >"$LOGS/$number.log" 2>&1 || fault="rotation $number: $(tail -n 1 "$LOGS/$number.log")"
    info "$number: $(tail -n 1 "$LOGS/$number.log")"
  done
  end_load rotations || fault=${fault:-queries failed}
  check remembered >"$LOGS/pods.log" || fault=${fault:-$(cat "$LOGS/pods.log")}
  if [ -z "$fault" ]; then
    printf 'ok      rotations: a new CA, and %s of certificates, the same pods; %s; %s threads, %s s\n' "$ROTATIONS" "$SAID" "$THREADS" "$SECONDS"
  else
    printf 'FAILED  rotations: %s; %s\n' "$fault" "$SAID"
    load_faults rotations
    exit 1
  fi
}

main "$@"
