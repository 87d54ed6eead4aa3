# The servers of hack/clients.sh, on loopback addresses and free ports: coordinators that are their own workers, gateways
# in front of them, an S3 server. Whatever was started is stopped by stop_all. To be sourced.
# shellcheck shell=bash

declare -A PID=() PORT=() ADMIN=() SCHEME=() # by name; the scheme is http where none is given

free_ports() { # COUNT: all are held open until the last is known, so that they differ
  "$PYTHON" -c 'import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in held))' "$1"
}

address() { echo "${SCHEME[$1]:-http}://127.0.0.1:${PORT[$1]}"; } # NAME

launch() { # NAME COMMAND…: its output goes to <run>/NAME.log
  local name=$1
  shift
  "$@" >>"$RUN/$name.log" 2>&1 </dev/null &
  PID[$name]=$!
}

stop() { # NAME…
  local name
  for name in "$@"; do [ -z "${PID[$name]:-}" ] || kill "${PID[$name]}" 2>/dev/null || true; done
  for name in "$@"; do
    [ -z "${PID[$name]:-}" ] || wait "${PID[$name]}" 2>/dev/null || true
    unset "PID[$name]"
  done
}

stop_all() { stop "${!PID[@]}"; }

coordinator() { # NAME [COMMAND ARGUMENT…]: COMMAND NAME ARGUMENT… adds to its configuration
  local etc=$RUN/$1/etc
  rm -rf "${RUN:?}/$1"
  mkdir -p "$etc/catalog" "$RUN/$1/data"
  PORT[$1]=$(free_ports 1)
  cat >"$etc/config.properties" <<END
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port=${PORT[$1]}
discovery.uri=$(address "$1")
http-server.process-forwarded=true
task.concurrency=1
query.max-history=100
query.min-expire-age=60s
END
  printf '%s\n' node.environment=clients "node.id=$1" node.internal-address=127.0.0.1 "node.data-dir=$RUN/$1/data" >"$etc/node.properties"
  printf '%s\n' -Xmx700M -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=128M -Djdk.attach.allowAttachSelf=true >"$etc/jvm.config"
  # One split for each table and one driver for each stage: the order of rows is then the same each time, without sorting.
  printf '%s\n' connector.name=tpch tpch.splits-per-node=1 >"$etc/catalog/tpch.properties"
  echo connector.name=memory >"$etc/catalog/memory.properties"
  (($# == 1)) || "$2" "$1" "${@:3}"
  launch "$1" env JAVA_HOME="$(java_home)" PATH="$(java_home)/bin:$PATH" "$SERVER/bin/launcher" run --etc-dir "$etc"
}

spooling() { # NAME RETRIEVAL_MODE: results go to the S3 server, in segments of 1 MB, so that a large one has many of them
  cat >>"$RUN/$1/etc/config.properties" <<END
protocol.spooling.enabled=true
protocol.spooling.shared-secret-key=$(head -c 32 /dev/urandom | base64)
protocol.spooling.retrieval-mode=$2
protocol.spooling.initial-segment-size=1MB
protocol.spooling.max-segment-size=1MB
END
  cat >"$RUN/$1/etc/spooling-manager.properties" <<END
spooling-manager.name=filesystem
fs.s3.enabled=true
fs.location=s3://$1/
fs.segment.pruning.enabled=false
s3.endpoint=$(address s3)
s3.region=us-east-1
s3.path-style-access=true
s3.aws-access-key=clients
s3.aws-secret-key=clients-secret
END
}

started() { curl -sf --max-time 2 "$(address "$1")/v1/info" | jq -e '.starting == false'; } # NAME

# One that has just started has for some seconds no node that runs queries, itself included. Where it wants to know who asks,
# that is answer enough.
answers() { # NAME
  local page next
  page=$(curl -s --max-time 10 -w '\n%{http_code}' -H 'X-Trino-User: hack' --data 'SELECT count(*) FROM tpch.tiny.nation' "$(address "$1")/v1/statement") || return
  [[ $page != *$'\n'40[13] ]] || return 0
  page=${page%$'\n'*}
  while next=$(jq -er .nextUri <<<"$page"); do page=$(curl -sf --max-time 10 "$next") || return; done
  jq -e 'has("error") | not' <<<"$page"
}

await_coordinators() { # NAME…
  local name
  for name in "$@"; do
    wait_for "coordinator $name" 300 started "$name" && wait_for "an answer of $name" 60 answers "$name" ||
      { tail -n 20 "$RUN/$name.log" >&2; die "$name did not start, log in $RUN/$name.log"; }
  done
}

gateway() { # NAME CLUSTER…: one group of these coordinators
  local name=$1
  shift
  routing_table "$@" >"$RUN/$name.yaml"
  start_gateway "$name" $#
}

routing_table() { # CLUSTER…
  local cluster
  printf '%s\n' 'groups:' '- name: clients' '  strategy: RoundRobin' '  clusters:'
  for cluster in "$@"; do echo "  - {name: $cluster, url: \"$(address "$cluster")\"}"; done
  echo 'routing: {default: {group: clients}}'
}

# With <run>/NAME.yaml, at its address if it has one already; waits until this many clusters are healthy.
start_gateway() { # NAME CLUSTERS [OPTION…]
  local name=$1 clusters=$2 ports
  shift 2
  ports=$(free_ports 2)
  PORT[$name]=${PORT[$name]:-${ports% *}} ADMIN[$name]=${ports#* }
  launch "$name" "$WARREN" proxy --config "$RUN/$name.yaml" --listen-client "127.0.0.1:${PORT[$name]}" \
    --listen-admin "127.0.0.1:${ADMIN[$name]}" --log-format json --drain-delay 0s --drain-timeout 5s "$@"
  wait_for "gateway $name" 20 all_healthy "$name" "$clusters" ||
    { tail -n 20 "$RUN/$name.log" >&2; die "not all clusters of gateway $name are healthy"; }
}

all_healthy() { # GATEWAY COUNT
  [ "$(metrics "$1" | grep -c '^warren_proxy_cluster_healthy{.*} 1$')" = "$2" ]
}

metrics() { curl -sf --max-time 5 "http://127.0.0.1:${ADMIN[$1]}/metrics"; } # GATEWAY

requests() { # GATEWAY PATTERN: the sum of the requests whose labels match
  metrics "$1" | awk -v pattern="$2" '/^warren_proxy_requests_total/ && $0 ~ pattern { sum += $2 } END { print sum + 0 }'
}

s3() { # BUCKET…
  local bucket
  PORT[s3]=$(free_ports 1)
  launch s3 "$PYTHON" -m moto.server -H 127.0.0.1 -p "${PORT[s3]}"
  for bucket in "$@"; do
    wait_for "the S3 server" 30 curl -sf --max-time 5 -X PUT "$(address s3)/$bucket" || die "the S3 server did not start, log in $RUN/s3.log"
  done
}

objects() { # BUCKET: how many there are
  curl -sf --max-time 10 "$(address s3)/$1?list-type=2" | { grep -o '<Key>' || true; } | wc -l
}
