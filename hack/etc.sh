#!/usr/bin/env bash
# Real servers of Trino in both versions, each started with the very files of its golden (tests/golden/desired/cluster-files-*,
# cluster-authentication-*):
# a coordinator and a worker on loopback addresses, beside a local S3 server and a stand-in for OPA and an event listener.
# Addresses and folders are all that is replaced. A query is then asked whose result is spooled and whose stages meet in the
# exchange; the places of both are looked at; and a rule is changed in place. Then a coordinator that asks who is there, directly
# and through a gateway. Needs no Kubernetes.
#
#   etc.sh [VERSION…]      default: TRINO_VERSIONS of versions.env
#   WARREN_LOGS=FOLDER     where logs are kept; else target/test-logs/etc
#   WARREN_BINARY=FILE     the gateway; else target/debug/warren, built anew
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CASES=$(realpath "$HACK/../tests/clients")
ETC=$(realpath "$HACK/../tests/etc")
GOLDEN=$(realpath "$HACK/../tests/golden/desired")
LOGS=$(realpath -m "${WARREN_LOGS:-$HACK/../target/test-logs/etc}")
RUN=$LOGS/run
FAILED=0
CLUSTER=adhoc-7f3a-1 # the goldens' own
# shellcheck source=clients/programs.sh
source "$HACK/clients/programs.sh"
# shellcheck source=clients/servers.sh
source "$HACK/clients/servers.sh"
TRINO_PLUGINS+=" session-property-managers opa" # beside those of the images

check() { # WHAT COMMAND…
  local what=$1
  shift
  if "$@" >"$LOGS/check.log" 2>&1; then printf 'ok      %s\n' "$what"; else
    FAILED=$((FAILED + 1))
    printf 'FAILED  %s\n' "$what"
    tail -n 12 "$LOGS/check.log" | cut -c1-400 | sed 's/^/        | /'
  fi
}

server_of() { # VERSION: from the tarball, for the plugins that the images do not have are published nowhere else
  local work=$TOOLS/.build-trino-etc-$1
  SERVER=$TOOLS/trino-etc-$1
  [ ! -d "$SERVER" ] || return 0
  rm -rf "$work"
  mkdir -p "$work"
  run_logged "downloading and unpacking trino-server $1" "$LOGS/server.log" trino_server "$1" "$work"
  mv "$work/server" "$SERVER"
  rm -rf "$work"
}

stand_ins() { # passwords: ann's is `secret`, by PBKDF2 as Trino documents it
  "$PYTHON" - "$RUN" >"$RUN/stand-ins.json" <<'END'
import hashlib, json, os, sys
read = lambda name: open(os.path.join(sys.argv[1], name)).read()
salt = os.urandom(16)
digest = hashlib.pbkdf2_hmac("sha1", b"secret", salt, 1000, 32)
print(json.dumps({
    "staff": {"passwords": f"ann:1000:{salt.hex()}:{digest.hex()}\n"},
    "audit": {"headers": "X-Audit:token"},
    "kerberos": {"keytab": "a keytab", "krb5.conf": "[libdefaults]\n"},
    "s3": {"access": "clients", "secret": "clients-secret"},
    "adhoc-7f3a-1-internal": {"shared-secret": os.urandom(32).hex()},
    "adhoc-7f3a-1-events": {"token": "the-token"},
    "warren-ca": {"ca.crt": read("ca.crt")},
    "tokens": {"public.pem": read("tokens.pub")},
    "clients": {"ca.crt": read("clients.crt")},
    "ldap": {"ca.crt": read("ca.crt"), "password": "bind-secret"},
    "adhoc-7f3a-1-coordinator-tls": {"tls-combined.pem": read("server.key") + read("server.crt")},
}))
END
}

