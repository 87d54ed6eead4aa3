//! The proxy's limits and deadlines, with the values that fit most. Some of them change while it runs.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::roots::Roots;

/// The settings in force, for whoever outlives a change of them.
pub(super) type LiveSettings = Arc<ArcSwap<Settings>>;

/// Limits and deadlines of a proxy.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most bytes of a new statement that are kept for a second try. A larger one streams through and is tried
    /// once.
    pub max_statement_kept: usize,
    /// The most bytes of a request's headers; JDBC clients send one line per session property and prepared statement.
    /// Never under 8 KiB.
    pub max_header_bytes: u32,
    /// The most headers of one request.
    pub max_headers: usize,
    /// How long a client may take to send the head of a request, and how long an HTTP/1.1 connection may idle.
    pub header_timeout: Duration,
    /// The most connections of clients at one time; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// The longest that a connection to a coordinator may take, TLS included.
    pub connect_timeout: Duration,
    /// The longest that a coordinator may take to answer a new statement, from the end of its text to the head of the
    /// answer. Trino only registers the query then.
    pub statement_timeout: Duration,
    /// The same for every other request. Trino holds a poll for about a second.
    pub response_timeout: Duration,
    /// How often a poll is tried whose coordinator cannot be reached.
    pub poll_tries: u32,
    /// How long after its arrival such a poll is given up.
    pub poll_patience: Duration,
    /// The longest that a client may take to send the whole body of a request; a pause in it may last 30 s.
    pub body_timeout: Duration,
    /// How long a client may take none of an answer that is there for it.
    pub write_timeout: Duration,
    /// How many threads serve clients, each with its own runtime, listener and connections.
    pub shards: usize,
    /// How clusters are checked.
    pub health: HealthChecks,
    /// A CA by which `https` coordinators are trusted, besides those of the table.
    pub backend_roots: Option<Roots>,
    /// How long connections are still accepted after the shutdown began, so that load balancers notice it.
    pub drain_delay: Duration,
    /// How long running requests may then go on.
    pub drain_timeout: Duration,
}

/// How clusters are checked: `GET /v1/info`, which must be 200 with `"starting":false`.
#[derive(Clone, Debug)]
pub struct HealthChecks {
    /// The pause between two checks of a healthy cluster.
    pub interval: Duration,
    /// The first pause after a failure; it doubles up to [`HealthChecks::max_retry`].
    pub retry: Duration,
    /// The longest pause between two checks of an unhealthy cluster.
    pub max_retry: Duration,
    /// The longest that one check may take.
    pub timeout: Duration,
    /// How many failures in a row take a healthy cluster out. A refused connection does so at once.
    pub failures: u32,
    /// How many successes in a row bring a cluster back that had failed.
    pub successes: u32,
    /// For how long a cluster that came back takes less than its share of new queries, growing to the whole of it.
    pub slow_start: Duration,
}

impl Settings {
    /// These settings with those of `next` that a running proxy can take. The others are built into what it has: its
    /// threads, its listeners, its connections.
    pub fn tuned(&self, next: &Self) -> Self {
        let health = &next.health;
        Self {
            max_statement_kept: next.max_statement_kept,
            statement_timeout: next.statement_timeout,
            response_timeout: next.response_timeout,
            poll_tries: next.poll_tries,
            poll_patience: next.poll_patience,
            body_timeout: next.body_timeout,
            write_timeout: next.write_timeout,
            health: HealthChecks {
                interval: health.interval,
                retry: health.retry,
                max_retry: health.max_retry,
                timeout: health.timeout,
                failures: health.failures,
                successes: health.successes,
                slow_start: self.health.slow_start,
            },
            ..self.clone()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_statement_kept: 1024 * 1024,
            max_header_bytes: 256 * 1024,
            max_headers: 500,
            header_timeout: Duration::from_secs(30),
            max_connections: 50_000,
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(30),
            response_timeout: Duration::from_mins(2),
            poll_tries: 5,
            poll_patience: Duration::from_secs(5),
            body_timeout: Duration::from_mins(5),
            write_timeout: Duration::from_mins(1),
            shards: 1,
            health: HealthChecks::default(),
            backend_roots: None,
            drain_delay: Duration::from_secs(5),
            drain_timeout: Duration::from_mins(2),
        }
    }
}

impl Default for HealthChecks {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            retry: Duration::from_millis(250),
            max_retry: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            failures: 2,
            successes: 1,
            slow_start: Duration::from_secs(30),
        }
    }
}
