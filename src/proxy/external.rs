//! An external router: a service that is asked by HTTP which group a new query goes to, where no rule says so. Request
//! and answer are those of trino-gateway's external routing (`RoutingGroupExternalBody` and `ExternalRouterResponse`
//! there), so that a service written for one works for the other. Credentials of clients are not sent to it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Settings, Shard,
    body::RequestBody,
    connector::{Connector, Trusted},
    error::Cause,
    exchange::Head,
    fields::Fields,
    pool::{self, Pool},
};
use crate::{
    routing::{ExternalRouter, Facts, Statement},
    trino::sql::{Context, analyze},
};

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// How long an answer is waited for where the table does not say.
const TIMEOUT: Duration = Duration::from_secs(1);

/// An external router and the connections to it.
#[derive(Debug)]
pub(super) struct External {
    definition: ExternalRouter,
    pool: Option<Arc<Pool>>,
    host: HeaderValue,
    target: PathAndQuery,
}

/// What an external router answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    /// The name of the group; none leaves the query to the default.
    #[serde(default)]
    pub routing_group: Option<String>,
    #[serde(default)]
    errors: Option<Vec<String>>,
    #[serde(default)]
    external_headers: Option<BTreeMap<String, String>>,
}

/// Why an external router gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it cannot be connected to: {0}")]
    Connect(Cause),
    #[error("its answer cannot be read: {0}")]
    Broken(Cause),
    #[error("it did not answer in time")]
    Timeout,
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer is not the JSON that is expected: {0}")]
    Json(String),
    #[error("it reports errors: {0}")]
    Errors(String),
}

impl External {
    /// The router that `definition` describes, with connections of its own; those of `before` if nothing changed.
    pub(super) fn new(definition: &ExternalRouter, before: Option<&Arc<Self>>, settings: &Settings) -> Arc<Self> {
        if let Some(same) = before.filter(|before| before.definition == *definition) {
            return same.clone();
        }
        let uri: Uri = definition.url.parse().unwrap_or_default();
        let secure = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let connector = Connector::new(secure, Trusted::default(), settings.connect_timeout);
        let pool = connector.map(|connector| Pool::new(connector, uri.clone(), settings.shards));
        if let Err(error) = &pool {
            tracing::error!(%error, "the external router cannot be connected to");
        }
        let host = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        Arc::new(Self {
            definition: definition.clone(),
            pool: pool.ok(),
            host: host.unwrap_or_else(|| HeaderValue::from_static("localhost")),
            target: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
        })
    }

    /// Asks where the query of `facts` goes, and adds what the answer asks for to `headers`, those for the coordinator.
    ///
    /// # Errors
    /// When there is no answer in time, or none that can be used.
    pub(super) async fn ask(
        &self,
        shard: Shard,
        facts: &Facts,
        headers: &mut HeaderMap,
    ) -> Result<Option<String>, Failure> {
        let deadline = self.definition.timeout_millis.map_or(TIMEOUT, |millis| Duration::from_millis(millis.into()));
        let asking = self.exchange(shard, facts, headers, deadline);
        let answer = tokio::time::timeout(deadline, asking).await.map_err(|_| Failure::Timeout)??;
        let Answer { routing_group, errors, external_headers } = answer;
        if let Some(errors) = errors.filter(|errors| !errors.is_empty()) {
            return Err(Failure::Errors(errors.join(", ")));
        }
        for (name, value) in external_headers.into_iter().flatten() {
            // What no client may say this one may not say either: that is dropped where the others are.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        Ok(routing_group.filter(|group| !group.is_empty()))
    }

    async fn exchange(
        &self,
        shard: Shard,
        facts: &Facts,
        headers: &HeaderMap,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let Some(pool) = &self.pool else { return Err(Failure::Connect("it has no connections".into())) };
        let fields = Fields::of(&self.headers(headers));
        let head = Head { method: Method::POST, target: self.target.as_str().into(), fields: fields.into() };
        let body = RequestBody::text(question(facts).to_string());
        let answer = pool.send(shard, &head, body, patience).await.map_err(|failure| match failure {
            pool::Failure::Connect(cause) => Failure::Connect(cause),
            pool::Failure::Broken(error) => Failure::Broken(error.into()),
        })?;
        if answer.status() != StatusCode::OK {
            return Err(Failure::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(Failure::Broken)?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| Failure::Json(error.to_string()))
    }

    /// The client's headers but for its credentials, what is excluded, and what is about the client's connection.
    fn headers(&self, of_client: &HeaderMap) -> HeaderMap {
        let mut headers = of_client.clone();
        super::headers::drop_hop_by_hop(&mut headers);
        let excluded = self.definition.exclude_headers.iter().map(String::as_str);
        let credentials =
            [AUTHORIZATION.as_str(), COOKIE.as_str(), "x-trino-extra-credential", "x-presto-extra-credential"];
        for name in excluded.chain(credentials) {
            headers.remove(name);
        }
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers
    }
}

/// The question, with the fields that trino-gateway sends.
fn question(facts: &Facts) -> Value {
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let body = if let Statement::Text(text) = &facts.statement { text.as_str() } else { "" };
    let (catalog, schema) = (text(&facts.catalog), text(&facts.schema));
    let context = Context { catalog: catalog.as_deref(), schema: schema.as_deref(), prepared: &facts.prepared };
    let found = analyze(body, &context);
    let schemas: Vec<&str> = found.schemas.iter().filter_map(|schema| schema.split('.').next_back()).collect();
    let remote = facts.origin.remote.to_string();
    json!({
        "trinoQueryProperties": {
            "body": body,
            "queryType": found.kind,
            "resourceGroupQueryType": found.kind,
            "tables": found.tables,
            "catalogs": found.catalogs,
            "schemas": schemas,
            "catalogSchemas": found.schemas,
            "defaultCatalog": catalog,
            "defaultSchema": schema,
            "isNewQuerySubmission": true,
            "isQueryParsingSuccessful": found.why_unknown.is_none(),
            "errorMessage": found.why_unknown,
        },
        "trinoRequestUser": {"user": text(&facts.user), "userInfo": null},
        "contentType": "application/json",
        "remoteUser": null,
        "method": "POST",
        "requestURI": "/v1/statement",
        "queryString": null,
        "session": null,
        "remoteAddr": remote,
        "remoteHost": remote,
        "parameters": {},
    })
}
