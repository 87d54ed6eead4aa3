//! Whether a cluster can take new queries: what its answers to `GET /v1/info` make of it. Polls of running queries are
//! never refused for it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    HealthChecks,
    backend::Backend,
    body::RequestBody,
    error::Cause,
    headers::{Outside, add_forwarded},
};

/// The most bytes of an answer that are read: a coordinator's is about 200.
const MAX_INFO: usize = 64 * 1024;

/// The health of one cluster.
#[derive(Debug, Default)]
pub(super) struct Health {
    healthy: AtomicBool,
    tracker: Mutex<Tracker>,
    /// Wakes the checking task before its time.
    recheck: Notify,
}

/// What is known of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Not checked yet.
    #[default]
    Unknown,
    Healthy,
    Unhealthy(Reason),
}

/// Why a cluster is unhealthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It still starts.
    Starting,
    /// It answered with another status than 200.
    Status(StatusCode),
    /// It sent the check elsewhere: most often to a login page.
    Redirect(StatusCode),
    /// It answered with something else than a coordinator's JSON.
    NotACoordinator,
    /// It refuses forwarded headers, so it would hand out URIs that lead past the proxy.
    NoForwarding,
    /// It did not answer in time.
    Timeout,
    /// No connection, or a broken one.
    Connection(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("the coordinator is starting"),
            Self::Status(status) => write!(f, "GET /v1/info answered {status}"),
            Self::Redirect(status) => {
                write!(
                    f,
                    "GET /v1/info answered {status}: a login page or another server stands before the coordinator"
                )
            }
            Self::NotACoordinator => f.write_str("GET /v1/info answered with something else than a coordinator's JSON"),
            Self::NoForwarding => {
                f.write_str("the coordinator refuses X-Forwarded headers: set http-server.process-forwarded=true there")
            }
            Self::Timeout => f.write_str("GET /v1/info did not answer in time"),
            Self::Connection(cause) => write!(f, "no connection: {cause}"),
        }
    }
}

#[derive(Debug, Default)]
struct Tracker {
    state: State,
    failures: u32,
}

impl Tracker {
    /// Takes in the result of a check; returns whether the state changed in kind, so that it is to be told.
    fn observe(&mut self, result: Result<(), Reason>, allowed_failures: u32) -> bool {
        match result {
            Ok(()) => {
                self.failures = 0;
                let changed = self.state != State::Healthy;
                self.state = State::Healthy;
                changed
            }
            Err(reason) => {
                self.failures = self.failures.saturating_add(1);
                if self.state == State::Healthy && self.failures < allowed_failures {
                    return false;
                }
                let told = match (&self.state, &reason) {
                    // Causes differ in details from one failure to the next.
                    (State::Unhealthy(Reason::Connection(_)), Reason::Connection(_)) => true,
                    (State::Unhealthy(before), now) => before == now,
                    _ => false,
                };
                self.state = State::Unhealthy(reason);
                !told
            }
        }
    }
}

impl Health {
    /// Whether new queries may go there.
    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    pub(super) fn state(&self) -> State {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner).state.clone()
    }

    /// Takes the cluster out at once, as nobody listens there, and has it checked again soon.
    pub(super) fn refused(&self, cluster: &impl fmt::Display) {
        if self.is_healthy() {
            self.observe(cluster, Err(Reason::Connection("connection refused".to_owned())), 0);
            self.recheck.notify_one();
        }
    }

    fn observe(&self, cluster: &impl fmt::Display, result: Result<(), Reason>, allowed_failures: u32) {
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = tracker.observe(result, allowed_failures);
        self.healthy.store(tracker.state == State::Healthy, Ordering::Release);
        if changed {
            match &tracker.state {
                State::Unhealthy(reason) => tracing::warn!(%cluster, %reason, "the cluster is unhealthy"),
                State::Healthy => tracing::info!(%cluster, "the cluster is healthy"),
                State::Unknown => {}
            }
        }
    }
}

