#!/usr/bin/env bash
# Trials that take too long for the tests. Most without Kubernetes: real coordinators, real clients, and three gateways behind
# one address (HAProxy, by TCP). Each is a line `ok` or `FAILED`.
#
#   soak.sh            all
#   soak.sh operator   the operator, in virtual time, is killed at each of its writes and sees late, wrongly or not at all
#   soak.sh cert-manager   on a Kubernetes node: certificates by a real cert-manager (tests/kuttl/more)
#   soak.sh kill       every few seconds one of three gateways is killed (SIGKILL) and started anew: no query that a client
#                      knows of breaks, and no row is lost or repeated
#   soak.sh rollout    all three are replaced, one after the other, by SIGTERM: nothing fails at all
#   SECONDS_EACH=120 THREADS=50
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CASES=$(realpath "$HACK/../tests/clients")
LOGS=$(realpath -m "$HACK/../target/test-logs/soak")
RUN=$LOGS/run
DURATION=${SECONDS_EACH:-120} THREADS=${THREADS:-50}
FAILURES=0
# shellcheck source=clients/programs.sh
source "$HACK/clients/programs.sh"
# shellcheck source=clients/servers.sh
source "$HACK/clients/servers.sh"
# shellcheck source=load.sh
source "$HACK/load.sh"

replica() { # NUMBER: on its own ports, again after it was stopped
  launch "replica-$1" "$WARREN" proxy --config "$RUN/replicas.yaml" --listen-client "127.0.0.1:${PORT[replica-$1]}" \
    --listen-admin "127.0.0.1:${ADMIN[replica-$1]}" --log-format json --threads 1 --drain-delay 2s --drain-timeout 60s
}

ready() { curl -sf --max-time 2 "http://127.0.0.1:${ADMIN[$1]}/readyz" && all_healthy "$1" 2; } # NAME

one_address() { # a balancer that looks at the readiness of each replica, as a Service of Kubernetes does
  local number
  {
    printf '%s\n' 'defaults' ' mode tcp' ' timeout connect 2s' ' timeout client 5m' ' timeout server 5m' ' retries 3' \
      ' option redispatch' 'frontend all' " bind 127.0.0.1:${PORT[all]}" ' default_backend replicas' 'backend replicas' \
      ' balance roundrobin' ' option httpchk GET /readyz' ' default-server inter 500ms fall 1 rise 1'
    for number in 1 2 3; do
      echo " server r$number 127.0.0.1:${PORT[replica-$number]} check port ${ADMIN[replica-$number]}"
    done
  } >"$RUN/haproxy.cfg"
  launch balancer "$HAPROXY" -db -f "$RUN/haproxy.cfg"
}

start() {
  local ports number
  step "starting two coordinators, three gateways and a balancer"
  coordinator blue
  coordinator green
  await_coordinators blue green
  read -ra ports < <(free_ports 7)
  PORT[all]=${ports[6]}
  {
    printf '%s\n' "externalUrl: \"$(address all)\"" 'groups:' '- name: clients' '  clusters:'
    printf '  - {name: %s, url: "%s"}\n' blue "$(address blue)" green "$(address green)"
    echo 'routing: {default: {group: clients}}'
  } >"$RUN/replicas.yaml"
  for number in 1 2 3; do
    PORT[replica-$number]=${ports[$((2 * number - 2))]} ADMIN[replica-$number]=${ports[$((2 * number - 1))]}
    replica "$number"
  done
  for number in 1 2 3; do wait_for "replica $number" 30 ready "replica-$number" || die "replica $number is not ready"; done
  one_address
  wait_for "the balancer" 20 curl -sf --max-time 2 "$(address all)/v1/info" || die "the balancer leads nowhere"
}

load() { begin_load "$1" "127.0.0.1:${PORT[all]}" "$DURATION"; } # NAME

verdict() { # NAME LOST_ALLOWED DISTURBANCES
  if await_load "$1" "$2" && (($3 > 2)); then
    printf 'ok      %s: %s; %s replacements in %s s, %s threads\n' "$1" "$SAID" "$3" "$DURATION" "$THREADS"
  else
    FAILURES=$((FAILURES + 1))
    printf 'FAILED  %s: %s; %s replacements\n' "$1" "$SAID" "$3"
    load_faults "$1"
  fi
}

kill_trial() { # a first call that was under way at the killed one is lost: no client repeats it
  local number count=0
  step "kill: a gateway every 3 s for $DURATION s under $THREADS queries"
  load kill
  while kill -0 "$LOAD" 2>/dev/null; do
    number=$((count % 3 + 1)) count=$((count + 1))
    kill -KILL "${PID[replica-$number]}"
    wait "${PID[replica-$number]}" 2>/dev/null || true
    sleep 1
    replica "$number"
    sleep 2
  done
  verdict kill any "$count"
}

rollout_trial() {
  local number count=0
  step "rollout: one gateway after the other for $DURATION s under $THREADS queries"
  load rollout
  while kill -0 "$LOAD" 2>/dev/null; do
    number=$((count % 3 + 1)) count=$((count + 1))
    kill -TERM "${PID[replica-$number]}"
    wait "${PID[replica-$number]}" 2>/dev/null || true
    replica "$number"
    wait_for "replica $number" 30 ready "replica-$number" || die "replica $number is not ready"
    sleep 1
  done
  verdict rollout 0 "$count"
}

operator_trial() { # what tests/operator runs a sample of
  local begin=$SECONDS
  step "operator: each write cut, watches that lag in a hundred ways"
  if run_logged "the operator's trials" "$LOGS/operator.log" \
    cargo test --locked --manifest-path "$HACK/../Cargo.toml" --test operator -- --ignored --nocapture; then
    printf 'ok      operator: %s runs, %s s\n' "$(awk '/^runs: / {sum += $2} END {print sum}' "$LOGS/operator.log")" $((SECONDS - begin))
  else
    FAILURES=$((FAILURES + 1))
    echo "FAILED  operator"
  fi
}

cert_manager_trial() { # it tells by itself how it went
  step "cert-manager: certificates on a Kubernetes node"
  "$HACK/kuttl.sh" cert-manager || FAILURES=$((FAILURES + 1))
}

main() {
  local name trials=()
  (($#)) || set -- operator cert-manager kill rollout
  rm -rf "$LOGS"
  mkdir -p "$RUN"
  for name in "$@"; do
    case $name in
      operator) operator_trial ;;
      cert-manager) cert_manager_trial ;;
      *) trials+=("$name") ;;
    esac
  done
  ((${#trials[@]})) || { ((FAILURES == 0)); return; }
  trap stop_all EXIT
  trap 'exit 143' TERM INT
  prepare_programs "$LOGS"
  HAPROXY=$(command -v haproxy) || { "$HACK/tools.sh" haproxy && HAPROXY=$TOOLS/haproxy-debian/haproxy; }
  start
  for name in "${trials[@]}"; do "${name}_trial"; done
  ((FAILURES == 0))
}

main "$@"
