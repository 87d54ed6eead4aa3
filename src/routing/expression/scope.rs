//! The values behind an expression's names, for one query.

use std::{collections::HashMap, sync::Arc};

use cel::{
    Context, Value,
    objects::{Key, Map},
};
use chrono::{DateTime, FixedOffset};
use jiff::Timestamp;

use super::variables::environment;
use crate::routing::Facts;

/// What is known of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::routing) struct SqlFacts {
    pub kind: String,
    pub catalogs: Vec<String>,
    pub schemas: Vec<String>,
    pub tables: Vec<String>,
    /// Why the rest is not known, if it is not.
    pub why_unknown: Option<String>,
}

/// How much of the statement expressions see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::routing) enum View {
    /// Nothing: an expression whose value depends on it fails, and one that does not has its value, since CEL's `&&` and
    /// `||` pass over a failure on one side when the other decides.
    WithoutSql,
    /// What is known; an `UNKNOWN` statement has no tables.
    WithSql,
}

/// The names of one query, ready for expressions.
pub(in crate::routing) struct Scope {
    context: Context<'static, 'static>,
    /// What `query` holds besides the statement.
    plain: HashMap<Key, Value>,
    view: View,
}

impl Scope {
    /// The scope of a query, without its statement.
    pub(in crate::routing) fn of(facts: &Facts) -> Self {
        let plain = map([
            ("source", text(&facts.source)),
            ("tags", list(&facts.tags)),
            ("clientInfo", text(&facts.client_info)),
            ("catalog", text(&facts.catalog)),
            ("schema", text(&facts.schema)),
            ("session", texts(&facts.session)),
            ("resourceEstimates", texts(&facts.resource_estimates)),
        ]);
        let origin = &facts.origin;
        let request = map([
            ("headers", texts(&facts.headers)),
            ("host", text(origin.host.as_deref().unwrap_or_default())),
            ("sni", text(origin.sni.as_deref().unwrap_or_default())),
            ("remoteAddress", text(&origin.remote.to_canonical().to_string())),
            ("port", Value::Int(i64::from(origin.port))),
            ("listener", text(origin.listener.as_deref().unwrap_or_default())),
            ("time", Value::Timestamp(time(origin.now))),
        ]);
        let mut context = Context::with_env(environment());
        context.add_variable_from_value("user", value(map([("name", text(&facts.user)), ("verified", false.into())])));
        context.add_variable_from_value("request", value(request));
        context.add_variable_from_value("query", value(plain.clone()));
        Self { context, plain, view: View::WithoutSql }
    }

    /// Shows expressions what `view` says of the statement.
    pub(in crate::routing) fn see(&mut self, view: View, sql: &SqlFacts) {
        if self.view == view {
            return;
        }
        let mut query = self.plain.clone();
        if view == View::WithSql {
            query.extend(map([
                ("type", text(&sql.kind)),
                ("catalogs", list(&sql.catalogs)),
                ("schemas", list(&sql.schemas)),
                ("tables", list(&sql.tables)),
            ]));
        }
        self.context.add_variable_from_value("query", value(query));
        self.view = view;
    }

    pub(super) fn context(&self) -> &Context<'static, 'static> {
        &self.context
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> HashMap<Key, Value> {
    entries.into_iter().map(|(name, value)| (Key::from(name), value)).collect()
}

fn value(map: HashMap<Key, Value>) -> Value {
    Value::Map(Map { map: Arc::new(map) })
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn list(texts: &[String]) -> Value {
    Value::List(Arc::new(texts.iter().map(|item| text(item)).collect()))
}

fn texts(texts: &std::collections::BTreeMap<String, String>) -> Value {
    value(texts.iter().map(|(name, value)| (Key::from(name.as_str()), text(value))).collect())
}

/// In UTC; the functions of CEL take a time zone where another one is meant.
fn time(now: Timestamp) -> DateTime<FixedOffset> {
    let nanosecond = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    DateTime::from_timestamp(now.as_second(), nanosecond).unwrap_or_default().fixed_offset()
}
