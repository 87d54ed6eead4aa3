#!/usr/bin/env bash
# Gets the programs that the node and the tests use, from package registries alone: Debian's packages, Go modules,
# Maven. Each lands in $WARREN_CACHE/tools/<name>-<version>/, whole or not at all; what is there already is left alone.
#
#   tools.sh             everything
#   tools.sh NAME…       some: packages kubernetes kubectl coredns metrics-server kube-router kuttl helm trino; for
#                        benches/gateway.sh: nginx haproxy; for clients.sh: dex; for the image of services: dex opa gofakes3;
#                        for the kuttl test of that name: cert-manager
#   tools.sh path        prints what to put in front of PATH
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

BUILD=$TOOLS/.build
LOGS=$WARREN_CACHE/log
KUBERNETES=(kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet)

declare -A PACKAGE_OF=( # a file that proves it, and the Debian package that brings it
  [/usr/bin/containerd]=containerd [/usr/sbin/runc]=runc [/usr/lib/cni/bridge]=containernetworking-plugins
  [/usr/bin/etcd]=etcd-server [/usr/sbin/nft]=nftables [/usr/sbin/iptables]=iptables [/usr/sbin/conntrack]=conntrack
  [/usr/sbin/ip]=iproute2 [/usr/bin/openssl]=openssl [/usr/bin/buildah]=buildah [/usr/sbin/debootstrap]=debootstrap
  [/usr/bin/jq]=jq [/usr/bin/curl]=curl [/usr/bin/flock]=util-linux [/usr/bin/gcc]=gcc [/usr/bin/mvn]=maven
  [/usr/sbin/ipset]=ipset [/usr/bin/shellcheck]=shellcheck
)

missing_packages() { # a file may lie in /bin instead of /usr/bin, or be on the PATH from elsewhere
  local file
  for file in "${!PACKAGE_OF[@]}"; do
    [ -e "$file" ] || command -v "${file##*/}" >/dev/null || echo "${PACKAGE_OF[$file]}"
  done
}

packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]})) || return 0
  need_root_linux "installing ${missing[*]}"
  command -v apt-get >/dev/null || die "these are missing and there is no apt-get to install them: ${missing[*]}"
  step "Debian packages: ${missing[*]}"
  run_logged "apt-get update" "$LOGS/apt-update.log" apt-get update -q
  # Services that Debian starts with them (etcd, containerd) do no harm: the node's own have other ports and folders.
  run_logged "apt-get install" "$LOGS/apt-install.log" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# A tool's folder appears by one rename, so that an interrupted build leaves nothing that looks finished.
publish() { # BUILT_FOLDER NAME-VERSION
  rm -rf "${TOOLS:?}/$2"
  mv "$1" "$TOOLS/$2"
}

need_go() {
  command -v go >/dev/null || die "building $1 needs Go (1.26 or newer)"
  export CGO_ENABLED=${CGO:-0} GOFLAGS="-buildvcs=false${GO_TAGS:+ -tags=$GO_TAGS}"
}

