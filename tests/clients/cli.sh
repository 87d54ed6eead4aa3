#!/usr/bin/env bash
# trino-cli: formats, errors, sessions, prepared statements, large results, cancels, transactions.
#
#   cli.sh FOLDER SET…    each case of the sets (read, write, transaction, login) writes what it saw, standard output,
#                         standard error and the exit code, to FOLDER/<set>-<name>.seen, without query ids
#
# GATEWAY is where the client connects, COORDINATORS are asked what came of a query; TRINO_CLI is the jar, JAVA the java.
# For logins, CA is what the gateway's certificate is of, and each URL that xdg-open is given is a line of the file OPENED.
set -euo pipefail

CASES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=$1 SETS=" ${*:2} "
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

cli_at() { # ADDRESS FLAG…
  "$JAVA" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:SharedArchiveFile="$(dirname "$TRINO_CLI")/classes.jsa" -Xlog:disable \
    --enable-native-access=ALL-UNNAMED -jar "$TRINO_CLI" --server "$1" --user "${AS:-clients}" --timezone UTC --no-progress "${@:2}"
}

scrub() { # what differs from run to run, or is the terminal's
  sed -E -e '/org\.jline\.utils\.Log|dumb terminal/d' -e 's/[0-9]{8}_[0-9]{6}_[0-9]{5}_[a-z0-9]{5}/ID/g'
}

# The exit code is part of what was seen, so that a case must say which one it expects: any other one breaks it.
cli() { # EXPECTED_EXIT_CODE FLAG…
  local expected=$1 status=0
  cli_at "$GATEWAY" "${@:2}" >"$WORK/out" 2>"$WORK/err" </dev/null || status=$?
  echo "--- standard output"
  if (($(stat -c %s "$WORK/out") > 200000)); then wc -lc <"$WORK/out"; sha256sum <"$WORK/out"; else cat "$WORK/out"; fi
  echo "--- standard error"
  scrub <"$WORK/err"
  echo "--- exit code $status"
  ((status == expected)) || { echo "the exit code was to be $expected"; return 1; }
}

script() { # EXPECTED_EXIT_CODE FLAG…: the statements come from standard input, into a file
  cat >"$WORK/script.sql"
  cli "$1" --file "$WORK/script.sql" "${@:2}"
}

