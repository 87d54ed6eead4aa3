//! Compares what is read from statements with what Trino's own parser says, over a corpus that `hack/sql-corpus.sh`
//! makes: statements of TPC-H, TPC-DS, Trino's documentation and tests, and changed ones.

use std::collections::{BTreeMap, BTreeSet};

use warren::trino::sql::{Context, UNKNOWN, analyze};

/// A line of the corpus: a statement that Trino's parser accepts, with the kind and the tables that its tree has.
#[derive(serde::Deserialize)]
struct Line {
    part: String,
    sql: String,
    kind: String,
    tables: BTreeSet<String>,
}

/// Statements of a part of the corpus.
#[derive(Default)]
struct Share {
    all: usize,
    understood: usize,
    kind: usize,
    tables: usize,
}

#[test]
#[ignore = "needs a corpus; run hack/sql-corpus.sh"]
fn trino_names_the_same_kind_and_tables() {
    let corpus = std::env::var("WARREN_SQL_CORPUS").expect("hack/sql-corpus.sh sets WARREN_SQL_CORPUS");
    let corpus = std::fs::read_to_string(corpus).expect("the corpus can be read");
    let prepared = BTreeMap::new();
    let context = Context { catalog: Some("c"), schema: Some("s"), prepared: &prepared };
    let mut shares: BTreeMap<String, Share> = BTreeMap::new();
    let mut differences = 0;
    for line in corpus.lines() {
        let Line { part, sql, kind, tables } = serde_json::from_str(line).expect("a line of the corpus");
        let found = analyze(&sql, &context);
        let understood = found.kind != UNKNOWN;
        // DESCRIBE and SHOW COLUMNS are the same node of Trino's tree.
        let same_kind = found.kind == kind || (found.kind == "DESCRIBE" && kind == "SHOW");
        let same_tables = understood && found.tables == tables;
        let share = shares.entry(part).or_default();
        share.all += 1;
        share.understood += usize::from(understood);
        share.kind += usize::from(same_kind);
        share.tables += usize::from(same_tables);
        if !same_kind || !same_tables {
            differences += 1;
            println!("{sql}\n  Trino: {kind} {tables:?}\n  here: {found:?}\n");
        }
    }
    println!("{:15} {:>10} {:>10} {:>10} {:>10}", "part", "statements", "understood", "same kind", "same tables");
    for (part, Share { all, understood, kind, tables }) in &shares {
        println!("{part:15} {all:10} {understood:10} {kind:10} {tables:10}");
    }
    assert!(shares.len() > 1, "the corpus is empty");
    assert_eq!(differences, 0, "statements that Trino reads otherwise");
}
