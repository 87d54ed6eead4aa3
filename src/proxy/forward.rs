//! A request that has its cluster: a poll, a cancel, a spooled segment, a page of the UI. It goes to that cluster and to no
//! other, for the state behind it is there alone.

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    Error,
    backend::Backend,
    body::RequestBody,
    endpoint::{OfCluster, Retry},
    exchange::{Head, exchange},
    gateway::Ask,
    headers,
};

/// The first pause before a further try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Sends a request to the cluster that its path names.
///
/// # Errors
/// When the table holds no such cluster, or it cannot be made to answer.
pub(super) async fn to_cluster(
    ask: &mut Ask<'_>,
    asked: OfCluster<'_>,
    request: Request<Incoming>,
) -> Result<(Response<Incoming>, Arc<Backend>), Error> {
    let backend = ask.fleet.backend(asked.cluster).ok_or(Error::NoCluster)?.clone();
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    let answer = to_backend(ask, &backend, asked.retry, format!("{}{query}", asked.path), request).await?;
    Ok((answer, backend))
}

/// Sends a request that any cluster can answer to a healthy one.
///
/// # Errors
/// When none is healthy, or the one whose turn it is cannot be made to answer.
pub(super) async fn to_any(
    ask: &mut Ask<'_>,
    request: Request<Incoming>,
) -> Result<(Response<Incoming>, Arc<Backend>), Error> {
    let backend = ask.fleet.any().into_iter().next().ok_or(Error::NoHealthyCluster)?;
    let target = request.uri().path_and_query().map_or("/v1/info", |target| target.as_str()).to_owned();
    let answer = to_backend(ask, &backend, Retry::Unanswered, target, request).await?;
    Ok((answer, backend))
}

async fn to_backend(
    ask: &mut Ask<'_>,
    backend: &Arc<Backend>,
    retry: Retry,
    target: String,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, Error> {
    ask.observation.goes_to(backend);
    let (parts, body) = request.into_parts();
    let mut headers = parts.headers;
    headers::to_coordinator(&mut headers, &backend.name, &ask.outside, ask.peer);
    let head = Head { method: parts.method, target, headers };
    let timeout = ask.settings.response_timeout;
    if !body.is_end_stream() || retry == Retry::Never {
        return exchange(backend, head, RequestBody::client(body), timeout).await;
    }
    let give_up = Instant::now() + ask.settings.poll_patience;
    let mut pause = FIRST_PAUSE;
    for _ in 1..ask.settings.poll_tries {
        let error = match exchange(backend, head.clone(), RequestBody::nothing(), timeout).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !allows(retry, &error) || Instant::now() + pause >= give_up {
            return Err(error);
        }
        tracing::debug!(request = ask.observation.id(), fault = error.chain(), "a request is sent once more");
        ask.observation.retried();
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    exchange(backend, head, RequestBody::nothing(), timeout).await
}

/// Whether the same request may be sent again after `error`.
fn allows(retry: Retry, error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => retry != Retry::Never,
        Error::Broken { .. } => retry == Retry::Unanswered,
        _ => false,
    }
}
