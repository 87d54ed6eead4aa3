#!/usr/bin/env bash
# Real clients of Trino, each run against a coordinator itself and through the gateway, and what they saw compared, case
# by case. Needs no Kubernetes: two coordinators, the gateways and an S3 server run on loopback addresses. Each case is a
# line `ok` or `FAILED`; a failed one is followed by what differs. What the cases are: tests/clients.
#
#   clients.sh             all
#   clients.sh NAME…       some: cli jdbc python go spooling oauth2
#   WARREN_BINARY=FILE     tests this binary, and builds none
#   WARREN_LOGS=FOLDER     where logs and what the clients saw are kept; else target/test-logs/clients
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CLIENTS=(cli jdbc python go spooling oauth2)
CASES=$(realpath "$HACK/../tests/clients")
LOGS=$(realpath -m "${WARREN_LOGS:-$HACK/../target/test-logs/clients}")
RUN=$LOGS/run
LIMIT=600 # seconds that one run of one client may take
FAULTS='outcome=.(refused|unavailable|broken)' # what the gateway counts where it answered in a coordinator's place
PASSED=0 FAILED=0
# shellcheck source=clients/programs.sh
source "$HACK/clients/programs.sh"
# shellcheck source=clients/servers.sh
source "$HACK/clients/servers.sh"
# shellcheck source=clients/oauth2.sh
source "$HACK/clients/oauth2.sh"

ok() { PASSED=$((PASSED + 1)); printf 'ok      %s\n' "$*"; }
failed() { # a run in the background cannot count: the file is for it
  FAILED=$((FAILED + 1))
  touch "$LOGS/failed"
  printf 'FAILED  %s\n' "$*"
}
quote() { tail -n "${1:-12}" | cut -c1-400 | sed 's/^/        | /'; } # [LINES]

program() { # CLIENT FOLDER SET…: what runs its cases
  local client=$1
  shift
  case $client in
    cli) "$CASES/cli.sh" "$@" ;;
    jdbc) "$JAVA" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$JDBC" "$CASES/Client.java" "$@" ;;
    python) local part; for part in dbapi alchemy spooling oauth2; do "$PYTHON" "$CASES/$part.py" "$@"; done ;;
    go) "$GO_CLIENT" "$@" ;;
  esac
}

# Each run has a folder of its own for what was seen: <logs>/<client>/<way>/<set>-<case>.seen, or .broken.
run() { # CLIENT WAY SERVER SET…
  local client=$1 way=$2 server=$3 folder=$LOGS/$1/$2 begin=$SECONDS status=0
  shift 3
  mkdir -p "$folder"
  export -f program
  export JAVA JDBC TRINO_CLI PYTHON GO_CLIENT CASES PYTHONDONTWRITEBYTECODE=1
  OPENED=$folder.opened GATEWAY=$(address "$server") COORDINATORS="$(address blue) $(address green)" \
    timeout "$LIMIT" bash -c 'program "$@"' - "$client" "$folder" "$@" >"$folder.log" 2>&1 </dev/null || status=$?
  ((status == 0)) || { failed "$client $way ended with $status"; quote <"$folder.log"; }
  info "$client $way ($*): $(find "$folder" -type f | wc -l) cases in $((SECONDS - begin)) s"
}

# A case that broke in the direct run is no measure of anything, so it fails too.
compare() { # CLIENT DIRECT_WAY WAY SET…
  local client=$1 way=$3 direct=$LOGS/$1/$2 through=$LOGS/$1/$3 of_set file name
  shift 3
  for of_set in "$@"; do
    for file in "$direct/$of_set"-*; do
      [ -e "$file" ] || { failed "$client $way: the direct run has no case of $of_set"; continue; }
      name=$(basename "${file%.*}")
      if [[ $file == *.broken ]]; then
        failed "$client $way $name: broken without the gateway, too"; quote <"$file"
      elif [ -e "$through/$name.broken" ]; then
        failed "$client $way $name: broken"; quote <"$through/$name.broken"
      elif [ ! -e "$through/$name.seen" ]; then
        failed "$client $way $name: did not run"
      elif ! cmp -s "$file" "$through/$name.seen"; then
        failed "$client $way $name: differs (-direct +gateway)"; diff -U 1 "$file" "$through/$name.seen" | quote 20 || true
      else
        ok "$client $way $name"
      fi
    done
  done
}