node() { # NAME GOLDEN COMPONENT PORT COORDINATOR_PORT [FROM=>TO…]: starts it with the files of the golden
  local name=$1 folder=$RUN/$1 variables
  rm -rf "$folder"
  mkdir -p "$folder/data"
  "$PYTHON" "$ETC/place.py" "$GOLDEN/$2.yaml" "$3" "$folder" "$RUN/stand-ins.json" "${@:6}" \
    "/etc/trino=>$folder/etc/trino" "/etc/warren=>$folder/etc/warren" "node.data-dir=/data/trino=>node.data-dir=$folder/data" \
    "http://$CLUSTER-coordinator:8080=>http://127.0.0.1:$5" "http-server.http.port=8080=>http-server.http.port=$4" \
    "http://s3.example:9000=>$(address s3)" "http://opa.example:8181=>$(address outside)" "http://audit.example:8181=>$(address outside)" \
    "$CLUSTER-events.trino.svc:9091=>$CLUSTER-events.trino.svc:${PORT[events]}" \
    >"$folder/env"
  mapfile -t variables <"$folder/env"
  PORT[$name]=$4
  # The proxies' name leads here: it is what their certificate is checked for.
  printf '127.0.0.1 %s\n' localhost "$CLUSTER-events.trino.svc" >"$folder/hosts"
  launch "$name" env "${variables[@]}" JDK_JAVA_OPTIONS="-Djdk.net.hosts.file=$folder/hosts" JAVA_HOME="$(java_home)" PATH="$(java_home)/bin:$PATH" \
    "$SERVER/bin/launcher" run --etc-dir "$folder/etc/trino" "-Dnode.id=$name" -Dnode.internal-address=127.0.0.1
}

up() { started "$1" || { kill -0 "${PID[$1]}" 2>/dev/null || exit 1; return 1; }; } # NAME

# Every page of a statement, with the rows of its segments; the error's message where it fails.
rows() { # NAME USER SQL
  GOLDEN_URL=$(address "$1") GOLDEN_USER=$2 GOLDEN_SQL=$3 "$PYTHON" - <<'END'
import json, os, urllib.request
headers = {"X-Trino-User": os.environ["GOLDEN_USER"], "X-Trino-Query-Data-Encoding": "json", "X-Trino-Source": "etl-1"}
def ask(url, data=None, more={}):
    with urllib.request.urlopen(urllib.request.Request(url, data, headers | more), timeout=60) as answer:
        return answer.read()
page, spooled = json.loads(ask(os.environ["GOLDEN_URL"] + "/v1/statement", os.environ["GOLDEN_SQL"].encode())), 0
rows = []
while True:
    if "error" in page:
        print("error:", page["error"]["message"])
        break
    for segment in (page.get("data") or {}).get("segments", []) if isinstance(page.get("data"), dict) else []:
        if segment["type"] == "spooled":
            spooled += 1
            # A segment is encrypted, and its key is in these headers.
            rows += json.loads(ask(segment["uri"], more={key: values[0] for key, values in segment.get("headers", {}).items()}))
        else:
            import base64
            rows += json.loads(base64.b64decode(segment["data"]))
    rows += page["data"] if isinstance(page.get("data"), list) else []
    if "nextUri" not in page:
        print(len(rows), "rows,", spooled, "spooled segments;", rows[:1])
        break
    page = json.loads(ask(page["nextUri"]))
END
}

says() { # PATTERN COMMAND…
  local pattern=$1 said
  shift
  said=$("$@" 2>&1) || true
  echo "$said"
  grep -qE "$pattern" <<<"$said"
}

status() { curl -s -o /dev/null -w '%{http_code}' --max-time 10 "$@"; }
# What was ever written, for much is removed when a query ends.
written() { grep -oE '"PUT /golden/[^ ]+' "$RUN/s3.log"; }
under() { written | grep "^\"PUT /golden/$1"; } # PREFIX
elsewhere() { ! written | grep -vE "^\"PUT /golden/(spool|exchange)/$CLUSTER/"; }
denied_in_time() { wait_for "the rule" 60 says 'error: Access Denied: Cannot execute query' rows "$1" cy 'SELECT 1'; } # NAME

