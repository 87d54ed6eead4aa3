# The configuration of the node's daemons, all below $NODE_STATE. To be sourced by node.sh.
# shellcheck shell=bash

# ptp gives each pod a veth pair routed by the host, so that there is no bridge to remove, and traffic between pods
# meets the host's rules. It has no hostPort (the portmap plugin knows iptables only): NodePorts and pod IPs are
# reachable from the host anyway.
write_cni() {
  mkdir -p "$NODE_STATE/cni"
  cat >"$NODE_STATE/cni/10-warren-node.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "$CNI_NETWORK", "plugins": [
  {"type": "ptp", "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "$NODE_RUN/ipam",
            "ranges": [[{"subnet": "$NODE_POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
JSON
}

# restrict_oom_score_adj: without CAP_SYS_RESOURCE, runc may not set the negative score that sandboxes ask for.
# netns_mounts_under_state_dir, Root: keep what containers leave behind below our own folder.
write_containerd() {
  cat >"$NODE_STATE/containerd.toml" <<TOML
version = 2
root = "$NODE_STATE/containerd"
state = "$NODE_RUN/containerd"
[grpc]
  address = "$CONTAINERD"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$NODE_STATE/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$NODE_RUN/runc"
TOML
}

# failCgroupV1: this kubelet starts on cgroup v1 only when told so. Images come from archives, so their garbage
# collection is off: nothing could bring them back.
write_kubelet() {
  cat >"$NODE_STATE/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$CONTAINERD
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
clusterDNS: [$DNS_SERVICE_IP]
clusterDomain: cluster.local
resolvConf: $NODE_STATE/resolv.conf
maxPods: 200
serializeImagePulls: false
syncFrequency: 10s
makeIPTablesUtilChains: false
podLogsDir: $NODE_STATE/pod-logs
volumePluginDir: $NODE_STATE/volume-plugins
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $NODE_STATE/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $NODE_STATE/pki/kubelet.crt
tlsPrivateKeyFile: $NODE_STATE/pki/kubelet.key
YAML
}

# minSyncPeriod: at the default of 1 s, a test that asks a Service as soon as its pod is Ready comes too early.
# conntrack: leave the machine's own limits alone.
write_kube_proxy() {
  cat >"$NODE_STATE/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
nftables: {minSyncPeriod: 50ms, syncPeriod: 30s}
clusterCIDR: $POD_CIDR
hostnameOverride: $(node_name)
clientConnection: {kubeconfig: $NODE_STATE/kube-proxy.conf}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
}

write_resolv_conf() { # the first source with name servers that a pod can reach; it may end up empty
  local file
  for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
    [ -r "$file" ] || continue
    awk '$1 == "nameserver" && $2 !~ /^(127\.|::1)/' "$file" >"$NODE_STATE/resolv.conf"
    [ ! -s "$NODE_STATE/resolv.conf" ] || return 0
  done
  : >"$NODE_STATE/resolv.conf"
}

write_config() {
  mkdir -p "$NODE_STATE/log" "$NODE_RUN"
  run_logged "certificates" "$NODE_STATE/log/openssl.log" write_certificates
  write_kubeconfigs
  write_cni
  write_containerd
  write_kubelet
  write_kube_proxy
  write_resolv_conf
}