/// Checks `backend` again and again until `shutdown`; `told` is called after each check.
pub(super) async fn watch(
    backend: Arc<Backend>,
    checks: HealthChecks,
    told: impl Fn(&Backend),
    shutdown: CancellationToken,
) {
    let mut retry = checks.retry;
    loop {
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = tokio::time::timeout(checks.timeout, check(&backend)) => result.unwrap_or(Err(Reason::Timeout)),
        };
        backend.health.observe(&backend.name, result, checks.failures);
        told(&backend);
        let pause = if backend.health.is_healthy() {
            retry = checks.retry;
            checks.interval
        } else {
            let pause = retry;
            retry = (retry * 2).min(checks.max_retry);
            pause
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = backend.health.recheck.notified() => told(&backend),
            () = tokio::time::sleep(spread(pause)) => {}
        }
    }
}

/// Up to a tenth more or less, so that a hundred proxies do not check at the same instant.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + rand::random::<f64>() / 5.0)
}

async fn check(backend: &Backend) -> Result<(), Reason> {
    let address = backend.address();
    let client = backend.client().map_err(|error| Reason::Connection(error.to_string()))?;
    let mut request = Request::new(RequestBody::nothing());
    *request.uri_mut() = format!("{address}/v1/info").parse().map_err(|_| Reason::NotACoordinator)?;
    // A coordinator that does not process these refuses them with 406.
    if let Some(outside) = Outside::of(address) {
        add_forwarded(request.headers_mut(), &backend.name, &outside);
    }
    let response = client.request(request).await.map_err(|error| Reason::Connection(innermost(&error)))?;
    let (head, body) = response.into_parts();
    match head.status {
        StatusCode::OK => judge(&head.headers, body).await,
        StatusCode::NOT_ACCEPTABLE => Err(Reason::NoForwarding),
        status if status.is_redirection() => Err(Reason::Redirect(status)),
        status => Err(Reason::Status(status)),
    }
}

/// What `/v1/info` says; see `io.trino.client.ServerInfo`, Trino 476.
#[derive(Deserialize)]
struct Info {
    starting: bool,
}

async fn judge(headers: &HeaderMap, body: Incoming) -> Result<(), Reason> {
    let html = |value: &http::HeaderValue| value.as_bytes().starts_with(b"text/html");
    if headers.get(header::CONTENT_TYPE).is_some_and(html) {
        return Err(Reason::NotACoordinator);
    }
    let body =
        Limited::new(body, MAX_INFO).collect().await.map_err(|error: Cause| Reason::Connection(innermost(&*error)))?;
    match serde_json::from_slice(&body.to_bytes()) {
        Ok(Info { starting: false }) => Ok(()),
        Ok(Info { starting: true }) => Err(Reason::Starting),
        Err(_) => Err(Reason::NotACoordinator),
    }
}

/// The message of the first cause: the others only say that something failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_success_brings_a_cluster_in_and_two_failures_take_it_out() {
        let mut tracker = Tracker::default();
        assert!(tracker.observe(Err(Reason::Starting), 2));
        assert!(!tracker.observe(Err(Reason::Starting), 2));
        assert!(tracker.observe(Ok(()), 2));
        assert!(!tracker.observe(Err(Reason::Timeout), 2));
        assert_eq!(tracker.state, State::Healthy);
        assert!(!tracker.observe(Ok(()), 2));
        assert!(!tracker.observe(Err(Reason::Timeout), 2));
        assert!(tracker.observe(Err(Reason::Timeout), 2));
        assert_eq!(tracker.state, State::Unhealthy(Reason::Timeout));
    }

    #[test]
    fn a_refused_connection_takes_it_out_at_once() {
        let health = Health::default();
        health.observe(&"blue", Ok(()), 2);
        assert!(health.is_healthy());
        health.refused(&"blue");
        assert!(!health.is_healthy());
    }

    #[test]
    fn the_same_trouble_is_told_once() {
        let mut tracker = Tracker::default();
        assert!(tracker.observe(Err(Reason::Connection("a".into())), 2));
        assert!(!tracker.observe(Err(Reason::Connection("b".into())), 2));
        assert!(tracker.observe(Err(Reason::Redirect(StatusCode::SEE_OTHER)), 2));
    }
}
