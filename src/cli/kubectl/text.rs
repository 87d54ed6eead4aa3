//! A report as a screen for people. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::report::{Cluster, External, Gateway, Group, Proxies, Report};
use crate::api::{CanaryStage, DrainStatus};

/// The whole screen.
pub(super) fn screen(report: &Report, now: Timestamp) -> String {
    let mut text = String::new();
    let Report { namespace, gateways, groups, clusters, external_clusters, attention } = report;
    if gateways.is_empty() && groups.is_empty() && clusters.is_empty() && external_clusters.is_empty() {
        let _ = writeln!(text, "nothing of Warren's is in namespace {namespace:?}");
        return text;
    }
    table(&mut text, ["GATEWAY", "READY", "REASON", "TABLE"], gateways.iter().map(gateway));
    let proxies = gateways.iter().flat_map(|gateway| gateway.proxies.iter().map(move |found| proxies(gateway, found)));
    table(&mut text, ["PROXIES", "GATEWAY", "READY", "TABLE", "ADDRESS"], proxies);
    table(&mut text, ["GROUP", "READY", "REASON", "SERVING", "REVISION"], groups.iter().map(group));
    let heads = ["CLUSTER", "GROUP", "PHASE", "VERSION", "REVISION", "WORKERS", "DRAINS"];
    table(&mut text, heads, clusters.iter().map(|found| cluster(found, now)));
    let heads = ["EXTERNAL", "GROUP", "PHASE", "URL", "DRAINS"];
    table(&mut text, heads, external_clusters.iter().map(|found| external(found, now)));
    for attention in attention {
        let mark = if attention.stalled { "!" } else { "-" };
        let _ = writeln!(text, "{mark} {} {}: {}", attention.object, attention.reason, attention.message);
    }
    text
}

/// What a drain waits for, in a line.
pub(super) fn drain(drain: &DrainStatus) -> String {
    let cut = drain.deadline.0;
    let user = |user: &Option<String>| user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
    match (&drain.oldest, drain.queries) {
        (Some(oldest), count) => format!(
            "{count} queries left, the oldest is {}{}, since {}; what still runs at {cut} is cut",
            oldest.id,
            user(&oldest.user),
            oldest.since.0
        ),
        (None, 0) if !drain.unknown.is_empty() => {
            format!("what is left is unknown: {}; what still runs at {cut} is cut", drain.unknown.join("; "))
        }
        (None, 0) => "no query is seen; another look confirms it".to_owned(),
        (None, count) => format!("{count} queries left; what still runs at {cut} is cut"),
    }
}