one_case() { # SET NAME: the function of that name; in a subshell of its own, so that its first failure ends it
  local file=$OUT/$1-${2//_/-} status
  [[ $SETS == *" $1 "* ]] || return 0
  set +e
  (set -e; "$2") >"$file.seen" 2>&1
  status=$?
  set -e
  ((status == 0)) || mv "$file.seen" "$file.broken"
}

types() { cat "$CASES/types.sql" && echo ";"; }
types_as_csv() { types | script 0 --output-format CSV_HEADER; }
rows_as_json() { # of plain types: trino-cli 476 cannot write an ARRAY as JSON
  cli 0 --output-format JSON --execute 'SELECT *, nullif(orderkey, 1) AS maybe FROM tpch.tiny.orders ORDER BY orderkey LIMIT 50'
}

formats() {
  local format
  for format in TSV_HEADER ALIGNED VERTICAL; do
    cli 0 --output-format "$format" --execute "SELECT nationkey, name, nullif(regionkey, 1) AS region FROM tpch.tiny.nation ORDER BY 1"
  done
}

large_result() { cli 0 --output-format CSV --execute 'SELECT * FROM tpch.sf1.lineitem LIMIT 200000'; }

shows() {
  script 0 --output-format CSV <<'SQL'
SHOW CATALOGS; SHOW SCHEMAS FROM tpch; SHOW TABLES FROM tpch.tiny; SHOW COLUMNS FROM tpch.tiny.orders;
SHOW CREATE TABLE tpch.tiny.nation; SHOW FUNCTIONS LIKE 'arr%'; SHOW STATS FOR tpch.tiny.region;
EXPLAIN SELECT regionkey, count(*) FROM tpch.tiny.nation GROUP BY regionkey;
DESCRIBE tpch.tiny.lineitem;
SQL
}

a_syntax_error() { cli 1 --execute 'SELEC 1'; }
a_missing_table() { cli 1 --execute 'SELECT * FROM tpch.tiny.nowhere'; }

an_error_in_the_middle() { # how many rows come before it is up to Trino's timing
  cli 1 --execute 'SELECT 1 / (orderkey - 60000), comment FROM tpch.tiny.lineitem' | sed '/standard output/,/standard error/d'
}

errors_that_are_ignored() {
  script 1 --ignore-errors <<'SQL'
SELECT 1; SELECT 1 / 0; SELECT fail('on purpose'); SELECT 2; SELECT * FROM nocatalog.a.b; SELECT 3;
SQL
}

a_script_that_stops_at_its_error() {
  script 1 <<'SQL'
SELECT 1; SELECT 1 / 0; SELECT 'never';
SQL
}

a_statement_that_is_too_long() {
  { printf "SELECT '"; head -c 1100000 /dev/zero | tr '\0' x; printf "'"; } | script 1
}

prepared_statements() {
  script 0 --output-format CSV_HEADER <<'SQL'
PREPARE mine FROM SELECT name, 'ü, =%' AS text FROM tpch.tiny.nation WHERE regionkey = ? AND name <> ? ORDER BY name;
DESCRIBE INPUT mine; DESCRIBE OUTPUT mine;
EXECUTE mine USING 1, 'CANADA'; EXECUTE mine USING 2, 'it''s';
PREPARE other FROM SELECT ? + 1;
EXECUTE other USING 41;
DEALLOCATE PREPARE mine;
EXECUTE other USING 42;
EXECUTE IMMEDIATE 'SELECT ? || ?' USING 'a', 'b';
SQL
}

a_deallocated_statement() {
  script 1 <<'SQL'
PREPARE mine FROM SELECT 1; DEALLOCATE PREPARE mine; EXECUTE mine;
SQL
}

sessions() {
  script 0 --output-format CSV --catalog tpch --schema tiny --source nightly --client-tags one,two --client-info who \
    --session query_max_run_time=7m --session task_concurrency=2 --extra-credential a=b <<'SQL'
SELECT current_catalog, current_schema, current_user, current_timezone();
SELECT count(*) FROM nation;
SHOW SESSION LIKE 'query_max_run_time'; SHOW SESSION LIKE 'task_concurrency';
SET SESSION query_max_run_time = '8m'; SHOW SESSION LIKE 'query_max_run_time';
RESET SESSION query_max_run_time; SHOW SESSION LIKE 'query_max_run_time';
USE sf1; SELECT current_schema; SELECT count(*) FROM region;
USE tpch.tiny; SELECT count(*) FROM orders;
SET PATH tpch.tiny; SELECT current_path;
SET TIME ZONE 'Asia/Kolkata'; SELECT current_timezone();
SET SESSION AUTHORIZATION clients; SELECT current_user; RESET SESSION AUTHORIZATION;
SQL
  cli 0 --source nightly --execute "SELECT source, \"user\" FROM system.runtime.queries WHERE query LIKE '%$RANDOM$RANDOM%'"
}

an_unknown_session_property() { cli 1 --session no_such_property=1 --execute 'SELECT 1'; }

interrupted() { # as by Ctrl-C
  local mark pid
  mark="cli $RANDOM$RANDOM$RANDOM"
  cli_at "$GATEWAY" --execute "SELECT count(*) FROM tpch.sf10000.lineitem WHERE comment = '$mark'" >"$WORK/out" 2>&1 </dev/null &
  pid=$!
  await "$mark" RUNNING
  kill -INT "$(pgrep -P "$pid" -f -- "$mark" || echo "$pid")"
  await "$mark" FAILED
  wait "$pid" || true
  fate "$mark"
}

fate() { # MARK: in which states its queries are, and why
  local address
  for address in $COORDINATORS; do
    curl -sS --max-time 10 -H 'X-Trino-User: clients' "$address/v1/query" |
      jq -r --arg mark "$1" '.[] | select(.query | contains($mark)) | .state + " " + (.errorCode.name // "")'
  done
}

await() { # MARK STATE
  local begin=$SECONDS
  until fate "$1" | grep -q "^$2"; do
    ((SECONDS - begin < 60)) || { echo "no query is $2 after 60 s: $(fate "$1")"; return 1; }
  done
}

tables() {
  local table=cli_$RANDOM$RANDOM$RANDOM
  script 0 --output-format CSV --catalog memory --schema default <<SQL | sed "s/$table/TABLE/g"
CREATE TABLE $table AS SELECT * FROM tpch.tiny.nation;
INSERT INTO $table SELECT * FROM tpch.tiny.nation WHERE nationkey < 5;
SELECT count(*), sum(nationkey) FROM $table;
CREATE VIEW ${table}_view AS SELECT name FROM $table;
SELECT * FROM ${table}_view ORDER BY name LIMIT 3;
DROP VIEW ${table}_view; TRUNCATE TABLE $table; SELECT * FROM $table; DROP TABLE $table;
SQL
}

committed() {
  script 0 --output-format CSV <<'SQL'
START TRANSACTION; SELECT count(*) FROM tpch.tiny.nation; SELECT name FROM tpch.tiny.region ORDER BY name; COMMIT;
START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY; SHOW TABLES FROM tpch.tiny; SELECT 1; SELECT 2; COMMIT;
SELECT 'after';
SQL
}

rolled_back() {
  script 0 --output-format CSV <<'SQL'
START TRANSACTION; SELECT 1; SELECT 2; ROLLBACK; SELECT 'after';
SQL
}

aborted_by_an_error() {
  script 1 --ignore-errors --output-format CSV <<'SQL'
START TRANSACTION; SELECT 1; SELECT 1 / 0; SELECT 2; ROLLBACK; SELECT 'after';
SQL
}

one_for_all_statements() { # by xdg-open, which is a browser that logs in by itself
  AS=ann script 0 --output-format CSV --external-authentication --external-authentication-redirect-handler SYSTEM_OPEN \
    --truststore-path "$CA" <<'SQL'
SELECT current_user; SELECT count(*) FROM tpch.tiny.orders; SELECT * FROM tpch.tiny.orders LIMIT 5000; SELECT name FROM tpch.tiny.region;
SQL
  echo "logins $(wc -l <"$OPENED")"
}

one_by_a_password_that_nobody_asks_for() { # the coordinator takes no passwords: the client is told so
  AS=ann TRINO_PASSWORD=password cli 1 --password --truststore-path "$CA" --execute 'SELECT 1'
}

for name in types_as_csv rows_as_json formats large_result shows a_syntax_error a_missing_table \
  an_error_in_the_middle errors_that_are_ignored a_script_that_stops_at_its_error a_statement_that_is_too_long \
  prepared_statements a_deallocated_statement sessions an_unknown_session_property interrupted; do one_case read "$name"; done
one_case write tables
for name in committed rolled_back aborted_by_an_error; do one_case transaction "$name"; done
for name in one_for_all_statements one_by_a_password_that_nobody_asks_for; do one_case login "$name"; done
