# What the node changes on its host (routing, cgroups, mounts, files), how it is undone, and what is still there.
# Every removal works from what it finds, not from what an earlier run says it did, for that run may have been cut off
# anywhere. To be sourced by node.sh.
# shellcheck shell=bash

host_ip() { ip -4 -json route get 192.0.2.254 2>/dev/null | jq -er '.[0].prefsrc' || hostname -I | cut -d' ' -f1; }
node_name() { hostname | tr '[:upper:]' '[:lower:]'; }

# Pods may go out under the host's address. Nothing for a Service's address may: until kube-proxy knows the Service, its
# packets would leave this machine, and whoever answers there would be taken for the Service.
# One table, so that one command undoes it.
prepare_network() {
  [ -e "$NODE_STATE/sysctl" ] || sysctl "${SYSCTLS[@]}" >"$NODE_STATE/sysctl"
  sysctl -qw net.ipv4.ip_forward=1
  nft -f - <<NFT
table ip $NFT_TABLE {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr $NODE_POD_CIDR ip daddr != $NODE_POD_CIDR masquerade
  }
  chain output {
    type filter hook output priority filter;
    ip daddr $SERVICE_CIDR reject
  }
  chain forward {
    type filter hook forward priority filter;
    ip daddr $SERVICE_CIDR reject
  }
}
NFT
}

nft_tables() { nft list tables 2>/dev/null | grep -E "^table ip6? ($NFT_TABLE|kube-proxy)$" || true; }
pod_links() { ip -json route show root "$NODE_POD_CIDR" 2>/dev/null | jq -r '.[].dev' | sort -u; }

remove_network() {
  local line link id
  pod_links | while read -r link; do ip link delete "$link" 2>/dev/null; done
  nft_tables | while read -r line; do nft delete "$line"; done
  # libcni's record of each attachment, and of the same container's loopback
  for line in /var/lib/cni/results/"$CNI_NETWORK"-*; do
    [ -e "$line" ] || continue
    id=${line#"/var/lib/cni/results/$CNI_NETWORK-"} id=${id%-*}
    rm -f "$line" "/var/lib/cni/results/cni-loopback-$id-lo"
  done
  rmdir /var/lib/cni/results /var/lib/cni 2>/dev/null
  [ ! -s "$NODE_STATE/sysctl" ] || sysctl -qp "$NODE_STATE/sysctl"
}

policy_chains() { iptables -S 2>/dev/null | sed -nE 's/^-N (KUBE-(ROUTER|POD-FW|NWPLCY)-.*)/\1/p'; }
policy_sets() { ipset list -n 2>/dev/null | grep -E '^KUBE-(SRC|DST)-' || true; }

remove_policies() { # kube-router's chains in one transaction, then the sets that they named
  local set
  if [ -n "$(policy_chains)" ]; then
    {
      echo '*filter'
      iptables -S | sed -nE 's/^-A ((INPUT|FORWARD|OUTPUT) .*-j KUBE-ROUTER-.*)/-D \1/p'
      policy_chains | sed 's/^/-F /'
      policy_chains | sed 's/^/-X /'
      echo COMMIT
    } | iptables-restore --noflush
  fi
  policy_sets | while read -r set; do ipset destroy "$set"; done
  # iptables makes this table at its first use; empty and accepting everything, it says nothing
  ! iptables -S 2>/dev/null | grep -qvE '^-P (INPUT|FORWARD|OUTPUT) ACCEPT$' && nft delete table ip filter 2>/dev/null
}

# kubelet wants its root cgroup to exist in every hierarchy. A cpuset without CPUs and memory nodes takes no process.
prepare_cgroups() {
  local top
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$CGROUP"
    sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
    return
  fi
  for top in /sys/fs/cgroup/*/; do mkdir -p "$top$CGROUP"; done
  for top in cpus mems; do
    [ ! -e "/sys/fs/cgroup/cpuset/cpuset.$top" ] ||
      cat "/sys/fs/cgroup/cpuset/cpuset.$top" >"/sys/fs/cgroup/cpuset/$CGROUP/cpuset.$top"
  done
}

cgroups() { find /sys/fs/cgroup -maxdepth 2 -type d -name "$CGROUP"; }
pod_pids() { cgroups | while read -r dir; do find "$dir" -name cgroup.procs -exec cat {} + 2>/dev/null; done | sort -nu; }

kill_pods() { # whatever is in the pods' cgroups; a frozen process (runc was cut off in the middle) must thaw to die
  local file pid begin=$SECONDS
  find "/sys/fs/cgroup/freezer/$CGROUP" -name freezer.state 2>/dev/null | while read -r file; do echo THAWED >"$file"; done
  while pod_pids | grep -q . && ((SECONDS - begin < 15)); do
    pod_pids | while read -r pid; do kill -9 "$pid" 2>/dev/null; done
    sleep 0.1
  done
}

remove_cgroups() { # the kernel needs a moment after the last process
  local begin=$SECONDS
  while [ -n "$(cgroups)" ] && ((SECONDS - begin < 10)); do
    cgroups | while read -r dir; do find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null; done
    sleep 0.1
  done
}

mounts() { awk -v a="$NODE_STATE/" -v b="$NODE_RUN/" 'index($5, a) == 1 || index($5, b) == 1 {print $5}' /proc/self/mountinfo; }

remove_mounts() { # newest first; several may lie over each other
  local path
  mounts | tac | while read -r path; do umount "$path" 2>/dev/null || umount -l "$path"; done
}

remove_files() { # never below a mount: it may be somebody's hostPath
  local file
  [ -z "$(mounts)" ] || die "still mounted, so nothing is deleted: $(mounts | tr '\n' ' ')"
  # shims put their sockets where containerd's default state is
  find "$NODE_RUN" -maxdepth 5 -name address -exec grep -oh '/run/containerd/s/[0-9a-f]*' {} + 2>/dev/null |
    while read -r file; do rm -f "$file"; done
  rmdir /run/containerd/s /run/containerd 2>/dev/null
  find /var/log/containers -lname "$NODE_STATE/*" -delete 2>/dev/null
  rmdir /var/log/containers 2>/dev/null
  # kubelet and containerd make these wherever their roots are; they stay if anything else lives in them
  rm -f /var/lib/kubelet/device-plugins/kubelet.sock
  rmdir -p --ignore-fail-on-non-empty /var/lib/kubelet/device-plugins /usr/libexec/kubernetes/kubelet-plugins/volume/exec 2>/dev/null
  rm -rf --one-file-system "$NODE_STATE" "$NODE_RUN"
  rm -f "$KUBECONFIG"
}

leftovers() { # one line for each thing of the node that is still on the host
  processes "${PROGRAMS[@]}" | sed 's/^/process /'
  pod_pids | sed 's/^/process of a pod /'
  mounts | sed 's/^/mount /'
  cgroups | sed 's/^/cgroup /'
  pod_links | sed 's/^/network link /'
  nft_tables | sed 's/^/nftables /'
  policy_chains | sed 's/^/iptables chain /'
  policy_sets | sed 's/^/ipset /'
  find "$NODE_STATE" "$NODE_RUN" /var/lib/cni/results -maxdepth 1 2>/dev/null |
    grep -E "^($NODE_STATE|$NODE_RUN|/var/lib/cni/results/$CNI_NETWORK-[^/]*)$" | sed 's/^/file /' || true
}

taken_ports() { # of those that the node needs
  local port
  for port in "${PORTS[@]}"; do ss -Hltnp "sport = :$port" | sed "s/^/port $port: /"; done
}
