#!/usr/bin/env bash
# Installs or upgrades this tree's operator by its chart, in the cluster that cluster.sh chooses, and waits until it is
# ready. What demo.sh and kuttl.sh build on.
#
#   install.sh [RELEASE]     default: warren; always in namespace warren-system
#   WARREN_IMAGE=REF         runs this image, and builds none
#   WARREN_CHART=FOLDER      another chart than this tree's
#   WARREN_HELM_FLAGS="…"    further flags of helm upgrade
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

RELEASE=${1:-warren}
NAMESPACE=warren-system
CHART=${WARREN_CHART:-$HACK/../deploy/helm/warren}

use_cluster() { # unless the caller has chosen it already
  [ -z "${WARREN_CLUSTER_KIND:-}" ] || return 0
  local settings
  settings=$("$HACK/cluster.sh" env)
  eval "$settings"
}

image_flags() { # REFERENCE: none for an empty one, which is the chart's own default
  case $1 in
    '') ;;
    *@*) echo "--set image.repository=${1%@*} --set image.digest=${1#*@}" ;;
    *) echo "--set image.repository=${1%:*} --set-string image.tag=${1##*:}" ;;
  esac
}

explain() {
  kubectl -n "$NAMESPACE" get pods -l "app.kubernetes.io/instance=$RELEASE" -o wide >&2 || true
  kubectl -n "$NAMESPACE" get events --sort-by=.lastTimestamp 2>/dev/null | tail -n 8 >&2 || true
  kubectl -n "$NAMESPACE" logs -l "app.kubernetes.io/instance=$RELEASE" --all-containers --prefix --tail=15 2>&1 | cut -c1-300 >&2 || true
  die "the operator did not become ready; above: its pods, events and log"
}

use_cluster
"$HACK/tools.sh" helm
image=${WARREN_IMAGE:-}
[ -n "$image" ] || image=$("$HACK/images.sh" warren | tail -n 1)
# shellcheck disable=SC2046,SC2086 # lists of words without spaces
helm upgrade --install "$RELEASE" "$CHART" --namespace "$NAMESPACE" --create-namespace --wait --timeout 180s \
  $(image_flags "$image") ${WARREN_HELM_FLAGS:-} >/dev/null || explain
info "operator ${image:-of the chart} is ready, release $RELEASE in $NAMESPACE"
