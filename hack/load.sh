# The load of the trials: threads of the JDBC driver with queries on end, each result checked by count and checksum
# (tests/soak/Replicas.java). To be sourced, after clients/programs.sh; $LOGS and $THREADS are the script's.
# shellcheck shell=bash

# A cluster with this tree's operator, and the images of these versions of Trino; and what the load needs.
prepare_fleets() { # VERSION…
  local settings
  settings=$("$HACK/cluster.sh" env)
  eval "$settings"
  "$HACK/tools.sh" helm trino
  "$HACK/images.sh" trino "$@"
  [ -n "${WARREN_IMAGE:-}" ] || WARREN_IMAGE=$("$HACK/images.sh" warren | tail -n 1)
  export WARREN_IMAGE
  "$HACK/install.sh"
  prepare_load
}

# The fleet of the end-to-end tests with memory and a JVM for a load.
fleet_for_load() { sed -e 's/memory: 1Gi/memory: 2Gi/' -e 's/, jvm: {[^}]*}//' "$HACK/../tests/kuttl/fleet.yaml"; }

prepare_load() {
  JAVA=$(java_home)/bin/java
  [ -d "${JDBC%/*}" ] || run_logged "downloading trino-jdbc" "$LOGS/jdbc.log" download_jdbc
}

# In the background, until end_load or for so many seconds; its words go to <logs>/NAME-load.log. Returns when the first results
# are there.
begin_load() { # NAME ADDRESS SECONDS
  rm -f "$LOGS/stop"
  "$JAVA" -Xmx1g -XX:+UseSerialGC -cp "$JDBC" "$HACK/../tests/soak/Replicas.java" "jdbc:trino://${2#http://}" \
    "$THREADS" "$3" "$LOGS/stop" >"$LOGS/$1-load.log" 2>&1 &
  LOAD=$!
  wait_for "the first result" 180 grep -q '^each result' "$LOGS/$1-load.log" || die "no query is answered, log in $LOGS/$1-load.log"
}

# The address of the proxies' Service of a namespace, as seen from here.
proxies_address() { # NAMESPACE
  local address
  address=$("$HACK/query.sh" "$1" pxg-proxy)
  [ -n "$address" ] || die "the proxies' ClusterIP cannot be reached from here"
  echo "$address"
}

# Ends the load. SAID is its last line; fails when a query failed: at its first call too, unless those may be lost.
end_load() { # NAME [any]
  touch "$LOGS/stop"
  await_load "$@"
}

await_load() { # NAME [any]: that ends by itself
  local status=0
  wait "$LOAD" || status=$?
  LOAD=''
  SAID=$(tail -n 1 "$LOGS/$1-load.log")
  ((status == 0)) && { [ "${2:-}" = any ] || [[ $SAID == *"first calls lost 0,"* ]]; }
}

load_faults() { # NAME: what went wrong, some lines of it
  { grep -E '^(BROKEN|WRONG|first)' "$LOGS/$1-load.log" || tail -n 20 "$LOGS/$1-load.log"; } | head -n 10 | cut -c1-400 | sed 's/^/        | /'
}

stop_load() { [ -z "${LOAD:-}" ] || kill "$LOAD" 2>/dev/null || true; }
