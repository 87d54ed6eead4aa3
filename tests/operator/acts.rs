//! What people do to a fleet, one act after the other, and what must come of it whatever happens to the operator: the state
//! of the undisturbed run, and until then nothing lost that served.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    Operator, make_ready, quickstart,
    scene::Scene,
    server::{Event, Server, Snapshot},
};

/// A query runs at every coordinator for this long from the beginning of an act: longer than the operator needs to be there.
const QUERY_TIME: Duration = Duration::from_secs(60);
/// A Deployment's pods take this long.
const STARTUP: Duration = Duration::from_secs(2);
/// How long a restarted operator takes to be there again.
const RESTART: Duration = Duration::from_secs(2);
/// Longer than any reconciler waits by itself, but for those that have failed often.
const REST: Duration = Duration::from_secs(30);
/// By then, at the latest, the state is reached.
const LIMIT: Duration = Duration::from_secs(1800);

/// What is done to a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A gateway, a group and proxies.
    Create,
    /// More clusters, and more workers in each.
    ScaleOut,
    /// One of each again, while queries run.
    ScaleIn,
    /// A new version, while queries run.
    Upgrade,
    /// All of it goes, while queries run.
    Delete,
}

impl Act {
    pub const ALL: [Self; 5] = [Self::Create, Self::ScaleOut, Self::ScaleIn, Self::Upgrade, Self::Delete];

    fn begin(self, server: &Server, scene: &Scene) {
        let group =
            |change: fn(&mut Value)| server.edit("trinoclustergroups", "adhoc", |group| change(&mut group["spec"]));
        if matches!(self, Self::ScaleIn | Self::Upgrade | Self::Delete) {
            scene.listed(&["20260921_122600_00001_abcde"]);
        }
        match self {
            Self::Create => quickstart(server),
            Self::ScaleOut => group(|spec| {
                spec["replicas"] = 2.into();
                spec["template"]["spec"]["workers"] = json!({"replicas": 3});
            }),
            Self::ScaleIn => group(|spec| {
                spec["replicas"] = 1.into();
                spec["template"]["spec"]["workers"] = json!({"replicas": 1});
            }),
            Self::Upgrade => group(|spec| spec["template"]["spec"]["version"] = "477".into()),
            Self::Delete => {
                for (plural, name) in
                    [("trinoclustergroups", "adhoc"), ("proxygroups", "edge"), ("trinogateways", "gw")]
                {
                    server.delete(plural, name);
                }
            }
        }
    }

    /// Whether queries find a cluster all the time.
    fn serves(self) -> bool {
        !matches!(self, Self::Create | Self::Delete)
    }
}

/// A fleet before an act, and what must come of it.
pub struct Trial {
    pub act: Act,
    before: Snapshot,
    expected: BTreeMap<String, Value>,
}

/// All acts, each with the state that the undisturbed one before it has left.
pub fn trials() -> Vec<Trial> {
    let mut before = virtually(async { Server::new().snapshot() });
    let mut trials = Vec::new();
    for act in Act::ALL {
        let (expected, after) = virtually(async {
            let stage = Stage::open(&before, act);
            stage.server.rest(Duration::from_secs(300)).await;
            let after = stage.server.snapshot();
            (stage.close(), after)
        });
        trials.push(Trial { act, before, expected });
        before = after;
    }
    trials
}

impl Trial {
    /// Runs the act under `trouble`; returns what `seen` says of the server at the end.
    pub fn run<T>(&self, name: &str, trouble: impl FnOnce(&Server), seen: impl FnOnce(&Server) -> T) -> T {
        virtually(async {
            let server = Server::open(&self.before);
            trouble(&server);
            let stage = Stage::on(server, self.act);
            stage.converge(&format!("{:?}, {name}", self.act), &self.expected).await;
            let said = seen(&stage.server);
            stage.close();
            said
        })
    }
}

/// A server with all that lives around it.
struct Stage {
    server: Server,
    act: Act,
    begin: Instant,
    lives: [JoinHandle<()>; 2],
}

impl Stage {
    fn open(before: &Snapshot, act: Act) -> Self {
        Self::on(Server::open(before), act)
    }

    fn on(server: Server, act: Act) -> Self {
        let scene = Scene::default();
        tokio::spawn(query(scene.clone()));
        let lives = [tokio::spawn(kubelet(server.clone())), tokio::spawn(supervise(server.clone(), scene.clone()))];
        act.begin(&server, &scene);
        Self { server, act, begin: Instant::now(), lives }
    }

