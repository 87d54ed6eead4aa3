#!/usr/bin/env bash
# One real Kubernetes node on this machine, for development and tests: etcd, control plane, containerd, kubelet,
# kube-proxy, kube-router for NetworkPolicies, cluster DNS and metrics. It needs root on Linux and no container engine.
#
#   node.sh up       starts it, or says at once that it runs; a half-started or half-removed one is removed first
#   node.sh down     removes everything: processes, pods, mounts, network, cgroups, files; says what is left, if anything
#   node.sh status   what runs; exit code 0 only when the node is Ready
#
# KUBECONFIG for it: $WARREN_CACHE/node/kubeconfig. Its logs: /var/lib/warren-node/log. Nothing on it survives `down`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export KUBECONFIG=$NODE_FILES/kubeconfig WARREN_CLUSTER_KIND=node
COMPLETE=$NODE_RUN/complete # the last thing that `up` writes: which settings, and in which run of the machine

for part in settings processes pki config host; do
  # shellcheck source=/dev/null
  source "$HACK/node/$part.sh"
done

kubectl() { "$TOOLS/kubectl-$K8S_VERSION/kubectl" --request-timeout=10s "$@"; }
api_ready() { kubectl get --raw /readyz; }
node_ready() { kubectl get node "$(node_name)" | grep -q ' Ready'; }
boot() { cat /proc/sys/kernel/random/boot_id; }
complete() { grep -qs "$(boot)" "$COMPLETE"; }
settings() { cat "$HACK"/node.sh "$HACK"/node/*.sh "$HACK"/manifests/*.yaml "$HACK/versions.env" | sha256sum | cut -c1-12; }

# Starts those that do not run. The API server's clients come once it is ready: refused earlier, they pause for seconds.
start_all() {
  start_etcd
  start_containerd
  start_apiserver
  wait_for "containerd" 60 test -S "$CONTAINERD" || explain_and_die "containerd did not start"
  "$HACK/images.sh" base 9>&- # loads them into containerd, while the API server starts
  wait_for "the API server" 120 api_ready || explain_and_die "the API server did not start"
  start_kubelet
  start_controllers
  start_kube_proxy
  wait_for "the node to be Ready" 120 node_ready || explain_and_die "the node did not become Ready"
  start_kube_router # which ends at once when it does not find the node's object
}

deploy() { # cluster DNS and metrics
  local forward='' file
  [ ! -s "$NODE_STATE/resolv.conf" ] || forward='forward . /etc/resolv.conf'
  for file in "$HACK"/manifests/*.yaml; do
    echo ---
    sed -e "s|@COREDNS_VERSION@|$COREDNS_VERSION|" -e "s|@METRICS_SERVER_VERSION@|$METRICS_SERVER_VERSION|" \
      -e "s|@DNS_SERVICE_IP@|$DNS_SERVICE_IP|" -e "s|@FORWARD@|$forward|" "$file"
  done | kubectl apply -f - >/dev/null
}

# Goes on past every failure, for it must manage from any half of a node; what counts is what is left at its end.
# kubelet and the controllers go first, or they would put back what is removed after them.
remove_all() {
  local left
  (
    set +e +o pipefail
    kill_processes kubelet kube-controller-manager kube-scheduler kube-proxy kube-router
    kill_processes containerd runc containerd-shim-runc-v2
    kill_pods
    kill_processes kube-apiserver etcd
    remove_mounts
    remove_network
    remove_policies
    remove_cgroups
    remove_files
  ) || true
  left=$(leftovers)
  [ -z "$left" ] || die "these are left of the node:"$'\n'"$left"
}

explain_and_die() { # MESSAGE
  local name
  for name in $(dead_daemons); do
    info "$name does not run; the end of $NODE_STATE/log/$name.log:"
    tail -n 5 "$NODE_STATE/log/$name.log" 2>/dev/null | cut -c1-300 | sed 's/^/        | /' >&2
  done
  die "$1; logs in $NODE_STATE/log, a fresh start by: node.sh down && node.sh up"
}

# A complete node is never removed here: somebody may be working on it. What has died is started again.
resume() {
  local dead
  dead=$(dead_daemons | tr '\n' ' ')
  [ -z "$dead" ] || { step "the node runs, but these have died and are started again: $dead"; start_all; }
  wait_for "the node to be Ready" 90 node_ready || explain_and_die "the node runs but is not Ready"
  say "The node is up. export KUBECONFIG=$KUBECONFIG"
  grep -q "^$(settings)" "$COMPLETE" || info "hack/ has changed since it was started: node.sh down && node.sh up to follow"
}

fresh() {
  "$HACK/tools.sh" packages 9>&-
  if [ -n "$(leftovers)" ]; then
    step "Removing what an earlier run left"
    remove_all
  fi
  step "Preparing the programs and images"
  "$HACK/tools.sh" kubernetes kube-router 9>&-
  "$HACK/images.sh" base 9>&-
  local taken
  taken=$(taken_ports)
  [ -z "$taken" ] || die "the node needs ports that others use:"$'\n'"$taken"
  step "Starting Kubernetes $K8S_VERSION"
  write_config
  prepare_network
  prepare_cgroups
  start_all
  step "Node Ready; deploying cluster DNS and metrics"
  deploy
  wait_for "cluster DNS" 120 kubectl -n kube-system rollout status deployment/coredns --timeout=1s ||
    explain_and_die "cluster DNS did not start"
  echo "$(settings) $(boot)" >"$COMPLETE"
  step "The node is up. export KUBECONFIG=$KUBECONFIG"
}

up() { if complete; then resume; else fresh; fi; }

down() {
  [ -n "$(leftovers)" ] || { say "The node is down already."; return; }
  step "Removing the node"
  rm -f "$COMPLETE" # from here on, `up` starts afresh
  remove_all
  step "The node is down, and nothing of it is left."
}

status() {
  local dead
  if ! complete; then
    say "The node is not up."
    [ -z "$(leftovers)" ] || info "but something of it is there, which node.sh up or down removes"
    return 1
  fi
  dead=$(dead_daemons | tr '\n' ' ')
  [ -z "$dead" ] || { say "These have died: $dead(node.sh up starts them again)"; return 1; }
  kubectl get nodes -o wide
  kubectl get pods -A
  kubectl top node 2>&1 || true
  say "KUBECONFIG=$KUBECONFIG"
  node_ready >/dev/null
}

case "${1:-}" in
  up | down)
    need_root_linux "the local node"
    lock /run/lock/warren-node.lock node.sh
    "$1"
    ;;
  status) need_root_linux "the local node"; status ;;
  *) die "usage: node.sh up|down|status" ;;
esac
