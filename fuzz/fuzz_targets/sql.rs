//! Whatever a statement is, its analysis ends, and names nothing but what a session or the text names.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use warren::trino::sql::{Context, analyze};

// Behind a NUL stands the text of the session's prepared statement `p`.
fuzz_target!(|input: &str| {
    let (sql, prepared) = input.split_once('\0').unwrap_or((input, "SELECT 1"));
    let prepared = BTreeMap::from([("p".to_owned(), prepared.to_owned())]);
    let context = Context { catalog: Some("hive"), schema: Some("web"), prepared: &prepared };
    let analysis = analyze(sql, &context);
    assert_eq!(analysis, analyze(sql, &context));
    assert_eq!(analysis.kind == "UNKNOWN", analysis.why_unknown.is_some());
    if analysis.why_unknown.is_some() {
        assert!(analysis.catalogs.is_empty() && analysis.schemas.is_empty() && analysis.tables.is_empty());
    } else {
        // What is not part of the statement changes nothing.
        assert_eq!(analyze(&format!("/* c */ -- d\n {sql}\n"), &context), analysis);
    }
});
