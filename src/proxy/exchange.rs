//! One request to one coordinator: sent, and its answer's head awaited, within a deadline.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header::CONTENT_LENGTH, uri::PathAndQuery};
use http_body::Body as _;
use hyper::body::Incoming;

use super::{
    Error,
    backend::Backend,
    body::RequestBody,
    pool::{Failure, Lease},
    shard::Shard,
};

/// The head of a request to a coordinator; the same for each try, but for what names the cluster.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub method: Method,
    /// Path and query at the coordinator, as the client sent them.
    pub target: PathAndQuery,
    pub headers: HeaderMap<HeaderValue>,
}

/// A coordinator's answer, and the connection that it comes on.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub answer: Response<Incoming>,
    pub lease: Lease,
}

/// Sends a request to `backend` and waits for the head of its answer, at most for `timeout` after the last byte of the
/// body passed. A refused connection takes the cluster out at once.
///
/// # Errors
/// [`Error::Unreachable`] when nothing was sent; [`Error::Broken`], [`Error::Timeout`] or [`Error::ClientGone`] after
/// that.
pub(super) async fn exchange(
    backend: &Backend,
    shard: Shard,
    head: Head,
    body: RequestBody,
    timeout: Duration,
) -> Result<Exchanged, Error> {
    let unreachable = |source| Error::Unreachable { cluster: backend.name.clone(), source };
    let pool = backend.pool().map_err(|error| unreachable(error.into()))?;
    let progress = body.progress();
    let Head { method, target, mut headers } = head;
    announce_no_more_than_comes(&mut headers, &body);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    let answer = tokio::select! {
        biased;
        answer = pool.send(shard, request) => answer,
        () = progress.stalled(timeout) => return Err(Error::Timeout { cluster: backend.name.clone() }),
    };
    match answer {
        Ok((answer, lease)) => Ok(Exchanged { answer, lease }),
        Err(_) if progress.client_failed() => Err(Error::ClientGone),
        Err(Failure::Broken(error)) => Err(Error::Broken { cluster: backend.name.clone(), source: error.into() }),
        Err(Failure::Connect(error)) => {
            let error = unreachable(error);
            if error.is_refused() {
                backend.health.refused(&backend.name);
            }
            Err(error)
        }
    }
}

/// Takes off the length of a body that is not sent: the coordinator would take the beginning of the next request on the
/// connection for it, which may be another client's.
fn announce_no_more_than_comes(headers: &mut HeaderMap, body: &RequestBody) {
    if body.is_end_stream() && headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
        headers.remove(CONTENT_LENGTH);
    }
}
