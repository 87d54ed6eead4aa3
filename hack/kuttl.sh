#!/usr/bin/env bash
# The end-to-end tests: installs this tree's operator, then runs tests/kuttl against a real API server, kubelet and
# Trino. What every test needs is installed once; tests/kuttl/nodes holds those that must be alone on the node,
# tests/kuttl/last those that must be alone with the operator, tests/kuttl/more those that run by their names alone.
# Each test is a line `ok` or `FAILED` with its time as soon as it has ended, and a failed one is followed by the end of its log.
#
#   kuttl.sh              all tests
#   kuttl.sh NAME…        some, by the names of their folders
#   WARREN_PARALLEL=N     so many at a time, where they may; 3
#   WARREN_IMAGE=REF      tests this image, and builds none
#   WARREN_KEEP=1         leaves the namespaces of the tests
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

TESTS=$(realpath "$HACK/../tests/kuttl")
LOGS=$(realpath -m "$HACK/../target/test-logs/kuttl")
TRINO_VERSION=$(sed -n 's/^ *version: "\(.*\)".*/\1/p' "$TESTS/fleet.yaml")
LEFTOVER_LIMIT=120 # seconds that a namespace may take to go
PARALLEL=${WARREN_PARALLEL:-3} # each has one to three Trinos of 0.7 GiB; cores are the limit, but each waits a good part of its time
# These begin early, so that none of them runs alone at the end.
LONGEST=(scale-in drain canary spooling scale authentication tls)
FAILED=0
declare -A RUNNING=() # the name of each test that runs aside, by its process

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

# A test; whether it passed. kuttl's words, one line per step, are in its log. It has a folder of its own, for kuttl writes there.
run() { # FOLDER NAME
  local log=$LOGS/$2/kuttl.log flags=()
  mkdir -p "$LOGS/$2"
  [ -z "${WARREN_KEEP:-}" ] || flags+=(--skip-delete)
  (cd "$LOGS/$2" && kubectl-kuttl test "$TESTS/$1" --config "$TESTS/kuttl-test.yaml" --test "^$2\$" "${flags[@]}" >"$log" 2>&1 </dev/null) || true
  report "$2" "$log"
}

report() { # NAME LOG
  local state seconds
  read -r state seconds < <(sed -nE "s|.*--- (PASS\|FAIL): kuttl/harness/$1 \\(([0-9.]+)s\\).*|\1 \2|p" "$2") || true
  if [ "${state:-}" = PASS ]; then
    printf 'ok      %-16s %4.0f s\n' "$1" "$seconds"
    return
  fi
  { # in one piece, for others tell at the same time
    printf 'FAILED  %-16s %4.0f s, log in %s\n' "$1" "${seconds:-0}" "$2"
    if [ -n "${state:-}" ]; then
      grep -E "^ *logger.go:.* \| $1(/|\s)|^ *case.go:" "$2" | sed -E 's/^ *[a-z]+\.go:[0-9]+: //' | tail -n 60 | cut -c1-400
    else
      tail -n 20 "$2"
    fi | sed 's/^/        | /'
  } >"$2.report"
  cat "$2.report"
  return 1
}

run_one() { run "$@" || FAILED=$((FAILED + 1)); } # FOLDER NAME

run_all() { # FOLDER: several at a time
  local name
  for name in $(in_order "$1"); do
    while ((${#RUNNING[@]} >= PARALLEL)); do await; done
    set -m # a group of its own, which can be ended whole
    run "$1" "$name" &
    set +m
    RUNNING[$!]=$name
  done
  while ((${#RUNNING[@]})); do await; done
}
await() { # the end of one that runs aside
  local pid
  wait -n -p pid "${!RUNNING[@]}" || FAILED=$((FAILED + 1))
  unset "RUNNING[$pid]"
}
end() { # PID of what hastens
  local pid
  kill "$1"
  for pid in "${!RUNNING[@]}"; do kill -- "-$pid"; done 2>/dev/null
}
in_order() { # FOLDER: in turns with the others, which are lighter, too
  paste -d '\n' <(long_ones "$1") <(others "$1") | grep .
}
long_ones() { local name; for name in "${LONGEST[@]}"; do [ ! -d "$TESTS/$1/$name" ] || echo "$name"; done; } # FOLDER
others() { for name in "$TESTS/$1"/*/; do basename "$name"; done | grep -vxF "$(printf '%s\n' "${LONGEST[@]}")" || true; } # FOLDER

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
  local name folder
  mkdir -p "$LOGS"
  prepare
  hasten &>/dev/null &
  # shellcheck disable=SC2064 # the value of now
  trap "end $!" EXIT
  if (($#)); then
    for name in "$@"; do
      folder=$(cd "$TESTS" && compgen -G "*/$name/") || die "no such test: $name"
      run_one "${folder%%/*}" "$name"
    done
  else
    verdict examples examples
    run_all cases
    for folder in nodes last; do
      for name in $(in_order "$folder"); do run_one "$folder" "$name"; done
    done
    [ -n "${WARREN_KEEP:-}" ] || verdict no-leftovers leftovers
  fi
  ((FAILED == 0))
}

main "$@"
