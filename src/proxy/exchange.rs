//! One request to one coordinator: sent, and its answer's head awaited, within a deadline.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{Method, Response};

use super::{
    Error,
    backend::Backend,
    body::RequestBody,
    client,
    fields::Fields,
    pool::{Failure, PooledBody},
    shard::Shard,
    wire::WireError,
};

/// The head of a request to a coordinator; the same for each try, but for what names the cluster.
#[derive(Clone, Debug)]
pub(super) struct Head<'a> {
    pub method: Method,
    /// Path and query at the coordinator, as the client sent them.
    pub target: Cow<'a, str>,
    pub fields: Arc<Fields>,
}

/// A coordinator's answer, whose body is still to be read.
pub(super) type Exchanged = Response<PooledBody>;

/// Sends a request to `backend` and waits for the head of its answer, at most for `timeout` after the last byte of the
/// body passed. A refused connection takes the cluster out at once.
///
/// # Errors
/// [`Error::Unreachable`] when nothing was sent; [`Error::Broken`], [`Error::Timeout`], [`Error::ClientGone`] or
/// [`Error::ClientLate`] after that.
pub(super) async fn exchange(
    backend: &Backend,
    shard: Shard,
    head: &Head<'_>,
    body: RequestBody,
    timeout: Duration,
) -> Result<Exchanged, Error> {
    let unreachable = |source| Error::Unreachable { cluster: backend.name.clone(), source };
    let pool = backend.pool().map_err(|error| unreachable(error.into()))?;
    match pool.send(shard, head, body, timeout).await {
        Ok(answer) => Ok(answer),
        Err(Failure::Broken(WireError::Late)) => Err(Error::Timeout { cluster: backend.name.clone() }),
        Err(Failure::Broken(WireError::Body(cause))) => Err(client::fault(&cause)),
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
