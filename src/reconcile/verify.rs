//! Looks at a cluster whose pods are ready: asks its coordinator for workers and catalogs, and runs the user's queries. What
//! follows from it is decided in `lifecycle::verify`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::{
    context::{Context, whole_second},
    error::Error,
    statement::{self, Coordinator, Fault},
};
use crate::{
    api::{TrinoCluster, VerificationStatus},
    desired::{VerifyTerms, verify_terms},
    lifecycle::verify::{Look, State, Terms, is_good, judge, unless_overdue},
    trino::work,
};

/// How often a cluster is looked at while it is verified.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);
/// How often one that needs help is looked at.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// How long a question about workers and catalogs may take. A query waits while no worker is there.
const QUESTION: Duration = Duration::from_secs(10);
/// How long one of the user's queries may take.
const QUERY: Duration = Duration::from_secs(60);

const WORKERS: &str = "SELECT node_id FROM system.runtime.nodes WHERE state = 'active' AND NOT coordinator";
/// One that a worker runs: the others are answered by the coordinator alone.
const TASK: &str = "SELECT 1";
/// Why a cluster whose `spec.authentication` Warren has made is not verified; a kubelet may still bring the file.
const REFUSED: &str = "the coordinator refuses Warren's own credential; is there an http-server.authentication.password.user-mapping \
                       in config that does not let the names of its users as they are";

const CATALOGS: &str = "SELECT catalog_name FROM system.metadata.catalogs";

/// Looks once, and judges. Returns the judgement, and the status that carries it to the next look.
/// `settled`: whether the workers' pods were ready for long enough to rely on.
pub(super) async fn look(
    context: &Context,
    cluster: &TrinoCluster,
    settled: bool,
) -> Result<(State, VerificationStatus), Error> {
    let VerifyTerms { workers, catalogs, timeout, queries, user } = verify_terms(&cluster.spec)?;
    let terms = Terms { workers, catalogs, timeout };
    let begun = context.now();
    let before = cluster.status.as_ref().and_then(|status| status.verification.clone());
    let before = before.filter(|before| before.passed_at.is_none());
    let since = before.as_ref().map_or(begun, |before| before.since.0);
    let at = Coordinator::of(context, cluster).await?;
    let (look, sees_queries) = coordinator(context, &at, &user, settled).await;
    let known = before.and_then(|before| Some(before.good_since?.0));
    let good_since = is_good(&terms, &look).then(|| known.unwrap_or(begun));
    let mut state = judge(&terms, since, good_since.unwrap_or(begun), &look, begun);
    if state == State::Passed
        && !matches!(look, Look::AsksForCredentials { .. })
        && let Some(fault) = first_fault(context, &at, &user, &queries).await
    {
        state = unless_overdue(&terms, since, fault, context.now());
    }
    let time = |timestamp: Timestamp| Time(whole_second(timestamp));
    let passed_at = (state == State::Passed).then(|| time(context.now()));
    let status = VerificationStatus { since: time(since), good_since: good_since.map(time), passed_at, sees_queries };
    Ok((state, status))
}

/// Asks the coordinator for its workers and its catalogs, and whether Warren sees the queries of others there.
async fn coordinator(context: &Context, at: &Coordinator, user: &str, settled: bool) -> (Look, Option<bool>) {
    let answered = async {
        let ask = async |sql| statement::run(context, at, user, sql, QUESTION).await.map_err(|fault| (sql, fault));
        let workers = ask(WORKERS).await?;
        let catalogs = ask(CATALOGS).await?;
        ask(TASK).await?;
        let names = |row: Vec<Value>| row.into_iter().next()?.as_str().map(str::to_owned);
        let catalogs = catalogs.rows.into_iter().filter_map(names).collect();
        Ok((Look::Answered { workers: workers.rows.len(), watched: watched(context, at).await, catalogs }, workers.id))
    };
    match answered.await {
        Ok((look, query)) => (look, sees(context, at, &query).await),
        Err((_, Fault::Credentials)) if at.has_credential() => (Look::Failed(REFUSED.to_owned()), None),
        Err((_, Fault::Credentials)) => (Look::AsksForCredentials { settled }, None),
        // Until the first worker has joined, a query waits.
        Err((_, Fault::Deadline(_))) => (Look::Failed("its workers have not joined yet".to_owned()), None),
        Err((sql, fault)) => (Look::Failed(format!("{sql:?} fails: {fault}")), None),
    }
}

/// For how long the coordinator's failure detector has watched each worker; none where it does not tell.
async fn watched(context: &Context, at: &Coordinator) -> Option<Vec<Duration>> {
    work::watched(&statement::read(context, at, work::WATCHED).await.ok()?).ok()
}

/// Whether the list of queries that Warren is shown holds one of another user; none if it cannot be read.
async fn sees(context: &Context, at: &Coordinator, query: &str) -> Option<bool> {
    work::lists(&statement::read(context, at, work::QUERIES).await.ok()?, query).ok()
}

/// What is wrong with the first of the user's queries that does not end well.
async fn first_fault(context: &Context, at: &Coordinator, user: &str, queries: &[String]) -> Option<String> {
    for (index, sql) in queries.iter().enumerate() {
        if let Err(fault) = statement::run(context, at, user, sql, QUERY).await {
            return Some(format!("verify.queries[{index}] fails: {fault}"));
        }
    }
    None
}