# Polls must have come back to the gateway, and it must have answered none of them by itself.
through_the_gateway() { # CLIENT GATEWAY STATEMENTS_BEFORE POLLS_BEFORE FAULTS_BEFORE
  local statements polls faults
  statements=$(($(requests "$2" kind=.statement) - $3)) polls=$(($(requests "$2" kind=.poll) - $4))
  faults=$(($(requests "$2" "$FAULTS") - $5))
  if ((statements > 0 && polls >= statements && faults == 0)); then
    ok "$1 $2 all went through the gateway: $statements statements, $polls polls"
  else
    failed "$1 $2: $statements statements, $polls polls, $faults answers of the gateway's own"
    grep -E '"outcome":"(refused|unavailable|broken)"' "$RUN/$2.log" | quote || true
  fi
}

# The direct run and the one through a gateway go on at the same time: each has more waiting than work.
side_by_side() { # CLIENT CLUSTER GATEWAY SET…
  local client=$1 cluster=$2 gateway=$3 statements polls faults
  shift 3
  statements=$(requests "$gateway" kind=.statement) polls=$(requests "$gateway" kind=.poll) faults=$(requests "$gateway" "$FAULTS")
  run "$client" "direct-$gateway" "$cluster" "$@" &
  run "$client" "$gateway" "$gateway" "$@"
  wait $!
  compare "$client" "direct-$gateway" "$gateway" "$@"
  through_the_gateway "$client" "$gateway" "$statements" "$polls" "$faults"
}

plain() { # CLIENT…: `two` sends each statement to the other cluster; what needs one and the same has a group of one
  local client
  step "starting two coordinators of Trino $TRINO_CLI_VERSION"
  coordinator blue
  coordinator green
  await_coordinators blue green
  gateway two blue green
  gateway one blue
  for client in "$@"; do
    step "$client"
    side_by_side "$client" blue two read transaction
    side_by_side "$client" blue one write transaction
  done
  stop_all
}

# Each cluster has a retrieval mode of its own. WORKER_PROXY is left out: it wants a worker that is not the coordinator.
spooled() {
  step "spooling: an S3 server and three coordinators"
  s3 blue green red
  coordinator blue spooling STORAGE
  coordinator green spooling COORDINATOR_STORAGE_REDIRECT
  coordinator red spooling COORDINATOR_PROXY
  await_coordinators blue green red
  spooled_by blue STORAGE
  spooled_by green COORDINATOR_STORAGE_REDIRECT
  spooled_by red COORDINATOR_PROXY
  stop_all
}

spooled_by() { # CLUSTER RETRIEVAL_MODE
  local client redirects others
  step "$2"
  gateway "$2" "$1"
  for client in python jdbc go; do
    redirects=$(spooled_answers "$2" 303) others=$(spooled_answers "$2" '20[0-9]')
    side_by_side "$client" "$1" "$2" spooled
    segments "$client" "$1" "$2" "$redirects" "$others"
  done
  stop "$2"
}

# Only COORDINATOR_STORAGE_REDIRECT redirects. The coordinator deletes a segment when it is acknowledged, and nothing else
# does, so a bucket that becomes empty says that all acknowledgements have arrived.
segments() { # CLIENT CLUSTER RETRIEVAL_MODE REDIRECTS_BEFORE OTHERS_BEFORE
  local redirects others wanted=0 gone=no
  redirects=$(($(spooled_answers "$3" 303) - $4))
  others=$(($(spooled_answers "$3" '20[0-9]') - $5))
  [ "$3" != COORDINATOR_STORAGE_REDIRECT ] || wanted=1
  ! wait_for "the segments of $1 to be gone" 20 no_objects "$2" || gone=yes
  if [ $gone = yes ] && ((others > 0 && (redirects > 0) == wanted)); then
    ok "$1 $3 segments: $redirects redirects and $others other answers by the gateway; none is left"
  else
    failed "$1 $3 segments: $redirects redirects, $others other answers by the gateway; $(objects "$2") left"
  fi
}

