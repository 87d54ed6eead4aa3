//! What the operator asks by HTTP: the admin ports of proxies, and Trino's nodes. Each answer has a deadline and a bound.

use std::{fmt::Display, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::telemetry::chain;

const DEADLINE: Duration = Duration::from_secs(5);
/// A coordinator lists a hundred ended queries by default, each with the head of its text.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Why nothing was read: one line, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// There is no answer, or it cannot be read.
    #[error("{0}")]
    Failed(String),
    /// There is one, with another status.
    #[error("it answers {0}")]
    Status(StatusCode),
}

/// The URL of `path` at a port of a pod, whose address may be one of IPv6.
pub(super) fn pod_url(address: &str, port: impl Display, path: &str) -> String {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("http://{host}:{port}{path}")
}

/// Sends a request and reads the body of its answer, whose status must be a success. Headers may carry secrets.
pub type Fetch = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Result<Bytes, FetchError>> + Send + Sync>;

/// Asks over the network, by plain HTTP.
pub fn over_http() -> Fetch {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    Arc::new(move |request| {
        let client = client.clone();
        Box::pin(async move {
            let read = tokio::time::timeout(DEADLINE, read(client, request)).await;
            read.unwrap_or_else(|_| Err(FetchError::Failed(format!("no answer within {} s", DEADLINE.as_secs()))))
        })
    })
}

async fn read(client: Client<HttpConnector, Full<Bytes>>, request: Request<Bytes>) -> Result<Bytes, FetchError> {
    let answer = client.request(request.map(Full::new)).await.map_err(|error| FetchError::Failed(chain(&error)))?;
    if !answer.status().is_success() {
        return Err(FetchError::Status(answer.status()));
    }
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| FetchError::Failed(chain(&*error)))
}
