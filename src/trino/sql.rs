//! What a statement does and to which tables, as far as its text tells. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What a statement's text alone does not say.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The session's catalog.
    pub catalog: Option<&'a str>,
    /// The session's schema.
    pub schema: Option<&'a str>,
    /// The session's prepared statements by name.
    pub prepared: &'a BTreeMap<String, String>,
}

/// What a statement does and what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// What it does, for example `SELECT`; `UNKNOWN` when that cannot be told.
    pub kind: String,
    /// The catalogs that it names.
    pub catalogs: BTreeSet<String>,
    /// The schemas that it names, as `catalog.schema`.
    pub schemas: BTreeSet<String>,
    /// The tables that it names, as `catalog.schema.table`.
    pub tables: BTreeSet<String>,
    /// Why the kind is `UNKNOWN`, if it is.
    pub why_unknown: Option<String>,
}

/// What `sql` does in a session that `context` describes.
pub fn analyze(sql: &str, context: &Context<'_>) -> Analysis {
    let _ = (sql, context);
    Analysis {
        kind: "UNKNOWN".to_owned(),
        catalogs: BTreeSet::new(),
        schemas: BTreeSet::new(),
        tables: BTreeSet::new(),
        why_unknown: Some("not analysed".to_owned()),
    }
}
