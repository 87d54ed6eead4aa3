# The node's certificates and kubeconfigs, made anew for each node. To be sourced by node.sh.
# shellcheck shell=bash

EC=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

authority() { # NAME
  openssl req -x509 "${EC[@]}" -days 3650 -subj "/CN=warren-node-$1" -keyout "$1.key" -out "$1.crt"
}

certificate() { # NAME AUTHORITY SUBJECT [ALTERNATIVE_NAMES]
  openssl req "${EC[@]}" -subj "$3" -keyout "$1.key" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 3650 -out "$1.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${4:-DNS:$1}")
}

write_certificates() {
  local ip node dns=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
  ip=$(host_ip) node=$(node_name)
  mkdir -p "$NODE_STATE/pki"
  chmod 700 "$NODE_STATE/pki"
  cd "$NODE_STATE/pki" || return
  authority ca
  authority front-proxy-ca
  certificate apiserver ca /CN=kube-apiserver \
    "$dns,DNS:kubernetes.default.svc.cluster.local,IP:$API_SERVICE_IP,IP:127.0.0.1,IP:$ip"
  certificate admin ca /O=system:masters/CN=admin
  certificate controller-manager ca /CN=system:kube-controller-manager
  certificate scheduler ca /CN=system:kube-scheduler
  certificate kube-proxy ca /CN=system:kube-proxy
  certificate kubelet ca "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$ip,IP:127.0.0.1"
  certificate front-proxy front-proxy-ca /CN=front-proxy
  openssl ecparam -name prime256v1 -genkey -noout -out sa.key
  openssl ec -in sa.key -pubout -out sa.pub
}

kubeconfig() { # USER FILE: written beside and renamed, so that a reader never sees half of it
  local pki=$NODE_STATE/pki
  (umask 077 && cat >"$2.new") <<YAML
apiVersion: v1
kind: Config
current-context: warren-node
clusters:
- name: warren-node
  cluster: {server: "https://127.0.0.1:$API_PORT", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$pki/$1.crt"), client-key-data: $(base64 -w0 "$pki/$1.key")}
contexts:
- name: warren-node
  context: {cluster: warren-node, user: $1}
YAML
  mv "$2.new" "$2"
}

write_kubeconfigs() {
  local user
  for user in controller-manager scheduler kube-proxy kubelet; do kubeconfig "$user" "$NODE_STATE/$user.conf"; done
  kubeconfig admin "$NODE_STATE/kube-router.conf" # it has no predefined role
  mkdir -p "$NODE_FILES"
  kubeconfig admin "$KUBECONFIG"
}
