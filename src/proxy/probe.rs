//! The query that checks a cluster: run by the proxy as a client would, and followed to its end. Whatever becomes of it,
//! nothing of it is left running: it is cancelled if it did not end, and one that was never polled never starts (Trino
//! 470 and 476).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::AUTHORIZATION, uri::PathAndQuery};
use tokio_util::sync::CancellationToken;

use super::{
    Settings,
    backend::Backend,
    check::{Question, Unanswered, ask, spread},
    credentials,
    health::Checked,
    oversee::Teller,
    reason::{QueryFault, Reason},
    settings::LiveSettings,
};
use crate::{
    routing::HealthCheck,
    trino::page::{Page, QueryError, at_the_coordinator},
};

/// The most bytes of a run's pages, all together.
const MAX_BYTES: usize = 1024 * 1024;

/// The pause after a first failure; it doubles up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// By this one finds the queries, in Trino's UI or for a resource group of their own.
const SOURCE: HeaderValue = HeaderValue::from_static("warren-health-check");

/// Checks `backend` by its query again and again until `stop`, as long as it has one and its coordinator answers.
pub(super) async fn watch(backend: Arc<Backend>, live: LiveSettings, teller: Teller, stop: CancellationToken) {
    let (mut wanted, mut answering) = (backend.health_check(), backend.health.answering());
    let mut retry = FIRST_RETRY;
    // Proxies get a new table at one time, and shall not all ask then: a cluster that is healthy can wait.
    let mut may_wait = true;
    loop {
        let settings = live.load_full();
        let check = wanted.borrow_and_update().clone();
        let answers = *answering.borrow_and_update();
        let pause = match check.filter(|_| answers) {
            None => None,
            Some(check) if may_wait && backend.health.is_healthy() => {
                Some(check.interval().mul_f64(rand::random::<f64>()))
            }
            Some(check) => {
                let Some(result) = run(&backend, &settings, &check, &stop).await else { return };
                let failed = result.is_err();
                let result = result.map_err(Reason::Query);
                teller.checked(&backend, Checked::Query, &result);
                backend.health.observe(&backend.name, Checked::Query, result, &settings.health);
                teller.cluster(&backend);
                let pause = if failed { retry.min(check.interval()) } else { check.interval() };
                retry = if failed { pause * 2 } else { FIRST_RETRY };
                Some(spread(pause))
            }
        };
        let due = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = wanted.changed() => (may_wait, retry) = (true, FIRST_RETRY),
            _ = answering.changed() => (may_wait, retry) = (true, FIRST_RETRY),
            () = due => may_wait = false,
        }
    }
}

/// Runs the query once; none if `stop` came first.
async fn run(
    backend: &Backend,
    settings: &Settings,
    check: &HealthCheck,
    stop: &CancellationToken,
) -> Option<Result<(), QueryFault>> {
    let who = match credentials::of(backend, settings).await {
        // Trino takes who it is from them (`HttpRequestSessionContextFactory`, 476); to name another would be impersonation.
        Some(authorization) => (AUTHORIZATION, authorization),
        None => (
            HeaderName::from_static("x-trino-user"),
            HeaderValue::try_from(&check.user).expect("a table's user is visible ASCII"),
        ),
    };
    let mut run = Run { backend, settings, who, timeout: check.timeout(), bytes: 0, next: None };
    let ended = tokio::select! {
        () = stop.cancelled() => None,
        ended = tokio::time::timeout(check.timeout(), run.follow(&check.sql)) => {
            Some(ended.unwrap_or(Err(QueryFault::Timeout)))
        }
    };
    if let Some(next) = run.next.take() {
        let cancelling = tokio::time::timeout(settings.health.timeout, run.ask(Method::DELETE, next, None)).await;
        if !matches!(cancelling, Ok(Ok(_))) {
            let cluster = &backend.name;
            tracing::debug!(%cluster, "the query of a health check could not be cancelled: Trino gives it up in minutes");
        }
    }
    ended
}

/// A query on its way.
struct Run<'a> {
    backend: &'a Backend,
    settings: &'a Settings,
    /// The header that says who asks.
    who: (HeaderName, HeaderValue),
    timeout: Duration,
    /// What was read of its pages.
    bytes: usize,
    /// Where its next page is; there while it may run.
    next: Option<PathAndQuery>,
}

impl Run<'_> {
    async fn follow(&mut self, sql: &str) -> Result<(), QueryFault> {
        let first = self.ask(Method::POST, PathAndQuery::from_static("/v1/statement"), Some(sql.to_owned())).await?;
        self.turn(&first)?;
        while let Some(next) = self.next.clone() {
            let page = self.ask(Method::GET, next, None).await?;
            self.turn(&page)?;
        }
        Ok(())
    }

    /// Takes in a page.
    fn turn(&mut self, page: &[u8]) -> Result<(), QueryFault> {
        let page: Page = serde_json::from_slice(page).map_err(|_| QueryFault::NotAPage)?;
        let next = page.next_uri.as_deref().map(|uri| at_the_coordinator(uri, &self.backend.prefix));
        match next {
            Some(None) => return Err(QueryFault::NotAPage),
            Some(next) => self.next = next,
            None => self.next = None,
        }
        page.error.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn ask(&mut self, method: Method, target: PathAndQuery, body: Option<String>) -> Result<Bytes, QueryFault> {
        let mut headers = HeaderMap::from_iter([self.who.clone()]);
        headers.insert("x-trino-source", SOURCE);
        let cancels = method == Method::DELETE;
        let limit = MAX_BYTES.saturating_sub(self.bytes);
        let question = Question { method, target, headers, body, limit, timeout: self.timeout };
        let (head, body) = ask(self.backend, self.settings, question).await?;
        self.bytes += body.len();
        match head.status {
            StatusCode::OK => Ok(body),
            StatusCode::NO_CONTENT if cancels => Ok(body),
            status => Err(QueryFault::Status(status)),
        }
    }
}

impl From<Unanswered> for QueryFault {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Timeout => Self::Timeout,
            Unanswered::TooLarge => Self::TooLarge,
            Unanswered::Connection(cause) => Self::Connection(cause),
        }
    }
}

impl From<QueryError> for QueryFault {
    fn from(error: QueryError) -> Self {
        Self::Failed(error.name(), error.message())
    }
}
