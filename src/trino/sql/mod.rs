//! What routing rules may know of a statement: its verb, and the catalogs, schemas and tables that it names.
//!
//! It is no validator: it is to understand what Trino accepts, and understands some that Trino refuses too.
//! docs/sql-analysis.md has the meaning of each field and how it was compared with Trino's own parser.

mod definition;
mod error;
mod found;
mod packed;
mod query;
mod session;
mod statement;
mod token;

use std::collections::{BTreeMap, BTreeSet};

use self::{
    error::Error,
    found::Found,
    statement::Verb,
    token::{Kind, Token, Tokens},
};

/// The longest statement that is analyzed, in bytes. Trino's own limit is `query.max-length`, 1,000,000 characters.
pub const MAX_LENGTH: usize = 1 << 20;

/// The [`Analysis::kind`] of a statement that is not understood.
pub const UNKNOWN: &str = "UNKNOWN";

/// What a statement's names depend on: the request's `X-Trino-Catalog`, `-Schema` and `-Prepared-Statement`.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The session's catalog.
    pub catalog: Option<&'a str>,
    /// The session's schema.
    pub schema: Option<&'a str>,
    /// The text of each prepared statement by its name, URL-decoded; what Trino has compressed still is.
    pub prepared: &'a BTreeMap<String, String>,
}

/// What a statement is and what it names. Names are in lower case, as Trino compares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// The verb in upper case: `SELECT` for each query, `INSERT`, `DROP`, `SHOW`…; [`UNKNOWN`] if it is not understood.
    /// EXECUTE and EXPLAIN ANALYZE have the verb of the statement that they run.
    pub kind: String,
    /// What stands behind the verb: `TABLE`, `MATERIALIZED VIEW`, `SCHEMA`…; for EXPLAIN and PREPARE the verb of the
    /// statement in them. Queries, INSERT, UPDATE, DELETE and MERGE have none.
    pub object: Option<String>,
    /// Of each schema, table, table function or procedure, and those that are named themselves.
    pub catalogs: BTreeSet<String>,
    /// As `catalog.schema`.
    pub schemas: BTreeSet<String>,
    /// As `catalog.schema.table`: tables and views that are read, written or defined. The front is missing where
    /// neither the statement nor the session has it.
    pub tables: BTreeSet<String>,
    /// Why `kind` is [`UNKNOWN`], without a word of the statement.
    pub why_unknown: Option<String>,
}

/// Analyzes one statement. It neither recurses nor looks at a token twice: time is about proportional to the length (up to
/// a quarter of a second for the longest), memory to the names and the nesting.
pub fn analyze(sql: &str, context: &Context<'_>) -> Analysis {
    let mut found = Found::new(context);
    let verb = bounded(sql).and_then(|()| statement::read(sql, &mut found, context, false));
    match verb {
        Ok(Verb { kind, object }) => {
            let Found { catalogs, schemas, tables, .. } = found;
            Analysis { kind, object, catalogs, schemas, tables, why_unknown: None }
        }
        Err(error) => Analysis {
            kind: UNKNOWN.to_owned(),
            object: None,
            catalogs: BTreeSet::new(),
            schemas: BTreeSet::new(),
            tables: BTreeSet::new(),
            why_unknown: Some(error.to_string()),
        },
    }
}

fn bounded(sql: &str) -> Result<(), Error> {
    if sql.len() > MAX_LENGTH { Err(Error::TooLong { limit: MAX_LENGTH }) } else { Ok(()) }
}

fn unexpected(token: Token<'_>) -> Error {
    match token.kind {
        Kind::End => Error::Ended,
        Kind::Bad(what) => Error::Characters { what, at: token.at },
        _ => Error::Unexpected { at: token.at },
    }
}

