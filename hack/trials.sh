#!/usr/bin/env bash
# The operator in trouble on a real Kubernetes node with real Trino under load: what tests/operator does in memory. A fleet is
# made with TLS on each hop, scaled out and in, upgraded, given new certificates and deleted, first undisturbed, then in trouble; each
# act must end in the same state, no query of the load may fail, and nothing may be left over. Each trial is a line `ok` or `FAILED`.
#
#   trials.sh          all
#   trials.sh kill     the operator is killed (SIGKILL) at every one of its writes, before it hears that the write was done
#   trials.sh stale    its watches lag by up to 5 s, break every few seconds and lose what is on its way; it is killed at one
#                      write in three
#   trials.sh outage   the API server is away for five minutes: no query fails
#   OUTAGE=300 THREADS=4 WARREN_IMAGE=REF
#
# The operator runs on this machine and not in a pod, where the kubelet would let a killed one wait for minutes. It has the
# rights of its ServiceAccount, and keeps its name in the Lease, so that the next one need not wait for the Lease to end.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LOGS=$(realpath -m "$HACK/../target/test-logs/trials")
SYSTEM=warren-system
THREADS=${THREADS:-4} OUTAGE=${OUTAGE:-300}
LIMIT=900 # seconds that an act may take
FAILURES=0
# shellcheck source=clients/programs.sh
source "$HACK/clients/programs.sh"
# shellcheck source=load.sh
source "$HACK/load.sh"
# shellcheck source=node/settings.sh
source "$HACK/node/settings.sh"
# shellcheck source=node/processes.sh
source "$HACK/node/processes.sh"

k() { kubectl --namespace "$NAMESPACE" "$@"; }

prepare() {
  # shellcheck disable=SC2086 # a list of words
  prepare_fleets $TRINO_VERSIONS
  [ "$WARREN_CLUSTER_KIND" = node ] || die "this kills processes of the node: it needs the local node"
  WARREN=$(dirname "$HACK")/target/$(uname -m)-unknown-linux-gnu/release/warren
  [ -x "$WARREN" ] || die "there is no $WARREN: build it by hack/images.sh warren"
  remove_leftovers
  kubectl -n "$SYSTEM" scale deployment/warren --replicas=0 >/dev/null
  kubectl -n "$SYSTEM" wait --for=delete pod -l app.kubernetes.io/instance=warren --timeout=60s >/dev/null
  kubectl proxy --port=0 --as="system:serviceaccount:$SYSTEM:warren" >"$LOGS/proxy.log" 2>&1 &
  PROXY=$!
  wait_for "kubectl proxy" 10 grep -q 'Starting to serve' "$LOGS/proxy.log"
}

# Of a run that was cut off; while there is an operator that removes what has a finalizer.
remove_leftovers() {
  local name
  for name in $(kubectl get namespaces -o name | sed -n 's,^namespace/\(warren-trial-.*\),\1,p'); do
    kubectl -n "$name" annotate tcg --all trinowarren.io/force-removal=true >/dev/null
    kubectl -n "$name" delete tcg,pxg,tgw --all >/dev/null
    kubectl delete namespace "$name" >/dev/null
  done
}

# The operator, again and again, until its trial ends. Names of Services are the cluster's to resolve.
operator() { # NAME FLAG…: of the interceptor
  local name=$1 port=$((20000 + RANDOM % 10000))
  shift
  python3 "$HACK/../tests/soak/interceptor.py" --listen "$port" --upstream "$(sed -n 's/.* \(127.0.0.1:[0-9]*\)$/\1/p' "$LOGS/proxy.log")" \
    --pid "$LOGS/operator.pid" --log "$LOGS/$name-writes.log" "$@" 2>"$LOGS/$name-interceptor.log" &
  INTERCEPTOR=$!
  printf '%s\n' 'apiVersion: v1' 'kind: Config' 'current-context: trial' "clusters: [{name: trial, cluster: {server: \"http://127.0.0.1:$port\"}}]" \
    'contexts: [{name: trial, context: {cluster: trial, user: trial}}]' 'users: [{name: trial, user: {}}]' >"$LOGS/kubeconfig"
  printf 'nameserver %s\nsearch svc.cluster.local cluster.local\noptions ndots:5\n' "$DNS_SERVICE_IP" >"$LOGS/resolv.conf"
  supervise "$LOGS/$name-operator.log" 2>/dev/null &
  SUPERVISOR=$!
}

supervise() { # LOG
  local child=''
  trap 'kill -KILL $child 2>/dev/null; exit 0' TERM
  while :; do
    KUBECONFIG=$LOGS/kubeconfig unshare --mount sh -c "mount --bind '$LOGS/resolv.conf' /etc/resolv.conf && exec '$WARREN' operator \
      --image '$WARREN_IMAGE' --lease-namespace '$SYSTEM' --identity trial --listen 127.0.0.1:0" >>"$1" 2>&1 </dev/null &
    child=$!
    echo "$child" >"$LOGS/operator.pid"
    wait "$child" || true
  done
}

