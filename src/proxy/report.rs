//! What a proxy tells of itself to whoever may know: its table, its clusters, the queries that go on.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{backend::Backend, fleet::Fleet, gateway::Gateway, health};

use crate::{
    routing::{EndedQuery, LiveCluster, LiveQuery, LiveReport, Origin, Pick, Serving, Statement, Unread},
    trino::QueryId,
};

/// The most live queries of one cluster that are listed by name; how many there are is always told.
const MOST_LISTED: usize = 10_000;

/// What the proxy sees, as JSON. Meant for the operator's decisions; fields are only ever added. Times are ages, since
/// clocks differ.
pub(super) fn status(gateway: &Gateway, ready: bool) -> Value {
    let fleet = gateway.fleet();
    let clusters = fleet.iter().flat_map(|fleet| fleet.router.table().groups.iter().map(move |group| (fleet, group)));
    let clusters = clusters.flat_map(|(fleet, group)| {
        group.clusters.iter().map(|cluster| describe(fleet, &group.name, cluster)).collect::<Vec<_>>()
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": ready,
        "draining": gateway.is_draining(),
        "routingTable": fleet.as_ref().map(|fleet| json!({ "hash": fleet.hash })),
        "clusters": clusters.collect::<Vec<_>>(),
    })
}

fn describe(fleet: &Fleet, group: &str, cluster: &crate::routing::Cluster) -> Value {
    let backend = fleet.backend(cluster.name.as_str());
    let (health, reason) = match backend.map(|backend| backend.health.state()) {
        None | Some(health::State::Unknown) => ("unknown", None),
        Some(health::State::Healthy) => ("healthy", None),
        Some(health::State::Unhealthy(reason)) => ("unhealthy", Some(reason.to_string())),
    };
    json!({
        "name": cluster.name,
        "group": group,
        "serving": cluster.serving,
        "health": health,
        "reason": reason,
        "inFlight": backend.map_or(0, |backend| backend.in_flight()),
        "idleMillis": backend.and_then(|backend| backend.idle()).map(millis),
        "liveQueries": backend.map_or(0, |backend| backend.chains.len()),
        "reportedQueries": backend.and_then(|backend| backend.tally.said()),
        "queries": backend.map_or(0, |backend| backend.queries()),
    })
}

/// The queries whose clients still hold a `nextUri`, by cluster, as far as this proxy saw.
pub(super) fn queries(gateway: &Gateway) -> LiveReport {
    let Some(fleet) = gateway.fleet() else { return LiveReport::default() };
    let mut clusters: Vec<_> = fleet.backends().map(|backend| live(&fleet, backend)).collect();
    clusters.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    LiveReport { clusters }
}

fn live(fleet: &Fleet, backend: &Backend) -> LiveCluster {
    let mut entries = fleet.router.clusters().filter(|cluster| cluster.name == backend.name);
    let active = entries.any(|cluster| cluster.serving == Serving::Active);
    let mut known = backend.chains.known();
    let count = known.len();
    known.sort_by_key(|chain| std::cmp::Reverse(chain.age));
    known.truncate(MOST_LISTED);
    let mut queries: Vec<_> = known.into_iter().map(|chain| live_query(chain.query, chain.age, chain.idle)).collect();
    if fleet.direct(&backend.name).is_some() {
        // Their polls are not seen here: what began within the last minute and is not known to have ended may go on.
        let begun = backend.tally.going_on().into_iter();
        queries.extend(begun.map(|begun| live_query(begun.query, begun.age, begun.age)).take(MOST_LISTED));
    }
    let ended = backend.chains.ended().into_iter();
    LiveCluster {
        cluster: backend.name.to_string(),
        serving: if active { Serving::Active } else { Serving::Draining },
        in_flight: backend.in_flight(),
        count,
        running: Some(backend.queries()),
        queries,
        ended: ended.map(|(query, age)| EndedQuery { id: query.to_string(), age_millis: millis(age) }).collect(),
    }
}

fn live_query(query: QueryId, age: Duration, idle: Duration) -> LiveQuery {
    LiveQuery { id: query.to_string(), age_millis: millis(age), idle_millis: millis(idle) }
}

/// A new query, described by whoever asks what would become of it. What is left out is empty.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Question {
    headers: BTreeMap<String, OneOrMany>,
    sql: Option<String>,
    remote_address: IpAddr,
    listener: Option<String>,
    port: u16,
    host: Option<String>,
    sni: Option<String>,
    time: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for Question {
    fn default() -> Self {
        Self {
            headers: BTreeMap::new(),
            sql: None,
            remote_address: IpAddr::from([127, 0, 0, 1]),
            listener: None,
            port: 8080,
            host: None,
            sni: None,
            time: None,
        }
    }
}

/// What would become of the new query that `asked` describes in JSON: the rules that were tried, where it goes, which
/// clusters could take it and why one would. Nothing is sent anywhere.
///
/// # Errors
/// With what is wrong with `asked`, or that there is no table yet.
pub(super) fn explain(gateway: &Gateway, asked: &[u8]) -> Result<Value, String> {
    let question: Question = serde_json::from_slice(asked).map_err(|error| error.to_string())?;
    let Some(fleet) = gateway.fleet() else { return Err("no routing table is in force yet".to_owned()) };
    let Question { headers, sql, remote_address: remote, listener, port, host, sni, time } = question;
    let mut map = HeaderMap::new();
    for (name, values) in headers {
        let values = match values {
            OneOrMany::One(value) => vec![value],
            OneOrMany::Many(values) => values,
        };
        for value in values {
            let header = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(&value).ok());
            let (name, value) = header.ok_or_else(|| format!("headers: {name:?} or its value is no header"))?;
            map.append(name, value);
        }
    }
    let now = time.unwrap_or_else(jiff::Timestamp::now);
    let origin = Origin { remote, listener, port, host, sni, now };
    let statement = sql.map_or(Statement::Unread(Unread::NotAsked), Statement::Text);
    let pick = Pick { turn: 0, random: rand::random() };
    let facts = fleet.router.facts(&map, origin, statement);
    let explanation = fleet.router.explain(&facts, rand::random(), pick, |name| fleet.load(name));
    serde_json::to_value(explanation).map_err(|error| error.to_string())
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
