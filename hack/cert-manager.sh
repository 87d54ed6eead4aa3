#!/usr/bin/env bash
# Installs cert-manager by its own chart, from images that are built here, in namespace cert-manager; its webhook looks at all of its
# objects, as in any installation. For the end-to-end test of that name.
#
#   cert-manager.sh          waits until it is ready
#   cert-manager.sh remove   with its CRDs, and so with all Certificates
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

NAMESPACE=cert-manager

flags() { # the images hold a program and nothing else, so the user is named here
  local part
  for part in '' webhook. cainjector.; do
    printf -- '--set %simage.repository=localhost/cert-manager-%s --set %ssecurityContext.runAsUser=65532 ' "$part" "$(name "$part")" "$part"
  done
}
name() { [ -z "$1" ] && echo controller || echo "${1%.}"; }

install() {
  "$HACK/tools.sh" helm cert-manager
  "$HACK/images.sh" cert-manager
  # Its format CombinedPEM, which Trino wants, is on by itself from 1.15 on.
  # shellcheck disable=SC2046 # a list of words without spaces
  helm upgrade --install cert-manager "$TOOLS/cert-manager-$CERT_MANAGER_VERSION/chart" --namespace "$NAMESPACE" --create-namespace \
    --wait --timeout 180s $(flags) --set featureGates=AdditionalCertificateOutputFormats=true --set startupapicheck.enabled=false \
    --set global.leaderElection.namespace="$NAMESPACE" >/dev/null || { kubectl -n "$NAMESPACE" get pods >&2; die "cert-manager is not ready"; }
  wait_for "cert-manager's webhook" 120 webhook || die "cert-manager's webhook does not answer"
}

webhook() { # it has a certificate of its own, which the API server learns some time after it is ready
  kubectl create --dry-run=server -f - <<<'{apiVersion: cert-manager.io/v1, kind: Issuer, metadata: {name: a, namespace: default}, spec: {selfSigned: {}}}'
}

remove() {
  helm uninstall cert-manager --namespace "$NAMESPACE" --wait >/dev/null
  kubectl delete namespace "$NAMESPACE" --wait=false >/dev/null
}

case ${1:-} in
  '') install ;;
  remove) remove ;;
  *) die "usage: cert-manager.sh [remove]" ;;
esac