end_operator() {
  [ -z "${SUPERVISOR:-}" ] || { kill "$SUPERVISOR" && wait "$SUPERVISOR"; } 2>/dev/null || true
  [ -z "${INTERCEPTOR:-}" ] || { kill "$INTERCEPTOR" && wait "$INTERCEPTOR"; } 2>/dev/null || true
  SUPERVISOR='' INTERCEPTOR=''
}

fleet() { # that of the end-to-end tests, with a worker, TLS, and time for each query
  sed -e 's/^      version: .*/&\n      tls: {server: {enabled: true}, internal: {enabled: true}}/' \
    -e 's/drainTimeout: 5s/drainTimeout: 30m/' -e 's/workers: {replicas: 0,/workers: {replicas: 1,/' -e "s/version: \"[0-9]*\"/version: \"${TRINO_VERSIONS%% *}\"/" \
    -e 's/sleepSeconds: 0/sleepSeconds: 5/' -e 's/timeout: 5s/timeout: 1m/' -e 's/^\( *\)catalogs:/\1config: {query.client.timeout: 1m}\n&/' <(fleet_for_load)
}

act() { # NAME
  local edit
  case $1 in
    create) fleet | k apply -f - >/dev/null; return ;;
    scale-out) edit='{"replicas":2,"template":{"spec":{"workers":{"replicas":2}}}}' ;;
    scale-in) edit='{"replicas":1,"template":{"spec":{"workers":{"replicas":1}}}}' ;;
    upgrade) edit="{\"template\":{\"spec\":{\"version\":\"${TRINO_VERSIONS##* }\"}}}" ;;
    rotate) rotate; return ;;
    delete) k delete tcg/adhoc pxg/pxg tgw/gw --wait=false >/dev/null; return ;;
  esac
  k patch tcg/adhoc --type=merge -p "{\"spec\":$edit}" >/dev/null
}

# Both certificates of the cluster go, and others are made. An edit has the cluster looked at at once.
rotate() {
  local cluster
  cluster=$(k get tcl -o jsonpath='{.items[0].metadata.name}')
  k delete secret "$cluster-coordinator-tls" "$cluster-worker-tls" >/dev/null
  k annotate --overwrite tcl "$cluster" "test/rotate=$SECONDS" >/dev/null
}

# What an act ends with: every object that the operator made, its spec, and what the conditions say; without what no two
# runs have in common: UIDs, times, versions, addresses, the numbers in clusters' names, and hashes, which are of those names.
state() {
  k get tgw,tcg,tcl,pxg,deployments,controllerrevisions,services,configmaps,secrets,serviceaccounts,poddisruptionbudgets,networkpolicies,roles,rolebindings,hpa -o json |
    jq -r '[.items[] | select(.metadata.name | IN("default", "kube-root-ca.crt", "warren-ca") | not)
      | {kind, name: .metadata.name, labels: .metadata.labels, finalizers: .metadata.finalizers,
         spec: (.spec // {} | del(.clusterIP, .clusterIPs, .ports[]?.nodePort)), keys: (.data // {} | keys),
         phase: .status.phase, ready: .status.readyReplicas, conditions: [.status.conditions[]? | select(.type | IN("Ready", "Reconciling", "Stalled")) | "\(.type) \(.status) \(.reason)"]}]
      | walk(if type == "string" then gsub("adhoc-[0-9a-f]{4}-[0-9]+"; "adhoc-X") | gsub("warren-trial-[a-z]+"; "NAMESPACE") | gsub("[0-9a-f]{8}-[0-9a-f-]{27}"; "UID") | gsub("\\b[0-9a-f]{10,64}\\b"; "HASH") else . end)
      | sort_by(.kind, .name, (.spec | tostring))[] | tojson'
}

# All that was asked for is there, and nobody works on it any more.
settled() {
  k get tgw,tcg,tcl,pxg -o json | jq -e '.items | length >= 4 and all(.[];
    .metadata.generation as $now | .status.conditions // []
    | any(.[]; .type == "Ready" and .status == "True" and .observedGeneration == $now) and any(.[]; .type == "Reconciling" and .status == "False"))' >/dev/null || return 1
  ! k get pods -o json | jq -e 'any(.items[]; .metadata.deletionTimestamp)' >/dev/null || return 1
  local wanted
  [ "$(k get secrets -o name | grep -c -- '-tls$')" = $((2 * $(k get tcl -o name | wc -l))) ] || return 1
  wanted=$(k get tcg/adhoc -o json | jq '"\(.spec.replicas) \(.spec.template.spec.version) \(.spec.template.spec.workers.replicas)"')
  [ "$(k get tcl -o json | jq '[.items[] | select(.status.phase == "Active" and .status.workers.draining == 0)] | "\(length) \(map(.spec.version) | unique | join("/")) \(map(.status.workers.ready) | unique | map(tostring) | join("/"))"')" = "$wanted" ] &&
    [ "$(k get tcl -o name | wc -l)" = "$(k get tcg/adhoc -o jsonpath='{.spec.replicas}')" ]
}