version() { # VERSION
  local coordinator=$1-coordinator worker=$1-worker ports rules
  step "Trino $1"
  server_of "$1"
  stand_ins
  read -ra ports <<<"$(free_ports 2)"
  PORT[$coordinator]=${ports[0]}
  node "$coordinator" "cluster-files-$1" coordinator "${ports[0]}" "${ports[0]}"
  node "$worker" "cluster-files-$1" worker "${ports[1]}" "${ports[0]}"
  check "$1: the coordinator starts with its golden's files" wait_for "$coordinator" 240 up "$coordinator"
  check "$1: the worker starts with its golden's files" wait_for "$worker" 240 up "$worker"
  check "$1: a query runs on the worker" wait_for "an answer" 90 says '^1 rows' rows "$coordinator" ann 'SELECT 1'
  check "$1: a result is spooled" says '^60000 rows, [1-9][0-9]* spooled' rows "$coordinator" ann \
    "SELECT orderkey, comment, shippriority FROM tpch.sf1.orders WHERE orderkey > 0 LIMIT 60000"
  check "$1: spooled results have the cluster's own place" under "spool/$CLUSTER/"
  check "$1: the exchange has the cluster's own place" under "exchange/$CLUSTER/"
  check "$1: nothing was written elsewhere" elsewhere
  check "$1: OPA was asked" grep -q '^/v1/data/trino/allow' "$RUN/outside.log"
  check "$1: the event listener told, with its header from a Secret" wait_for "an event" 20 grep -q '^/events token' "$RUN/outside.log"
  check "$1: Warren's own told beside it, by HTTPS and the cluster's token" wait_for "an event" 20 \
    grep -q '^/v1/trino-event-listener Bearer the-token' "$RUN/events.log"
  check "$1: the resource group is by the source" says "'global', 'etl'" rows "$coordinator" ann \
    "SELECT DISTINCT resource_group_id FROM system.runtime.queries WHERE source = 'etl-1'"
  check "$1: a password is asked for behind a proxy that speaks HTTPS" says '^401' status -H 'X-Forwarded-Proto: https' -u ann:wrong "$(address "$coordinator")/v1/query"
  check "$1: and the right one is taken" says '^200' status -H 'X-Forwarded-Proto: https' -u ann:secret "$(address "$coordinator")/v1/query"
  check "$1: Warren's user sees queries" says '^[1-9]' queries_seen "$coordinator" warren
  rules=$RUN/$coordinator/etc/trino/access-control/rules.json
  jq '.queries[-1].allow = []' "$rules" >"$rules.new" && mv "$rules.new" "$rules"
  check "$1: a rule that is edited takes effect in place" denied_in_time "$coordinator"
  stop "$coordinator" "$worker"
}

# shellcheck source=etc/authentication.sh
source "$HACK/etc/authentication.sh"

queries_seen() { curl -s --max-time 10 -H "X-Trino-User: $2" "$(address "$1")/v1/query" | jq length; } # NAME USER

main() {
  local each
  # shellcheck disable=SC2086 # a list of words
  (($#)) || set -- $TRINO_VERSIONS
  rm -rf "$LOGS"
  mkdir -p "$RUN"
  trap stop_all EXIT
  trap 'exit 143' TERM INT # the servers go, too
  "$HACK/tools.sh" packages
  [ -e "$VENV/complete" ] || run_logged "the Python client, SQLAlchemy and an S3 server" "$LOGS/python.log" make_venv
  PORT[s3]=$(free_ports 1)
  launch s3 "$PYTHON" "$ETC/s3.py" "${PORT[s3]}"
  wait_for "the S3 server" 30 curl -sf --max-time 5 -X PUT "$(address s3)/golden" || die "the S3 server did not start, log in $RUN/s3.log"
  PORT[outside]=$(free_ports 1)
  launch outside "$PYTHON" "$ETC/outside.py" "${PORT[outside]}"
  PORT[events]=$(free_ports 1)
  WARREN=${WARREN_BINARY:-$HACK/../target/debug/warren}
  [ -n "${WARREN_BINARY:-}" ] || run_logged "building warren" "$LOGS/cargo.log" cargo build --locked --quiet
  certificates
  launch events "$PYTHON" "$ETC/outside.py" "${PORT[events]}" "$RUN/events.pem"
  for each in "$@"; do
    version "$each"
    asking "$each"
    in_ldap "$each"
  done
  ((FAILED == 0))
}

main "$@"