/// Columns as wide as their widest cell, with an empty line after them; nothing where there is no row.
fn table<const N: usize>(text: &mut String, heads: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let heads = heads.map(str::to_owned);
    let all = || std::iter::once(&heads).chain(&rows);
    let widths: Vec<_> = (0..N).map(|column| all().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    for row in all() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
}

fn gateway(gateway: &Gateway) -> [String; 4] {
    [gateway.name.clone(), yes(gateway.ready), gateway.reason.clone(), short(gateway.table.as_ref())]
}

fn proxies(gateway: &Gateway, proxies: &Proxies) -> [String; 5] {
    let applied = proxies.applied.values().filter(|hash| hash.is_some() && **hash == gateway.table).count();
    let unknown = proxies.applied.values().filter(|hash| hash.is_none()).count();
    let table = match (proxies.applied.len(), unknown) {
        (0, _) => "unknown".to_owned(),
        (all, 0) => format!("{applied}/{all} in force"),
        (all, unknown) => format!("{applied}/{all} in force, {unknown} unknown"),
    };
    let ready = format!("{}/{}", proxies.ready, proxies.desired);
    [proxies.name.clone(), gateway.name.clone(), ready, table, proxies.address.clone().unwrap_or_default()]
}

fn group(group: &Group) -> [String; 5] {
    let canary = group.canary.as_ref().filter(|canary| group.update_revision.as_ref() == Some(&canary.revision));
    let canary = match canary.map(|canary| (canary.stage, canary.weight)) {
        Some((CanaryStage::Running, weight)) => format!(", canary {weight} %"),
        Some((CanaryStage::Aborted, _)) => ", canary aborted".to_owned(),
        _ => String::new(),
    };
    let revision = match (&group.current_revision, &group.update_revision) {
        (Some(current), Some(update)) => format!("{current} -> {update}{canary}"),
        (current, update) => current.as_ref().or(update.as_ref()).cloned().unwrap_or_default(),
    };
    let serving = format!("{}/{}", group.serving, group.desired);
    [group.name.clone(), yes(group.ready), group.reason.clone(), serving, revision]
}

fn cluster(cluster: &Cluster, now: Timestamp) -> [String; 7] {
    let drains = cluster.draining.as_ref().map(|drain| short_drain(drain, now)).unwrap_or_default();
    [
        cluster.name.clone(),
        cluster.group.clone().unwrap_or_default(),
        cluster.phase.map_or_else(String::new, |phase| format!("{phase:?}")),
        cluster.version.clone(),
        cluster.revision.clone().unwrap_or_default(),
        format!("{}/{}", cluster.workers_ready, cluster.workers_desired),
        drains,
    ]
}

/// Of one that the spec names nothing is cut, however long it takes.
fn external(external: &External, now: Timestamp) -> [String; 5] {
    let drains = external
        .draining
        .as_ref()
        .map(|drain| if external.removed { short_drain(drain, now) } else { waits_for(drain, now) });
    [
        external.name.clone(),
        external.group.clone(),
        external.phase.map_or_else(String::new, |phase| format!("{phase:?}")),
        external.url.clone(),
        drains.unwrap_or_default(),
    ]
}

/// The same as [`drain`] in a few words.
fn short_drain(drain: &DrainStatus, now: Timestamp) -> String {
    format!("{}, cut in {}", waits_for(drain, now), age(now, drain.deadline.0))
}

fn waits_for(drain: &DrainStatus, now: Timestamp) -> String {
    match &drain.oldest {
        Some(oldest) => {
            let user = oldest.user.as_deref().unwrap_or("somebody");
            format!("{} queries, the oldest of {user} for {}", drain.queries, age(oldest.since.0, now))
        }
        None if drain.queries == 0 && !drain.unknown.is_empty() => "unknown".to_owned(),
        None => format!("{} queries", drain.queries),
    }
}

fn yes(ready: bool) -> String {
    if ready { "True" } else { "False" }.to_owned()
}

fn short(hash: Option<&String>) -> String {
    hash.map(|hash| hash.chars().take(10).collect()).unwrap_or_default()
}

/// The time between two moments, as kubectl writes it: in its largest unit.
fn age(from: Timestamp, to: Timestamp) -> String {
    match to.as_second().saturating_sub(from.as_second()).max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::report::{Kind, Objects, report},
        *,
    };

    fn object(kind: &str, name: &str, labels: &Value, spec: &Value, status: &Value) -> Value {
        json!({"apiVersion": "trinowarren.io/v1alpha1", "kind": kind,
            "metadata": {"name": name, "labels": labels}, "spec": spec, "status": status})
    }

    fn conditions(states: [bool; 3], reason: &str, message: &str) -> Value {
        let state = |holds: bool| if holds { "True" } else { "False" };
        let types = ["Ready", "Reconciling", "Stalled"].into_iter().zip(states);
        let condition = |(type_, holds)| {
            json!({"type": type_, "status": state(holds), "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        types.map(condition).collect()
    }

    fn parse<K: serde::de::DeserializeOwned>(value: Value) -> Vec<K> {
        vec![serde_json::from_value(value).unwrap()]
    }

    fn fleet() -> Objects {
        let good = conditions([true, false, false], "Good", "");
        let draining = json!({"since": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T01:00:00Z", "queries": 3,
            "oldest": {"id": "q", "user": "ann", "since": "2025-12-31T23:55:00Z"}});
        let external = |name: &str, phase: &str, draining: &Value| {
            json!({"name": name, "url": format!("https://{name}.example.com"), "phase": phase,
                "since": "2026-01-01T00:00:00Z", "draining": draining})
        };
        let external = [external("east", "Draining", &draining), external("gone", "Draining", &draining)];
        let group_status = json!({"readyReplicas": 1, "external": external, "currentRevision": "22540423fa", "updateRevision": "0a94f98a71",
            "canary": {"revision": "0a94f98a71", "stage": "Running", "weight": 10, "since": "2026-01-01T00:00:00Z"},
            "conditions": conditions([true, false, true], "ClusterStalled", "TrinoCluster \"adhoc-7f3a-2\": no such image")});
        let cluster = |name: &str, version: &str, revision: &str, status: Value| {
            let labels = json!({"trinowarren.io/group": "adhoc", "trinowarren.io/revision": revision});
            parse(object("TrinoCluster", name, &labels, &json!({"version": version}), &status)).remove(0)
        };
        let drains = conditions([true, true, false], "Draining", "3 queries go on");
        let table = json!({"routingTable": {"configMap": "gw-routing", "hash": "4f1c77aa90bb", "clusters": 2},
            "conditions": good});
        let proxies = json!({"readyReplicas": 2, "address": "http://edge-proxy.trino.svc:8080", "conditions": good});
        let edge = json!({"gateway": {"name": "gw"}});
        let hash = |hash: &str| Some(hash.to_owned());
        let hashes = [("edge-a".to_owned(), hash("4f1c77aa90bb")), ("edge-b".to_owned(), hash("0ld"))].into();
        Objects {
            gateways: parse(object("TrinoGateway", "gw", &json!({}), &json!({}), &table)),
            groups: parse(object(
                "TrinoClusterGroup",
                "adhoc",
                &json!({}),
                &json!({"template": {"spec": {"version": "477"}}, "external": [
                    {"name": "east", "url": "https://east.example.com", "serving": "Drained"},
                    {"name": "west", "url": "https://west.example.com"}]}),
                &group_status,
            )),
            clusters: vec![
                cluster(
                    "adhoc-7f3a-10",
                    "477",
                    "0a94f98a71",
                    json!({"phase": "Failed", "workers": {"desired": 2, "ready": 0},
                    "conditions": conditions([false, false, true], "ImageNotPulled", "no such image")}),
                ),
                cluster(
                    "adhoc-7f3a-9",
                    "476",
                    "22540423fa",
                    json!({"phase": "Draining", "workers": {"desired": 2, "ready": 2},
                    "conditions": drains, "draining": draining}),
                ),
            ],
            proxy_groups: parse(object("ProxyGroup", "edge", &json!({}), &edge, &proxies)),
            applied: [("edge".to_owned(), hashes)].into(),
        }
    }

    #[test]
    fn one_screen_shows_the_fleet_and_why_what_is_not_ready_is_not() {
        let expected = "\
GATEWAY  READY  REASON  TABLE
gw       True   Good    4f1c77aa90

PROXIES  GATEWAY  READY  TABLE         ADDRESS
edge     gw       2/2    1/2 in force  http://edge-proxy.trino.svc:8080

GROUP  READY  REASON          SERVING  REVISION
adhoc  True   ClusterStalled  1/1      22540423fa -> 0a94f98a71, canary 10 %

CLUSTER        GROUP  PHASE     VERSION  REVISION    WORKERS  DRAINS
adhoc-7f3a-9   adhoc  Draining  476      22540423fa  2/2      3 queries, the oldest of ann for 25m, cut in 40m
adhoc-7f3a-10  adhoc  Failed    477      0a94f98a71  0/2

EXTERNAL  GROUP  PHASE     URL                       DRAINS
east      adhoc  Draining  https://east.example.com  3 queries, the oldest of ann for 25m
west      adhoc            https://west.example.com
gone      adhoc  Draining  https://gone.example.com  3 queries, the oldest of ann for 25m, cut in 40m

! trinoclustergroup/adhoc ClusterStalled: TrinoCluster \"adhoc-7f3a-2\": no such image
- trinocluster/adhoc-7f3a-9 Draining: 3 queries go on
! trinocluster/adhoc-7f3a-10 ImageNotPulled: no such image
";
        let now = "2026-01-01T00:20:00Z".parse().unwrap();
        assert_eq!(screen(&report("trino", &fleet(), None, None), now), expected);
    }

    #[test]
    fn one_kind_or_one_object_is_shown_alone() {
        let of = |kind, name| report("trino", &fleet(), kind, name);
        let groups = of(Some(Kind::Group), None);
        assert_eq!(
            (groups.gateways.len(), groups.groups.len(), groups.clusters.len(), groups.attention.len()),
            (0, 1, 0, 1)
        );
        let cluster = of(Some(Kind::Cluster), Some("adhoc-7f3a-9"));
        assert_eq!((cluster.clusters.len(), cluster.external_clusters.len(), cluster.attention.len()), (1, 0, 1));
        let external = of(Some(Kind::Cluster), Some("west"));
        assert_eq!((external.clusters.len(), external.external_clusters.len()), (0, 1));
        let none = screen(&report("trino", &Objects::default(), None, None), Timestamp::UNIX_EPOCH);
        assert_eq!(none, "nothing of Warren's is in namespace \"trino\"\n");
    }

    #[test]
    fn what_no_operator_has_looked_at_is_told() {
        let new = parse(object("TrinoClusterGroup", "adhoc", &json!({}), &json!({}), &json!({})));
        let report = report("trino", &Objects { groups: new, ..Objects::default() }, None, None);
        assert_eq!(report.attention[0].message, "no operator has looked at it yet; does one run?");
    }

    #[test]
    fn what_a_drain_waits_for_is_one_line() {
        let of = |queries: i32, unknown: &[&str]| {
            drain(
                &serde_json::from_value(json!({"since": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T01:00:00Z",
                "queries": queries, "unknown": unknown}))
                .unwrap(),
            )
        };
        assert_eq!(of(2, &[]), "2 queries left; what still runs at 2026-01-01T01:00:00Z is cut");
        assert_eq!(of(0, &[]), "no query is seen; another look confirms it");
        let unknown = "what is left is unknown: proxy a: gone; what still runs at 2026-01-01T01:00:00Z is cut";
        assert_eq!(of(0, &["proxy a: gone"]), unknown);
    }
}
