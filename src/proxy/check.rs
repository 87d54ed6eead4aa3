//! The check of a coordinator: `GET /v1/info`, again and again. What its results make of the cluster is for
//! [`super::health`] to say.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{
    Error, Settings, Shard,
    backend::Backend,
    body::RequestBody,
    census,
    error::Cause,
    exchange::{Head, exchange},
    fields::Fields,
    health::Checked,
    outside::Outside,
    oversee::Teller,
    reason::Reason,
    settings::LiveSettings,
};

/// The most bytes of an answer that are read: a coordinator's is about 200.
const MAX_INFO: usize = 64 * 1024;

const USER: HeaderName = HeaderName::from_static("x-trino-user");

/// A request of the proxy's own.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub method: Method,
    pub target: PathAndQuery,
    /// Headers besides those that every request has.
    pub headers: HeaderMap,
    pub body: Option<String>,
    /// The most bytes of the answer that are read.
    pub limit: usize,
    /// The longest that the answer may take to begin.
    pub timeout: Duration,
}

impl Question {
    /// A page, and who asks for it.
    pub(super) fn page(target: &'static str, user: Option<HeaderValue>, settings: &Settings) -> Self {
        let headers = user.into_iter().map(|user| (USER, user)).collect();
        let target = PathAndQuery::from_static(target);
        let timeout = settings.health.timeout;
        Self { method: Method::GET, target, headers, body: None, limit: MAX_INFO, timeout }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It did not come in time.
    Timeout,
    /// It is over the limit.
    TooLarge,
    /// No connection, or a broken one.
    Connection(String),
}

impl From<Unanswered> for Reason {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Timeout => Self::Timeout,
            Unanswered::TooLarge => Self::NotACoordinator,
            Unanswered::Connection(cause) => Self::Connection(cause),
        }
    }
}

/// Checks `backend` again and again until `shutdown`, and tells each check.
pub(super) async fn watch(backend: Arc<Backend>, live: LiveSettings, teller: Teller, shutdown: CancellationToken) {
    let mut retry = live.load().health.retry;
    loop {
        let settings = live.load_full();
        let checks = &settings.health;
        backend.renew_trust(&settings);
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = tokio::time::timeout(checks.timeout, check(&backend, &settings)) => {
                result.unwrap_or(Err(Reason::Timeout))
            }
        };
        teller.checked(&backend, Checked::Info, &result);
        backend.health.observe(&backend.name, Checked::Info, result, checks);
        if backend.health.is_healthy() && backend.is_counted() {
            let counting = tokio::time::timeout(checks.timeout, census::take(&backend, &settings));
            if counting.await.is_err() {
                backend.tally.report(None);
            }
        }
        backend.tidy(settings.shards);
        teller.cluster(&backend);
        let pause = if backend.health.is_answering() {
            retry = checks.retry;
            checks.interval
        } else {
            let pause = retry;
            retry = (retry * 2).min(checks.max_retry);
            pause
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = backend.health.recheck.notified() => teller.cluster(&backend),
            () = tokio::time::sleep(spread(pause)) => {}
        }
    }
}

/// Up to a tenth more or less, so that a hundred proxies do not check at the same instant.
pub(super) fn spread(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + rand::random::<f64>() / 5.0)
}

async fn check(backend: &Backend, settings: &Settings) -> Result<(), Reason> {
    // One that comes back may have been set up anew.
    if !backend.health.is_answering() {
        backend.set_rewritten(false);
    }
    let info = Question::page("/v1/info", None, settings);
    let (mut head, mut body) = ask(backend, settings, info.clone()).await?;
    if head.status == StatusCode::NOT_ACCEPTABLE && !backend.is_rewritten() {
        // It refuses forwarded headers. Maybe it answers without.
        backend.set_rewritten(true);
        (head, body) = ask(backend, settings, info).await?;
    }
    match head.status {
        StatusCode::OK => judge(&head.headers, &body)?,
        StatusCode::NOT_ACCEPTABLE => return Err(Reason::NoForwarding),
        status if status.is_redirection() => return Err(Reason::Redirect(status)),
        status => return Err(Reason::Status(status)),
    }
    if !backend.health.is_answering() && !backend.is_rewritten() {
        backend.set_rewritten(ignores_prefix(backend, settings).await?);
    }
    Ok(())
}

/// Whether the coordinator takes forwarded headers and leaves the prefix out of its URIs: the redirect of its root to
/// its UI tells (Trino 470 and 476: absolute, with the prefix).
async fn ignores_prefix(backend: &Backend, settings: &Settings) -> Result<bool, Reason> {
    let (head, _) = ask(backend, settings, Question::page("/", None, settings)).await?;
    let location = head.headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let absolute = location.filter(|location| head.status.is_redirection() && location.contains("://"));
    Ok(absolute.is_some_and(|location| !location.contains(&backend.prefix)))
}

/// Asks the coordinator as a client at the coordinator's own address would through this proxy. Where there is a credential for it,
/// who asks as some user asks by that instead.
pub(super) async fn ask(
    backend: &Backend,
    settings: &Settings,
    question: Question,
) -> Result<(http::response::Parts, Bytes), Unanswered> {
    let Question { method, target, mut headers, body, limit, timeout } = question;
    let mut outside = Outside::of(backend.address());
    if headers.contains_key(USER)
        && let Some(credential) = backend.credential()
    {
        match credential.user() {
            Some(user) => headers.insert(USER, user),
            // Trino takes who it is from the credential; to name another would be to act for him.
            None => headers.remove(USER),
        };
        headers.insert(AUTHORIZATION, credential.authorization());
        // Trino looks at a password only where it is told that it was not shown to everybody (470 and 476).
        outside = outside.map(Outside::by_https);
    }
    let mut fields = Fields::of(&headers);
    fields.add(&HOST, &backend.host);
    if let Some(outside) = outside
        && !backend.is_rewritten()
    {
        outside.add_to(&mut fields, backend);
    }
    let head = Head { method, target: target.as_str().into(), fields: fields.into() };
    // The checks run beside the shards, and have connections of their own.
    let shard = Shard::new(settings.shards);
    let body = body.map_or_else(RequestBody::nothing, RequestBody::text);
    let asked = exchange(backend, shard, &head, body, timeout).await;
    let answer = asked.map_err(|error| match error {
        Error::Timeout { .. } => Unanswered::Timeout,
        error => Unanswered::Connection(innermost(&error)),
    })?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, limit).collect().await;
    let body = body.map_err(|error: Cause| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => Unanswered::TooLarge,
        None => Unanswered::Connection(innermost(&*error)),
    })?;
    Ok((head, body.to_bytes()))
}

/// What `/v1/info` says; see `io.trino.client.ServerInfo`, Trino 476.
#[derive(Deserialize)]
struct Info {
    starting: bool,
}

fn judge(headers: &HeaderMap, body: &[u8]) -> Result<(), Reason> {
    let html = |value: &http::HeaderValue| value.as_bytes().starts_with(b"text/html");
    if headers.get(CONTENT_TYPE).is_some_and(html) {
        return Err(Reason::NotACoordinator);
    }
    match serde_json::from_slice(body) {
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