gone() { [ -z "$(state)" ] && [ -z "$(k get pods -o name)" ]; }

# Settled, and in the expected state if there is one; twice, for what is restarted looks once more.
reached() { # EXPECTED
  settled && { [ ! -e "$1" ] || diff -q "$1" <(state); } && sleep 5 && settled && { [ ! -e "$1" ] || diff -q "$1" <(state); }
}

acts() { # NAME: leaves the states in <logs>/NAME-ACT.state
  local name=$1 act begin expected
  for act in create scale-out scale-in upgrade rotate; do
    begin=$SECONDS
    expected=$LOGS/undisturbed-$act.state
    act "$act"
    wait_for "$act" "$LIMIT" reached "$expected" || { WHY="$act does not end as undisturbed"; state >"$LOGS/$name-$act.state"; return 1; }
    [ "$name" != undisturbed ] || state >"$expected"
    info "$name: $act took $((SECONDS - begin)) s, $(writes "$name") writes so far"
    [ "$act" != create ] || begin_load "$name" "$(proxies_address "$NAMESPACE")" 3600
  done
  end_load "$name" || { WHY="queries failed: $SAID"; return 1; }
  begin=$SECONDS
  act delete
  wait_for "delete" "$LIMIT" gone || { WHY="delete leaves something over: $(state | cut -c1-120 | head -n 5)"; return 1; }
  info "$name: delete took $((SECONDS - begin)) s, $(writes "$name") writes in all"
}

writes() { wc -l <"$LOGS/$1-writes.log" 2>/dev/null || echo 0; } # NAME

trial() { # NAME FLAG…: all acts
  local name=$1 begin=$SECONDS
  NAMESPACE=warren-trial-$name WHY=''
  step "$name"
  kubectl create namespace "$NAMESPACE" >/dev/null
  operator "$@"
  if acts "$name"; then
    printf 'ok      %s: %s writes, %s of them the last of an operator; %s; %s s\n' "$name" "$(writes "$name")" "$(grep -c ' killed$' "$LOGS/$name-writes.log" || true)" "$SAID" $((SECONDS - begin))
    end_operator
    kubectl delete namespace "$NAMESPACE" --wait=false >/dev/null
  else
    FAILURES=$((FAILURES + 1))
    printf 'FAILED  %s: %s; logs in %s\n' "$name" "$WHY" "$LOGS"
    tail -n 5 "$LOGS/$name-operator.log" | cut -c1-300 | sed 's/^/        | /'
    stop_load
    end_operator
  fi
}

# Without the API server: pods run, proxies have their table, and clients notice nothing. It comes back, and so does the operator.
outage() {
  local begin pid status=0
  NAMESPACE=warren-trial-outage
  step "outage: $OUTAGE s"
  kubectl create namespace "$NAMESPACE" >/dev/null
  operator outage
  act create
  wait_for "create" "$LIMIT" settled || die "the fleet is not ready: $(k get tcg,tcl,pxg)"
  begin_load outage "$(proxies_address "$NAMESPACE")" 3600
  read -r pid _ < <(processes kube-apiserver)
  begin=$SECONDS
  # Whoever starts what has died must not do it now: the process is stopped for one half of the time, and dead for the other.
  kill -STOP "$pid"
  sleep $((OUTAGE / 2))
  kill -KILL "$pid"
  sleep $((OUTAGE / 2))
  info "no API server for $((SECONDS - begin)) s; it comes back"
  "$HACK/node.sh" up >&2
  act upgrade
  wait_for "an upgrade after it" "$LIMIT" settled || status=1
  end_load outage || status=1
  act delete
  wait_for "delete" "$LIMIT" gone || status=1
  end_operator
  if ((status == 0)); then
    printf 'ok      outage: no API server for %s s; %s\n' "$OUTAGE" "$SAID"
    kubectl delete namespace "$NAMESPACE" --wait=false >/dev/null
  else
    FAILURES=$((FAILURES + 1))
    printf 'FAILED  outage: %s; logs in %s\n' "$SAID" "$LOGS"
  fi
}

clean() {
  end_operator
  stop_load
  [ -z "${PROXY:-}" ] || kill "$PROXY" 2>/dev/null || true
  kubectl -n "$SYSTEM" scale deployment/warren --replicas=1 >/dev/null || true
}

main() {
  local name
  (($#)) || set -- kill stale outage
  rm -rf "$LOGS"
  mkdir -p "$LOGS"
  trap clean EXIT
  trap 'exit 143' TERM INT
  prepare
  [[ " $* " != *" kill "* && " $* " != *" stale "* ]] || trial undisturbed
  for name in "$@"; do
    case $name in
      kill) trial kill --kill 1 ;;
      stale) trial stale --kill 3 --lag 5 --break 20 ;;
      outage) outage ;;
      *) die "no such trial: $name (one of: kill stale outage)" ;;
    esac
  done
  ((FAILURES == 0))
}

main "$@"