kubernetes_module() { # writes a module that has the wanted commands as its tools
  # k8s.io/kubernetes replaces its staging modules by folders of its own: name the published modules instead.
  local mod staged
  mod=$(go mod download -json "k8s.io/kubernetes@$K8S_VERSION" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  {
    printf 'module node\ngo 1.26\nrequire k8s.io/kubernetes %s\n' "$K8S_VERSION"
    printf 'tool k8s.io/kubernetes/cmd/%s\n' "${KUBERNETES[@]}"
    sed -n 's|^\t\(k8s.io/[^ ]*\) => ./staging/.*|\1|p' "$mod" | while read -r staged; do
      echo "replace $staged => $staged v0${K8S_VERSION#v1}"
    done
  } >go.mod
  go mod tidy
}

build_kubernetes() { # OUT COMMAND…
  local out=$1 v=k8s.io/component-base/version
  shift
  cd "$BUILD/kubernetes"
  kubernetes_module
  go build -ldflags "-s -w -X $v.gitVersion=$K8S_VERSION -X $v.gitMajor=1 -X $v.gitMinor=$(k8s_minor)" \
    -o "$out/" "${@/#/k8s.io/kubernetes/cmd/}"
}

k8s_minor() { cut -d. -f2 <<<"$K8S_VERSION"; }

missing_kubernetes() { # COMMAND…
  local name
  for name in "$@"; do [ -x "$TOOLS/$name-$K8S_VERSION/$name" ] || echo "$name"; done
}

kubernetes() { # COMMAND…: one build for all of them, since they share most packages
  local name missing out=$BUILD/kubernetes/out
  mapfile -t missing < <(missing_kubernetes "$@")
  ((${#missing[@]})) || return 0
  need_go kubernetes
  step "Kubernetes $K8S_VERSION: ${missing[*]} (5 min the first time)"
  mkdir -p "$out"
  run_logged "building Kubernetes" "$LOGS/kubernetes.log" build_kubernetes "$out" "${missing[@]}"
  for name in "${missing[@]}"; do
    mkdir "$out/$name.d"
    mv "$out/$name" "$out/$name.d/$name"
    publish "$out/$name.d" "$name-$K8S_VERSION"
  done
}

build_go_tool() { # OUT PACKAGE@VERSION LDFLAGS REPLACED_MODULE@VERSION
  cd "$(dirname "$1")"
  printf 'module tool\ngo 1.26\n' >go.mod
  [ -z "$4" ] || go mod edit -replace="${4%@*}=$4"
  go get -tool "$2"
  go build -ldflags "-s -w $3" -o "$1/" "${2%@*}"
}

go_tool() { # NAME VERSION PACKAGE [LDFLAGS [REPLACED_MODULE@VERSION]]
  local name=$1 version=$2
  [ ! -d "$TOOLS/$name-$version" ] || return 0
  need_go "$name"
  step "$name $version"
  mkdir -p "$BUILD/$name/out"
  run_logged "building $name" "$LOGS/$name.log" build_go_tool "$BUILD/$name/out" "$3@$version" "${4:-}" "${5:-}"
  publish "$BUILD/$name/out" "$name-$version"
}

helm_flags() { # without these, helm tells charts that the cluster is a very old one
  printf -- '-X helm.sh/helm/v3/internal/version.version=%s' "$HELM_VERSION"
  local package
  for package in chartutil lint/rules; do
    printf -- ' -X helm.sh/helm/v3/pkg/%s.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/%s.k8sVersionMinor=%s' \
      "$package" "$package" "$(k8s_minor)"
  done
}

trino() { # the command line client: a jar and a wrapper that finds a JDK
  local name=trino-cli-$TRINO_CLI_VERSION out=$BUILD/trino-cli
  [ ! -d "$TOOLS/$name" ] || return 0
  command -v mvn >/dev/null || die "downloading trino-cli needs Maven (mvn)"
  step "trino-cli $TRINO_CLI_VERSION"
  mkdir -p "$out"
  run_logged "downloading trino-cli" "$LOGS/trino-cli.log" mvn -B -q dependency:copy \
    -Dartifact="io.trino:trino-cli:$TRINO_CLI_VERSION:jar:executable" -DoutputDirectory="$out"
  mv "$out/trino-cli-$TRINO_CLI_VERSION-executable.jar" "$out/trino-cli.jar"
  # shellcheck disable=SC2016 # for the wrapper to expand
  { # the wrapper carries its own copy of java_home, for it must work without this folder
    printf '#!/usr/bin/env bash\nset -euo pipefail\ndie() { echo "error: $*" >&2; exit 1; }\n'
    declare -f java_home
    cat <<'WRAPPER'
home=$(java_home)
folder=$(dirname "$(readlink -f "$0")")
flags=(--enable-native-access=ALL-UNNAMED)
# Of a query that returns little nearly all is the client's own start, which these halve. Java goes on where the archive does not fit.
[ -z "${TRINO_CLI_SHORT:-}" ] ||
  flags+=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:SharedArchiveFile="$folder/classes.jsa" -Xlog:disable)
exec "$home/bin/java" "${flags[@]}" -jar "$folder/trino-cli.jar" "$@"
WRAPPER
  } >"$out/trino"
  chmod +x "$out/trino"
  # It is to fail: nobody is there. By then it has loaded nearly all that it will.
  "$(java_home)/bin/java" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ArchiveClassesAtExit="$out/classes.jsa" -jar "$out/trino-cli.jar" \
    --server localhost:1 --user nobody --execute 'SELECT 1' >"$LOGS/trino-cli-classes.log" 2>&1 || true
  publish "$out" "$name"
}

cert_manager() { # its programs, and its chart with the CRDs, as its own release has it
  local name=cert-manager-$CERT_MANAGER_VERSION out=$BUILD/cert-manager/out
  [ ! -d "$TOOLS/$name" ] || return 0
  need_go cert-manager
  step "cert-manager $CERT_MANAGER_VERSION"
  mkdir -p "$out"
  run_logged "building cert-manager" "$LOGS/cert-manager.log" build_cert_manager "$out" github.com/cert-manager/cert-manager
  publish "$out" "$name"
}

build_cert_manager() { # OUT MODULE
  local name source
  for name in controller webhook cainjector; do build_go_tool "$1" "$2/cmd/$name@$CERT_MANAGER_VERSION" "" ""; done
  source=$(go list -m -f '{{.Dir}}' "$2")/deploy
  cp -r "$source/charts/cert-manager" "$1/chart"
  chmod -R u+w "$1/chart"
  sed "s/v0.1.0/$CERT_MANAGER_VERSION/" "$1/chart/Chart.template.yaml" >"$1/chart/Chart.yaml"
  cp "$source"/crds/crd-*.yaml "$1/chart/templates/"
}

debian_program() { # NAME PACKAGE…: unpacked and not installed, so that no service is started; in Debian's version
  local name=$1 out=$BUILD/$1 libraries
  shift
  [ ! -d "$TOOLS/$name-debian" ] || return 0
  command -v apt-get >/dev/null || die "there is no apt-get to fetch $name with; put $name on the PATH instead"
  step "$name: Debian packages $*"
  mkdir -p "$out/packages"
  cd "$out/packages"
  run_logged "downloading $name" "$LOGS/$name.log" apt-get -o APT::Sandbox::User=root download -q "$@"
  find . -name '*.deb' -exec dpkg-deb -x {} "$out" \;
  libraries=$(cd "$out" && find usr -name '*.so.*' -printf '%h\n' -quit)
  # shellcheck disable=SC2016 # for the wrapper to expand
  { # by exec, so that the program keeps the process's number
    printf '#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\n'
    [ -z "$libraries" ] || printf 'export LD_LIBRARY_PATH="$here/%s"\n' "$libraries"
    printf 'exec "$here/usr/sbin/%s" "$@"\n' "$name"
  } >"$out/$name"
  chmod +x "$out/$name"
  cd "$TOOLS"
  rm -r "$out/packages"
  publish "$out" "$name-debian"
}

path() {
  printf '%s/kubectl-%s:%s/helm-%s:%s/kuttl-%s:%s/trino-cli-%s\n' \
    "$TOOLS" "$K8S_VERSION" "$TOOLS" "$HELM_VERSION" "$TOOLS" "$KUTTL_VERSION" "$TOOLS" "$TRINO_CLI_VERSION"
}

install_one() { # NAME
  case $1 in
    packages) packages ;;
    kubernetes) kubernetes "${KUBERNETES[@]}" ;;
    coredns) go_tool coredns "$COREDNS_VERSION" github.com/coredns/coredns ;;
    metrics-server) go_tool metrics-server "$METRICS_SERVER_VERSION" sigs.k8s.io/metrics-server/cmd/metrics-server ;;
    # It names a commit of netlink that module proxies do not all have; the last release does for what it is used for.
    kube-router) go_tool kube-router "$KUBE_ROUTER_VERSION" github.com/cloudnativelabs/kube-router/v2/cmd/kube-router \
      "" github.com/vishvananda/netlink@v1.3.1 ;;
    kuttl) go_tool kuttl "$KUTTL_VERSION" github.com/kudobuilder/kuttl/cmd/kubectl-kuttl ;;
    helm) go_tool helm "$HELM_VERSION" helm.sh/helm/v3/cmd/helm "$(helm_flags)" ;;
    trino) trino ;;
    # It does not build without C, for the sake of a storage that is not used here; it runs where no library is.
    dex) CGO=1 GO_TAGS=netgo,osusergo,sqlite_omit_load_extension go_tool dex-static "$DEX_VERSION" github.com/dexidp/dex/cmd/dex \
      "-linkmode external -extldflags -static" "github.com/dexidp/dex/api/v2@$DEX_API_VERSION" ;;
    opa) go_tool opa "$OPA_VERSION" github.com/open-policy-agent/opa ;;
    gofakes3) go_tool gofakes3 "$GOFAKES3_VERSION" github.com/johannesboyne/gofakes3/cmd/gofakes3 ;;
    cert-manager) cert_manager ;;
    nginx) debian_program nginx nginx ;;
    haproxy) debian_program haproxy haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 ;;
    *) [[ " ${KUBERNETES[*]} " == *" $1 "* ]] || die "no such tool: $1 (see the head of $0)"; kubernetes "$1" ;;
  esac
}

