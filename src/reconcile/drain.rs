//! Looks at a cluster that takes no new queries: asks its proxies and its coordinator what goes on. What follows from it is
//! decided in `lifecycle::drain`.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use kube::ResourceExt;

use super::{
    admin::{self, AT_ONCE, Access, AdminPort, has_ended},
    context::{Context, whole_second},
    error::Error,
    events::gateways_of,
    index::{Watched, label},
    statement::{self, Coordinator},
};
use crate::{
    api::{DrainStatus, OldestQuery, ProxyMode, TrinoCluster, TrinoClusterGroup, TrinoGateway},
    desired::{
        cluster::ClusterIdentity,
        drain_terms, gateway,
        labels::{CLUSTER, COMPONENT, DRAINING_SINCE, GROUP, PROXY_GROUP, component},
        verify_terms,
    },
    lifecycle::{
        drain::{Look, Progress, Running, Sighting, Terms, Verdict, judge},
        passed,
    },
    routing::{LiveReport, Serving},
    trino::work,
};

/// How often a draining cluster is looked at.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// Those that a client has begun, not those that each statement without one has for itself.
const TRANSACTIONS: &str = "SELECT transaction_id FROM system.runtime.transactions WHERE NOT auto_commit_context";
const TRANSACTIONS_DEADLINE: Duration = Duration::from_secs(10);

/// Of what could not be seen, this much is told in status.
const MOST_TOLD: usize = 5;

/// Of the queries that are cut, this many are named.
const MOST_NAMED: usize = 12;

/// Looks once, and judges. Returns the judgement, and the status that carries it to the next look.
pub(super) async fn look(
    context: &Context,
    cluster: &TrinoCluster,
    identity: &ClusterIdentity,
) -> Result<(Verdict, DrainStatus), Error> {
    let now = whole_second(context.now());
    let since = since(cluster, now);
    let asked = drain_terms(&cluster.spec)?;
    let gateways = gateways_of(&context.index, cluster);
    let direct = gateways.iter().any(|gateway| gateway.spec.proxy_mode == Some(ProxyMode::ProxyFirstCall));
    let terms = Terms { since, timeout: asked.timeout, linger: asked.linger, abandonment: asked.abandonment, direct };
    let before = cluster.status.as_ref().and_then(|status| status.draining.as_ref());
    let before = before.filter(|before| before.since.0 == since);
    let mut look = Look { gone: is_gone(context, identity, now, asked.abandonment), ..Look::default() };
    if !look.gone {
        let of = Asked {
            cluster: &identity.name,
            group: label(cluster, GROUP).unwrap_or_default(),
            namespace: &identity.namespace,
            served: cluster.status.as_ref().and_then(|status| Some(status.serving_since.as_ref()?.0)),
        };
        ask_proxies(context, &of, &gateways, (now, asked.abandonment), &mut look).await?;
        let at = Coordinator::of(context, cluster).await?;
        ask_coordinator(context, &at, now, &mut look).await;
        if look.listed.is_empty() && look.counted == 0 && look.blind.is_empty() {
            ask_for_transactions(context, cluster, &at, &mut look).await?;
        }
        if sees_no_queries(cluster) {
            look.blind.push("coordinator: it does not show Warren the queries of other users".to_owned());
        }
    }
    let verdict = judge(&terms, &before.map(progress).unwrap_or_default(), &look, now);
    let status = status_of(&terms, &verdict, &look, before);
    Ok((verdict, status))
}

/// Whether the verification found that Warren is not shown the queries of others.
fn sees_no_queries(cluster: &TrinoCluster) -> bool {
    let verification = cluster.status.as_ref().and_then(|status| status.verification.as_ref());
    verification.is_some_and(|verification| verification.sees_queries == Some(false))
}

/// Since when the cluster takes no new queries: as its group wrote it down, or as the last look did.
fn since(cluster: &TrinoCluster, now: Timestamp) -> Timestamp {
    let written = cluster.annotations().get(DRAINING_SINCE).and_then(|since| since.parse().ok()).map(whole_second);
    let looked = cluster.status.as_ref().and_then(|status| Some(status.draining.as_ref()?.since.0));
    written.or(looked).unwrap_or(now)
}

/// Whether the coordinator's process is no more, or was away for so long that every query was given up.
fn is_gone(context: &Context, identity: &ClusterIdentity, now: Timestamp, abandonment: Duration) -> bool {
    let pods = Pod::labelled(&context.index, &identity.namespace, CLUSTER, &identity.name);
    let coordinators = pods.iter().filter(|pod| label(&***pod, COMPONENT) == Some(component::COORDINATOR));
    let mut alive = coordinators.filter(|pod| pod.metadata.deletion_timestamp.is_none());
    !alive.any(|pod| !has_ended(pod) && away(pod, now) < abandonment)
}

