"""The Python client's DB API: types, parameters, errors, large results, cancels, sessions and transactions."""

import datetime
import decimal
import time
import uuid
from pathlib import Path

import trino.client
from trino.transaction import IsolationLevel

from harness import DEADLINE, case, connect, connect_to, coordinators, main, tell, tell_failure, tell_result

LARGE = "SELECT * FROM tpch.sf1.lineitem LIMIT 200000"
ENDLESS = "SELECT count(*) FROM tpch.sf10000.lineitem WHERE comment = 'never'"


def run(sql, parameters=None, **settings):
    cursor = connect(**settings).cursor()
    cursor.execute(sql, parameters)
    tell_result(cursor)


@case("read")
def all_types():
    run(Path(__file__).with_name("types.sql").read_text(encoding="utf-8"))


@case("read")
def all_types_as_the_server_writes_them():
    sql = Path(__file__).with_name("types.sql").read_text(encoding="utf-8")
    cursor = connect(legacy_primitive_types=True).cursor(legacy_primitive_types=True)
    cursor.execute(sql)
    tell_result(cursor)


@case("read")
def rows_in_order():
    run("SELECT * FROM tpch.tiny.customer ORDER BY custkey LIMIT 500")


@case("read")
def no_rows():
    run("SELECT * FROM tpch.tiny.region WHERE regionkey > 99")


@case("read")
def large_result():
    run(LARGE)


@case("read")
def large_result_in_batches():
    cursor = connect().cursor()
    cursor.arraysize = 777
    cursor.execute("SELECT orderkey, comment FROM tpch.tiny.orders ORDER BY orderkey")
    total = 0
    while batch := cursor.fetchmany():
        total += len(batch)
        tell(len(batch), batch[0], batch[-1])
    tell(total)


@case("read")
def wide_rows():
    run("SELECT rpad('x', 1000000, CAST(n AS varchar)) FROM UNNEST(sequence(1, 12)) AS t(n)")


@case("read")
def parameters_by_execute_immediate():
    run(
        "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?",
        (
            1, 1.5, decimal.Decimal("1.10"), "it's ? é", None, True, b"\x00\xff", uuid.UUID(int=7),
            datetime.datetime(2020, 1, 2, 3, 4, 5, 678901), [1, 2],
        ),
        legacy_prepared_statements=False,
    )


@case("read")
def parameters_by_prepared_statements():
    connection = connect(legacy_prepared_statements=True)
    cursor = connection.cursor()
    for key in (3, 7):
        cursor.execute("SELECT name, 'ü, =%' AS text FROM tpch.tiny.nation WHERE nationkey = ?", (key,))
        tell_result(cursor)
    cursor.execute("SELECT * FROM tpch.tiny.nation WHERE nationkey < ? AND name <> ?", (5, "x" * 4000))
    tell_result(cursor)


@case("read")
def describe_and_prepare():
    connection = connect()
    cursor = connection.cursor()
    tell(cursor.describe("SELECT nationkey, name, 1.5 AS d FROM tpch.tiny.nation"))
    cursor.execute("PREPARE mine FROM SELECT name FROM tpch.tiny.region WHERE regionkey = ?")
    cursor.fetchall()
    tell(connection._client_session.prepared_statements)
    cursor.execute("EXECUTE mine USING 2")
    tell_result(cursor)
    cursor.execute("DEALLOCATE PREPARE mine")
    cursor.fetchall()
    tell(connection._client_session.prepared_statements)


@case("read")
def errors_of_users():
    for sql in (
        "SELECT", "SELECT * FROM tpch.tiny.nowhere", "SELECT no_such_column FROM tpch.tiny.nation",
        "SELECT * FROM nocatalog.a.b", "SELECT 1 / 0", "SELECT CAST('x' AS bigint)", "SHOW TABLES FROM tpch.nowhere",
        "SELECT 1 / (nationkey - 24) FROM tpch.tiny.nation", "SELECT fail('on purpose')", "COMMIT",
    ):
        tell(sql)
        tell_failure(run, sql)


@case("read")
def errors_in_the_middle_of_a_result():
    tell_failure(run, "SELECT 1 / (orderkey - 60000), comment FROM tpch.tiny.lineitem")  # the largest key


