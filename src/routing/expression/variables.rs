//! The names that expressions may use, and what stands behind them: the one list that checks and messages go by.

use std::sync::{Arc, LazyLock};

use cel::{
    Env, ExecutionError,
    common::{
        types::{CelBool, CelString, STRING_TYPE},
        value::CowVal,
    },
    extensions,
};
use ipnet::IpNet;

/// A field of one of the three variables.
pub struct Variable {
    pub root: &'static str,
    pub field: &'static str,
    /// Whether it is known of the statement only.
    pub sql: bool,
}

const fn plain(root: &'static str, field: &'static str) -> Variable {
    Variable { root, field, sql: false }
}

const fn of_sql(field: &'static str) -> Variable {
    Variable { root: "query", field, sql: true }
}

/// All of them.
pub const VARIABLES: &[Variable] = &[
    plain("query", "source"),
    plain("query", "tags"),
    plain("query", "clientInfo"),
    plain("query", "catalog"),
    plain("query", "schema"),
    plain("query", "session"),
    plain("query", "resourceEstimates"),
    of_sql("type"),
    of_sql("catalogs"),
    of_sql("schemas"),
    of_sql("tables"),
    plain("user", "name"),
    plain("user", "verified"),
    plain("request", "headers"),
    plain("request", "host"),
    plain("request", "sni"),
    plain("request", "remoteAddress"),
    plain("request", "port"),
    plain("request", "listener"),
    plain("request", "time"),
];

/// The variables themselves.
pub const ROOTS: &[&str] = &["query", "user", "request"];

/// The functions that may be called. CEL has more: what is not here could make much of little, or has no use in a rule.
pub const FUNCTIONS: &[&str] = &[
    "contains",
    "duration",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "inNetwork",
    "int",
    "lowerAscii",
    "matches",
    "size",
    "split",
    "startsWith",
    "string",
    "timestamp",
    "trim",
    "upperAscii",
];

/// What programs are compiled for and run in.
pub fn environment() -> Arc<Env> {
    static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut environment = Env::stdlib().with_optional_support(false);
        let strings = environment.add_extension(extensions::strings);
        let network = environment.add_member_overload(
            "inNetwork",
            "string.inNetwork(string)",
            STRING_TYPE,
            vec![STRING_TYPE],
            in_network,
        );
        debug_assert!(strings.is_ok() && network.is_ok(), "the names are free");
        Arc::new(environment)
    });
    ENVIRONMENT.clone()
}

/// What expressions are read with to check their names: `exists` and the like stay calls.
pub fn environment_without_macros() -> Env {
    Env::default().with_optional_support(false)
}

/// `"10.1.2.3".inNetwork("10.0.0.0/8")`; a network that is none holds nothing.
#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "the shape of an overload")]
fn in_network<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = |at: usize| arguments.get(at)?.downcast_ref::<CelString>().map(CelString::inner);
    let holds = || Some(text(1)?.parse::<IpNet>().ok()?.contains(&text(0)?.parse::<std::net::IpAddr>().ok()?));
    Ok(CowVal::owned(CelBool::from(holds().unwrap_or(false))))
}