/// Skips from an opening parenthesis to the one that closes it.
fn skip_group(tokens: &mut Tokens<'_>) -> Result<(), Error> {
    let mut depth = 0_usize;
    loop {
        match tokens.next()?.kind {
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth = depth.saturating_sub(1),
            Kind::End => return Err(Error::Ended),
            _ => {}
        }
        if depth == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Analyzes for a session in `hive.web` with two prepared statements.
    fn analyzed(sql: &str) -> Analysis {
        let prepared =
            [("my_select", "SELECT * FROM nation"), ("my_drop", "DROP TABLE nation"), ("again", "EXECUTE again")];
        let prepared = prepared.map(|(name, sql)| (name.to_owned(), sql.to_owned())).into();
        analyze(sql, &Context { catalog: Some("hive"), schema: Some("web"), prepared: &prepared })
    }

    fn kind(sql: &str) -> String {
        let Analysis { kind, object, why_unknown, .. } = analyzed(sql);
        assert_eq!(why_unknown, None, "{sql}");
        object.map_or(kind.clone(), |object| format!("{kind} {object}"))
    }

    fn tables(sql: &str) -> Vec<String> {
        let Analysis { tables, why_unknown, .. } = analyzed(sql);
        assert_eq!(why_unknown, None, "{sql}");
        tables.into_iter().collect()
    }

    fn why_unknown(sql: &str) -> String {
        let Analysis { kind, object, catalogs, schemas, tables, why_unknown } = analyzed(sql);
        assert_eq!((kind.as_str(), object), (UNKNOWN, None), "{}", sql.chars().take(80).collect::<String>());
        assert!(catalogs.is_empty() && schemas.is_empty() && tables.is_empty());
        why_unknown.expect("an unknown statement has a reason")
    }

    #[test]
    fn each_query_is_a_select() {
        for sql in [
            "SELECT 1",
            "select x from (values 1) as t (x)",
            "TABLE nation",
            "VALUES (1, 'a'), (2, 'b')",
            "(SELECT 1) UNION (SELECT 2)",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "/* c */ -- d\n SELECT 1;",
            "WITH FUNCTION meaning_of_life() RETURNS tinyint BEGIN DECLARE a tinyint DEFAULT 6; RETURN a * 7; END \
             SELECT meaning_of_life()",
        ] {
            assert_eq!(kind(sql), "SELECT", "{sql}");
        }
    }

    #[test]
    fn a_kind_is_the_verb_and_an_object_what_it_is_for() {
        for (sql, expected) in [
            ("INSERT INTO cities VALUES (1, 'San Francisco')", "INSERT"),
            ("MERGE INTO accounts t USING monthly s ON t.c = s.c WHEN MATCHED THEN DELETE", "MERGE"),
            ("CREATE TABLE IF NOT EXISTS orders (orderkey bigint)", "CREATE TABLE"),
            ("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW"),
            (
                "CREATE CATALOG example USING postgresql WITH (\"case-insensitive-name-matching\" = 'true')",
                "CREATE CATALOG",
            ),
            ("DROP SCHEMA IF EXISTS sales CASCADE", "DROP SCHEMA"),
            ("ALTER TABLE example.test.t EXECUTE optimize(file_size_threshold => '16MB')", "ALTER TABLE"),
            ("COMMENT ON COLUMN users.name IS 'full name'", "COMMENT COLUMN"),
            ("ANALYZE hive.default.stores WITH (partitions = ARRAY[ARRAY['CA']])", "ANALYZE"),
            ("REFRESH MATERIALIZED VIEW orders_nation_mkgsegment", "REFRESH MATERIALIZED VIEW"),
            ("TRUNCATE TABLE orders", "TRUNCATE TABLE"),
            ("SHOW STATS FOR (SELECT * FROM nation)", "SHOW STATS"),
            ("SHOW ROLE GRANTS FROM hive", "SHOW ROLE GRANTS"),
            ("SHOW CREATE MATERIALIZED VIEW v", "SHOW CREATE MATERIALIZED VIEW"),
            ("DESC nation", "DESCRIBE"),
            ("GRANT INSERT, SELECT ON orders TO alice", "GRANT TABLE"),
            ("REVOKE ALL PRIVILEGES ON SCHEMA sales FROM ROLE finance", "REVOKE SCHEMA"),
            ("GRANT bar TO USER foo", "GRANT ROLE"),
            ("DENY SELECT ON orders TO ROLE PUBLIC", "DENY TABLE"),
            ("SET SESSION optimize_hash_generation = true", "SET SESSION"),
            ("SET SESSION AUTHORIZATION 'John'", "SET SESSION AUTHORIZATION"),
            ("SET TIME ZONE INTERVAL '10' HOUR", "SET TIME ZONE"),
            ("SET PATH iceberg.default, hive.default", "SET PATH"),
            ("RESET SESSION example.optimized_reader_enabled", "RESET SESSION"),
            ("START TRANSACTION READ WRITE, ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION"),
            ("COMMIT WORK", "COMMIT"),
            ("ROLLBACK", "ROLLBACK"),
            ("DEALLOCATE PREPARE my_query", "DEALLOCATE"),
            ("USE finance", "USE"),
            ("CALL test(123, 'apple')", "CALL"),
        ] {
            assert_eq!(kind(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_run_counts_and_not_the_word_that_runs_it() {
        for (sql, expected) in [
            ("EXECUTE my_select USING 1", "SELECT"),
            ("EXECUTE my_drop", "DROP TABLE"),
            ("EXECUTE IMMEDIATE 'DROP TABLE \"it''s\"' USING 1", "DROP TABLE"),
            ("EXPLAIN ANALYZE VERBOSE INSERT INTO t SELECT 1", "INSERT"),
            ("EXPLAIN (TYPE DISTRIBUTED, FORMAT JSON) INSERT INTO t SELECT 1", "EXPLAIN INSERT"),
            ("EXPLAIN (SELECT 1)", "EXPLAIN SELECT"),
            ("EXPLAIN ANALYZE orders", "EXPLAIN ANALYZE"),
            ("EXPLAIN EXECUTE my_drop", "EXPLAIN DROP"),
            ("PREPARE p FROM DELETE FROM t", "PREPARE DELETE"),
            ("DESCRIBE INPUT my_select", "DESCRIBE INPUT"),
            ("DESCRIBE OUTPUT nobody", "DESCRIBE OUTPUT"),
        ] {
            assert_eq!(kind(sql), expected, "{sql}");
        }
        for sql in ["EXECUTE my_select", "DESCRIBE OUTPUT my_select", "EXPLAIN EXECUTE my_drop"] {
            assert_eq!(tables(sql), ["hive.web.nation"], "{sql}");
        }
        assert_eq!(tables("EXECUTE IMMEDIATE 'SELECT * FROM \"it''s\"'"), ["hive.web.it's"]);
    }

    #[test]
    fn tables_are_found_wherever_a_query_may_stand() {
        for (sql, expected) in [
            ("SELECT * FROM a, b c, d AS e (f, g) LEFT JOIN h ON d.x = h.x CROSS JOIN i, j", "a b d h i j"),
            (
                "SELECT (SELECT max(x) FROM a), EXISTS (SELECT 1 FROM b) FROM c WHERE x IN (TABLE d) OR y = ANY (VALUES 1)",
                "a b c d",
            ),
            (
                "SELECT 1 FROM a WHERE x IS DISTINCT FROM y GROUP BY GROUPING SETS ((p, q), r) ORDER BY (SELECT 1 FROM b)",
                "a b",
            ),
            (
                "SELECT a IS NOT DISTINCT FROM b, extract(year FROM d), trim(both FROM e), substring(f FROM 2) FROM g",
                "g",
            ),
            ("SELECT * FROM ((SELECT * FROM a) UNION ALL (SELECT * FROM b)) t, (c JOIN d USING (x, y))", "a b c d"),
            ("SELECT * FROM a JOIN b ON a.x = ARRAY[1, 2][1] AND CASE WHEN p THEN q END, c", "a b c"),
            ("SELECT * FROM a WINDOW w AS (PARTITION BY x), v AS (w ORDER BY y)", "a"),
            ("SELECT * FROM a CROSS JOIN UNNEST(x, y) WITH ORDINALITY AS t (p, q), LATERAL (SELECT * FROM b)", "a b"),
            ("SELECT * FROM a FOR VERSION AS OF 8954597067493422955 TABLESAMPLE BERNOULLI (50), b", "a b"),
            ("SELECT filter(x, y -> y > (SELECT 1 FROM a)), transform(z, (k, v) -> k) FROM b", "a b"),
            ("SELECT * FROM a MATCH_RECOGNIZE (ORDER BY x PATTERN (p{2,3} | ^ q+?) DEFINE p AS true), b", "a b"),
            ("SELECT * FROM a FETCH FIRST 5 ROWS WITH TIES", "a"),
            ("SELECT * FROM limit, window, lateral", "lateral limit window"),
            ("SELECT 1.FROM a", "a"),
            (
                "SELECT * FROM JSON_TABLE('[]', 'lax $' AS p COLUMNS (NESTED PATH '$' AS q COLUMNS (r int)) PLAN (p UNION q)), a",
                "a",
            ),
            (
                "SELECT * FROM TABLE(exclude_columns(input => TABLE(a) PARTITION BY x, columns => DESCRIPTOR(y))), b",
                "a b",
            ),
            ("SELECT * FROM TABLE(f(input => TABLE(SELECT * FROM a) AS t))", "a"),
            ("SELECT x AT TIME ZONE 'UTC', TRY_CAST(y AS row(a bigint, b varchar)) FROM a", "a"),
            ("SELECT 1 AS x FROM a UNION CORRESPONDING BY (x) SELECT 2 AS x FROM b", "a b"),
        ] {
            let expected: Vec<_> = expected.split(' ').map(|table| format!("hive.web.{table}")).collect();
            assert_eq!(tables(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_with_query_is_no_table_where_it_is_in_scope() {
        for (sql, expected) in [
            ("WITH a AS (TABLE t), b (x) AS (TABLE a) SELECT * FROM a, b, \"A\"", "t"),
            ("WITH t AS (SELECT * FROM t) SELECT * FROM t", "t"), // its own text does not see it
            ("WITH a AS (TABLE b), b AS (TABLE t) TABLE b", "b t"), // nor does a text before it
            ("WITH a AS (SELECT 1) SELECT * FROM s.a, a", "s.a"), // a qualified name is always a table
            ("SELECT * FROM (WITH a AS (SELECT 1) TABLE a) x, a", "a"), // it ends with its parenthesis
            ("WITH a AS (SELECT 1) SELECT * FROM (WITH a AS (TABLE a) TABLE a) x, a", ""), // and shadows
            ("WITH a AS (SELECT 1) (SELECT 1 WHERE EXISTS (SELECT 1 FROM b, LATERAL (TABLE a)))", "b"),
            ("WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 4) SELECT sum(n) FROM t", ""),
            ("WITH RECURSIVE t (n) AS (SELECT n FROM t) SELECT * FROM t", "t"), // not recursive without a UNION
            ("INSERT INTO a WITH a AS (TABLE b) TABLE a", "a b"),
        ] {
            let expected: Vec<_> = expected
                .split_whitespace()
                .map(|table| if table.contains('.') { format!("hive.{table}") } else { format!("hive.web.{table}") })
                .collect();
            assert_eq!(tables(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_a_statement_changes_or_defines_counts() {
        for (sql, expected) in [
            ("INSERT INTO a (x, y) SELECT * FROM b", "a b"),
            ("INSERT INTO a (SELECT * FROM b)", "a b"),
            ("DELETE FROM a WHERE x IN (SELECT x FROM b)", "a b"),
            ("UPDATE a SET x = (SELECT y FROM b), z = 1 WHERE z IS DISTINCT FROM 2", "a b"),
            (
                "MERGE INTO a AS t USING (TABLE b) s ON t.x = s.x WHEN MATCHED THEN UPDATE SET p = 1, q = 2 \
              WHEN NOT MATCHED THEN INSERT (p, q) VALUES (s.p, (SELECT 1 FROM c))",
                "a b c",
            ),
            (
                "CREATE TABLE a (x bigint COMMENT 'c', LIKE b INCLUDING PROPERTIES, \"like\" varchar) WITH (format = 'ORC')",
                "a b",
            ),
            ("CREATE TABLE a (x, y) WITH (format = 'ORC') AS (SELECT * FROM b) WITH NO DATA", "a b"),
            ("CREATE OR REPLACE VIEW a COMMENT 'c' SECURITY INVOKER AS TABLE b", "a b"),
            ("CREATE MATERIALIZED VIEW IF NOT EXISTS a GRACE PERIOD INTERVAL '5' MINUTE AS SELECT * FROM b", "a b"),
            ("ALTER TABLE a RENAME TO b", "a b"),
            ("ALTER TABLE IF EXISTS a RENAME COLUMN IF EXISTS id TO user_id", "a"),
            ("COMMENT ON COLUMN a.x IS NULL", "a"),
            ("SHOW COLUMNS FROM a", "a"),
            ("SHOW STATS FOR a", "a"),
            ("SHOW GRANTS ON TABLE a", "a"),
            ("SHOW CREATE VIEW a", "a"),
            ("DESCRIBE input", "input"),
            ("GRANT SELECT ON a TO USER b WITH GRANT OPTION", "a"),
            ("DROP TABLE IF EXISTS a", "a"),
            ("DROP TABLE \"if\"", "if"),
        ] {
            let expected: Vec<_> = expected.split(' ').map(|table| format!("hive.web.{table}")).collect();
            assert_eq!(tables(sql), expected, "{sql}");
        }
        assert_eq!(tables("ALTER TABLE x.y.a RENAME TO b"), ["x.y.a", "x.y.b"]);
    }

    #[test]
    fn names_are_completed_by_the_session_and_in_lower_case() {
        let found = analyzed("SELECT * FROM Orders, \"Sales\".\"Old Orders\", TPCH.sf1.Nation n, memory.s.\"a\"\"b\"");
        assert_eq!(Vec::from_iter(found.catalogs), ["hive", "memory", "tpch"]);
        assert_eq!(Vec::from_iter(found.schemas), ["hive.sales", "hive.web", "memory.s", "tpch.sf1"]);
        assert_eq!(
            Vec::from_iter(found.tables),
            ["hive.sales.old orders", "hive.web.orders", "memory.s.a\"b", "tpch.sf1.nation"]
        );

        let prepared = BTreeMap::new();
        let found = analyze(
            "TABLE a UNION TABLE s.b UNION TABLE c.s.d",
            &Context { catalog: None, schema: None, prepared: &prepared },
        );
        assert_eq!(Vec::from_iter(found.catalogs), ["c"]);
        assert_eq!(Vec::from_iter(found.schemas), ["c.s"]);
        assert_eq!(Vec::from_iter(found.tables), ["a", "c.s.d", "s.b"]);
    }

    #[test]
    fn schemas_and_catalogs_are_found_without_tables() {
        for (sql, catalogs, schemas) in [
            ("USE hive.finance", "hive", "hive.finance"),
            ("USE finance", "hive", "hive.finance"),
            ("CREATE SCHEMA tpch.sales AUTHORIZATION ROLE PUBLIC", "tpch", "tpch.sales"),
            ("ALTER SCHEMA tpch.web RENAME TO traffic", "tpch", "tpch.traffic tpch.web"),
            ("SHOW TABLES", "hive", "hive.web"),
            ("SHOW TABLES FROM tpch.tiny LIKE 'p%'", "tpch", "tpch.tiny"),
            ("SHOW SCHEMAS", "hive", ""),
            ("SHOW SCHEMAS FROM tpch LIKE '__3%'", "tpch", ""),
            ("SHOW FUNCTIONS FROM example.default", "example", "example.default"),
            ("DROP CATALOG example", "example", ""),
            ("CREATE ROLE admin WITH ADMIN CURRENT_USER IN tpch", "tpch", ""),
            ("SET ROLE NONE IN tpch", "tpch", ""),
            ("GRANT bar, foo TO USER baz, ROLE qux WITH ADMIN OPTION IN tpch", "tpch", ""),
            ("SET SESSION example.optimized_reader_enabled = true", "example", ""),
            ("CALL example.system.flush_metadata_cache()", "example", "example.system"),
            ("CALL system.flush()", "hive", "hive.system"),
            ("SELECT * FROM TABLE(example.system.query(query => 'SELECT * FROM x'))", "example", "example.system"),
            ("CREATE FUNCTION example.default.f(x bigint) RETURNS bigint RETURN x + 1", "example", "example.default"),
            ("GRANT CREATE ON SCHEMA tpch.sales TO ROLE finance", "tpch", "tpch.sales"),
        ] {
            let found = analyzed(sql);
            assert_eq!(found.why_unknown, None, "{sql}");
            assert_eq!(Vec::from_iter(found.catalogs), catalogs.split_whitespace().collect::<Vec<_>>(), "{sql}");
            assert_eq!(Vec::from_iter(found.schemas), schemas.split_whitespace().collect::<Vec<_>>(), "{sql}");
            assert!(found.tables.is_empty(), "{sql}");
        }
    }

    #[test]
    fn what_is_no_statement_of_trino_is_unknown() {
        for (sql, expected) in [
            ("", "the statement ends too early"),
            ("-- nothing", "the statement ends too early"),
            ("SELEC 1", "the statement is not what Trino's grammar has at byte 0"),
            ("SELECT * FROM", "the statement ends too early"),
            ("SELECT * FROM where", "the statement is not what Trino's grammar has at byte 14"),
            ("SELECT (1", "the statement ends too early"),
            ("SELECT 1)", "the statement is not what Trino's grammar has at byte 8"),
            ("SELECT [1)", "the statement is not what Trino's grammar has at byte 9"),
            ("SELECT 1; DROP TABLE t", "the statement is not what Trino's grammar has at byte 8"),
            ("SELECT 1 SELECT 2", "the statement is not what Trino's grammar has at byte 9"),
            ("SELECT 'secret", "the statement has unclosed quotes at byte 7"),
            ("SELECT `secret`", "the statement has a character that only quotes may hold at byte 7"),
            ("WITH a AS (SELECT 1)", "the statement ends too early"),
            ("DROP TABEL secret", "the statement is not what Trino's grammar has at byte 5"),
            ("EXECUTE secret", "the prepared statement is not known to the request"),
            ("EXECUTE again", "a prepared statement executes another one"),
            ("EXECUTE IMMEDIATE 'EXECUTE IMMEDIATE ''SELECT 1'''", "a prepared statement executes another one"),
        ] {
            assert_eq!(why_unknown(sql), expected, "{sql}");
        }
    }

    #[test]
    fn nesting_has_a_bound_that_no_stack_depends_on() {
        for (begin, open) in [("SELECT ", "("), ("SELECT ", "["), ("SELECT ", "f("), ("", "WITH a AS (")] {
            let why = why_unknown(&format!("{begin}{}", open.repeat(90_000)));
            assert!(why.starts_with("the statement nests deeper than 5000 levels"), "{open}: {why}");
        }
        assert!(why_unknown(&"(".repeat(100_000)).starts_with("the statement nests deeper than 5000 levels"));
        let nested = |levels: usize| format!("{}t{}", "SELECT * FROM (".repeat(levels), ")".repeat(levels));
        assert_eq!(tables(&nested(5_000)), ["hive.web.t"]);
        assert!(why_unknown(&nested(5_001)).starts_with("the statement nests deeper"));
    }

    #[test]
    fn long_chains_need_neither_stack_nor_patience() {
        for chain in ["- ", "NOT ", "CASE WHEN x THEN ", "x OR ", "x || ", "y -> ", "/* /* */ ", "1, ", "EXTRACT -- \n"]
        {
            assert_eq!(tables(&format!("SELECT {}1 FROM t", chain.repeat(40_000))), ["hive.web.t"], "{chain}");
        }
        assert_eq!(tables(&format!("SELECT 1 WHERE x IN ({}1)", "1, ".repeat(300_000))), [""; 0]);
        assert_eq!(kind(&format!("{}SELECT 1", "EXPLAIN ".repeat(100_000))), "EXPLAIN SELECT");
        assert_eq!(kind(&format!("{}SELECT 1", "SELECT 1 UNION ".repeat(60_000))), "SELECT");
        assert_eq!(tables(&format!("SELECT 1 FROM t{}", ".t".repeat(400_000))), [""; 0]);
        let names = (0..30_000).map(|at| format!("a{at} AS (TABLE t)")).collect::<Vec<_>>().join(", ");
        assert_eq!(tables(&format!("WITH {names} TABLE a7")), ["hive.web.t"]);
    }

    #[test]
    fn a_prepared_text_that_trino_compressed_is_read_like_another() {
        let prepared = [("long".to_owned(), packed::tests::LONG.to_owned()), ("bad".to_owned(), "$zstd:x".to_owned())];
        let prepared = prepared.into();
        let found = |sql| analyze(sql, &Context { catalog: None, schema: None, prepared: &prepared });
        for sql in ["EXECUTE long", "EXECUTE long USING 1", "EXPLAIN ANALYZE EXECUTE long USING 1"] {
            let found = found(sql);
            assert_eq!(found.kind, "DELETE", "{sql}: {:?}", found.why_unknown);
            assert!(found.tables.iter().eq(["hive.raw.événements"]));
        }
        assert!(found("DESCRIBE INPUT long").tables.iter().eq(["hive.raw.événements"]));
        let bad = found("EXECUTE bad");
        assert_eq!((bad.kind.as_str(), bad.tables.len()), (UNKNOWN, 0));
        assert_eq!(bad.why_unknown.as_deref(), Some("the prepared statement is compressed, and cannot be read"));
    }

    #[test]
    fn length_has_a_bound_for_a_prepared_text_too() {
        let long = format!("SELECT {}", " ".repeat(MAX_LENGTH));
        assert_eq!(why_unknown(&long), "the statement is longer than 1048576 bytes");
        let prepared = [("long".to_owned(), long)].into();
        let found = analyze("EXECUTE long", &Context { catalog: None, schema: None, prepared: &prepared });
        assert_eq!(found.why_unknown.as_deref(), Some("the statement is longer than 1048576 bytes"));
    }

    #[test]
    fn no_cut_through_a_statement_panics() {
        let sql = "WITH RECURSIVE a (x) AS (SELECT 'ä' UNION ALL TABLE a) MERGE INTO \"ö\".t USING b ON 1.5e3 = $$ü$$ /* ß */";
        let cuts: Vec<&str> = sql.char_indices().flat_map(|(at, _)| [&sql[..at], &sql[at..]]).collect();
        for cut in &cuts {
            for verb in
                ["", "EXPLAIN ANALYZE ", "CREATE TABLE t (", "INSERT INTO t (", "GRANT ", "SHOW ", "EXECUTE IMMEDIATE "]
            {
                analyzed(&format!("{verb}{cut}"));
            }
        }
    }
}
