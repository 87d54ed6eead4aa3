#!/usr/bin/env bash
# What the end-to-end tests do and look at, by name; for kuttl's scripts, whose folder is the test's: ../../check.sh NAME…
# $NAMESPACE is the test's own namespace. A check says in one line what it saw when that is not what it wants, and kuttl
# asks again until its time is over. An object is given as kind/name.
set -euo pipefail

HACK=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../hack" && pwd)
PROXY=${PROXY:-pxg-proxy} # the Service that queries go through
# Everything that may be left behind in a namespace. Pods' metrics and Events are not objects of anybody.
ALL_KINDS=trinogateways,trinoclustergroups,trinoclusters,trinocatalogs,proxygroups,deployments,replicasets,statefulsets,controllerrevisions
ALL_KINDS+=,horizontalpodautoscalers,pods,services,endpointslices,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies

k() { kubectl --namespace "$NAMESPACE" "$@"; }
no() { echo "not yet: $*"; exit 1; }

# The strictest Pod Security, before anything runs in the namespace.
restricted() { kubectl label --overwrite namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=restricted; }

# Ready, not Reconciling, not Stalled, and said of the spec as it stands now.
ready() { # OBJECT…
  local object state
  k wait --for=condition=Ready --timeout=20s "$@" &>/dev/null || true # cheaper than asking each second, for the kubelet too
  for object in "$@"; do
    state=$(k get "$object" -o json | jq -r '
      .metadata.generation as $generation
      | [.status.conditions[]? | select(.observedGeneration == $generation) | select(.type | IN("Ready", "Reconciling", "Stalled"))
        | "\(.type)=\(.status)"] | sort | join(" ")')
    [ "$state" = "Ready=True Reconciling=False Stalled=False" ] ||
      no "$object is ${state:-without conditions of this generation}: $(message "$object" Ready)"
  done
}

message() { # OBJECT TYPE
  k get "$1" -o json | jq -r --arg type "$2" '.status.conditions[]? | select(.type == $type) | .reason + ": " + .message'
}

# A condition with this status whose reason and message match; of the spec as it stands now.
condition() { # OBJECT TYPE STATUS REGEX
  k get "$1" -o json | jq -e --arg type "$2" --arg status "$3" --arg text "$4" '
    .metadata.generation as $generation
    | .status.conditions[]?
    | select(.type == $type and .status == $status and .observedGeneration == $generation)
    | select("\(.reason): \(.message)" | test($text))' >/dev/null ||
    no "$1 has no $2=$3 that says /$4/, but: $(k get "$1" -o json | jq -c '[.status.conditions[]? | "\(.type)=\(.status) \(.reason): \(.message)"]')"
}

# An Event about the object whose reason and note match.
event() { # OBJECT REGEX
  k get events -o json | jq -e --arg name "${1#*/}" --arg text "$2" '
    .items[] | select(.involvedObject.name == $name) | select("\(.reason): \(.message)" | test($text))' >/dev/null ||
    no "no Event of $1 says /$2/, but: $(k get events -o json | jq -c --arg name "${1#*/}" '[.items[] | select(.involvedObject.name == $name) | "\(.reason): \(.message)"]')"
}

# Asks again until a check holds; for steps, which have no time of their own.
eventually() { # SECONDS CHECK…
  local deadline=$((SECONDS + $1))
  shift
  until ("$@") >/dev/null; do
    ((SECONDS < deadline)) || { "$@"; return; }
    sleep 1
  done
}

# A command that may fail once, with what it says when it does not.
again() {
  local said
  said=$("$@") || { sleep 2 && said=$("$@"); } || return
  echo "$said"
}

clusters_json() { k get trinoclusters -l "trinowarren.io/group=$1" --sort-by=.metadata.creationTimestamp -o json; } # GROUP
names() { clusters_json "$1" | jq -r --arg phase "$2" '.items[] | select((.status.phase // "none") | test("^(" + $phase + ")$")) | .metadata.name'; } # GROUP PHASES
phase() { k get trinocluster "$1" --ignore-not-found -o jsonpath='{.status.phase}'; } # CLUSTER

# The group has exactly these clusters: so many in all, each of them in this phase.
clusters() { # GROUP COUNT PHASE
  local seen
  seen=$(clusters_json "$1" | jq -r '[.items[] | .status.phase // "none"] | join(" ")')
  [ "$seen" = "$(for ((i = 0; i < $2; i++)); do echo "$3"; done | paste -sd' ')" ] || no "clusters of $1: ${seen:-none}; wanted $2 $3"
}

# The gateway sends queries to so many clusters of the group.
routed() { # GATEWAY GROUP ACTIVE
  local active
  active=$(k get trinogateway "$1" -o json | jq -r --arg group "$2" '[.status.groups[]? | select(.name == $group) | .active] | add // 0')
  [ "$active" = "$3" ] || no "$active clusters of $2 are active behind $1, not $3"
}

workers() { # COUNT: that have joined, by Trino's own word
  local count
  count=$("$HACK/query.sh" "$NAMESPACE" "$PROXY" "SELECT count(*) FROM system.runtime.nodes WHERE NOT coordinator AND state = 'active'" | tr -d '"')
  [ "$count" = "$1" ] || no "$count workers are active, not $1"
}

query() { # SQL EXPECTED: rows as CSV without quotes, joined by blanks; through the gateway
  local rows
  rows=$("$HACK/query.sh" "$NAMESPACE" "$PROXY" "$1" | tr -d '"' | paste -sd' ') || no "the query failed: $1"
  [ "$rows" = "$2" ] || no "the query gave '$rows' and not '$2'"
}

# A query that fails, with these words of the gateway's.
rejected() { # SQL WORDS
  local said
  said=$(WARREN_QUERY_TIMEOUT=20 "$HACK/query.sh" "$NAMESPACE" "$PROXY" "$1" 2>&1) && no "the query was not refused: $said"
  [[ $said == *"$2"* ]] || no "the refusal says: $said"
}

# A new self-signed certificate for the Service, and its key.
certify() { # SECRET
  local dir
  dir=$(mktemp -d)
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj "/CN=$PROXY" \
    -addext "subjectAltName=DNS:$PROXY" -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null
  k create secret tls "$1" --cert="$dir/tls.crt" --key="$dir/tls.key" --dry-run=client -o yaml | k apply -f -
  rm -r "$dir"
}

# A certificate that the user keeps for a cluster, of a CA of its own: for this name, and until so many days from now. With
# `another` the Secret says of another CA that it is the one.
keeps() { # SECRET NAME DAYS [another]
  local dir ca
  dir=$(mktemp -d)
  for ca in ca another; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj "/CN=$ca" -keyout "$dir/$ca.key" -out "$dir/$ca.crt" 2>/dev/null
  done
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -keyout "$dir/tls.key" -out "$dir/tls.csr" 2>/dev/null
  # By `ca`, since `x509` lets no certificate begin in the past.
  touch "$dir/index"
  printf '%s\n' '[ca]' 'default_ca=own' '[own]' "database=$dir/index" "new_certs_dir=$dir" 'rand_serial=yes' 'default_md=sha256' 'policy=any' \
    'x509_extensions=names' '[any]' 'commonName=supplied' '[names]' "subjectAltName=DNS:$2" >"$dir/cnf"
  openssl ca -batch -notext -config "$dir/cnf" -cert "$dir/ca.crt" -keyfile "$dir/ca.key" -in "$dir/tls.csr" -out "$dir/tls.crt" \
    -startdate "$(date -u -d '-9 days' +%Y%m%d%H%M%SZ)" -enddate "$(date -u -d "$3 days" +%Y%m%d%H%M%SZ)" 2>/dev/null
  cat "$dir/tls.key" "$dir/tls.crt" >"$dir/tls-combined.pem"
  k create secret generic "$1" --from-file="$dir/tls-combined.pem" --from-file="$dir/tls.crt" --from-file=ca.crt="$dir/${4:-ca}.crt" --dry-run=client -o yaml | k apply -f -
  rm -r "$dir"
}

# A way to a port, from `port` of this machine until the subshell ends that calls it; `dir` is a folder for as long.
forward() { # TARGET PORT
  port=''
  dir=$(mktemp -d)
  touch "$dir/forward"
  # Not by k, a function: its shell would be killed, and not what it started.
  kubectl --namespace "$NAMESPACE" port-forward "$1" ":$2" >"$dir/forward" 2>&1 &
  # shellcheck disable=SC2064 # the values of now
  trap "kill $! 2>/dev/null; rm -r '$dir'" EXIT
  for _ in {1..300}; do
    port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$dir/forward" | head -n 1)
    { [ -z "$port" ] && kill -0 $! 2>/dev/null; } || break
    sleep 0.1
  done
  [ -n "$port" ] || no "no way to port $2 of $1: $(cat "$dir/forward")"
}

# Sends a statement to a port of the Service, whose name is the URL's host, and follows it to its end: the rows, then the
# error's message. With a Secret, its certificate alone is trusted. A client that names no source; with $SHOWS, user:password, one
# that shows who it is.
statement() ( # URL SQL [SECRET]
  local url=$1 sql=$2 dir port page next trust=() who=(-H 'X-Trino-User: demo')
  [ -z "${SHOWS:-}" ] || who=(-u "$SHOWS")
  forward "service/$PROXY" "${url##*:}"
  if [ -n "${3:-}" ]; then
    k get secret "$3" -o json | jq -r '.data["tls.crt"]' | base64 -d >"$dir/trusted.pem"
    trust=(--cacert "$dir/trusted.pem")
  fi
  ask() {
    curl -sS --max-time 30 --connect-to "${url#*://}:127.0.0.1:$port" "${trust[@]}" "${who[@]}" "$@"
  }
  page=$(ask --data "$sql" "$url/v1/statement")
  while true; do
    jq -c '.data[]?, (.error.message // empty)' <<<"$page"
    next=$(jq -r '.nextUri // empty' <<<"$page")
    [ -n "$next" ] || break
    page=$(ask "$next")
  done
)

# What a statement sent there comes to.
answers() { # URL SQL WORDS [SECRET]
  local said
  said=$(statement "$1" "$2" "${4:-}" 2>&1) || no "$1 does not answer: $said"
  [[ $said == *"$3"* ]] || no "$1 answers: $said"
}

# The Secret of a password file with this user alone; hashed by PBKDF2, as Trino documents it.
staff() { # USER:PASSWORD
  local hash
  hash=$(python3 -c 'import hashlib, os, sys
salt = os.urandom(16)
print(1000, salt.hex(), hashlib.pbkdf2_hmac("sha1", sys.argv[1].encode(), salt, 1000, 32).hex(), sep=":")' "${1#*:}")
  k create secret generic staff --from-literal=users="${1%%:*}:$hash" --dry-run=client -o yaml | k apply -f -
}
signed_in() { SHOWS=$1 answers https://pxg-proxy:8080 "$2" "$3" pxg-tls; } # USER:PASSWORD SQL WORDS

# What who is not let in gets: status, challenges, body.
refusal() ( # SERVICE PORT USER:PASSWORD: what it is trusted by comes in
  local dir port
  forward "service/$1" "$2"
  cat >"$dir/trusted.pem"
  curl -sS --max-time 20 --cacert "$dir/trusted.pem" --connect-to "::127.0.0.1:$port" -u "$3" -D "$dir/head" -o "$dir/body" \
    -w '%{http_code}\n' --data 'SELECT 1' "https://$1${4:-}:$2/v1/statement"
  tr -d '\r' <"$dir/head" | grep -i '^www-authenticate:' | sort
  cat "$dir/body"
)
# It is refused with 401, the same by the coordinator itself and through the gateway.
refused_alike() { # GROUP USER:PASSWORD
  local cluster direct through
  cluster=$(names "$1" Active)
  direct=$(k get "trinocluster/$cluster" -o json | jq -r .status.tls.server.ca | refusal "$cluster-coordinator" 8443 "$2" ".$NAMESPACE.svc")
  through=$(k get secret pxg-tls -o json | jq -r '.data["tls.crt"]' | base64 -d | refusal pxg-proxy 8080 "$2")
  [[ $direct == 401* ]] || no "the coordinator says: $direct"
  [ "$direct" = "$through" ] || no "the coordinator says: $direct; and the gateway: $through"
}
# The proxies have run the health check's query.
checked_by_query() { # RESULT
  local cluster
  cluster=$(names adhoc Active)
  [ "$(metric "warren_proxy_health_checks_total{cluster=\"$cluster\",check=\"sql\",result=\"$1\"}")" -gt 0 ] ||
    no "no query has checked $cluster: $(metric "warren_proxy_health_checks_total{cluster=\"$cluster\",check=\"sql\"")"
}
# So many workers are there, ready, and nobody else drains.
until_workers() { # GROUP COUNT SECONDS
  local cluster deadline=$((SECONDS + $3)) seen
  cluster=$(names "$1" Active)
  until seen=$(k get "trinocluster/$cluster" -o json | jq -c '.status.workers') &&
    [ "$(jq -c '[.ready, .draining]' <<<"$seen")" = "[$2,0]" ] && [ "$(worker_pods "$cluster" | jq '.items | length')" = "$2" ]; do
    ((SECONDS < deadline)) || no "workers of $cluster: $seen"
    sleep 1
  done
}

# Queries run in this resource group.
grouped() { query "SELECT DISTINCT resource_group_id[1] FROM system.runtime.queries WHERE state = 'RUNNING'" "$1"; } # GROUP

# All nodes of the cluster speak HTTPS with each other, by the addresses that Trino makes certificates for, and with proxies.
encrypted() { # GROUP NODES
  local url
  query "SELECT count(*) FROM system.runtime.nodes WHERE state = 'active' AND http_uri LIKE 'https://%.ip:8443'" "$2"
  url=$(k get configmap gw-routing -o json | jq -r '.data["routing-table.json"] | fromjson | .groups[].clusters[].url')
  [ "$url" = "https://$(names "$1" Active)-coordinator.$NAMESPACE.svc:8443" ] || no "the table leads to $url"
}

# The serial number, or the issuer, of the certificate that a Deployment's pods show, as the wire has it.
shown() ( # DEPLOYMENT PORT [issuer]
  local dir port
  forward "deployment/$1" "$2"
  openssl s_client -connect "127.0.0.1:$port" </dev/null 2>/dev/null | openssl x509 -noout "-${3:-serial}"
)

# Renews the certificate of a component of the group's one cluster, or that which the proxies show to coordinators that tell of
# their queries, while queries are answered all along.
renews() { # GROUP coordinator|worker|events SECONDS [asked]
  local cluster secret owner at before now deadline told
  cluster=$(names "$1" Active)
  deadline=$((SECONDS + $3))
  secret=$cluster-$2-tls owner=trinocluster/$cluster at=("$cluster-$2" 8443)
  [ "$2" != events ] || secret=$PROXY-events-tls owner=proxygroup/${PROXY%-proxy} at=("$PROXY" 9091)
  until before=$(shown "${at[@]}"); do
    ((SECONDS < deadline)) || no "${at[0]} shows no certificate"
  done
  "${4:-removed}" "$secret"
  k annotate --overwrite "$owner" "test/renew=$(date +%s%N)" # looked at at once
  until now=$(shown "${at[@]}") && [ "$now" != "$before" ]; do
    nations
    ((SECONDS < deadline)) || no "${at[0]} still shows $before after $3 s"
  done
  echo "$secret: $before, then $now, after $((SECONDS - deadline + $3)) s"
  told=$(metric 'warren_proxy_events_total{kind="completed",')
  for _ in 1 2 3 4 5; do nations; done
  eventually 30 told completed $((told + 5))
}

# The coordinator tells of its queries by HTTPS alone.
tells_by_https() { # GROUP
  local url
  url=$(k get configmaps -l "trinowarren.io/cluster=$(names "$1" Active)" -o json |
    jq -r '.items[].data["warren-event-listener.properties"] // empty' | sed -n 's/^http-event-listener.connect-ingest-uri=//p')
  [[ $url == "https://$(names "$1" Active)-events.$NAMESPACE.svc:9091/"* ]] || no "the coordinator tells ${url:-nobody}"
}

removed() { k delete secret "$1"; } # SECRET
# As `cmctl renew` does it.
asked() { # CERTIFICATE
  k patch certificate "$1" --subresource=status --type=json -p "[{\"op\": \"add\", \"path\": \"/status/conditions/-\", \"value\":
    {\"type\": \"Issuing\", \"status\": \"True\", \"reason\": \"ManuallyTriggered\", \"message\": \"asked for\", \"lastTransitionTime\": \"$(date -u +%FT%TZ)\"}}]"
}

# What the coordinator shows is what cert-manager made by this issuer, and the operator says so, too.
by_cert_manager() { # GROUP ISSUER
  local cluster serial told
  cluster=$(names "$1" Active)
  serial=$(k get secret "$cluster-coordinator-tls" -o jsonpath='{.data.tls\.crt}' | base64 -d | openssl x509 -noout -serial)
  [ "$(shown "$cluster-coordinator" 8443)" = "$serial" ] || no "the coordinator shows $(shown "$cluster-coordinator" 8443), not $serial"
  # A serial number is a signed number: it may begin with a byte of zeros, which openssl leaves out.
  told=$(k get trinocluster "$cluster" -o json | jq -r '.status.tls.server | "serial=\(.serial | ascii_upcase | ltrimstr("00")) \(.issuer)"')
  [ "$told" = "$serial $2" ] || no "the operator says $told, and not $serial $2"
}

# How often the operator has written such an object, and that it has not done so since that was noted.
writes() { # KIND
  local pod
  for pod in $(kubectl -n warren-system get pods -l app.kubernetes.io/instance=warren --field-selector=status.phase=Running -o name); do
    kubectl get --raw "/api/v1/namespaces/warren-system/pods/${pod#pod/}:8080/proxy/metrics"
  done | awk -v kind="writes_total{kind=\"$1\"," 'index($0, kind) {sum += $NF} END {print sum + 0}'
}
note_writes() { kubectl annotate --overwrite namespace "$NAMESPACE" "test/writes=$(writes "$1")"; } # KIND
no_writes() { # KIND
  local now
  now=$(writes "$1")
  [ "$now" = "$(noted writes)" ] || no "the operator has written $now objects of kind $1, and before $(noted writes)"
}

nations() { query 'SELECT count(*) FROM tpch.tiny.nation' 25; }

absent() { # OBJECT
  [ -z "$(k get "$1" --ignore-not-found -o name)" ] || no "$1 is still there"
}

# Between LOW and HIGH objects of each of the kinds carry the label.
by_label() { # LOW HIGH KINDS LABEL
  local kind found
  for kind in ${3//,/ }; do
    found=$(k get "$kind" -l "$4" -o name)
    (($(wc -w <<<"$found") >= $1 && $(wc -w <<<"$found") <= $2)) || no "$kind with $4: ${found:-none}; wanted $1 to $2"
  done
}

# The namespace has nothing but what every namespace has, and its CA, which stays.
empty() {
  local left
  left=$(k get "$ALL_KINDS" -o name | grep -vxE 'configmap/kube-root-ca.crt|serviceaccount/default|secret/warren-ca' | paste -sd' ' || true)
  [ -z "$left" ] || no "left behind: $left"
}

# What says that it belongs to a cluster belongs to one that exists.
no_orphans() {
  local clusters orphans
  clusters=$(k get trinoclusters -o json | jq -c '[.items[].metadata.name]')
  orphans=$(k get "$ALL_KINDS" -l trinowarren.io/cluster -o json | jq -r --argjson clusters "$clusters" '
    .items[] | .metadata.labels["trinowarren.io/cluster"] as $cluster
    | select($clusters | index($cluster) | not) | "\(.kind)/\(.metadata.name)"' | paste -sd' ')
  [ -z "$orphans" ] || no "of clusters that are no more: $orphans"
}

# Exactly one cluster of the group is Failed, and says why.
failed() { # GROUP REGEX
  local name
  name=$(names "$1" Failed)
  [ "$(wc -w <<<"$name")" = 1 ] || no "one Failed cluster is wanted, not '$name'"
  condition "trinocluster/$name" Stalled True "$2"
  event "trinocluster/$name" "$2"
}

# Pods that must neither go nor restart from here on; noted at the namespace, where the later steps find them.
pods_json() { k get pods -l "$1" -o json | jq -c '[.items[] | {key: .metadata.uid, value: ([.status.containerStatuses[]?.restartCount] | add)}] | from_entries'; }
remember() { # LABEL
  kubectl annotate --overwrite namespace "$NAMESPACE" "test/label=$1" "test/pods=$(pods_json "$1")" >/dev/null
}
noted() { kubectl get namespace "$NAMESPACE" -o jsonpath="{.metadata.annotations.test/$1}"; } # label|pods
remembered() {
  local label before
  label=$(noted label)
  before=$(noted pods)
  pods_json "$label" | jq -e --argjson before "$before" '. as $now | all($before | to_entries[]; $now[.key] == .value)' >/dev/null ||
    no "pods that were to stay are gone or have restarted: $before, now $(pods_json "$label")"
}

# None of those pods is left, for their namesakes of another template.
replaced() {
  local label before
  label=$(noted label)
  before=$(noted pods)
  pods_json "$label" | jq -e --argjson before "$before" 'length > 0 and all(keys[]; in($before) | not)' >/dev/null ||
    no "pods that were to be replaced are there: $before, now $(pods_json "$label")"
}

# An object is as an expression of jq wants it.
holds() { k get "$1" -o json | jq -e "$2" >/dev/null || no "$1 is not as wanted: $2; but: $(k get "$1" -o json | jq -c '{metadata, spec}')"; } # OBJECT JQ

# The port for clients takes who shows a certificate of the test's own CA, and nobody else.
asks_certificates() ( # SERVICE
  local dir port name said
  forward "service/$1" 8080
  for name in client-tls:tls.crt client-tls:tls.key authority:ca.crt; do
    k get secret "${name%:*}" -o json | jq -r --arg key "${name#*:}" '.data[$key]' | base64 -d >"$dir/${name#*:}"
  done
  at() { curl -sS --max-time 20 --cacert "$dir/ca.crt" --connect-to "$1:8080:127.0.0.1:$port" "${@:2}" "https://$1:8080/v1/info" 2>&1; }
  said=$(at "$1") && no "without a certificate it says: $said"
  [[ $said == *certificate* ]] || no "without a certificate: $said"
  said=$(at "$1" --cert "$dir/tls.crt" --key "$dir/tls.key") || no "with a certificate: $said"
)

# All proxies of a ProxyGroup are as an expression of jq wants it; there is at least one.
proxies() { # PROXYGROUP JQ
  k get pods -l "trinowarren.io/proxy-group=$1" -o json |
    jq -e ".items | map(select(.metadata.deletionTimestamp == null)) | length > 0 and all(.[]; $2)" >/dev/null ||
    no "proxies of $1 are not all as wanted: $2; but: $(k get pods -l "trinowarren.io/proxy-group=$1" -o json | jq -c '[.items[] | {labels: .metadata.labels, spec: (.spec | {volumes, nodeSelector, containers: [.containers[] | {args, ports, readinessProbe}]})}]')"
}

# Every proxy of a ProxyGroup says that it has the settings of its spec.
applied() { # PROXYGROUP
  condition "proxygroup/$1" ConfigAccepted True '^ConfigApplied: '
  k get "proxygroup/$1" -o json | jq -e '
    .status | .configHash as $hash | $hash != null and (.appliedBy | length > 0 and all(.hash == $hash and .fault == null))' >/dev/null ||
    no "the settings of $1: $(k get "proxygroup/$1" -o json | jq -c '.status | {configHash, appliedBy}')"
}

# Whether the routing table in a ConfigMap has a cluster.
table_has() { # CONFIGMAP CLUSTER true|false
  local has
  has=$(k get "configmap/$1" -o json | jq --arg name "$2" '.data["routing-table.json"] | fromjson | any(.groups[].clusters[]; .name == $name)')
  [ "$has" = "$3" ] || no "that $1 has $2 is $has, not $3"
}

# So many coordinators answer: queries go round them.
spread() { # COUNT
  local seen
  seen=$(for _ in 1 2 3 4 5 6; do "$HACK/query.sh" "$NAMESPACE" "$PROXY" "SELECT node_id FROM system.runtime.nodes WHERE coordinator"; done | sort -u | wc -l)
  [ "$seen" = "$1" ] || no "$seen coordinators answered six queries, not $1"
}

CRD=trinogateways.trinowarren.io
DESCRIPTION=/spec/versions/0/schema/openAPIV3Schema/description
crd_says() { # WORDS: at the beginning of the description
  local text
  text=$(kubectl get crd "$CRD" -o json | jq -r '.spec.versions[0].schema.openAPIV3Schema.description')
  [[ $text == "$1"* ]] || no "the CRD's description begins with '${text:0:40}', not with '$1'"
}
own_crds() { # what Helm wants to see before it takes CRDs into a release that somebody else has applied
  local crds
  mapfile -t crds < <(kubectl get crd -o name | grep '[.]trinowarren[.]io$')
  kubectl label --overwrite "${crds[@]}" app.kubernetes.io/managed-by=Helm
  kubectl annotate --overwrite "${crds[@]}" meta.helm.sh/release-name=warren meta.helm.sh/release-namespace=warren-system
}
break_crd() { kubectl patch crd "$CRD" --type=json -p "[{\"op\":\"replace\",\"path\":\"$DESCRIPTION\",\"value\":\"BROKEN\"}]"; }

# Runs an edit and watches the exchange of one cluster for another: while the new one is not Active the old one is, and
# queries are answered all along; then the old one drains and goes. One script, since a step of kuttl sees only its end.
exchange() { # GROUP SECONDS COMMAND…
  local group=$1 limit=$2 old new='' now deadline
  shift 2
  old=$(names "$group" Active)
  [ "$(wc -w <<<"$old")" = 1 ] || no "one Active cluster of $group is wanted at the start, not '$old'"
  echo "the old cluster: $old"
  "$@"
  deadline=$((SECONDS + limit))
  until new=$(names "$group" Active | grep -vx "$old"); do
    # Look again at the old one only after the new one was seen not to be Active: else the exchange may lie in between.
    [ "$(phase "$old")" = Active ] || { new=$(names "$group" Active | grep -vx "$old") || no "$old is '$(phase "$old")' and no other cluster is Active"; break; }
    nations
    ((SECONDS < deadline)) || no "no new cluster is Active after $limit s: $(clusters_json "$group" | jq -c '[.items[] | "\(.metadata.name) \(.status.phase)"]')"
    sleep 1
  done
  echo "the new cluster: $new, after $((SECONDS - deadline + limit)) s"
  until [ -z "$(k get trinocluster "$old" --ignore-not-found -o name)" ]; do
    now=$(phase "$old") || continue
    case $now in Active | Draining | Drained | Terminating | '') ;; *) no "$old is $now" ;; esac
    nations
    ((SECONDS < deadline)) || no "$old is still there after $limit s, $now"
    sleep 1
  done
  echo "the old cluster is gone"
  nations
}

# A page as a client of Trino gets it, who tries again when the gateway has none for the moment.
page_of() { curl -sS --fail --max-time 30 --retry 10 --retry-delay 1 --retry-max-time 60 --retry-connrefused "$@"; }
proxy_address() {
  local address
  for _ in {1..10}; do
    address=$("$HACK/query.sh" "$NAMESPACE" "$PROXY")
    [ -z "$address" ] || { echo "$address"; return; }
    sleep 1
  done
  no "$PROXY cannot be reached" >&2
}

# A query whose client reads some of its result and then takes its time: QUERY is its id, NEXT where it goes on, ROWS what it
# has read so far of the 1,500,000.
begin_reading() {
  local address page
  address=$(proxy_address)
  page=$(page_of -H 'X-Trino-User: reader' --data 'SELECT orderkey FROM tpch.sf1.orders' "$address/v1/statement")
  QUERY=$(jq -r .id <<<"$page") NEXT=$(jq -r .nextUri <<<"$page") ROWS=0
  until ((ROWS)); do read_page; done
}
read_page() {
  local page
  page=$(page_of "$NEXT")
  NEXT=$(jq -r '.nextUri // empty' <<<"$page") || no "no page but: ${page:0:300}"
  [ "$(jq -r '.error.message // empty' <<<"$page")" = "" ] || no "the query failed: $(jq -c .error.message <<<"$page")"
  ROWS=$((ROWS + $(jq '.data // [] | length' <<<"$page")))
}
read_rest() {
  while [ -n "$NEXT" ]; do read_page; done
  ((ROWS == 1500000)) || no "$ROWS rows came, not 1500000"
}

until_phase() { # CLUSTER PHASE SECONDS
  local deadline=$((SECONDS + $3))
  until [ "$(phase "$1")" = "$2" ]; do
    ((SECONDS < deadline)) || no "$1 is $(phase "$1"), not $2, after $3 s"
    sleep 1
  done
}
until_gone() { # OBJECT SECONDS
  local deadline=$((SECONDS + $2))
  while [ -n "$(k get "$1" --ignore-not-found -o name)" ]; do
    ((SECONDS < deadline)) || no "$1 is still there after $2 s: $(k get "$1" -o json | jq -c .status)"
    sleep 1
  done
}
waits_for_query() { # CLUSTER SECONDS: it drains all this time, and says for which query
  local end=$((SECONDS + $2)) seen
  while ((SECONDS < end)); do
    [ "$(phase "$1")" = Draining ] || no "$1 is $(phase "$1") while a client reads"
    sleep 2
  done
  seen=$(k get trinocluster "$1" -o json | jq -r '.status.draining | "\(.queries) \(.oldest.id) \(.oldest.user)"')
  [ "$seen" = "1 $QUERY reader" ] || no "$1 drains for '$seen', not for '1 $QUERY reader': $(k get trinocluster "$1" -o json | jq -c .status.draining)"
}

# Replaces the cluster of a group under a client that reads slowly.
drains() { # GROUP SECONDS COMMAND…
  local group=$1 limit=$2 old
  shift 2
  old=$(names "$group" Active)
  begin_reading
  echo "$old runs $QUERY; $ROWS rows so far"
  "$@"
  until_phase "$old" Draining "$limit"
  waits_for_query "$old" 30
  nations
  read_rest
  local done=$SECONDS
  until_gone "trinocluster/$old" 90
  echo "$old is gone $((SECONDS - done)) s after the last row"
}

# Replaces the cluster of a group under a client that takes longer than the deadline.
cut_at_deadline() { # GROUP SECONDS COMMAND…
  local group=$1 limit=$2 old
  shift 2
  old=$(names "$group" Active)
  begin_reading
  "$@"
  until_phase "$old" Draining "$limit"
  until_gone "trinocluster/$old" 150
  event "trinocluster/$old" "DrainDeadlinePassed: .*1 queries are cut: $QUERY of reader"
  eventually 30 says_gone
  nations
}
says_gone() {
  local said
  said=$(curl -sS --max-time 30 "$NEXT")
  [[ $said == *"its queries, if any, are gone"* ]] || no "the client is told: $said"
}

# Drains the node of a group's coordinator under a client that reads slowly.
moves() { # GROUP SECONDS
  local old pod node deadline=$((SECONDS + $2))
  old=$(names "$1" Active)
  pod=$(k get pods -l "app.kubernetes.io/component=coordinator,trinowarren.io/cluster=$old" -o name)
  node=$(k get "$pod" -o jsonpath='{.spec.nodeName}')
  begin_reading
  echo "$old runs $QUERY on $node; $ROWS rows so far"
  # shellcheck disable=SC2064 # the value of now
  trap "kubectl uncordon $node" EXIT
  ! kubectl drain "$node" --pod-selector "trinowarren.io/cluster=$old" --delete-emptydir-data --timeout=10s ||
    no "the coordinator was evicted under a query"
  until [ -n "$(k get "trinocluster/$old" -o jsonpath='{.metadata.annotations.trinowarren\.io/moving-since}')" ]; do
    ((SECONDS < deadline)) || no "$old is not marked: $(k get "trinocluster/$old" -o json | jq -c .metadata.annotations)"
    sleep 1
  done
  eventually 10 event "trinocluster/$old" "Moving: node \"$node\" is to go"
  kubectl uncordon "$node"
  until_phase "$old" Draining "$2"
  waits_for_query "$old" 15
  nations
  read_rest
  until_gone "trinocluster/$old" 90
}

# The operator's own binary as `kubectl warren`, by the operator's rights.
warren() { kubectl --namespace warren-system exec deployment/warren -- /warren kubectl --namespace "$NAMESPACE" "$@"; }

# Drains a group's only cluster by hand under a client that reads slowly; it stays, and takes queries again when told so.
drained_by_hand() { # GROUP
  local cluster said
  cluster=$(names "$1" Active)
  begin_reading
  said=$(warren drain "$cluster")
  [[ $said == *"no other cluster of group $1 takes queries"* ]] || no "drain says: $said"
  until_phase "$cluster" Draining 30
  waits_for_query "$cluster" 15
  said=$(warren status cluster "$cluster")
  [[ $said == *Draining*"1 queries, the oldest of reader"* ]] || no "status says: $said"
  read_rest
  said=$(warren drain "$cluster" --wait)
  [[ $said == *"trinocluster/$cluster is drained"* ]] || no "drain --wait says: $said"
  said=$(warren rollback "$1" 2>&1) && no "rollback found something: $said"
  warren undrain "$cluster"
  until_phase "$cluster" Active 60
}

# Deletes a group under a client that reads slowly; what was read is served to the end, the rest is cut by the annotation.
deleted_drains() { # GROUP SECONDS
  local cluster
  cluster=$(names "$1" Active)
  begin_reading
  k delete "trinoclustergroup/$1" --cascade=foreground --wait=false
  until_phase "$cluster" Draining "$2"
  waits_for_query "$cluster" 15
  read_page
  k annotate "trinoclustergroup/$1" trinowarren.io/force-removal=true
  until_gone "trinoclustergroup/$1" 90
}

# What PostgreSQL, the source of a catalog, says to a statement.
psql() { # SQL
  # shellcheck disable=SC2016 # for the shell there
  k exec deployment/shop-db -- sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U postgres -v ON_ERROR_STOP=1 -Atc "$0"' "$1"
}

# A value is in Secrets alone: in no other object of the namespace, and in no line that the operator logs.
kept_secret() { # VALUE
  local kind
  for kind in ${ALL_KINDS//,/ } events; do
    [ "$kind" = secrets ] || [[ $(k get "$kind" -o yaml) != *"$1"* ]] || no "$kind hold the secret"
  done
  [[ $(kubectl -n warren-system logs -l app.kubernetes.io/instance=warren --tail=-1) != *"$1"* ]] || no "the operator logs the secret"
}

# A query that needs some megabytes.
LINEITEM='SELECT count(*) FROM (SELECT orderkey, count(*) FROM tpch.sf1.lineitem WHERE orderkey < 600000 GROUP BY orderkey)'
groups_lineitem() { query "$LINEITEM" 149999; }

# Sends queries until the canary of the group is aborted; those that fail are the new cluster's.
canary_aborts() { # GROUP SECONDS
  local deadline=$((SECONDS + $2)) failed=0 stage=''
  until [ "$stage" = Aborted ]; do
    ((SECONDS < deadline)) || no "the canary is '$stage' after $2 s: $(k get "trinoclustergroup/$1" -o json | jq -c '.status | .canary, .clusters')"
    "$HACK/query.sh" "$NAMESPACE" "$PROXY" "$LINEITEM" >/dev/null 2>&1 || failed=$((failed + 1))
    stage=$(k get "trinoclustergroup/$1" -o jsonpath='{.status.canary.stage}')
  done
  echo "$failed queries failed; $(message "trinoclustergroup/$1" Stalled)"
}

# A query that computes on so many nodes, in the background: each of the TIMES takes 35 s of a core, by C1. Its rows, or what went
# wrong, go to $OUT. By curl: a client in Java takes seconds to start.
begin_computing() { # NODES TIMES
  local address page next
  address=$(proxy_address)
  OUT=$(mktemp) RESULT="[$((150030375 * $2)),$((5850350675 * $2))]"
  page=$(page_of -H 'X-Trino-User: demo' "$address/v1/statement" --data "
    SELECT count(*), sum(l.orderkey % 7 * (n.nationkey + 1))
    FROM tpch.sf1.lineitem l CROSS JOIN tpch.tiny.nation n CROSS JOIN UNNEST(sequence(1, $2))")
  until jq -e --argjson nodes "$1" '.stats | .state == "RUNNING" and .nodes >= $nodes' <<<"$page" >/dev/null; do
    next=$(jq -r '.nextUri // empty' <<<"$page")
    [ -n "$next" ] || no "the query is over before it ran on $1 nodes: $(jq -c '.error // .data' <<<"$page")"
    page=$(page_of "$next")
  done
  while next=$(jq -r '.nextUri // empty' <<<"$page") && [ -n "$next" ]; do
    page=$(page_of "$next") || break
    jq -c '.data[]?, (.error.message // empty)' <<<"$page" >>"$OUT"
  done &
  COMPUTING=$!
}
computed() { # the numbers are tpch.sf1's own
  wait "$COMPUTING"
  [ "$(cat "$OUT")" = "$RESULT" ] || no "the query's result is $(cat "$OUT"), not $RESULT"
}

worker_pods() { k get pods -l "app.kubernetes.io/component=worker,trinowarren.io/cluster=$1" -o json; } # CLUSTER
draining() { k get "trinocluster/$1" -o jsonpath='{.status.workers.draining}'; } # CLUSTER

# From three workers to one under a query that has tasks on all of them.
scales_in() { # GROUP SECONDS
  local cluster leave left deadline=$((SECONDS + $2)) began=$SECONDS
  cluster=$(names "$1" Active)
  begin_computing 3 3
  k patch "tcg/$1" --type=merge -p '{"spec":{"template":{"spec":{"workers":{"replicas":1}}}}}'
  until [ "$(draining "$cluster")" = 2 ]; do
    ((SECONDS < deadline)) || no "status.workers.draining is $(draining "$cluster"), not 2"
    sleep 0.5
  done
  leave=$(worker_pods "$cluster" | jq -r '.items[] | select(.metadata.annotations["trinowarren.io/leaving-since"]) | .metadata.name' | sort)
  echo "$leave" | paste -sd' ' | sed "s/^/leaving: /"
  kill -0 "$COMPUTING" || no "the query is over before the workers drain: $(cat "$OUT")"
  # While a pod is unready, that is told instead.
  eventually 20 condition "trinocluster/$cluster" Reconciling True '^WorkersDraining: 2 workers'
  computed
  echo "the query has ended $((SECONDS - began)) s after it began, with $(worker_pods "$cluster" | jq '.items | length') workers there"
  until [ "$(worker_pods "$cluster" | jq '.items | length')" = 1 ]; do
    ((SECONDS < deadline)) || no "workers: $(worker_pods "$cluster" | jq -c '[.items[] | .metadata.name, .metadata.annotations]')"
    sleep 1
  done
  echo "one worker is left $((SECONDS - began)) s after the query began"
  left=$(worker_pods "$cluster" | jq -r '.items[].metadata.name')
  ! grep -qx "$left" <<<"$leave" || no "$left stays, and was told to go"
  worker_pods "$cluster" | jq -e '[.items[].status.containerStatuses[].restartCount] | add == 0' >/dev/null || no "a worker has restarted"
}

# A worker that Kubernetes removes ends its tasks first, and another one comes meanwhile.
evicted() { # GROUP SECONDS
  local cluster pod deadline=$((SECONDS + $2)) began=$SECONDS
  cluster=$(names "$1" Active)
  pod=$(worker_pods "$cluster" | jq -r '.items[0].metadata.name')
  begin_computing 1 2
  k delete pod "$pod" --wait=false
  computed
  echo "the query has ended $((SECONDS - began)) s after it began"
  [ -n "$(k get pod "$pod" --ignore-not-found -o name)" ] || no "$pod went before the query's end"
  until_gone "pod/$pod" $((deadline - SECONDS))
  echo "$pod is gone $((SECONDS - began)) s after the query began"
}

# The autoscaler sees what the workers use, and acts on the TrinoCluster.
autoscaled() { # GROUP
  local cluster
  cluster=$(names "$1" Active)
  k get "hpa/$cluster-worker" -o json | jq -e '
    .spec.scaleTargetRef.kind == "TrinoCluster"
    and any(.status.conditions[]; .type == "ScalingActive" and .status == "True")
    and (.status.currentMetrics[0].resource.current.averageUtilization != null)' >/dev/null ||
    no "the autoscaler: $(k get "hpa/$cluster-worker" -o json | jq -c '.status')"
  k get "tcl/$cluster" -o json | jq -e '.spec.workers.replicas >= 1' >/dev/null || no "$cluster has no number of workers"
}

removed_at_once() { # GROUP SECONDS
  local began=$SECONDS
  k delete "trinoclustergroup/$1" --wait=false
  until_gone "trinoclustergroup/$1" "$2"
  echo "$1 is gone after $((SECONDS - began)) s"
}

# A sum over all proxies of what their metrics say.
metric() { # PREFIX
  local pod
  for pod in $(k get pods -l app.kubernetes.io/component=proxy --field-selector=status.phase=Running -o name); do
    again kubectl get --raw "/api/v1/namespaces/$NAMESPACE/pods/${pod#pod/}:9090/proxy/metrics"
  done | awk -v prefix="$1" 'index($0, prefix) == 1 {sum += $NF} END {print sum + 0}'
}
# The proxies were told of at least so many queries that began or ended; most were seen by their pages before.
told() { # created|completed COUNT
  local count
  count=$(metric "warren_proxy_events_total{kind=\"$1\",")
  ((count >= $2)) || no "$count queries were told $1, not $2: $(metric warren_proxy_events_total) events in all"
}
# So many queries go on, by the coordinators' word and by events.
counted() { # COUNT
  local count
  count=$(metric warren_proxy_cluster_queries)
  ((count == $1)) || no "$count queries go on, not $1"
}

# Status and text of a request to the port for events.
to_events() ( # CLUSTER CURL-ARGUMENT… PATH
  local cluster=$1 dir port
  shift
  forward "service/$cluster-events" 9091
  curl -sS --max-time 20 -w ' %{http_code}' "${@:1:$#-1}" "http://127.0.0.1:$port${*: -1}"
)
needs_token() { # GROUP
  local cluster token event=/v1/trino-event-listener said
  cluster=$(names "$1" Active)
  token=$(k get secret "$cluster-events" -o jsonpath='{.data.token}' | base64 -d)
  said=$(to_events "$cluster" -d '{}' "$event")
  [[ $said == *401 ]] || no "without a token it says: $said"
  said=$(to_events "$cluster" -H "Authorization: Bearer ${token}0" -d '{}' "$event")
  [[ $said == *401 ]] || no "to a wrong token it says: $said"
  said=$(to_events "$cluster" -H "Authorization: Bearer $token" -d '{}' "$event")
  [[ $said == *"neither of a query nor of a split"*400 ]] || no "to the token and no event it says: $said"
  said=$(to_events "$cluster" -H "Authorization: Bearer $token" -d '{}' "/c/$cluster$event")
  [[ $said == *404 ]] || no "below the cluster it says: $said"
  said=$(to_events "$cluster" -H 'X-Trino-User: demo' -d 'SELECT 1' /v1/statement)
  [[ $said == *404 ]] || no "to a statement it says: $said"
  ! k get configmap gw-routing -o json | grep -qF "$token" || no "the routing table holds the token"
}

# A client that goes on at the cluster itself, within its network: a query that runs is counted, and after it none.
polls_directly() { # GROUP
  local cluster pod page next deadline=$((SECONDS + 150)) before
  cluster=$(names "$1" Active)
  pod=$(k get pods -l "app.kubernetes.io/component=coordinator,trinowarren.io/cluster=$cluster" -o name)
  at() { k exec "$pod" -c trino -- curl -sS --max-time 30 -H 'X-Trino-User: demo' "$@"; }
  before=$(metric 'warren_proxy_events_total{kind="completed",')
  until page=$(at --data 'SELECT count(*) FROM tpch.sf100.lineitem CROSS JOIN tpch.tiny.nation' "http://$PROXY:8080/v1/statement") &&
    next=$(jq -r .nextUri <<<"$page") && [[ $next == "http://$cluster-coordinator:8080/v1/"* ]]; do
    ((SECONDS < deadline)) || no "the client is led to ${next:-nowhere}: ${page:0:300}"
    sleep 1
  done
  while [ "$(jq -r .stats.state <<<"$page")" != RUNNING ]; do
    page=$(at "$next")
    next=$(jq -r '.nextUri // empty' <<<"$page")
    [ -n "$next" ] || no "the query is over before it ran: ${page:0:300}"
  done
  until (counted 1) >/dev/null; do
    ((SECONDS < deadline)) || no "a query runs, and is not counted"
    sleep 1
  done
  at -X DELETE "$next"
  until (counted 0 && told completed $((before + 1))) >/dev/null; do
    ((SECONDS < deadline)) || no "the query has ended, and counts"
    sleep 1
  done
}

# shellcheck source=inside.sh
source "$(dirname "${BASH_SOURCE[0]}")/inside.sh"

"$@"
