#!/usr/bin/env bash
# Chooses the Kubernetes cluster to work on, starts it when it is a local one, and says which it is and why:
#   1. the one that KUBECONFIG names, when it answers            WARREN_CLUSTER_KIND=existing
#   2. a kind cluster named warren, with kind and a docker engine                     kind
#   3. the local node (node.sh), as root on Linux                                     node
# Messages go to stderr. It builds no tools but kubectl: the others are there after `tools.sh helm kuttl trino`.
#
#   cluster.sh                       brings the cluster up
#   eval "$(hack/cluster.sh env)"    and sets KUBECONFIG, PATH and WARREN_CLUSTER_KIND
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

KIND_KUBECONFIG=$WARREN_CACHE/kind/kubeconfig
TOOLS_PATH=$("$HACK/tools.sh" path)
case $PATH in "$TOOLS_PATH":*) ;; *) PATH=$TOOLS_PATH:$PATH ;; esac

answers() { kubectl --request-timeout=5s get --raw /readyz &>/dev/null; } # the cluster of KUBECONFIG

use_existing() {
  case ${KUBECONFIG:-} in '' | "$NODE_FILES/kubeconfig" | "$KIND_KUBECONFIG") return 1 ;; esac # unset, or set by us
  command -v kubectl >/dev/null || "$HACK/tools.sh" kubectl
  answers || { say "KUBECONFIG=$KUBECONFIG does not answer: looking for another cluster."; return 1; }
  say "Cluster: the one of KUBECONFIG=$KUBECONFIG, because it is set and answers."
  WARREN_CLUSTER_KIND=existing
}

# A docker client without an engine is common: ask the engine.
use_kind() {
  command -v kind >/dev/null && docker info &>/dev/null || return 1
  say "Cluster: kind, named warren, because kind and a docker engine are here."
  command -v kubectl >/dev/null || "$HACK/tools.sh" kubectl
  export KUBECONFIG=$KIND_KUBECONFIG
  mkdir -p "$(dirname "$KUBECONFIG")"
  if kind get clusters 2>/dev/null | grep -qx warren; then
    kind export kubeconfig -q --name warren --kubeconfig "$KUBECONFIG"
  else
    kind create cluster --name warren --kubeconfig "$KUBECONFIG" --wait 180s >&2
  fi
  answers || die "the kind cluster warren does not answer; remove it by: kind delete cluster --name warren"
  WARREN_CLUSTER_KIND=kind
}

use_node() {
  [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] || return 1
  say "Cluster: the local node, because this is root on Linux, without kind and a docker engine."
  "$HACK/node.sh" up
  export KUBECONFIG=$NODE_FILES/kubeconfig
  WARREN_CLUSTER_KIND=node
}

use_existing || use_kind || use_node ||
  die "no cluster: set KUBECONFIG to one that answers, or install kind and docker, or be root on Linux"

case ${1:-} in
  '') ;;
  env) printf 'export KUBECONFIG=%q PATH=%q WARREN_CLUSTER_KIND=%q\n' "$KUBECONFIG" "$PATH" "$WARREN_CLUSTER_KIND" ;;
  *) die "usage: cluster.sh [env]" ;;
esac
