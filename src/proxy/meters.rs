//! The proxy's metrics. Labels are bounded: kinds, outcomes, and the clusters of the table in force.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{backend::Backend, endpoint::Kind, health::Checked, reason::Reason};
use crate::trino::{ClusterName, event::Event};

/// Upper bounds in seconds: from a poll of cached results to a query of minutes that streams.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    /// A coordinator's answer below 400 reached its end.
    Ok,
    /// One of 400 to 499 did.
    ClientError,
    /// One of 500 or more did.
    ServerError,
    /// The proxy itself said no: not served here, nothing matches, or a rule says so.
    Refused,
    /// No coordinator could be made to answer.
    Unavailable,
    /// The coordinator broke off its answer.
    Broken,
    /// The client went away first. Never held against a cluster.
    ClientGone,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Ok,
        Self::ClientError,
        Self::ServerError,
        Self::Refused,
        Self::Unavailable,
        Self::Broken,
        Self::ClientGone,
    ];

    /// The word in metrics and logs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Broken => "broken",
            Self::ClientGone => "client_gone",
        }
    }
}

/// What a coordinator told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum EventKind {
    Created,
    Completed,
    Split,
    /// It was refused before it was read, or is none.
    Unknown,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum EventOutcome {
    /// It was news, and is in its cluster's count.
    Counted,
    /// It was known already.
    Repeated,
    /// Nobody wants to know.
    Ignored,
    /// So much happened in that cluster that there was no room for it.
    Dropped,
    /// It bears no token of a cluster.
    Unauthorized,
    TooLarge,
    Invalid,
    /// Too many of that cluster are under way.
    Busy,
    /// It broke off.
    Broken,
}

impl EventKind {
    /// The kind of an event that was read.
    pub(super) fn of(event: Event) -> Self {
        match event {
            Event::Created(_) => Self::Created,
            Event::Completed(_) => Self::Completed,
            Event::Split => Self::Split,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Completed => "completed",
            Self::Split => "split",
            Self::Unknown => "unknown",
        }
    }
}

