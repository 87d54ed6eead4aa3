//! What is told of each request: metrics with bounded labels, and one line in the log. Never a statement, a query
//! string, or the slug in a poll's path.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method, StatusCode};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tokio::time::Instant;

use super::{backend::Backend, endpoint::Kind};
use crate::trino::ClusterName;

/// Upper bounds in seconds: from a poll of cached results to a query of minutes that streams.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

/// The most characters of a user's name that are logged.
const MAX_USER: usize = 128;

/// The proxy's metrics.
#[derive(Debug)]
pub(super) struct Observer {
    requests: Family<RequestLabels, Counter>,
    durations: Family<KindLabel, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    pub(super) connections: Gauge,
    retries: Family<KindLabel, Counter>,
    healthy: Family<ClusterLabel, Gauge>,
    table: Family<TableLabel, Gauge>,
    refused: Counter,
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
struct TableLabel {
    hash: String,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    /// A coordinator's answer below 400 reached its end.
    Ok,
    /// One of 400 to 499 did.
    ClientError,
    /// One of 500 or more did.
    ServerError,
    /// The proxy itself said no: not served here, or nothing matches.
    Refused,
    /// No coordinator could be made to answer.
    Unavailable,
    /// The coordinator broke off its answer.
    Broken,
    /// The client went away first. Never held against a cluster.
    ClientGone,
}

impl Outcome {
    fn as_str(self) -> &'static str {
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

impl Observer {
    /// An observer whose metrics are in `registry`.
    pub(super) fn new(registry: &mut Registry) -> Arc<Self> {
        let observer = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            retries: Family::default(),
            healthy: Family::default(),
            table: Family::default(),
            refused: Counter::default(),
        };
        registry.register("proxy_requests", "Requests of clients that ended", observer.requests.clone());
        registry.register(
            "proxy_request_duration_seconds",
            "From a request's head to the end of its answer",
            observer.durations.clone(),
        );
        registry.register("proxy_requests_in_flight", "Requests of clients under way", observer.in_flight.clone());
        registry.register("proxy_connections", "Open connections of clients", observer.connections.clone());
        registry.register("proxy_retries", "Requests that were sent once more", observer.retries.clone());
        registry.register("proxy_cluster_healthy", "1 if a cluster takes new queries", observer.healthy.clone());
        registry.register("proxy_routing_table", "1 for the hash of the table in force", observer.table.clone());
        registry.register("proxy_routing_tables_refused", "Tables that could not be used", observer.refused.clone());
        Arc::new(observer)
    }

    /// Counts a routing table that was refused.
    pub(super) fn table_refused(&self) {
        self.refused.inc();
    }

    /// Tells the table in force, and forgets the clusters that it no longer holds.
    pub(super) fn table_in_force(&self, hash: &str, gone: &[ClusterName]) {
        self.table.clear();
        self.table.get_or_create(&TableLabel { hash: hash.to_owned() }).set(1);
        for cluster in gone {
            self.healthy.remove(&ClusterLabel { cluster: cluster.to_string() });
        }
    }

    /// Tells a cluster's health.
    pub(super) fn health(&self, backend: &Backend) {
        let label = ClusterLabel { cluster: backend.name.to_string() };
        self.healthy.get_or_create(&label).set(i64::from(backend.health.is_healthy()));
    }

    /// Counts a further try of a request.
    pub(super) fn retried(&self, kind: Kind) {
        self.retries.get_or_create(&KindLabel { kind }).inc();
    }
}

/// One request from its head to the end of its answer. What is known of it at its end, or when it is dropped, is told.
#[derive(Debug)]
pub(super) struct Observation {
    observer: Arc<Observer>,
    id: String,
    method: Method,
    kind: Kind,
    query: Option<String>,
    user: Option<String>,
    started: Instant,
    backend: Option<Arc<Backend>>,
    status: Option<StatusCode>,
    /// What the outcome will be if the answer reaches its end.
    expected: Outcome,
    outcome: Outcome,
    fault: Option<String>,
}

impl Observation {
    /// Begins with a request's head.
    pub(super) fn begin(observer: Arc<Observer>, method: &Method, kind: Kind, headers: &HeaderMap) -> Self {
        observer.in_flight.inc();
        let user = ["x-trino-user", "x-presto-user"].iter().find_map(|name| headers.get(*name));
        Self {
            observer,
            id: format!("{:016x}", rand::random::<u64>()),
            method: method.clone(),
            kind,
            query: None,
            user: user.map(|user| String::from_utf8_lossy(user.as_bytes()).chars().take(MAX_USER).collect()),
            started: Instant::now(),
            backend: None,
            status: None,
            expected: Outcome::ClientGone,
            outcome: Outcome::ClientGone,
            fault: None,
        }
    }

    /// The id that the client is told when something fails.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The query is known.
    pub(super) fn of_query(&mut self, query: Option<&str>) {
        self.query = query.map(str::to_owned);
    }

    /// The request goes to `backend` now, no longer to one before.
    pub(super) fn goes_to(&mut self, backend: &Arc<Backend>) {
        if let Some(before) = self.backend.replace(backend.clone()) {
            before.end();
        }
        backend.begin();
    }

    /// The request is sent once more.
    pub(super) fn retried(&self) {
        self.observer.retried(self.kind);
    }

    /// A coordinator's answer begins.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.expected = match status.as_u16() {
            500.. => Outcome::ServerError,
            400.. => Outcome::ClientError,
            _ => Outcome::Ok,
        };
    }

    /// The proxy answers itself, because of `error`.
    pub(super) fn failed(&mut self, error: &super::Error) {
        self.status = Some(error.status());
        self.expected = match error {
            super::Error::NotFound | super::Error::NoCluster | super::Error::BadHost | super::Error::NoRoute => {
                Outcome::Refused
            }
            super::Error::ClientGone => Outcome::ClientGone,
            _ => Outcome::Unavailable,
        };
        self.fault = Some(error.chain());
    }

    /// The answer reached its end.
    pub(super) fn complete(&mut self) {
        self.outcome = self.expected;
    }

    /// The coordinator broke off its answer.
    pub(super) fn broke(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.outcome = Outcome::Broken;
        self.fault = Some(error.to_string());
    }

    fn count(&self, duration: Duration) {
        let Self { observer, kind, outcome, .. } = self;
        observer.requests.get_or_create(&RequestLabels { kind: *kind, outcome: *outcome }).inc();
        observer.durations.get_or_create(&KindLabel { kind: *kind }).observe(duration.as_secs_f64());
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.observer.in_flight.dec();
        if let Some(backend) = &self.backend {
            backend.end();
        }
        let duration = self.started.elapsed();
        self.count(duration);
        tracing::info!(
            request = self.id,
            kind = self.kind.as_str(),
            method = self.method.as_str(),
            cluster = self.backend.as_ref().map(|backend| tracing::field::display(&backend.name)),
            query = self.query,
            user = self.user,
            status = self.status.map(|status| status.as_u16()),
            outcome = self.outcome.as_str(),
            fault = self.fault,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "request"
        );
    }
}
