#!/usr/bin/env bash
# From `kubectl apply` of the quickstart to the first answered query through the gateway, against the time that the same
# coordinator and worker take to start bare: same image, same files, same flags, no Kubernetes. Rounds interleaved, ratio
# of the medians. Runs on the local node only, whose images and files it can read.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
ROUNDS=${ROUNDS:-3}
NAMESPACE=bench-start
SQL='SELECT count(*) FROM tpch.tiny.nation'
WORK=$(mktemp -d)
ROOT=$WORK/rootfs
PIDS=()

[ "${WARREN_CLUSTER_KIND:-}" = node ] || die "this compares with processes on this machine: it needs the local node"
trap clean_up EXIT

clean_up() {
  stop_bare
  kubectl delete namespace "$NAMESPACE" --ignore-not-found --wait=false >/dev/null
  ctr -a "$CONTAINERD" -n k8s.io images unmount "$ROOT" >/dev/null 2>&1 || true
  umount "$ROOT" 2>/dev/null || true
  rm -rf "$WORK"
}

fresh_namespace() {
  kubectl delete namespace "$NAMESPACE" --ignore-not-found >/dev/null
  kubectl create namespace "$NAMESPACE" >/dev/null
}

gateway_round() { # prints seconds
  local begin address
  fresh_namespace
  begin=$(now)
  kubectl -n "$NAMESPACE" apply -f "$BENCHES/../deploy/examples/quickstart.yaml" >/dev/null
  until address=$(kubectl -n "$NAMESPACE" get service quickstart-proxy -o jsonpath='{.spec.clusterIP}' 2>/dev/null); do :; done
  until_answered "http://$address:8080" "$SQL" 300 >/dev/null
  since "$begin"
}

# The files that the operator made, with the ports and addresses of processes on one host.
bare_files() {
  local component port
  for component in coordinator worker; do
    mkdir -p "$WORK/$component/catalog"
    kubectl -n "$NAMESPACE" get configmap -l "app.kubernetes.io/component=$component" -o json |
      jq -r '.items[0].data | to_entries[] | @base64' | while read -r entry; do
      base64 -d <<<"$entry" | jq -j .value >"$WORK/$component/$(base64 -d <<<"$entry" | jq -r '.key | gsub("\\.\\."; "/")')"
    done
    port=$([ $component = coordinator ] && echo 18180 || echo 18181)
    sed -i -e "s|^discovery.uri=.*|discovery.uri=http://127.0.0.1:18180|" -e "s|^http-server.http.port=.*|http-server.http.port=$port|" \
      "$WORK/$component/config.properties"
    sed -i -e "s|^node.data-dir=.*|node.data-dir=/tmp/bare-$component|" "$WORK/$component/node.properties"
    echo "node.id=bare-$component" >>"$WORK/$component/node.properties"
    rm -rf "$ROOT/etc/trino-$component"
    cp -r "$WORK/$component" "$ROOT/etc/trino-$component"
    chmod -R a+rX "$ROOT/etc/trino-$component"
  done
}

bare_round() { # prints seconds
  local begin component
  rm -rf "$ROOT"/tmp/bare-*
  begin=$(now)
  for component in coordinator worker; do
    setsid chroot --userspec=1000:1000 "$ROOT" /usr/bin/env WARREN_SHARED_SECRET=bare PATH=/usr/lib/jvm/jre/bin:/usr/bin:/bin \
      JAVA_HOME=/usr/lib/jvm/jre /usr/lib/trino/bin/launcher run --etc-dir "/etc/trino-$component" >"$WORK/$component.log" 2>&1 &
    PIDS+=($!)
  done
  until_answered http://127.0.0.1:18180 "$SQL" 300 >/dev/null
  since "$begin" >"$WORK/seconds"
  stop_bare
}

stop_bare() { # the launcher becomes the server: it leads its own process group
  local pid
  for pid in "${PIDS[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
  for pid in "${PIDS[@]}"; do wait "$pid" 2>/dev/null || true; done
  PIDS=()
}

mkdir -p "$ROOT"
ctr -a "$CONTAINERD" -n k8s.io images mount --rw docker.io/trinodb/trino:476 "$ROOT" >/dev/null
mountpoint -q "$ROOT/dev" || mknod -m 666 "$ROOT/dev/urandom" c 1 9 2>/dev/null || true
mountpoint -q "$ROOT/proc" || mount -t proc proc "$ROOT/proc"
trap 'umount "$ROOT/proc" 2>/dev/null || true; clean_up' EXIT
info "a first round of each warms the disk's cache and does not count"
gateway_round >/dev/null
bare_files
fresh_namespace
bare_round
for _ in $(seq "$ROUNDS"); do
  gateway_round >>"$WORK/gateway"
  fresh_namespace
  bare_round
  cat "$WORK/seconds" >>"$WORK/bare"
  echo >>"$WORK/gateway"
  echo >>"$WORK/bare"
  info "apply → first row: $(tail -n 1 "$WORK/gateway") s; bare start → first row: $(tail -n 1 "$WORK/bare") s"
done
gateway=$(grep . "$WORK/gateway" | median) bare=$(grep . "$WORK/bare" | median)
echo "start: gateway $gateway s, bare $bare s, ratio $(echo "$gateway $bare" | awk '{printf "%.2f", $1 / $2}') (at most 1.50 is the aim)"