is_there() { # NAME: so that nobody waits for another run's build of something else
  case $1 in
    packages) [ -z "$(missing_packages)" ] ;;
    kubernetes) [ -z "$(missing_kubernetes "${KUBERNETES[@]}")" ] ;;
    coredns) [ -d "$TOOLS/coredns-$COREDNS_VERSION" ] ;;
    metrics-server) [ -d "$TOOLS/metrics-server-$METRICS_SERVER_VERSION" ] ;;
    kube-router) [ -d "$TOOLS/kube-router-$KUBE_ROUTER_VERSION" ] ;;
    kuttl) [ -d "$TOOLS/kuttl-$KUTTL_VERSION" ] ;;
    helm) [ -d "$TOOLS/helm-$HELM_VERSION" ] ;;
    trino) [ -d "$TOOLS/trino-cli-$TRINO_CLI_VERSION" ] ;;
    dex) [ -d "$TOOLS/dex-static-$DEX_VERSION" ] ;;
    opa) [ -d "$TOOLS/opa-$OPA_VERSION" ] ;;
    gofakes3) [ -d "$TOOLS/gofakes3-$GOFAKES3_VERSION" ] ;;
    cert-manager) [ -d "$TOOLS/cert-manager-$CERT_MANAGER_VERSION" ] ;;
    nginx | haproxy) [ -d "$TOOLS/$1-debian" ] ;;
    *) [ -d "$TOOLS/$1-$K8S_VERSION" ] ;;
  esac
}

all_there() {
  local name
  for name in "$@"; do is_there "$name" || return 1; done
}

main() {
  [ "${1:-}" != path ] || { path; return; }
  (($#)) || set -- packages kubernetes coredns metrics-server kube-router kuttl helm trino
  ! all_there "$@" || return 0
  lock "$TOOLS/.lock" tools.sh
  rm -rf "$BUILD" # what an interrupted run left; the lock says that nobody is using it
  mkdir -p "$BUILD"
  local name
  for name in "$@"; do install_one "$name"; done
  rm -rf "$BUILD"
}

main "$@"
