//! Whether a cluster can take new queries: what the results of its checks make of it. Polls of running queries are never
//! refused for it. No I/O of its own.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{HealthChecks, reason::Reason};

/// The health of one cluster: that of its coordinator and, where a query checks it as well, that of both.
#[derive(Debug)]
pub(super) struct Health {
    healthy: AtomicBool,
    judged: Mutex<Judged>,
    /// Whether the coordinator answers, for whoever waits for that.
    answering: watch::Sender<bool>,
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

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// `GET /v1/info`.
    Info,
    /// The query of the group's health check.
    Query,
}

/// The results of one way of checking.
#[derive(Debug, Default)]
struct Tracker {
    state: State,
    successes: u32,
    failures: u32,
}

#[derive(Debug, Default)]
struct Judged {
    info: Tracker,
    /// None while no query checks the cluster.
    query: Option<Tracker>,
    /// Since when it is healthy again, if it was healthy before.
    back_since: Option<Instant>,
    was_healthy: bool,
}

impl Tracker {
    /// Takes in the result of a check.
    fn observe(&mut self, result: Result<(), Reason>, checks: &HealthChecks) {
        match result {
            Ok(()) => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                // One that was never seen has nothing to make good.
                if self.state == State::Unknown || self.successes >= checks.successes {
                    self.state = State::Healthy;
                }
            }
            Err(reason) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                if self.state != State::Healthy || self.failures >= checks.failures {
                    self.state = State::Unhealthy(reason);
                }
            }
        }
    }
}

impl Judged {
    /// What both ways of checking make of the cluster: the coordinator's answer comes first.
    fn state(&self) -> &State {
        match (&self.info.state, &self.query) {
            (State::Healthy, Some(query)) => &query.state,
            (info, _) => info,
        }
    }

    /// Takes in the result of a check; returns whether the state changed in kind, so that it is to be told.
    fn observe(&mut self, checked: Checked, result: Result<(), Reason>, checks: &HealthChecks) -> bool {
        let before = self.state().clone();
        match (checked, &mut self.query) {
            (Checked::Info, _) => self.info.observe(result, checks),
            (Checked::Query, Some(query)) if self.info.state == State::Healthy => query.observe(result, checks),
            (Checked::Query, _) => {}
        }
        if let (Some(query), State::Unhealthy(_)) = (&mut self.query, &self.info.state) {
            // What a query said of a coordinator that went away is not true of the one that comes back.
            *query = Tracker::default();
        }
        self.turned(&before)
    }

    fn turned(&mut self, before: &State) -> bool {
        let turned = match (before, self.state()) {
            // Causes differ in details from one failure to the next.
            (State::Unhealthy(before), State::Unhealthy(now)) => !before.is_like(now),
            (before, now) => before != now,
        };
        if turned && *self.state() == State::Healthy {
            self.back_since = self.was_healthy.then(Instant::now);
            self.was_healthy = true;
        }
        turned
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            healthy: AtomicBool::new(false),
            judged: Mutex::default(),
            answering: watch::Sender::new(false),
            recheck: Notify::new(),
        }
    }
}

impl Health {
    /// Whether new queries may go there.
    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    /// Whether the coordinator answers its check, whatever a query says.
    pub(super) fn is_answering(&self) -> bool {
        *self.answering.borrow()
    }

    /// The same, to be waited for.
    pub(super) fn answering(&self) -> watch::Receiver<bool> {
        self.answering.subscribe()
    }

    pub(super) fn state(&self) -> State {
        self.judged().state().clone()
    }

    /// Whether a query checks the cluster from now on. One that is healthy stays so until the query says otherwise: a
    /// new table takes nothing out.
    pub(super) fn expect_query(&self, expected: bool) {
        let mut judged = self.judged();
        if judged.query.is_some() != expected {
            let state = judged.info.state.clone();
            let state = if state == State::Healthy { state } else { State::Unknown };
            judged.query = expected.then(|| Tracker { state, ..Tracker::default() });
            self.healthy.store(*judged.state() == State::Healthy, Ordering::Release);
        }
    }

    /// How much of its share of new queries the cluster takes, from 0 to 1: one that came back warms up for
    /// `slow_start`, since all would else go at once to the one with the fewest queries.
    pub(super) fn warmth(&self, slow_start: Duration) -> f64 {
        let since = self.judged().back_since;
        let Some(since) = since.filter(|_| !slow_start.is_zero()) else { return 1.0 };
        (since.elapsed().as_secs_f64() / slow_start.as_secs_f64()).clamp(0.1, 1.0)
    }

    /// Takes the cluster out at once, as nobody listens there, and has it checked again soon.
    pub(super) fn refused(&self, cluster: &impl fmt::Display) {
        if self.is_answering() {
            let at_once = HealthChecks { failures: 0, ..HealthChecks::default() };
            self.observe(cluster, Checked::Info, Err(Reason::Connection("connection refused".to_owned())), &at_once);
            self.recheck.notify_one();
        }
    }

    /// Takes in the result of a check.
    pub(super) fn observe(
        &self,
        cluster: &impl fmt::Display,
        checked: Checked,
        result: Result<(), Reason>,
        checks: &HealthChecks,
    ) {
        let mut judged = self.judged();
        let turned = judged.observe(checked, result, checks);
        self.healthy.store(*judged.state() == State::Healthy, Ordering::Release);
        let answers = judged.info.state == State::Healthy;
        self.answering.send_if_modified(|answering| std::mem::replace(answering, answers) != answers);
        if turned {
            match judged.state() {
                State::Unhealthy(reason) => tracing::warn!(%cluster, %reason, "the cluster is unhealthy"),
                State::Healthy => tracing::info!(%cluster, "the cluster is healthy"),
                State::Unknown => {}
            }
        }
    }

    fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::proxy::reason::QueryFault;

    #[test]
    fn one_success_brings_a_cluster_in_and_two_failures_take_it_out() {
        let checks = HealthChecks { successes: 1, failures: 2, ..HealthChecks::default() };
        let mut judged = Judged::default();
        assert!(judged.observe(Checked::Info, Err(Reason::Starting), &checks));
        assert!(!judged.observe(Checked::Info, Err(Reason::Starting), &checks));
        assert!(judged.observe(Checked::Info, Ok(()), &checks));
        assert!(!judged.observe(Checked::Info, Err(Reason::Timeout), &checks));
        assert_eq!(*judged.state(), State::Healthy);
        assert!(!judged.observe(Checked::Info, Ok(()), &checks));
        assert!(!judged.observe(Checked::Info, Err(Reason::Timeout), &checks));
        assert!(judged.observe(Checked::Info, Err(Reason::Timeout), &checks));
        assert_eq!(*judged.state(), State::Unhealthy(Reason::Timeout));
    }

    #[test]
    fn one_that_failed_must_succeed_as_often_as_asked_and_a_new_one_once() {
        let checks = HealthChecks { successes: 3, failures: 1, ..HealthChecks::default() };
        let mut judged = Judged::default();
        assert!(judged.observe(Checked::Info, Ok(()), &checks));
        assert!(judged.observe(Checked::Info, Err(Reason::Timeout), &checks));
        assert!(!judged.observe(Checked::Info, Ok(()), &checks));
        assert!(!judged.observe(Checked::Info, Ok(()), &checks));
        assert!(!judged.observe(Checked::Info, Err(Reason::Timeout), &checks));
        assert!(!judged.observe(Checked::Info, Ok(()), &checks));
        assert!(!judged.observe(Checked::Info, Ok(()), &checks));
        assert!(judged.observe(Checked::Info, Ok(()), &checks));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_came_back_warms_up_and_a_new_one_does_not() {
        let (checks, slow_start) = (HealthChecks::default(), Duration::from_secs(10));
        let health = Health::default();
        health.observe(&"blue", Checked::Info, Ok(()), &checks);
        assert!(health.warmth(slow_start) >= 1.0);
        health.refused(&"blue");
        health.observe(&"blue", Checked::Info, Ok(()), &checks);
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
        health.observe(&"blue", Checked::Info, Ok(()), &HealthChecks::default());
        assert!(health.is_healthy());
        health.refused(&"blue");
        assert!(!health.is_healthy());
    }

    #[test]
    fn the_same_trouble_is_told_once() {
        let (mut judged, checks) = (Judged::default(), HealthChecks::default());
        assert!(judged.observe(Checked::Info, Err(Reason::Connection("a".into())), &checks));
        assert!(!judged.observe(Checked::Info, Err(Reason::Connection("b".into())), &checks));
        assert!(judged.observe(Checked::Info, Err(Reason::Redirect(StatusCode::SEE_OTHER)), &checks));
    }

    const FAULT: Reason = Reason::Query(QueryFault::Timeout);

    #[test]
    fn where_a_query_checks_both_must_be_well_and_each_counts_for_itself() {
        let checks = HealthChecks { successes: 1, failures: 2, ..HealthChecks::default() };
        let health = Health::default();
        let observe = |checked, result| health.observe(&"blue", checked, result, &checks);
        health.expect_query(true);
        observe(Checked::Info, Ok(()));
        assert!(health.is_answering() && !health.is_healthy());
        observe(Checked::Query, Ok(()));
        assert!(health.is_healthy());
        // What /v1/info says in between makes no failure of the query good.
        observe(Checked::Query, Err(FAULT));
        observe(Checked::Info, Ok(()));
        assert!(health.is_healthy());
        observe(Checked::Query, Err(FAULT));
        assert_eq!(health.state(), State::Unhealthy(FAULT));
        assert!(health.is_answering());
        observe(Checked::Query, Ok(()));
        assert!(health.is_healthy());
    }

    #[test]
    fn a_coordinator_that_comes_back_is_asked_by_a_query_before_it_takes_any() {
        let (health, checks) = (Health::default(), HealthChecks::default());
        let observe = |checked, result| health.observe(&"blue", checked, result, &checks);
        health.expect_query(true);
        observe(Checked::Info, Ok(()));
        observe(Checked::Query, Ok(()));
        health.refused(&"blue");
        // The answer to a query that was under way is an old one.
        observe(Checked::Query, Ok(()));
        observe(Checked::Info, Ok(()));
        assert_eq!((health.state(), health.is_answering()), (State::Unknown, true));
        observe(Checked::Query, Ok(()));
        assert!(health.is_healthy());
    }

    #[test]
    fn a_new_table_takes_no_cluster_out_and_brings_one_back_whose_query_is_gone() {
        let (health, checks) = (Health::default(), HealthChecks::default());
        let observe = |checked, result| health.observe(&"blue", checked, result, &checks);
        observe(Checked::Info, Ok(()));
        health.expect_query(true);
        assert!(health.is_healthy());
        observe(Checked::Query, Err(FAULT));
        observe(Checked::Query, Err(FAULT));
        assert!(!health.is_healthy());
        health.expect_query(true);
        assert!(!health.is_healthy());
        health.expect_query(false);
        assert!(health.is_healthy());
        observe(Checked::Query, Err(FAULT));
        assert!(health.is_healthy());
    }
}
