//! What the operator asks of a coordinator: pages of its API, and statements, run as a client would, to their end or to their
//! deadline; nothing of them is left running.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header::AUTHORIZATION, uri::PathAndQuery};
use serde_json::Value;

use super::{
    context::Context,
    credential,
    error::Error,
    fetch::{FetchError, Trust},
};
use crate::{
    api::TrinoCluster,
    desired::cluster::server,
    routing::Credential,
    trino::{
        page::{Page, at_the_coordinator},
        work,
    },
};

/// By this one finds the queries, in Trino's UI or for a resource group of their own.
const SOURCE: &str = "warren";

/// Rows that are kept of a result; the others are read and dropped.
const MOST_ROWS: usize = 2000;

/// A query that ended well.
pub(super) struct Answer {
    /// Its id.
    pub(super) id: String,
    /// Its first rows.
    pub(super) rows: Vec<Vec<Value>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The coordinator asks for credentials.
    #[error("the coordinator asks for credentials")]
    Credentials,
    /// It is not reached, or does not answer as a coordinator does.
    #[error("{0}")]
    Unreachable(String),
    /// It does not end in time.
    #[error("it did not end within {} s", .0.as_secs())]
    Deadline(Duration),
    /// Trino's message.
    #[error("{name}: {message}")]
    Failed { name: String, message: String },
}

/// Where a coordinator is, and who is believed to be it.
#[derive(Clone, Debug)]
pub(super) struct Coordinator {
    url: String,
    /// None where it speaks plain HTTP.
    trust: Option<Trust>,
    /// None where it asks nobody who he is.
    credential: Option<Credential>,
}

impl Coordinator {
    /// That of a cluster, by what its status says of its certificate, and Warren's own credential.
    pub(super) async fn of(context: &Context, cluster: &TrinoCluster) -> Result<Self, Error> {
        Ok(Self::asked_by(cluster, credential::used(context, cluster).await?))
    }

    /// The same, asked by another credential.
    pub(super) fn asked_by(cluster: &TrinoCluster, credential: Option<Credential>) -> Self {
        let identity = super::cluster::identity(cluster);
        let url = identity.coordinator_url(&cluster.spec);
        let trust = server(&cluster.spec).map(|_| {
            let known = cluster.status.as_ref().and_then(|status| status.tls.as_ref()?.server.as_ref());
            Trust { ca: known.map(|known| known.ca.clone()).unwrap_or_default(), name: None }
        });
        Self { url, trust, credential }
    }

    /// Whether it is asked by a credential.
    pub(super) fn has_credential(&self) -> bool {
        self.credential.is_some()
    }

    fn request(&self, method: Method, path: &str, user: &str, body: Bytes) -> http::Result<Request<Bytes>> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        let mut request = request.header("x-trino-user", user).body(body)?;
        if let Some(credential) = &self.credential {
            // Of each user that asks, the coordinator knows the same password.
            let credential = credential.of(user).unwrap_or_else(|| credential.clone());
            request.headers_mut().insert(AUTHORIZATION, credential.authorization());
        }
        if let Some(trust) = &self.trust {
            request.extensions_mut().insert(trust.clone());
        }
        Ok(request)
    }
}

/// Reads `path` of a coordinator, as Warren's own user.
pub(super) async fn read(context: &Context, coordinator: &Coordinator, path: &str) -> Result<Bytes, FetchError> {
    let request = coordinator.request(Method::GET, path, work::USER, Bytes::new());
    (context.fetch)(request.expect("a cluster's name stands in URLs as it is")).await
}

/// Runs `sql` at a coordinator, as `user`.
pub(super) async fn run(
    context: &Context,
    coordinator: &Coordinator,
    user: &str,
    sql: &str,
    deadline: Duration,
) -> Result<Answer, Fault> {
    let mut next = None;
    let ended = tokio::time::timeout(deadline, follow(context, coordinator, user, sql, &mut next)).await;
    if let Some(page) = next {
        // Trino gives it up by itself where this does not reach it.
        let _ = ask(context, coordinator, user, Method::DELETE, page.as_str(), Bytes::new()).await;
    }
    ended.unwrap_or(Err(Fault::Deadline(deadline)))
}

/// Follows the pages; `next` is there while the query may run.
async fn follow(
    context: &Context,
    coordinator: &Coordinator,
    user: &str,
    sql: &str,
    next: &mut Option<PathAndQuery>,
) -> Result<Answer, Fault> {
    let mut rows = Vec::new();
    let mut body = ask(context, coordinator, user, Method::POST, "/v1/statement", sql.to_owned().into()).await?;
    loop {
        let no_page = || Fault::Unreachable("what it answers is no page of a query".to_owned());
        let page: Page = serde_json::from_slice(&body).map_err(|_| no_page())?;
        *next = None;
        if let Some(error) = page.error {
            return Err(Fault::Failed { name: error.name(), message: error.message() });
        }
        rows.extend(page.data.into_iter().take(MOST_ROWS - rows.len()));
        let Some(uri) = page.next_uri else { return Ok(Answer { id: page.id, rows }) };
        let target = next.insert(at_the_coordinator(&uri, "").ok_or_else(no_page)?);
        body = ask(context, coordinator, user, Method::GET, target.as_str(), Bytes::new()).await?;
    }
}

async fn ask(
    context: &Context,
    coordinator: &Coordinator,
    user: &str,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Bytes, Fault> {
    let request = coordinator.request(method, path, user, body);
    let mut request = request.map_err(|error| Fault::Unreachable(error.to_string()))?;
    request.headers_mut().insert("x-trino-source", HeaderValue::from_static(SOURCE));
    (context.fetch)(request).await.map_err(|fault| match fault {
        FetchError::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Fault::Credentials,
        fault => Fault::Unreachable(fault.to_string()),
    })
}
