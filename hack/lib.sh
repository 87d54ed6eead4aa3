# What every script in this folder shares: where the cache is, how progress is told, waiting, long commands, locks.
# To be sourced. Messages go to stderr, so that a script's stdout stays free for its result.
# shellcheck shell=bash
# shellcheck disable=SC2034 # read by whoever sources this file

HACK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WARREN_CACHE=${WARREN_CACHE:-$HOME/.cache/warren}
# shellcheck source=versions.env
source "$HACK/versions.env"
TOOLS=$WARREN_CACHE/tools              # one folder per tool and version
NODE_FILES=$WARREN_CACHE/node          # what the local node's users need: kubeconfig, warren-image
NODE_STATE=/var/lib/warren-node        # the local node's own, on disk
NODE_RUN=/run/warren-node              # and in memory: gone after a reboot
CONTAINERD=$NODE_RUN/containerd.sock
export WARREN_CACHE

say() { printf '%s\n' "$*" >&2; }
step() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }
info() { printf '        %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

need_root_linux() { # WHAT
  [ "$(uname -s)" = Linux ] || die "$1 needs Linux; this is $(uname -s)"
  [ "$(id -u)" = 0 ] || die "$1 needs root; run it with sudo -E"
}

java_home() { # the folder of a JDK 25, which Trino needs; machines often have an older one as their default
  local home
  for home in ${WARREN_JAVA_HOME:+"$WARREN_JAVA_HOME"} /usr/lib/jvm/*25*; do
    [ -x "$home/bin/java" ] && { echo "$home"; return; }
  done
  die "no JDK 25 below /usr/lib/jvm; set WARREN_JAVA_HOME"
}

wait_for() { # WHAT SECONDS COMMAND…: until the command succeeds; tells that it still waits every 10 s
  local what=$1 limit=$2 begin=$SECONDS told=$SECONDS
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS - begin < limit)) || { info "gave up after ${limit} s: $what"; return 1; }
    ((SECONDS - told < 10)) || { told=$SECONDS; info "still waiting after $((SECONDS - begin)) s: $what"; }
    sleep 0.2
  done
}

# The heartbeat must neither outlive the script nor hold its lock (fd 9) or its output, in case the script is killed.
heartbeat() { # WHAT LOG
  local begin=$SECONDS
  while sleep 20 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    info "$1: $((SECONDS - begin)) s so far, log in $2"
  done
}

run_logged() { # WHAT LOG COMMAND…: output goes to LOG; a line every 20 s; the log's end when it fails
  local what=$1 log=$2 begin=$SECONDS beat status
  shift 2
  mkdir -p "$(dirname "$log")"
  heartbeat "$what" "$log" 9>&- &
  beat=$!
  set +e
  (set -e; "$@") >"$log" 2>&1 </dev/null
  status=$?
  set -e
  kill "$beat" 2>/dev/null
  wait "$beat" 2>/dev/null || true
  ((status == 0)) || { tail -n 25 "$log" | sed 's/^/        | /' >&2; die "$what failed after $((SECONDS - begin)) s, log in $log"; }
  info "$what: done in $((SECONDS - begin)) s"
}

# One run at a time. Long-lived children must be started with 9>&-, or they would keep the lock.
lock() { # FILE WHAT
  mkdir -p "$(dirname "$1")"
  exec 9>"$1"
  flock -n 9 && return
  info "another run of $2 is under way: waiting for it"
  wait_for "the other run of $2" 1800 flock -n 9 || die "another run of $2 holds $1"
}
