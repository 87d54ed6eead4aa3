//! A new query: a cluster is picked for it, and another one if the first cannot take it.
//!
//! That is safe for `POST /v1/statement` alone: Trino only registers the query then, and starts it at the first poll
//! (measured on 470 and 476). A query that was registered and never polled is dropped by its cluster after some
//! minutes. Within a transaction nothing is tried twice: a query that fails so would take the transaction with it.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header::HOST};

use super::{
    Error,
    ask::Ask,
    backend::Backend,
    body::RequestBody,
    client::ClientRequest,
    exchange::{Exchanged, Head, exchange},
    external::External,
    headers,
    kept::Kept,
    transaction,
};
use crate::routing::{Decision, Facts, Origin, Outcome, Statement, Unread};

/// A new query on its way.
struct NewQuery {
    headers: HeaderMap,
    text: Kept,
    /// The clusters that may take it, in the order in which they are tried.
    candidates: Vec<Arc<Backend>>,
    /// Whether it may be sent to the same cluster twice.
    may_repeat: bool,
}

/// Sends a new query to a healthy cluster of the group that the rules give it, or to the cluster of its transaction.
///
/// # Errors
/// When a rule rejects it, nothing matches it, no cluster is healthy, or every one that could be tried failed.
pub(super) async fn submit(ask: &mut Ask<'_>, request: ClientRequest) -> Result<Exchanged, Error> {
    let ClientRequest { headers, body, .. } = request;
    let mut headers = Arc::unwrap_or_clone(headers);
    let text = Kept::new(body, ask.settings.max_statement_kept);
    let transaction = transaction::untag(&mut headers);
    let outcome = match decide(ask, &mut headers, &text).await? {
        Outcome::Reject { message } => return Err(Error::Rejected(message)),
        Outcome::NoRoute if transaction.is_none() => return Err(Error::NoRoute),
        outcome => outcome,
    };
    let candidates = match &transaction {
        Some(cluster) => vec![ask.fleet.backend(cluster).ok_or(Error::UnknownTransaction)?.clone()],
        None => candidates(ask, &outcome)?,
    };
    send(ask, NewQuery { headers, text, candidates, may_repeat: transaction.is_none() }).await
}

/// What becomes of a query with these headers and this text.
async fn decide(ask: &mut Ask<'_>, headers: &mut HeaderMap, text: &Kept) -> Result<Outcome, Error> {
    let router = &ask.fleet.router;
    let draw = rand::random();
    let external = ask.fleet.external.as_ref();
    // Without rules, what they would see need not be gathered.
    if router.table().routing.rules.is_empty() && external.is_none() {
        return Ok(router.route(draw));
    }
    let reads = router.reads_sql() || external.is_some();
    let statement = if reads { read(text).await? } else { Statement::Unread(Unread::NotAsked) };
    let facts = router.facts(headers, origin(ask, headers), statement);
    let Decision { rule, outcome, faults } = router.decide(&facts, draw);
    for fault in faults {
        let request = ask.observation.id();
        tracing::warn!(request, rule = &*fault.rule, fault = fault.message, "a routing rule failed");
    }
    match (rule, external) {
        (Some(rule), _) => ask.observation.by_rule(rule),
        (None, Some(external)) => return Ok(by_external(ask, external, &facts, headers).await.unwrap_or(outcome)),
        (None, None) => {}
    }
    Ok(outcome)
}

/// Where the external router sends a query; none leaves it to the default, as does an answer that cannot be used.
async fn by_external(
    ask: &mut Ask<'_>,
    external: &External,
    facts: &Facts,
    headers: &mut HeaderMap,
) -> Option<Outcome> {
    let request = ask.observation.id();
    match external.ask(ask.arrival.shard, facts, headers).await {
        Ok(None) => None,
        Ok(Some(group)) => {
            let found = ask.fleet.router.table().groups.iter().position(|known| known.name == group);
            if found.is_some() {
                ask.observation.by_rule("external router".into());
            } else {
                tracing::warn!(request, group, "the external router names a group that is not there");
            }
            found.map(Outcome::Group)
        }
        Err(failure) => {
            tracing::warn!(request, %failure, "the external router gave no answer: the default decides");
            None
        }
    }
}

fn origin(ask: &Ask<'_>, headers: &HeaderMap) -> Origin {
    let arrival = ask.arrival;
    let host = headers.get(HOST).is_some().then(|| ask.outside.host().to_owned());
    Origin {
        remote: ask.client,
        listener: arrival.listener.as_deref().map(str::to_owned),
        port: arrival.local.port(),
        host,
        sni: arrival.server_name.as_deref().map(str::to_owned),
        now: jiff::Timestamp::now(),
    }
}

/// The statement, for rules that look at it.
async fn read(text: &Kept) -> Result<Statement, Error> {
    match text.read().await? {
        None => Ok(Statement::Unread(Unread::TooLarge)),
        Some(bytes) => Ok(match String::from_utf8(bytes.into()) {
            Ok(text) => Statement::Text(text),
            Err(_) => Statement::Unread(Unread::NotText),
        }),
    }
}

/// The healthy clusters of where the query goes, and behind them those of the fallback: a cluster that failed a moment ago
/// may still count as healthy.
fn candidates(ask: &Ask<'_>, outcome: &Outcome) -> Result<Vec<Arc<Backend>>, Error> {
    let fleet = ask.fleet;
    let mut candidates = fleet.candidates(outcome);
    if let Some(fallback) = fleet.router.fallback(rand::random()) {
        for backend in fleet.candidates(&fallback) {
            if !candidates.iter().any(|known| Arc::ptr_eq(known, &backend)) {
                candidates.push(backend);
            }
        }
    }
    if candidates.is_empty() { Err(Error::NoHealthyCluster) } else { Ok(candidates) }
}

/// Sends a query to its first candidate, and to the next ones while none takes it.
async fn send(ask: &mut Ask<'_>, query: NewQuery) -> Result<Exchanged, Error> {
    let NewQuery { headers, text, mut candidates, mut may_repeat } = query;
    let mut next = 0;
    loop {
        let backend = candidates[next].clone();
        next += 1;
        ask.observation.goes_to(&backend);
        let direct = ask.fleet.direct(&backend.name);
        ask.observation.first_call_only(direct.is_some());
        let outside = direct.unwrap_or(&ask.outside);
        let fields = headers::to_coordinator(&headers, &backend, outside, &ask.forwarded_for);
        let head = Head { method: Method::POST, target: "/v1/statement".into(), fields: fields.into() };
        let body = RequestBody::kept(text.send());
        let error = match exchange(&backend, ask.arrival.shard, &head, body, ask.settings.statement_timeout).await {
            Ok(taken) if !cannot_take(taken.status()) => return Ok(taken),
            // It cannot be sent to anyone else: the client shall see what this one said.
            Ok(taken) if !text.is_whole() => return Ok(taken),
            Ok(refused) => Error::Unavailable { cluster: backend.name.clone(), status: refused.status() },
            Err(error @ (Error::ClientGone | Error::ClientLate)) => return Err(error),
            Err(error) => error,
        };
        // A pooled connection may have been closed while it idled: that alone shall not fail a group of one cluster.
        if next == candidates.len() && may_repeat && matches!(error, Error::Broken { .. }) {
            may_repeat = false;
            candidates.push(backend);
        }
        if next == candidates.len() || !text.is_whole() {
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