/// For how long the pod was not ready; zero while it is.
fn away(pod: &Pod, now: Timestamp) -> Duration {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let unready = conditions.into_iter().find(|condition| condition.type_ == "Ready" && condition.status != "True");
    let since = unready.and_then(|condition| condition.last_transition_time.as_ref());
    since.map_or(Duration::ZERO, |since| passed(since.0, now))
}

/// The cluster that proxies are asked about.
pub(super) struct Asked<'a> {
    pub(super) cluster: &'a str,
    /// Its group.
    pub(super) group: &'a str,
    pub(super) namespace: &'a str,
    /// Since when it may have queries.
    pub(super) served: Option<Timestamp>,
}

/// Asks every proxy of the gateways.
pub(super) async fn ask_proxies(
    context: &Context,
    of: &Asked<'_>,
    gateways: &[Arc<TrinoGateway>],
    (now, abandonment): (Timestamp, Duration),
    look: &mut Look,
) -> Result<(), Error> {
    let Asked { cluster: name, group: of_group, namespace, served } = *of;
    let labels =
        TrinoClusterGroup::named(&context.index, namespace, of_group).and_then(|group| group.metadata.labels.clone());
    let mut asked = Vec::new();
    for group in context.index.proxy_groups.state_filter(|proxies| {
        proxies.namespace().as_deref() == Some(namespace)
            && gateways.iter().any(|gateway| gateway.name_any() == proxies.spec.gateway.name)
    }) {
        let is_theirs = gateway::selects(group.spec.groups.as_ref(), of_group, labels.as_ref());
        let pods = Pod::labelled(&context.index, namespace, PROXY_GROUP, &group.name_any());
        let access = admin::access(context, namespace, &group, &pods).await?;
        for pod in pods.into_iter().filter(|pod| !has_ended(pod)) {
            let Some(port) = AdminPort::of(&pod) else { continue };
            let began = began(&pod).filter(|began| served.is_none_or(|served| *began > served));
            look.youngest_proxy = look.youngest_proxy.max(began);
            look.proxies.insert(pod.name_any());
            // One that was out of its Service for so long, and does not answer, has no query that is not given up.
            let matters = away(&pod, now) < abandonment;
            asked.push((pod.name_any(), port, access.clone(), (matters, is_theirs)));
        }
    }
    let reports = futures::stream::iter(asked).map(|(pod, port, access, terms)| async move {
        let report = ask_proxy(context, &port, access).await;
        (pod, terms, report)
    });
    let mut reports = reports.buffer_unordered(AT_ONCE);
    while let Some((pod, (matters, is_theirs), report)) = reports.next().await {
        match report.and_then(|report| take(look, &report, name, is_theirs)) {
            Err(_) if !matters => {}
            Ok(()) => {}
            Err(fault) => look.blind.push(format!("proxy {pod}: {fault}")),
        }
    }
    look.blind.sort();
    Ok(())
}

/// When the proxy's process began: a container that starts anew has forgotten what it saw.
fn began(pod: &Pod) -> Option<Timestamp> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    Some(container.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)
}

async fn ask_proxy(context: &Context, port: &AdminPort, access: Access) -> Result<LiveReport, String> {
    let body = port.get(context, access, "/v1/queries").await?;
    serde_json::from_slice(&body).map_err(|_| "its report cannot be read; is it of another version?".to_owned())
}

/// Takes in what a proxy saw of the cluster; one that does not serve the cluster's group may know nothing of it.
fn take(look: &mut Look, report: &LiveReport, cluster: &str, is_theirs: bool) -> Result<(), String> {
    let seen = report.clusters.iter().find(|seen| seen.cluster == cluster);
    if seen.is_none() && !is_theirs {
        return Ok(());
    }
    let seen = seen.filter(|seen| seen.serving == Serving::Draining);
    let seen = seen.ok_or("it has not yet applied the routing table that takes the cluster out")?;
    look.in_flight += seen.in_flight;
    look.sightings.extend(seen.queries.iter().map(|query| Sighting {
        query: query.id.clone(),
        ago: Duration::from_millis(query.idle_millis),
        age: Some(Duration::from_millis(query.age_millis)),
    }));
    look.sightings.extend(seen.ended.iter().map(|query| Sighting {
        query: query.id.clone(),
        ago: Duration::from_millis(query.age_millis),
        age: None,
    }));
    Ok(())
}

