#!/usr/bin/env bash
# All tests, from the cheapest to the dearest, in sections with their times. The last line, alone, is the tally:
# `N passed, N failed`; the exit code is 0 only when none failed. Logs stay in target/test-logs.
#
#   test.sh              everything
#   test.sh SECTION…     some: lint cargo clients node refusals kuttl
#
# Where CI is set, a local node that this run has started is taken down at the end.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$HACK/.."
SECTIONS=(lint cargo clients node refusals kuttl)
LOGS=target/test-logs
PASSED=0 FAILED=0
NODE_WAS_UP=no

count() { # PASSED FAILED
  PASSED=$((PASSED + $1)) FAILED=$((FAILED + $2))
}

# Lines `ok …` and `FAILED …`, as lint.sh and kuttl.sh print them. A run that fails without such a line counts as one.
count_lines() { # LOG STATUS
  local passed failed
  passed=$(grep -c '^ok ' "$1" || true) failed=$(grep -c '^FAILED ' "$1" || true)
  ((failed > 0 || $2 == 0)) || failed=1
  count "$passed" "$failed"
}

# `test result: ok. 12 passed; 0 failed; …`, a line per test binary. One that does not build gives none.
count_cargo() { # LOG STATUS
  local passed failed
  passed=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed.*/\1/p' "$1" | paste -sd+)
  failed=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed.*/\2/p' "$1" | paste -sd+)
  passed=$((${passed:-0})) failed=$((${failed:-0}))
  ((failed > 0 || $2 == 0)) || failed=1
  count "$passed" "$failed"
}

logged() { # LOG COMMAND…: shown and kept; the command's own exit code
  local log=$1 status
  shift
  set +e
  "$@" </dev/null 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  set -e
  return "$status"
}

section_lint() {
  local status=0
  logged "$LOGS/lint.log" "$HACK/lint.sh" || status=$?
  count_lines "$LOGS/lint.log" "$status"
}

# Unit, golden and architecture tests, the scripted API server, real sockets. Without a KUBECONFIG: what needs a cluster
# skips itself here and has a section of its own.
section_cargo() {
  local status=0
  cargo_tests "$LOGS/cargo.log" env -u KUBECONFIG WARREN_JAVA_HOME="$(java_home)" cargo test --locked --no-fail-fast || status=$?
  count_cargo "$LOGS/cargo.log" "$status"
}

cargo_tests() { # LOG COMMAND…: all of it to the log; failures and sums to the screen
  local log=$1 status=0
  shift
  run_quietly "$log" "$@" || status=$?
  if ((status)); then grep -E '^(error|test .* FAILED|---- |thread .* panicked)|panicked at' -A 6 "$log" | head -n 80 | sed 's/^/        | /' || true; fi
  grep -E '^test result: ' "$log" | sed 's/^/        /' || true
  return "$status"
}

run_quietly() { # LOG COMMAND…: with a sign of life
  local log=$1 beat status=0
  shift
  heartbeat "$1 $2 $3" "$log" &
  beat=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
  return "$status"
}

section_clients() { # real clients of Trino through the gateway; needs no cluster
  local status=0
  logged "$LOGS/clients.log" "$HACK/clients.sh" || status=$?
  count_lines "$LOGS/clients.log" "$status"
}

section_node() {
  local settings status=0
  ! "$HACK/node.sh" status &>/dev/null || NODE_WAS_UP=yes
  if settings=$("$HACK/cluster.sh" env) && eval "$settings"; then
    logged "$LOGS/images.log" "$HACK/images.sh" all || status=$?
    if ((status == 0)); then count 1 0; else count 0 1; fi
  else
    count 0 1
  fi
}

section_refusals() { # mistakes that a real API server must refuse
  local status=0
  [ -f tests/refusals.rs ] || [ -d tests/refusals ] || { info "there are none yet"; return; }
  use_cluster || { count 0 1; return; }
  cargo_tests "$LOGS/refusals.log" cargo test --locked --test refusals -- --test-threads=2 || status=$?
  count_cargo "$LOGS/refusals.log" "$status"
}

section_kuttl() {
  local status=0
  use_cluster || { count 0 1; return; }
  logged "$LOGS/kuttl.log" "$HACK/kuttl.sh" || status=$?
  count_lines "$LOGS/kuttl.log" "$status"
}

use_cluster() { # where the node section was not asked for
  local settings
  [ -z "${WARREN_CLUSTER_KIND:-}" ] || return 0
  settings=$("$HACK/cluster.sh" env) && eval "$settings"
}

take_down() { # in CI only, and only what this run has started
  [ -n "${CI:-}" ] && [ "${WARREN_CLUSTER_KIND:-}" = node ] && [ "$NODE_WAS_UP" = no ] || return 0
  "$HACK/node.sh" down || { say "the node was not removed whole"; count 0 1; }
}

main() {
  local name begin
  (($#)) || set -- "${SECTIONS[@]}"
  for name in "$@"; do
    [[ " ${SECTIONS[*]} " == *" $name "* ]] || die "no such section: $name (one of: ${SECTIONS[*]})"
  done
  rm -rf "$LOGS"
  mkdir -p "$LOGS"
  for name in "$@"; do
    begin=$SECONDS
    say
    say "=== $name"
    "section_$name"
    say "=== $name took $((SECONDS - begin)) s; so far $PASSED passed, $FAILED failed"
  done
  take_down
  say
  say "Took $((SECONDS / 60)) min $((SECONDS % 60)) s; logs in $LOGS"
}

finish() { # whatever ended this run, the tally is its last word
  local status=$?
  ((status == 0 || FAILED > 0)) || FAILED=1
  echo "$PASSED passed, $FAILED failed"
  ((FAILED == 0)) && exit 0 || exit 1
}

trap finish EXIT
main "$@"