@case("read")
def a_statement_that_is_too_long():
    tell_failure(run, "SELECT '" + "x" * 1_100_000 + "'")


@case("read")
def a_statement_of_nearly_a_million_characters():
    run("SELECT length('" + "é" * 999_000 + "')")


@case("read")
def session_properties():
    connection = connect(
        session_properties={"query_max_run_time": "7m", "join_distribution_type": "BROADCAST"},
        catalog="tpch", schema="tiny", source="etl, a=b", client_tags=["one", "two"], timezone="Europe/Berlin",
        extra_credential=[("a", "b é=1")], http_headers={"X-Trino-Client-Info": "who, é asks".encode()},
    )
    cursor = connection.cursor()
    for sql in (
        "SELECT current_catalog, current_schema, current_user, current_timezone()",
        "SELECT count(*) FROM nation", "SHOW SESSION LIKE 'query_max_run_time'", "SHOW SESSION LIKE 'join_distribution_type'",
        "SET SESSION query_max_run_time = '8m'", "SET SESSION task_concurrency = 4",
        "SHOW SESSION LIKE 'query_max_run_time'", "RESET SESSION query_max_run_time",
        "SHOW SESSION LIKE 'query_max_run_time'", "USE tpch.sf1", "SELECT current_schema", "SELECT count(*) FROM region",
        "SET TIME ZONE 'Asia/Kolkata'", "SELECT current_timezone()",
    ):
        cursor.execute(sql)
        tell(sql)
        tell_result(cursor)
    tell(sorted(connection._client_session.properties.items()))


@case("read")
def source_and_user_reach_the_coordinator():
    run(f"SELECT source, \"user\" FROM system.runtime.queries WHERE query LIKE '%{uuid.uuid4()}%'", source="nightly")


@case("read")
def large_headers():
    properties = {"query_max_run_time": "7m"}
    credentials = [(f"name{number}", "v" * 200) for number in range(150)]
    run("SELECT 1", session_properties=properties, extra_credential=credentials)


@case("read")
def metadata():
    for sql in (
        "SHOW CATALOGS", "SHOW SCHEMAS FROM tpch", "SHOW TABLES FROM tpch.tiny", "DESCRIBE tpch.tiny.lineitem",
        "SHOW CREATE TABLE tpch.tiny.orders", "SHOW STATS FOR tpch.tiny.nation",
        "SELECT * FROM tpch.information_schema.columns ORDER BY table_schema, table_name, ordinal_position",
    ):
        tell(sql)
        run(sql)


@case("read")
def explain():
    run("EXPLAIN (TYPE DISTRIBUTED) SELECT regionkey, count(*) FROM tpch.tiny.nation GROUP BY regionkey")


@case("read")
def heartbeats():
    cursor = connect().cursor()
    cursor.execute("SELECT * FROM tpch.sf1.orders")
    request = cursor._query._request
    for _ in range(3):
        tell("HEAD", request.head(request.next_uri).status_code)
    tell(len(cursor.fetchmany(100)))
    cursor.close()


@case("read")
def a_page_can_be_asked_for_again():
    cursor = connect().cursor()
    cursor.execute("SELECT orderkey, comment FROM tpch.sf1.orders")
    request = cursor._query._request
    first, second = (request._http_session.get(request.next_uri) for _ in range(2))
    tell(first.status_code, second.status_code, first.json().get("data") == second.json().get("data"))
    cursor.close()


@case("read")
def cancel_by_the_cursor():
    cancel("cursor", lambda cursor: cursor.cancel())


@case("read")
def cancel_by_closing_the_cursor():
    cancel("close", lambda cursor: cursor.close())


def cancel(word, end):
    """A query that has begun to answer is given up, and its coordinator is asked what came of it."""
    mark = f"cancel {word} {uuid.uuid4()}"
    cursor = connect().cursor()
    cursor.execute(f"SELECT orderkey, comment /* {mark} */ FROM tpch.sf100.orders")
    tell(len(cursor.fetchmany(10)))
    end(cursor)
    tell(fate(mark))


@case("read")
def cancel_before_the_first_row():
    mark = f"cancel early {uuid.uuid4()}"
    connection = connect()
    query = trino.client.TrinoQuery(connection._create_request(), query=f"{ENDLESS} /* {mark} */")
    response = query._request.post(query.query)
    query._update_state(query._request.process(response))
    query.fetch()
    query.cancel()
    tell(query.cancelled, fate(mark))