    /// Waits for the expected state, and that nothing is written any more. After an outage an object may wait for minutes until
    /// it is tried again, with all else as it is to be.
    async fn converge(&self, name: &str, expected: &BTreeMap<String, Value>) {
        loop {
            self.server.rest(REST).await;
            let left = difference(expected, &canonical(&self.server));
            let (events, writes) = (self.server.events().len(), self.server.writes().len());
            // Longer than the sweep's period.
            tokio::time::sleep(Duration::from_secs(70)).await;
            if left.is_empty() && self.server.events().len() == events {
                return;
            }
            let written = self.server.writes().split_off(writes);
            assert!(
                self.begin.elapsed() < LIMIT,
                "{name}: never reached, or never at rest; expected and found: {left:#?}; last written: {written:#?}"
            );
        }
    }

    /// Ends all, and returns the state.
    fn close(self) -> BTreeMap<String, Value> {
        for life in &self.lives {
            assert!(!life.is_finished(), "it lives to the end");
            life.abort();
        }
        let broken = broken_promises(self.act, self.begin, &self.server.events());
        assert_eq!(broken, [] as [String; 0], "{:?}", self.act);
        canonical(&self.server)
    }
}

/// In a runtime of its own, in virtual time.
fn virtually<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(what)
}

/// Starts an operator, and another one whenever it is killed.
async fn supervise(server: Server, scene: Scene) {
    loop {
        let Operator { mut task, .. } = Operator::start_in(&scene, &server, "warren:1");
        tokio::select! {
            () = server.faults.killed() => task.abort(),
            ended = &mut task => panic!("the operator ended: {ended:?}"),
        }
        tokio::time::sleep(RESTART).await;
    }
}

/// Ends the queries when their time has come.
async fn query(scene: Scene) {
    tokio::time::sleep(QUERY_TIME).await;
    scene.listed(&[]);
}

/// Does what the Deployment controller and the kubelet do, for all Deployments.
async fn kubelet(server: Server) {
    loop {
        let waiting: Vec<_> = server
            .names("deployments")
            .into_iter()
            .filter(|name| server.get("deployments", name).is_some_and(|deployment| !is_complete(&deployment)))
            .collect();
        if waiting.is_empty() {
            server.changed().await;
            continue;
        }
        tokio::time::sleep(STARTUP).await;
        for name in waiting.iter().filter(|name| server.get("deployments", name).is_some()) {
            make_ready(&server, name);
            remove_surplus(&server, name);
        }
    }
}

fn is_complete(deployment: &Value) -> bool {
    let status = &deployment["status"];
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && status["availableReplicas"] == deployment["spec"]["replicas"]
}

fn remove_surplus(server: &Server, deployment: &str) {
    let replicas =
        server.get("deployments", deployment).and_then(|found| found["spec"]["replicas"].as_u64()).unwrap_or(0);
    for pod in server.names("pods") {
        let number = pod.strip_prefix(&format!("{deployment}-")).and_then(|number| number.parse::<u64>().ok());
        if number.is_some_and(|number| number >= replicas) {
            server.delete("pods", &pod);
        }
    }
}

/// What must hold all along, and did not.
fn broken_promises(act: Act, begin: Instant, events: &[Event]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut uids: BTreeMap<String, String> = BTreeMap::new();
    let mut templates: BTreeMap<String, Value> = BTreeMap::new();
    let mut secrets: BTreeMap<String, Value> = BTreeMap::new();
    let mut ready = BTreeSet::new();
    for event in events {
        let (object, at) = (event.object(), event.at.duration_since(begin));
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        let uid = object["metadata"]["uid"].as_str().expect("a uid").to_owned();
        let what = format!("{} {name} at {at:?}", event.plural);
        match (&*event.plural, event.change()) {
            ("configmaps", change) if name == "gw-routing" && act.serves() => {
                let active =
                    event.object()["data"]["routing-table.json"].as_str().is_some_and(|table| table.contains("Active"));
                if change == "DELETED" || !active {
                    broken.push(format!("{what}: no cluster takes new queries"));
                }
            }
            ("trinoclusters", "DELETED") if ready.contains(&name) && at < QUERY_TIME => {
                broken.push(format!("{what} is removed with its queries"));
            }
            ("trinoclusters", _) => {
                if object["status"]["wasReady"] == true {
                    ready.insert(name.clone());
                }
                if *uids.entry(name).or_insert(uid.clone()) != uid {
                    broken.push(format!("{what}: its name was used before"));
                }
            }
            ("deployments", "DELETED") => {
                let cluster = object["metadata"]["labels"]["trinowarren.io/cluster"].as_str().unwrap_or_default();
                if ready.contains(cluster) && at < QUERY_TIME {
                    broken.push(format!("{what} is removed with its queries"));
                }
            }
            ("deployments", _) => {
                let template = object["spec"]["template"].clone();
                if *templates.entry(uid).or_insert(template.clone()) != template {
                    broken.push(format!("{what}: its pods are replaced"));
                }
            }
            ("secrets", "DELETED") => {}
            ("secrets", _) if *secrets.entry(uid).or_insert(object["data"].clone()) != object["data"] => {
                broken.push(format!("{what}: it has changed"));
            }
            _ => {}
        }
    }
    broken
}