spooled_answers() { # GATEWAY STATUS_PATTERN: by the gateway's log, which has a line for each request
  grep -cE "\"kind\":\"spooled\".*\"status\":$2," "$RUN/$1.log" || true
}

# Two gateways behind a balancer of connections serve two clusters, so that the legs of a login meet the one and the other;
# a third serves, below a path, a cluster that renews its tokens. A provider sends browsers to the addresses that it was
# given and to no other.
logged_in() {
  local client pids=()
  step "oauth2: dex, three coordinators and three gateways"
  "$HACK/tools.sh" dex
  export CA=$RUN/ca.pem REQUESTS_CA_BUNDLE=$RUN/ca.pem PATH=$RUN/bin:$PATH TOKENS_LIVE=4 BELOW=/data
  certificates
  browser
  secure_addresses dex brief front below blue-tls green-tls red-tls
  provider dex 1h "$(address front)" "$(address blue-tls)"
  provider brief "${TOKENS_LIVE}s" "$(address below)$BELOW"
  coordinator blue logins dex openid,email
  coordinator green logins dex openid,email
  coordinator red logins brief openid,email,offline_access http-server.authentication.oauth2.refresh-tokens=true
  await_coordinators blue green red
  gateway_of_logins first "$(address front)" blue green
  gateway_of_logins second "$(address front)" blue green
  gateway_of_logins below "$(address below)$BELOW" red
  balancer front first second
  step "logins"
  for client in python jdbc cli; do
    run "$client" direct-front blue-tls login & pids+=($!)
    run "$client" front front login & pids+=($!)
  done
  run python refresh below refresh & pids+=($!)
  wait "${pids[@]}"
  run python clusters front clusters
  for client in python jdbc cli; do compare "$client" direct-front front login; done
  held python clusters
  held python refresh
  legs_at first
  legs_at second
  stop_all
}

held() { # CLIENT SET: cases that check by themselves, for there is nothing to compare them with
  local file name
  for file in "$LOGS/$1/$2/$2"-*; do
    name=$(basename "${file%.*}")
    case $file in
      *.seen) ok "$1 $name" ;;
      *.broken) failed "$1 $name: broken"; quote <"$file" ;;
      *) failed "$1: no case of $2 ran" ;;
    esac
  done
}

legs_at() { # GATEWAY: it has served parts of logins, as of statements, and answered nothing by itself
  local logins statements faults
  logins=$(requests "$1" kind=.login) statements=$(requests "$1" kind=.statement) faults=$(requests "$1" "$FAULTS")
  if ((logins > 0 && statements > 0 && faults == 0)); then
    ok "oauth2 $1 gateway: $logins legs of logins, $statements statements"
  else
    failed "oauth2 $1 gateway: $logins legs of logins, $statements statements, $faults answers of its own"
    grep -E '"outcome":"(refused|unavailable|broken)"' "$RUN/$1.log" | quote || true
  fi
}

no_objects() { [ "$(objects "$1")" = 0 ]; }

main() {
  local name plain=()
  (($#)) || set -- "${CLIENTS[@]}"
  for name in "$@"; do
    [[ " ${CLIENTS[*]} " == *" $name "* ]] || die "no such client: $name (one of: ${CLIENTS[*]})"
    [[ $name == spooling || $name == oauth2 ]] || plain+=("$name")
  done
  rm -rf "$LOGS"
  mkdir -p "$RUN"
  trap stop_all EXIT
  trap 'exit 143' TERM INT # the servers go, too
  prepare_programs "$LOGS"
  ((${#plain[@]} == 0)) || plain "${plain[@]}"
  [[ " $* " != *" spooling "* ]] || spooled
  [[ " $* " != *" oauth2 "* ]] || logged_in
  step "$PASSED passed, $FAILED failed"
  [ ! -e "$LOGS/failed" ]
}

main "$@"
