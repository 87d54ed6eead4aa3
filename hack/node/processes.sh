# The node's processes: which there are, how each is started, how they are ended. To be sourced by node.sh.
# shellcheck shell=bash

# /proc is the only record: a pid file can be missing or name a stranger after a crash. A process is the node's when it
# runs one of the node's programs and its command line names the node's folders. Whoever kills looks it up just before.
processes() { # PROGRAM…: prints the pid and the program of each
  local dir args
  for dir in /proc/[0-9]*; do
    args=()
    { mapfile -d '' -t args <"$dir/cmdline"; } 2>/dev/null || continue
    ((${#args[@]})) || continue
    [[ " $* " == *" ${args[0]##*/} "* ]] || continue
    [[ "${args[*]}" == *"$NODE_STATE/"* || "${args[*]}" == *"$NODE_RUN/"* ]] || continue
    echo "${dir#/proc/} ${args[0]##*/}"
  done
}

dead_daemons() {
  local name alive
  alive=" $(processes "${DAEMONS[@]}" | cut -d' ' -f2 | tr '\n' ' ')"
  for name in "${DAEMONS[@]}"; do [[ "$alive" == *" $name "* ]] || echo "$name"; done
}

program() { # NAME: its file
  case $1 in
    etcd | containerd) command -v "$1" ;;
    kube-router) echo "$TOOLS/$1-$KUBE_ROUTER_VERSION/$1" ;;
    *) echo "$TOOLS/$1-$K8S_VERSION/$1" ;;
  esac
}

start() { # NAME ARGUMENT…: unless it runs already; without the lock, which must end with this script
  local name=$1
  shift
  [ -z "$(processes "$name")" ] || return 0
  setsid "$(program "$name")" "$@" >>"$NODE_STATE/log/$name.log" 2>&1 </dev/null 9>&- &
}

start_etcd() { # nothing here must survive a crash of the machine, so it need not wait for the disk
  start etcd --data-dir "$NODE_STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT"
}

start_containerd() { start containerd -c "$NODE_STATE/containerd.toml"; }

start_apiserver() { # front-proxy: how it vouches for its callers before aggregated APIs such as metrics-server's
  local pki=$NODE_STATE/pki
  start kube-apiserver --etcd-servers="http://127.0.0.1:$ETCD_PORT" --advertise-address="$(host_ip)" \
    --service-cluster-ip-range="$SERVICE_CIDR" --authorization-mode=Node,RBAC --allow-privileged \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key"
}

start_controllers() {
  local pki=$NODE_STATE/pki
  start kube-controller-manager --kubeconfig="$NODE_STATE/controller-manager.conf" --leader-elect=false \
    --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" --use-service-account-credentials \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --allocate-node-cidrs --cluster-cidr="$POD_CIDR" --node-cidr-mask-size=24
  start kube-scheduler --kubeconfig="$NODE_STATE/scheduler.conf" --leader-elect=false
}

start_kubelet() {
  start kubelet --config="$NODE_STATE/kubelet.yaml" --kubeconfig="$NODE_STATE/kubelet.conf" --node-ip="$(host_ip)" \
    --hostname-override="$(node_name)" --root-dir="$NODE_STATE/kubelet" --cert-dir="$NODE_STATE/kubelet/pki"
}

start_kube_proxy() { start kube-proxy --config="$NODE_STATE/kube-proxy.yaml"; }

start_kube_router() { # enforces NetworkPolicies, and nothing else of what it could do
  start kube-router --kubeconfig="$NODE_STATE/kube-router.conf" --hostname-override="$(node_name)" \
    --run-firewall=true --run-router=false --run-service-proxy=false --enable-cni=false --enable-ipv6=false \
    --service-cluster-ip-range="$SERVICE_CIDR" --health-port=0
}

kill_processes() { # PROGRAM…: at once and for sure; nothing of theirs is worth a graceful end
  local pid
  processes "$@" | while read -r pid _; do kill -9 "$pid" 2>/dev/null || true; done
  wait_for "the end of $*" 15 no_processes "$@" || true # node.sh's last check names those that stay
}

no_processes() { [ -z "$(processes "$@")" ]; }
