#!/usr/bin/env bash
# The end-to-end tests: installs this tree's operator, then runs tests/kuttl against a real API server, kubelet and
# Trino. What every test needs is installed once; tests/kuttl/nodes holds those that must be alone on the node,
# tests/kuttl/last those that must be alone with the operator, tests/kuttl/more those that run by their names alone.
# Each test is a line `ok` or `FAILED` with its time, and a failed one is followed by the end of its log.
#
#   kuttl.sh              all tests
#   kuttl.sh NAME…        some, by the names of their folders
#   WARREN_IMAGE=REF      tests this image, and builds none
#   WARREN_KEEP=1         leaves the namespaces of the tests
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

TESTS=$(realpath "$HACK/../tests/kuttl")
LOGS=$(realpath -m "$HACK/../target/test-logs/kuttl")
TRINO_VERSION=$(sed -n 's/^ *version: "\(.*\)".*/\1/p' "$TESTS/fleet.yaml")
LEFTOVER_LIMIT=120 # seconds that a namespace may take to go
FAILED=0

prepare() {
  local settings
  settings=$("$HACK/cluster.sh" env)
  eval "$settings"
  "$HACK/tools.sh" helm kuttl trino
  "$HACK/images.sh" trino "$TRINO_VERSION"
  "$HACK/images.sh" postgres
  "$HACK/images.sh" services
  "$HACK/images.sh" plugin postgresql "$TRINO_VERSION"
  "$HACK/images.sh" plugin opa "$TRINO_VERSION"
  [ -n "${WARREN_IMAGE:-}" ] || WARREN_IMAGE=$("$HACK/images.sh" warren | tail -n 1)
  export WARREN_IMAGE # so that the tests that install build nothing
  "$HACK/install.sh"
}

verdict() { # NAME SECONDS COMMAND…: for the checks that are no kuttl tests
  local name=$1 begin=$SECONDS
  shift
  if "$@" >"$LOGS/$name.log" 2>&1; then
    printf 'ok      %-16s %4d s\n' "$name" $((SECONDS - begin))
  else
    printf 'FAILED  %-16s %4d s\n' "$name" $((SECONDS - begin))
    tail -n 20 "$LOGS/$name.log" | sed 's/^/        | /'
    FAILED=$((FAILED + 1))
  fi
}

examples() {
  local file
  for file in "$HACK"/../deploy/examples/*.yaml; do
    [ "$(basename "$file")" = kustomization.yaml ] || kubectl -n default apply --dry-run=server --validate=strict -f "$file" || return
  done
}

# kuttl's words, one line per step, are the log of a folder's run; on the screen each test gets one.
run() { # FOLDER [TEST]
  local log flags=()
  log=$LOGS/$(basename "$1")${2:+-$2}.log
  [ -z "${2:-}" ] || flags+=(--test "$2")
  [ -z "${WARREN_KEEP:-}" ] || flags+=(--skip-delete)
  (cd "$LOGS" && kubectl-kuttl test "$1" --config "$TESTS/kuttl-test.yaml" "${flags[@]}" >"$log" 2>&1) || true
  report "$log"
}

report() { # LOG
  local state name seconds
  grep -qE -- '--- (PASS|FAIL): kuttl/harness/' "$1" || { tail -n 20 "$1" | sed 's/^/        | /'; FAILED=$((FAILED + 1)); echo "FAILED  kuttl ran no test"; return; }
  while read -r state name seconds; do
    case $state in
      PASS) printf 'ok      %-16s %4.0f s\n' "$name" "$seconds" ;;
      *)
        printf 'FAILED  %-16s %4.0f s, log in %s\n' "$name" "$seconds" "$1"
        grep -E "^ *logger.go:.* \| $name(/|\s)|^ *case.go:" "$1" | sed -E 's/^ *[a-z]+\.go:[0-9]+: //' | tail -n 60 | cut -c1-400 | sed 's/^/        | /'
        FAILED=$((FAILED + 1))
        ;;
    esac
  done < <(sed -nE 's|.*--- (PASS\|FAIL): kuttl/harness/([^ ]+) \(([0-9.]+)s\).*|\1 \2 \3|p' "$1")
}

# Kubernetes (1.33 and newer) removes the pods of a namespace first, and looks again only after half of the longest grace period
# that it saw, though they are gone: workers have minutes. A namespace that changes is looked at at once.
hasten() {
  local name
  while sleep 5; do
    for name in $(kubectl get namespaces -o json | jq -r '.items[].metadata | select(.deletionTimestamp and (.name | startswith("kuttl-"))) | .name' || true); do
      kubectl annotate --overwrite namespace "$name" "test/look=$SECONDS" || true # it may be gone by now
    done
  done
}

leftovers() { # a namespace that does not go has an object whose finalizer nobody removes
  wait_for "the tests' namespaces to go" "$LEFTOVER_LIMIT" no_namespaces && return
  kubectl get namespaces -o json | jq -r '.items[] | select(.metadata.name | startswith("kuttl-")) | .metadata.name,
    (.status.conditions[]? | select(.status == "True") | "  " + .message)'
  return 1
}
no_namespaces() { ! kubectl get namespaces -o name | grep -q '^namespace/kuttl-'; }

main() {
  local name
  mkdir -p "$LOGS"
  prepare
  hasten &>/dev/null &
  # shellcheck disable=SC2064 # the value of now
  trap "kill $!" EXIT
  if (($#)); then
    for name in "$@"; do
      if [ -d "$TESTS/cases/$name" ]; then run "$TESTS/cases" "$name"
      elif [ -d "$TESTS/nodes/$name" ]; then run "$TESTS/nodes" "$name"
      elif [ -d "$TESTS/last/$name" ]; then run "$TESTS/last" "$name"
      elif [ -d "$TESTS/more/$name" ]; then run "$TESTS/more" "$name"
      else die "no such test: $name"; fi
    done
  else
    verdict examples examples
    run "$TESTS/cases"
    run "$TESTS/nodes"
    run "$TESTS/last"
    [ -n "${WARREN_KEEP:-}" ] || verdict no-leftovers leftovers
  fi
  ((FAILED == 0))
}

main "$@"