/// All objects, without what may differ from run to run: `RANDOM` says what, and why.
pub fn canonical(server: &Server) -> BTreeMap<String, Value> {
    let objects = server.objects();
    let mut names = Vec::new();
    for ((plural, name), object) in &objects {
        names.push((object["metadata"]["uid"].as_str().expect("a uid").to_owned(), format!("uid of {plural} {name}")));
    }
    let clusters = objects.keys().filter(|(plural, _)| plural == "trinoclusters").map(|(_, name)| name.clone());
    let mut clusters: Vec<_> = clusters.collect();
    clusters.sort_by_key(|name| name.rsplit('-').next().and_then(|ordinal| ordinal.parse::<i64>().ok()));
    let clusters: Vec<_> = clusters.into_iter().zip(1..).collect();
    // Of a token, status and routing table have the hash.
    for ((_, name), secret) in objects.iter().filter(|((plural, _), _)| plural == "secrets") {
        if let Some(token) = secret["data"]["token"].as_str() {
            let token = STANDARD.decode(token).expect("base64");
            names.push((hex::encode(Sha256::digest(token)), format!("hash of the token of {name}")));
        }
    }
    // Files are named by their content, which names the cluster.
    for ((_, name), _) in objects.iter().filter(|((plural, name), _)| plural == "configmaps" && name != "gw-routing") {
        let (stem, _) = name.rsplit_once('-').expect("a hash");
        names.push((name.clone(), format!("{stem}-contents")));
    }
    // A number is lost, and never given twice, when a run is cut between writing it down and making the cluster.
    for (name, number) in clusters.into_iter().rev() {
        let (stem, _) = name.rsplit_once('-').expect("an ordinal");
        names.push((name.clone(), format!("{stem}-nth-{number}")));
    }
    let rename = |text: &str| names.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from.as_str(), to));
    objects
        .iter()
        .filter(|((plural, _), _)| !matches!(plural.as_str(), "events" | "leases"))
        .map(|((plural, name), object)| {
            let renamed = serde_json::from_str(&rename(&object.to_string())).expect("JSON");
            (rename(&format!("{plural} {name}")), without_random(renamed, ""))
        })
        .collect()
}

/// Fields that may differ, by their names.
const RANDOM: [(&str, &str); 8] = [
    ("resourceVersion", "how often an object was written is not what it says"),
    ("uid", "made from the version at which an object was made"),
    ("generation", "a write that is done twice in other steps may count twice"),
    ("observedGeneration", "follows it"),
    ("lastOrdinal", "a number may be lost, see above"),
    ("trinowarren.io/applied", "hash of an object, which holds uids and names; the objects themselves are compared"),
    ("eventsCertificate", "of a random key, and a random CA"),
    ("hash", "of the routing table, which holds names; the table itself is compared"),
];

fn without_random(value: Value, key: &str) -> Value {
    match value {
        _ if RANDOM.iter().any(|(name, _)| *name == key) => Value::Null,
        // Random by its nature. That it never changes is looked at elsewhere.
        Value::Object(_)
            if key == "data"
                && ["shared-secret", "admin-token", "user", "token", "ca.crt"]
                    .iter()
                    .any(|key| value.get(key).is_some()) =>
        {
            Value::Null
        }
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key.clone(), without_random(value, &key))).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| without_random(item, "")).collect(),
        // When something came to be is not what it is.
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => "a time".into(),
        other => other,
    }
}

/// What is expected and was not found, and the other way round.
fn difference(expected: &BTreeMap<String, Value>, found: &BTreeMap<String, Value>) -> Vec<String> {
    let names: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let mut list = Vec::new();
    for name in names {
        match (expected.get(name), found.get(name)) {
            (Some(expected), Some(found)) => differing(expected, found, name, &mut list),
            (Some(_), None) => list.push(format!("{name} is missing")),
            (None, _) => list.push(format!("{name} is too much")),
        }
    }
    list
}

fn differing(expected: &Value, found: &Value, path: &str, list: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let of = |side: &serde_json::Map<String, Value>| side.get(key).cloned().unwrap_or_default();
                differing(&of(left), &of(right), &format!("{path}.{key}"), list);
            }
        }
        _ if expected == found => {}
        _ => list.push(format!("{path}: {expected} and {found}")),
    }
}
