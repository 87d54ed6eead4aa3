//! A request that has its cluster: a poll, a cancel, a spooled segment, a page of the UI. It goes to that cluster and
//! to no other, for the state behind it is there alone.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderMap, Method, Uri, header::ACCEPT_ENCODING, uri::PathAndQuery};
use http_body::Body as _;
use tokio::time::Instant;

use super::{
    Error,
    ask::Ask,
    backend::Backend,
    body::RequestBody,
    client::ClientRequest,
    endpoint::{Kind, OfCluster, Retry},
    exchange::{Exchanged, Head, exchange},
    headers, login,
};
use crate::trino::QueryId;

/// The first pause before a further try; it doubles. Four of them fill most of the patience.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Sends a request to the cluster that its path names.
///
/// # Errors
/// When the table holds no such cluster, or it cannot be made to answer.
pub(super) async fn to_cluster(
    ask: &mut Ask<'_>,
    asked: OfCluster<'_>,
    request: ClientRequest,
) -> Result<Exchanged, Error> {
    let backend = ask.fleet.backend(asked.cluster).ok_or(Error::NoCluster)?.clone();
    let ClientRequest { method, mut headers, body, .. } = request;
    if asked.kind == Kind::Login {
        // Of what is compressed no URI can be replaced.
        Arc::make_mut(&mut headers).remove(ACCEPT_ENCODING);
    }
    let target = target(asked.path, ask.uri);
    let head = head_for(ask, &backend, (method, target), &headers);
    if body.is_end_stream() && asked.retry != Retry::Never {
        patiently(ask, &backend, asked.retry, head).await
    } else {
        let body = RequestBody::client(body);
        exchange(&backend, ask.arrival.shard, &head, body, ask.settings.response_timeout).await
    }
}

/// Sends a request for a query that is known by its id alone to the cluster that has it.
///
/// # Errors
/// When no cluster is known to have it, or that one cannot be made to answer.
pub(super) async fn to_query(ask: &mut Ask<'_>, query: QueryId, request: ClientRequest) -> Result<Exchanged, Error> {
    let backend = ask.fleet.cluster_of(query).ok_or(Error::NoCluster)?.clone();
    let ClientRequest { method, headers, .. } = request;
    let retry = if method == Method::GET { Retry::Unanswered } else { Retry::Unsent };
    let head = head_for(ask, &backend, (method, format!("/v1/query/{query}").into()), &headers);
    patiently(ask, &backend, retry, head).await
}

/// Sends the request of a browser that comes back from an identity provider to the cluster that sent it there. Its
/// coordinator shall build the same redirect URI as at the beginning: the gateway's, with nothing of a cluster in it.
///
/// # Errors
/// When its state names no cluster, the table does not hold it, or it cannot be made to answer.
pub(super) async fn to_callback(ask: &mut Ask<'_>, request: ClientRequest) -> Result<Exchanged, Error> {
    let (cluster, query) = ask.uri.query().and_then(login::cluster_of).ok_or(Error::NoLogin)?;
    let backend = ask.fleet.backend(cluster.as_str()).ok_or(Error::NoCluster)?.clone();
    let ClientRequest { method, headers, .. } = request;
    // Of its query a part was decoded.
    let target = PathAndQuery::try_from(format!("{}?{query}", login::CALLBACK)).map_err(|_| Error::NotFound)?;
    ask.observation.goes_to(&backend);
    let mut headers = Arc::unwrap_or_clone(headers);
    login::give_nonce(&mut headers, &cluster);
    let fields = headers::to_coordinator(&headers, &backend, &ask.outside.of_gateway(), &ask.forwarded_for);
    let head = Head { method, target: target.as_str().into(), fields: fields.into() };
    patiently(ask, &backend, Retry::Unsent, head).await
}

/// Asks the healthy clusters in turn for `path`, which any of them can answer, until one does. There is no body.
///
/// # Errors
/// When none is healthy, or none can be made to answer.
pub(super) async fn to_any(ask: &mut Ask<'_>, path: &str, request: ClientRequest) -> Result<Exchanged, Error> {
    let ClientRequest { method, headers, .. } = request;
    let target = target(path, ask.uri);
    let mut last = Error::NoHealthyCluster;
    for backend in ask.fleet.any() {
        let head = head_for(ask, &backend, (method.clone(), target.clone()), &headers);
        let body = RequestBody::nothing();
        match exchange(&backend, ask.arrival.shard, &head, body, ask.settings.response_timeout).await {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What is asked of a coordinator: its own `path`, which `uri`'s ends in, with the query that the client sent.
fn target<'a>(path: &'a str, uri: &'a Uri) -> Cow<'a, str> {
    let whole = uri.path_and_query().map_or(path, PathAndQuery::as_str);
    let before = uri.path().len() - path.len();
    whole.get(before..).unwrap_or(path).into()
}

/// The head of the request to `backend` that a client's request becomes, which goes there now.
fn head_for<'a>(
    ask: &mut Ask<'_>,
    backend: &Arc<Backend>,
    (method, target): (Method, Cow<'a, str>),
    headers: &Arc<HeaderMap>,
) -> Head<'a> {
    ask.observation.goes_to(backend);
    let fields = ask.arrival.sent.fields(headers, backend, &ask.outside, &ask.forwarded_for);
    Head { method, target, fields }
}

/// Sends a request without a body, again and again for some seconds while its cluster cannot be reached: clients differ
/// in how patient they are, and a coordinator's address may take a moment to lead to it.
async fn patiently(
    ask: &mut Ask<'_>,
    backend: &Arc<Backend>,
    retry: Retry,
    head: Head<'_>,
) -> Result<Exchanged, Error> {
    let give_up = Instant::now() + ask.settings.poll_patience;
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        let body = RequestBody::nothing();
        let answer = exchange(backend, ask.arrival.shard, &head, body, ask.settings.response_timeout).await;
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // All the polls of a coordinator that went away must not come back at one instant.
        let spread = pause.mul_f64(0.75 + rand::random::<f64>() / 4.0);
        if tries >= ask.settings.poll_tries || !allows(retry, &error) || Instant::now() + spread >= give_up {
            return Err(error);
        }
        tracing::debug!(request = ask.observation.id(), fault = error.chain(), "a request is sent once more");
        ask.observation.retried();
        // In a box: nearly no request waits so, and all would have to have room for it.
        Box::pin(tokio::time::sleep(spread)).await;
        tries += 1;
        pause *= 2;
    }
}

/// Whether the same request may be sent again after `error`.
fn allows(retry: Retry, error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => retry != Retry::Never,
        Error::Broken { .. } => retry == Retry::Unanswered,
        _ => false,
    }
}
