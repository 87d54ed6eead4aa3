//! The keys of the document: their values, and whether a running proxy takes a new one. And those that are Warren's.

use super::value::Kind;

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, with dots between the parts.
    pub name: &'static str,
    /// The values that it takes.
    pub kind: Kind,
    /// Whether a running proxy takes a new value.
    pub reload: Reload,
    /// What it is, in one sentence.
    pub about: &'static str,
}

/// Whether a running proxy takes a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It does.
    Running,
    /// Only a new process does.
    AtStart,
}

const fn key(name: &'static str, kind: Kind, reload: Reload, about: &'static str) -> Key {
    Key { name, kind, reload, about }
}

const MIB: u64 = 1024 * 1024;

/// All keys, in the order in which docs/proxygroup.md has them.
pub const KEYS: &[Key] = &[
    key("threads", Kind::Count(1, 256), Reload::AtStart, "threads that serve clients"),
    key("accessLog", Kind::Word(&["stderr", "stdout", "off"]), Reload::AtStart, "where a line per request goes"),
    key("limits.statementKept", Kind::Size(0, 64 * MIB), Reload::Running, "largest statement kept for a second try"),
    key("limits.headerBytes", Kind::Size(8 * 1024, 2 * MIB), Reload::AtStart, "most bytes of a request's headers"),
    key("limits.headers", Kind::Count(100, 4000), Reload::AtStart, "most headers of a request"),
    key("limits.connections", Kind::Count(16, 1_000_000), Reload::AtStart, "most connections of clients"),
    key(
        "timeouts.header",
        Kind::Duration(1_000, 600_000),
        Reload::AtStart,
        "for a request's head, and idle connections",
    ),
    key("timeouts.connect", Kind::Duration(100, 60_000), Reload::AtStart, "for a connection to a coordinator"),
    key("timeouts.statement", Kind::Duration(1_000, 3_600_000), Reload::Running, "for the answer to a new statement"),
    key("timeouts.response", Kind::Duration(1_000, 3_600_000), Reload::Running, "for the answer to any other request"),
    key("timeouts.body", Kind::Duration(1_000, 3_600_000), Reload::Running, "for the whole body of a request"),
    key("timeouts.write", Kind::Duration(1_000, 3_600_000), Reload::Running, "for a client that takes no answer"),
    key("polls.tries", Kind::Count(1, 100), Reload::Running, "tries of a poll that reaches no coordinator"),
    key("polls.patience", Kind::Duration(0, 60_000), Reload::Running, "how long such a poll is tried"),
    key("health.interval", Kind::Duration(500, 600_000), Reload::Running, "between two checks of a healthy cluster"),
    key("health.retry", Kind::Duration(50, 60_000), Reload::Running, "after a first failure, then doubled"),
    key(
        "health.maxRetry",
        Kind::Duration(50, 600_000),
        Reload::Running,
        "the most between two checks of an unhealthy one",
    ),
    key("health.timeout", Kind::Duration(100, 60_000), Reload::Running, "for a check"),
    key("health.failures", Kind::Count(1, 100), Reload::Running, "failures in a row that take a cluster out"),
    key("health.successes", Kind::Count(1, 100), Reload::Running, "successes in a row that bring it back"),
    key("health.slowStart", Kind::Duration(0, 3_600_000), Reload::AtStart, "how long one that came back takes less"),
];

const GATEWAY: &str = "the TrinoGateway and its groups";
const PORTS: &str = "spec.template.spec.server.ports";
const TLS: &str = "spec.template.spec.security.tls";

/// What a document must not say, and where it is said instead.
pub(super) const OWNED: &[(&str, &str)] = &[
    ("listen", PORTS),
    ("ports", PORTS),
    ("tls", TLS),
    ("security", TLS),
    ("drain", "spec.template.spec.drain and spec.template.spec.preStop"),
    ("drainDelay", "spec.template.spec.preStop.sleepSeconds"),
    ("drainTimeout", "spec.template.spec.drain.timeout"),
    ("credentials", "its own Secret"),
    ("namespace", "metadata.namespace"),
    ("logFormat", "its own way of logging"),
    ("traces", "spec.template.spec.env"),
    ("externalUrl", GATEWAY),
    ("proxyMode", GATEWAY),
    ("trustedProxies", GATEWAY),
    ("allowedHosts", GATEWAY),
    ("listeners", GATEWAY),
    ("groups", GATEWAY),
    ("routing", GATEWAY),
    ("certificates", GATEWAY),
];
