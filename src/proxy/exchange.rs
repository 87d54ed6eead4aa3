//! One request to one coordinator: sent, and its answer's head awaited, within a deadline.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;

use super::{Error, backend::Backend, body::RequestBody};

/// The head of a request to a coordinator; the same for each try, but for what names the cluster.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub method: Method,
    /// Path and query at the coordinator, as the client sent them.
    pub target: String,
    pub headers: HeaderMap<HeaderValue>,
}

/// Sends a request to `backend` and waits for the head of its answer, at most for `timeout` after the last byte of the
/// body passed. A refused connection takes the cluster out at once.
///
/// # Errors
/// [`Error::Unreachable`] when nothing was sent; [`Error::Broken`], [`Error::Timeout`] or [`Error::ClientGone`] after
/// that.
pub(super) async fn exchange(
    backend: &Backend,
    head: Head,
    body: RequestBody,
    timeout: Duration,
) -> Result<Response<Incoming>, Error> {
    let unreachable = |source| Error::Unreachable { cluster: backend.name.clone(), source };
    let client = backend.client().map_err(|error| unreachable(error.into()))?;
    let Head { method, target, headers } = head;
    let progress = body.progress();
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri(backend, &target).map_err(|error| unreachable(error.into()))?;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    let answer = tokio::select! {
        answer = client.request(request) => answer,
        () = progress.stalled(timeout) => return Err(Error::Timeout { cluster: backend.name.clone() }),
    };
    answer.map_err(|error| {
        if progress.client_failed() {
            return Error::ClientGone;
        }
        if !error.is_connect() {
            return Error::Broken { cluster: backend.name.clone(), source: error.into() };
        }
        let error = unreachable(error.into());
        if error.is_refused() {
            backend.health.refused(&backend.name);
        }
        error
    })
}

fn uri(backend: &Backend, target: &str) -> Result<Uri, http::Error> {
    let address = backend.address();
    Uri::builder()
        .scheme(address.scheme().clone())
        .authority(address.authority().clone())
        .path_and_query(target)
        .build()
}
