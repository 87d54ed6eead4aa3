//! A new query: a cluster is picked for it, and another one if the first cannot take it.
//!
//! That is safe for `POST /v1/statement` alone: Trino only registers the query then, and starts it at the first poll
//! (measured on 470 and 476). A query that was registered and never polled is dropped by its cluster after some
//! minutes.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::{
    Error,
    backend::Backend,
    body::RequestBody,
    exchange::{Head, exchange},
    gateway::Ask,
    headers,
    kept::Kept,
};
use crate::routing::Outcome;

/// Sends a new query to a healthy cluster of the group that the rules give it.
///
/// # Errors
/// When nothing matches it, no cluster is healthy, or every one that could be tried failed.
pub(super) async fn submit(
    ask: &mut Ask<'_>,
    request: Request<Incoming>,
) -> Result<(Response<Incoming>, Arc<Backend>), Error> {
    let outcome = ask.fleet.router.route(rand::random());
    if outcome == Outcome::NoRoute {
        return Err(Error::NoRoute);
    }
    let mut candidates = ask.fleet.candidates(&outcome);
    if candidates.is_empty() {
        return Err(Error::NoHealthyCluster);
    }
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/v1/statement", |target| target.as_str()).to_owned();
    let statement = Kept::new(body, ask.settings.max_statement_kept);
    let mut may_repeat_last = true;
    let mut next = 0;
    loop {
        let backend = candidates[next].clone();
        next += 1;
        ask.observation.goes_to(&backend);
        let mut headers = parts.headers.clone();
        headers::to_coordinator(&mut headers, &backend.name, &ask.outside, ask.peer);
        let head = Head { method: parts.method.clone(), target: target.clone(), headers };
        let body = RequestBody::kept(statement.send());
        let error = match exchange(&backend, head, body, ask.settings.statement_timeout).await {
            Ok(answer) if !cannot_take(answer.status()) => return Ok((answer, backend)),
            // It cannot be sent to anyone else: the client shall see what this one said.
            Ok(answer) if !statement.is_whole() => return Ok((answer, backend)),
            Ok(answer) => Error::Unavailable { cluster: backend.name.clone(), status: answer.status() },
            Err(Error::ClientGone) => return Err(Error::ClientGone),
            Err(error) => error,
        };
        // A pooled connection may have been closed while it idled: that alone shall not fail a group of one cluster.
        if next == candidates.len() && may_repeat_last && matches!(error, Error::Broken { .. }) {
            may_repeat_last = false;
            candidates.push(backend);
        }
        if next == candidates.len() || !statement.is_whole() {
            return Err(Error::AllFailed(Box::new(error)));
        }
        tracing::warn!(request = ask.observation.id(), fault = error.chain(), "a new query is tried once more");
        ask.observation.retried();
    }
}

/// Whether a status says that the coordinator, or something before it, cannot take queries now.
fn cannot_take(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}