def fate(mark):
    """The states in which the coordinators ended the queries with this mark; waits until all of them have ended."""
    sql = (
        "SELECT state, error_code FROM system.runtime.queries"
        f" WHERE query LIKE '%{mark}%' AND query NOT LIKE '%runtime%'"
    )
    begin = time.monotonic()
    while True:
        ends = []
        for url in coordinators():
            cursor = connect_to(url).cursor()
            ends += cursor.execute(sql).fetchall()
        if ends and all(state in ("FINISHED", "FAILED") for state, _ in ends):
            return ends
        if time.monotonic() - begin > DEADLINE:
            raise AssertionError(f"not ended in {DEADLINE} s: {ends}")
        time.sleep(0.1)  # each look is a query that fills the coordinator's history


@case("write")
def tables():
    cursor = connect(catalog="memory", schema="default").cursor()
    table = "python_" + uuid.uuid4().hex
    for sql in (
        "CREATE TABLE {} AS SELECT * FROM tpch.tiny.nation", "INSERT INTO {} SELECT * FROM tpch.tiny.nation",
        "SELECT count(*), sum(nationkey) FROM {}", "INSERT INTO {} VALUES (99, 'here', 1, 'a comment')",
        "SELECT * FROM {} WHERE nationkey > 20 ORDER BY nationkey, name", "TRUNCATE TABLE {}", "SELECT * FROM {}",
        "COMMENT ON TABLE {} IS 'mine'", "DROP TABLE {}",
    ):
        cursor.execute(sql.format(table))
        tell(sql)
        tell_result(cursor)


@case("write")
def many_inserts():
    cursor = connect(catalog="memory", schema="default").cursor()
    table = "python_" + uuid.uuid4().hex
    cursor.execute(f"CREATE TABLE {table} (id bigint, name varchar)")
    cursor.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(1, "one"), (2, "it's"), (3, None)])
    cursor.execute(f"SELECT * FROM {table} ORDER BY id")
    tell_result(cursor)
    cursor.execute(f"DROP TABLE {table}")


def in_transaction(level, end):
    connection = connect(isolation_level=level)
    cursor = connection.cursor()
    for sql in (
        "SELECT count(*) FROM tpch.tiny.nation", "SELECT name FROM tpch.tiny.region ORDER BY name",
        "SHOW TABLES FROM tpch.tiny", "SELECT sum(orderkey) FROM tpch.tiny.orders",
    ):
        cursor.execute(sql)
        tell_result(cursor)
    tell("open", connection.transaction is not None)
    end(connection)
    tell("open", connection.transaction is not None)


@case("transaction")
def committed():
    in_transaction(IsolationLevel.READ_COMMITTED, lambda connection: connection.commit())


@case("transaction")
def rolled_back():
    in_transaction(IsolationLevel.REPEATABLE_READ, lambda connection: connection.rollback())


@case("transaction")
def in_a_with_block():
    with connect(isolation_level=IsolationLevel.SERIALIZABLE) as connection:
        cursor = connection.cursor()
        for _ in range(4):
            cursor.execute("SELECT max(regionkey) FROM tpch.tiny.region")
            tell_result(cursor)


@case("transaction")
def aborted_by_an_error():
    connection = connect(isolation_level=IsolationLevel.READ_UNCOMMITTED)
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    tell_result(cursor)
    tell_failure(lambda: connection.cursor().execute("SELECT 1 / 0").fetchall())
    tell_failure(lambda: connection.cursor().execute("SELECT 2").fetchall())
    connection.rollback()
    cursor = connection.cursor()
    cursor.execute("SELECT 3")
    tell_result(cursor)
    connection.commit()


@case("transaction")
def two_at_once():
    connections = [connect(isolation_level=IsolationLevel.READ_COMMITTED) for _ in range(2)]
    for number in range(4):
        for connection in connections:
            cursor = connection.cursor()
            cursor.execute(f"SELECT {number}, count(*) FROM tpch.tiny.region")
            tell_result(cursor)
    for connection in connections:
        connection.commit()


if __name__ == "__main__":
    main()