/// Asks the coordinator for its list of queries and for their number: access control may hide some from the list.
async fn ask_coordinator(context: &Context, at: &Coordinator, now: Timestamp, look: &mut Look) {
    let get = |path: &'static str| statement::read(context, at, path);
    let (list, counts) = futures::join!(get(work::QUERIES), get(work::COUNTS));
    let list = list.map_err(|error| error.to_string()).and_then(|list| {
        work::unfinished(&list).map_err(|_| format!("its answer to {} cannot be read", work::QUERIES))
    });
    let count = counts.map_err(|error| error.to_string()).and_then(|counts| {
        work::count(&String::from_utf8_lossy(&counts)).ok_or("its metrics do not say how many queries it has".into())
    });
    match list.and_then(|list| Ok((list, count?))) {
        Ok((list, count)) => {
            look.counted = usize::try_from(count).unwrap_or(usize::MAX);
            look.listed = list
                .into_iter()
                .map(|query| Running {
                    since: query.created.and_then(|created| created.parse().ok()).unwrap_or(now),
                    id: query.id,
                    user: query.user,
                })
                .collect();
        }
        Err(fault) => look.blind.push(format!("coordinator: {fault}")),
    }
}

/// Asks the coordinator for transactions that outlive their statements. Only when it has no query: this one would be another.
async fn ask_for_transactions(
    context: &Context,
    cluster: &TrinoCluster,
    at: &Coordinator,
    look: &mut Look,
) -> Result<(), Error> {
    let user = verify_terms(&cluster.spec)?.user;
    let answer = statement::run(context, at, &user, TRANSACTIONS, TRANSACTIONS_DEADLINE).await;
    match answer {
        Ok(answer) => look.transactions = answer.rows.len(),
        Err(fault) => look.blind.push(format!("coordinator: its open transactions are unknown: {fault}")),
    }
    Ok(())
}

pub(super) fn progress(status: &DrainStatus) -> Progress {
    Progress {
        quiet_since: status.quiet_since.as_ref().map(|since| since.0),
        proxies: status.proxies.iter().cloned().collect(),
        proxy_lost_at: status.proxy_lost_at.as_ref().map(|at| at.0),
    }
}

pub(super) fn status_of(terms: &Terms, verdict: &Verdict, look: &Look, before: Option<&DrainStatus>) -> DrainStatus {
    let time = |timestamp: Timestamp| Time(whole_second(timestamp));
    let known = before.and_then(|before| before.oldest.as_ref());
    let oldest = verdict.running.first().map(|oldest| match known {
        // Ages of proxies vary by milliseconds: the same query keeps its beginning. Whose it is, its coordinator alone knows, which
        // may not have answered until now.
        Some(known) if known.id == oldest.id => {
            OldestQuery { user: known.user.clone().or_else(|| oldest.user.clone()), ..known.clone() }
        }
        _ => OldestQuery { id: oldest.id.clone(), user: oldest.user.clone(), since: time(oldest.since) },
    });
    let mut unknown = look.blind.clone();
    if unknown.len() > MOST_TOLD {
        let more = unknown.split_off(MOST_TOLD).len();
        unknown.push(format!("and {more} more"));
    }
    DrainStatus {
        since: time(terms.since),
        deadline: time(terms.since.checked_add(terms.timeout).unwrap_or(Timestamp::MAX)),
        queries: i32::try_from(verdict.count).unwrap_or(i32::MAX),
        oldest,
        transactions: i32::try_from(look.transactions).ok().filter(|count| *count > 0),
        quiet_since: verdict.progress.quiet_since.map(time),
        unknown,
        proxies: verdict.progress.proxies.iter().cloned().collect(),
        proxy_lost_at: verdict.progress.proxy_lost_at.map(time),
    }
}

/// What a draining cluster waits for.
pub(super) fn message(found: &DrainStatus) -> String {
    let deadline = &found.deadline.0;
    let what = match (&found.oldest, found.queries) {
        (Some(oldest), count) => {
            let user = oldest.user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
            format!("{count} queries go on, the oldest is {}{user}, since {}", oldest.id, oldest.since.0)
        }
        (None, 0) if !found.unknown.is_empty() => format!("what goes on is unknown: {}", found.unknown.join("; ")),
        (None, 0) if found.transactions.is_some() => {
            format!("{} transactions are open", found.transactions.unwrap_or_default())
        }
        (None, 0) => "no query is seen; another look confirms it".to_owned(),
        (None, count) => format!("{count} queries go on"),
    };
    format!("takes no new queries; {what}; what still runs at {deadline} is cut")
}

/// What is cut when the time is over.
pub(super) fn overdue_message(verdict: &Verdict, found: &DrainStatus) -> String {
    if verdict.count == 0 {
        return format!("the time to drain is over; {}", message(found));
    }
    let named = verdict.running.iter().take(MOST_NAMED);
    let named = named.map(|query| match &query.user {
        Some(user) => format!("{} of {user}", query.id),
        None => query.id.clone(),
    });
    let list = named.collect::<Vec<_>>().join(", ");
    let more = if verdict.count > MOST_NAMED { ", and more" } else { "" };
    format!("the time to drain is over, and {} queries are cut: {list}{more}", verdict.count)
}
