# The node's addresses, ports and names, for all its parts. To be sourced by node.sh.
# shellcheck shell=bash
# shellcheck disable=SC2034 # read by whoever sources this file

# Addresses as kubeadm and kind have them, and the usual ports, but for etcd's, which many machines have in use.
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
DNS_SERVICE_IP=10.96.0.10
POD_CIDR=10.244.0.0/16
NODE_POD_CIDR=10.244.0.0/24
API_PORT=6443
ETCD_PORT=23790
ETCD_PEER_PORT=23800
PORTS=("$API_PORT" "$ETCD_PORT" "$ETCD_PEER_PORT" 10248 10249 10250 10256 10257 10259)

CGROUP=warren-node
CNI_NETWORK=warren-node
NFT_TABLE=warren-node
PAUSE_IMAGE=localhost/pause:1

DAEMONS=(etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kube-router)
PROGRAMS=("${DAEMONS[@]}" containerd-shim-runc-v2 runc) # theirs and the ones that they start
SYSCTLS=(net.ipv4.ip_forward vm.overcommit_memory kernel.panic kernel.panic_on_oops) # which the node changes
