//! The check of a coordinator: `GET /v1/info`, again and again. What its results make of the cluster is for
//! [`super::health`] to say.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, HOST, LOCATION},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{
    Error, Settings, Shard,
    backend::Backend,
    body::RequestBody,
    census,
    error::Cause,
    exchange::{Head, exchange},
    health::Reason,
    outside::Outside,
};

/// The most bytes of an answer that are read: a coordinator's is about 200.
const MAX_INFO: usize = 64 * 1024;

/// Checks `backend` again and again until `shutdown`; `told` is called after each check.
pub(super) async fn watch(
    backend: Arc<Backend>,
    settings: Arc<Settings>,
    told: impl Fn(&Backend),
    shutdown: CancellationToken,
) {
    let checks = &settings.health;
    let mut retry = checks.retry;
    loop {
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = tokio::time::timeout(checks.timeout, check(&backend, &settings)) => {
                result.unwrap_or(Err(Reason::Timeout))
            }
        };
        backend.health.observe(&backend.name, result, checks);
        if backend.health.is_healthy() && backend.is_counted() {
            let counting = tokio::time::timeout(checks.timeout, census::take(&backend, &settings));
            if counting.await.is_err() {
                backend.report(None);
            }
        }
        backend.tidy(settings.shards);
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

async fn check(backend: &Backend, settings: &Settings) -> Result<(), Reason> {
    // One that comes back may have been set up anew.
    if !backend.health.is_healthy() {
        backend.set_rewritten(false);
    }
    let info = PathAndQuery::from_static("/v1/info");
    let (mut head, mut body) = ask(backend, settings, info.clone(), None).await?;
    if head.status == StatusCode::NOT_ACCEPTABLE && !backend.is_rewritten() {
        // It refuses forwarded headers. Maybe it answers without.
        backend.set_rewritten(true);
        (head, body) = ask(backend, settings, info, None).await?;
    }
    match head.status {
        StatusCode::OK => judge(&head.headers, &body)?,
        StatusCode::NOT_ACCEPTABLE => return Err(Reason::NoForwarding),
        status if status.is_redirection() => return Err(Reason::Redirect(status)),
        status => return Err(Reason::Status(status)),
    }
    if !backend.health.is_healthy() && !backend.is_rewritten() {
        backend.set_rewritten(ignores_prefix(backend, settings).await?);
    }
    Ok(())
}

/// Whether the coordinator takes forwarded headers and leaves the prefix out of its URIs: the redirect of its root to
/// its UI tells (Trino 470 and 476: absolute, with the prefix).
async fn ignores_prefix(backend: &Backend, settings: &Settings) -> Result<bool, Reason> {
    let (head, _) = ask(backend, settings, PathAndQuery::from_static("/"), None).await?;
    let location = head.headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let absolute = location.filter(|location| head.status.is_redirection() && location.contains("://"));
    Ok(absolute.is_some_and(|location| !location.contains(&backend.prefix)))
}

/// Asks the coordinator for a page, as a client at the coordinator's own address would through this proxy.
pub(super) async fn ask(
    backend: &Backend,
    settings: &Settings,
    target: PathAndQuery,
    user: Option<HeaderValue>,
) -> Result<(http::response::Parts, Bytes), Reason> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, backend.host.clone());
    if let Some(user) = user {
        headers.insert("x-trino-user", user);
    }
    if let Some(outside) = Outside::of(backend.address())
        && !backend.is_rewritten()
    {
        outside.add_to(&mut headers, backend);
    }
    let head = Head { method: Method::GET, target, headers };
    // The checks run beside the shards, and have connections of their own.
    let shard = Shard::new(settings.shards);
    let asked = exchange(backend, shard, &head, RequestBody::nothing(), settings.health.timeout).await;
    let answer = asked.map_err(|error| match error {
        Error::Timeout { .. } => Reason::Timeout,
        error => Reason::Connection(innermost(&error)),
    })?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_INFO).collect().await;
    let body = body.map_err(|error: Cause| Reason::Connection(innermost(&*error)))?;
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