impl EventOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Repeated => "repeated",
            Self::Ignored => "ignored",
            Self::Dropped => "dropped",
            Self::Unauthorized => "unauthorized",
            Self::TooLarge => "too_large",
            Self::Invalid => "invalid",
            Self::Busy => "busy",
            Self::Broken => "broken",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    kind: Kind,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterLabel {
    cluster: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    cluster: String,
    check: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabel {
    hash: String,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

impl EncodeLabelValue for Kind {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

/// The metrics of a kind of requests, at hand without a look-up.
#[derive(Debug)]
struct OfKind {
    ended: [Counter; Outcome::ALL.len()],
    duration: Histogram,
    retries: Counter,
}

/// The result of a check that found nothing wrong.
const GOOD: &str = "ok";

fn check_labels(cluster: &ClusterName, checked: Checked, result: &'static str) -> CheckLabels {
    let check = match checked {
        Checked::Info => "info",
        Checked::Query => "sql",
    };
    CheckLabels { cluster: cluster.to_string(), check, result }
}

/// The proxy's metrics.
#[derive(Debug)]
pub(super) struct Meters {
    of_kind: [OfKind; Kind::ALL.len()],
    pub in_flight: Gauge,
    pub connections: Gauge,
    healthy: Family<ClusterLabel, Gauge>,
    checks: Family<CheckLabels, Counter>,
    chains: Family<ClusterLabel, Gauge>,
    queries: Family<ClusterLabel, Gauge>,
    events: Family<EventLabels, Counter>,
    idle: Family<ClusterLabel, Gauge>,
    table: Family<TableLabel, Gauge>,
    pub tables_refused: Counter,
    pub tls_failures: Counter,
}

impl Meters {
    /// Metrics in `registry`.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let requests = Family::<RequestLabels, Counter>::default();
        let durations =
            Family::<KindLabel, Histogram, fn() -> Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let retries = Family::<KindLabel, Counter>::default();
        registry.register("proxy_requests", "Requests of clients that ended", requests.clone());
        let help = "From a request's head to the end of its answer";
        registry.register("proxy_request_duration_seconds", help, durations.clone());
        registry.register("proxy_retries", "Requests that were sent once more", retries.clone());
        let of_kind = Kind::ALL.map(|kind| OfKind {
            ended: Outcome::ALL.map(|outcome| requests.get_or_create(&RequestLabels { kind, outcome }).clone()),
            duration: durations.get_or_create(&KindLabel { kind }).clone(),
            retries: retries.get_or_create(&KindLabel { kind }).clone(),
        });
        let meters = Self {
            of_kind,
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            healthy: Family::default(),
            checks: Family::default(),
            chains: Family::default(),
            queries: Family::default(),
            events: Family::default(),
            idle: Family::default(),
            table: Family::default(),
            tables_refused: Counter::default(),
            tls_failures: Counter::default(),
        };
        meters.register(registry);
        meters
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("proxy_requests_in_flight", "Requests of clients under way", self.in_flight.clone());
        registry.register("proxy_connections", "Open connections of clients", self.connections.clone());
        registry.register("proxy_cluster_healthy", "1 if a cluster takes new queries", self.healthy.clone());
        registry.register("proxy_health_checks", "Checks of clusters by their results", self.checks.clone());
        let help = "Queries whose clients still hold a nextUri, as far as this proxy saw";
        registry.register("proxy_live_queries", help, self.chains.clone());
        let help = "Queries of a cluster, as its coordinator says and this proxy saw since";
        registry.register("proxy_cluster_queries", help, self.queries.clone());
        registry.register("proxy_events", "Events of coordinators by what became of them", self.events.clone());
        registry.register("proxy_idle_cluster_connections", "Connections kept for the next request", self.idle.clone());
        registry.register("proxy_routing_table", "1 for the hash of the table in force", self.table.clone());
        registry.register("proxy_routing_tables_refused", "Tables that could not be used", self.tables_refused.clone());
        registry.register("proxy_tls_failures", "Clients whose TLS handshake failed", self.tls_failures.clone());
    }

    /// Counts a request that ended after `duration`.
    pub(super) fn ended(&self, kind: Kind, outcome: Outcome, duration: Duration) {
        self.in_flight.dec();
        let of_kind = &self.of_kind[kind as usize];
        of_kind.ended[outcome as usize].inc();
        of_kind.duration.observe(duration.as_secs_f64());
    }

    /// Counts a further try of a request.
    pub(super) fn retried(&self, kind: Kind) {
        self.of_kind[kind as usize].retries.inc();
    }

    /// Counts an event of a coordinator.
    pub(super) fn event(&self, kind: EventKind, outcome: EventOutcome) {
        self.events.get_or_create(&EventLabels { kind: kind.as_str(), outcome: outcome.as_str() }).inc();
    }

    /// Tells the table in force, and forgets the clusters that it no longer holds.
    pub(super) fn table_in_force(&self, hash: &str, gone: &[ClusterName]) {
        self.table.clear();
        self.table.get_or_create(&TableLabel { hash: hash.to_owned() }).set(1);
        for cluster in gone {
            let label = ClusterLabel { cluster: cluster.to_string() };
            self.healthy.remove(&label);
            self.chains.remove(&label);
            self.queries.remove(&label);
            self.idle.remove(&label);
            for check in [Checked::Info, Checked::Query] {
                for result in Reason::WORDS.into_iter().chain([GOOD]) {
                    self.checks.remove(&check_labels(cluster, check, result));
                }
            }
        }
    }

    /// Counts a check of a cluster that failed for `reason`, or did not.
    pub(super) fn checked(&self, cluster: &ClusterName, checked: Checked, reason: Option<&Reason>) {
        let result = reason.map_or(GOOD, Reason::word);
        self.checks.get_or_create(&check_labels(cluster, checked, result)).inc();
    }

    /// Tells what is known of a cluster.
    pub(super) fn cluster(&self, backend: &Backend) {
        let label = ClusterLabel { cluster: backend.name.to_string() };
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.healthy.get_or_create(&label).set(i64::from(backend.health.is_healthy()));
        self.chains.get_or_create(&label).set(count(backend.chains.len()));
        self.queries.get_or_create(&label).set(i64::from(backend.queries()));
        self.idle.get_or_create(&label).set(backend.pool().map_or(0, |pool| count(pool.idle())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_and_each_outcome_has_its_own_place() {
        assert!(Kind::ALL.iter().enumerate().all(|(place, kind)| *kind as usize == place));
        assert!(Outcome::ALL.iter().enumerate().all(|(place, outcome)| *outcome as usize == place));
    }
}
