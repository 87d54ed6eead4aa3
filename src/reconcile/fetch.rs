//! What the operator reads by HTTP: the admin ports of proxies, and coordinators. Each answer has a deadline and a bound.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::telemetry::chain;

const DEADLINE: Duration = Duration::from_secs(5);
/// A coordinator lists a hundred ended queries by default, each with the head of its text.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// One `GET`.
#[derive(Clone, Debug)]
pub struct Get {
    /// What is asked for.
    pub url: String,
    /// A header, if one is needed. Its value may be a secret.
    pub header: Option<(HeaderName, HeaderValue)>,
}

/// Why nothing can be read: one line, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// Reads the body of an answer with status 200.
pub type Fetch = Arc<dyn Fn(Get) -> BoxFuture<'static, Result<Bytes, FetchError>> + Send + Sync>;

/// Reads over the network, by plain HTTP.
pub fn over_http() -> Fetch {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    Arc::new(move |get| {
        let client = client.clone();
        Box::pin(async move {
            let read = tokio::time::timeout(DEADLINE, read(client, get)).await;
            read.unwrap_or_else(|_| Err(FetchError(format!("no answer within {} s", DEADLINE.as_secs()))))
        })
    })
}

async fn read(client: Client<HttpConnector, Empty<Bytes>>, get: Get) -> Result<Bytes, FetchError> {
    let mut request = Request::get(&get.url).body(Empty::new()).map_err(|error| FetchError(chain(&error)))?;
    if let Some((name, value)) = get.header {
        request.headers_mut().insert(name, value);
    }
    let answer = client.request(request).await.map_err(|error| FetchError(chain(&error)))?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError(format!("it answers {}", answer.status())));
    }
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| FetchError(chain(&*error)))
}
