//! Whether a cluster can take new queries: what the results of its checks make of it. Polls of running queries are never
//! refused for it. No I/O of its own.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::{sync::Notify, time::Instant};

use super::HealthChecks;

/// The health of one cluster.
#[derive(Debug, Default)]
pub(super) struct Health {
    healthy: AtomicBool,
    tracker: Mutex<Tracker>,
    /// Wakes the checking task before its time.
    pub recheck: Notify,
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
    /// It answers 406, with forwarded headers and without.
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
                f.write_str("GET /v1/info answered 406 with X-Forwarded headers and without: no coordinator does so")
            }
            Self::Timeout => f.write_str("GET /v1/info did not answer in time"),
            Self::Connection(cause) => write!(f, "no connection: {cause}"),
        }
    }
}

#[derive(Debug, Default)]
struct Tracker {
    state: State,
    successes: u32,
    failures: u32,
    /// Since when it is healthy again, if it was healthy before.
    back_since: Option<Instant>,
    was_healthy: bool,
}

impl Tracker {
    /// Takes in the result of a check; returns whether the state changed in kind, so that it is to be told.
    fn observe(&mut self, result: Result<(), Reason>, checks: &HealthChecks) -> bool {
        match result {
            Ok(()) => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                // One that was never seen has nothing to make good.
                let enough = self.state == State::Unknown || self.successes >= checks.successes;
                if self.state == State::Healthy || !enough {
                    return false;
                }
                self.state = State::Healthy;
                self.back_since = self.was_healthy.then(Instant::now);
                self.was_healthy = true;
                true
            }
            Err(reason) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                if self.state == State::Healthy && self.failures < checks.failures {
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

    /// How much of its share of new queries the cluster takes, from 0 to 1: one that came back warms up for
    /// `slow_start`, since all would else go at once to the one with the fewest queries.
    pub(super) fn warmth(&self, slow_start: Duration) -> f64 {
        let since = self.tracker.lock().unwrap_or_else(PoisonError::into_inner).back_since;
        let Some(since) = since.filter(|_| !slow_start.is_zero()) else { return 1.0 };
        (since.elapsed().as_secs_f64() / slow_start.as_secs_f64()).clamp(0.1, 1.0)
    }

    /// Takes the cluster out at once, as nobody listens there, and has it checked again soon.
    pub(super) fn refused(&self, cluster: &impl fmt::Display) {
        if self.is_healthy() {
            let at_once = HealthChecks { failures: 0, ..HealthChecks::default() };
            self.observe(cluster, Err(Reason::Connection("connection refused".to_owned())), &at_once);
            self.recheck.notify_one();
        }
    }

    /// Takes in the result of a check.
    pub(super) fn observe(&self, cluster: &impl fmt::Display, result: Result<(), Reason>, checks: &HealthChecks) {
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = tracker.observe(result, checks);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_success_brings_a_cluster_in_and_two_failures_take_it_out() {
        let checks = HealthChecks { successes: 1, failures: 2, ..HealthChecks::default() };
        let mut tracker = Tracker::default();
        assert!(tracker.observe(Err(Reason::Starting), &checks));
        assert!(!tracker.observe(Err(Reason::Starting), &checks));
        assert!(tracker.observe(Ok(()), &checks));
        assert!(!tracker.observe(Err(Reason::Timeout), &checks));
        assert_eq!(tracker.state, State::Healthy);
        assert!(!tracker.observe(Ok(()), &checks));
        assert!(!tracker.observe(Err(Reason::Timeout), &checks));
        assert!(tracker.observe(Err(Reason::Timeout), &checks));
        assert_eq!(tracker.state, State::Unhealthy(Reason::Timeout));
    }

    #[test]
    fn one_that_failed_must_succeed_as_often_as_asked_and_a_new_one_once() {
        let checks = HealthChecks { successes: 3, failures: 1, ..HealthChecks::default() };
        let mut tracker = Tracker::default();
        assert!(tracker.observe(Ok(()), &checks));
        assert!(tracker.observe(Err(Reason::Timeout), &checks));
        assert!(!tracker.observe(Ok(()), &checks));
        assert!(!tracker.observe(Ok(()), &checks));
        assert!(!tracker.observe(Err(Reason::Timeout), &checks));
        assert!(!tracker.observe(Ok(()), &checks));
        assert!(!tracker.observe(Ok(()), &checks));
        assert!(tracker.observe(Ok(()), &checks));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_came_back_warms_up_and_a_new_one_does_not() {
        let (checks, slow_start) = (HealthChecks::default(), Duration::from_secs(10));
        let health = Health::default();
        health.observe(&"blue", Ok(()), &checks);
        assert!(health.warmth(slow_start) >= 1.0);
        health.refused(&"blue");
        health.observe(&"blue", Ok(()), &checks);
        assert!(health.warmth(slow_start) <= 0.1);
        assert!(health.warmth(Duration::ZERO) >= 1.0);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!((health.warmth(slow_start) - 0.5).abs() < 0.01);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(health.warmth(slow_start) >= 1.0);
    }

    #[test]
    fn a_refused_connection_takes_it_out_at_once() {
        let health = Health::default();
        health.observe(&"blue", Ok(()), &HealthChecks::default());
        assert!(health.is_healthy());
        health.refused(&"blue");
        assert!(!health.is_healthy());
    }

    #[test]
    fn the_same_trouble_is_told_once() {
        let (mut tracker, checks) = (Tracker::default(), HealthChecks::default());
        assert!(tracker.observe(Err(Reason::Connection("a".into())), &checks));
        assert!(!tracker.observe(Err(Reason::Connection("b".into())), &checks));
        assert!(tracker.observe(Err(Reason::Redirect(StatusCode::SEE_OTHER)), &checks));
    }
}
