//! An API server in memory, as far as the operator uses one: list, watch, get, apply with owned fields, JSON and merge
//! patch, create, status, delete with finalizers and preconditions. It counts the writes, and fails as `faults` says. It
//! checks no schema and runs no controller.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    faults::{Cut, Faults, WatchFaults},
    fields::Owners,
};

/// Nothing takes longer.
const LONGEST: Duration = Duration::from_secs(3600);

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// The server. Clones share it.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    version: Arc<watch::Sender<u64>>,
    /// What goes wrong.
    pub faults: Faults,
    clock: (Timestamp, Instant),
}

/// What a server holds, to begin with it again and again.
pub struct Snapshot {
    objects: BTreeMap<Key, Value>,
    owners: BTreeMap<Key, Owners>,
    last_version: u64,
    now: Timestamp,
}

/// Where a client is connected. Who is killed hears nothing any more, and is heard no more.
#[derive(Clone, Default)]
struct Connection {
    dead: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    owners: BTreeMap<Key, Owners>,
    events: Vec<Event>,
    /// Whoever saw an older version than this must list anew.
    oldest_version: u64,
    last_version: u64,
    writes: Vec<String>,
    notes: Vec<String>,
    /// Whether cert-manager's CRDs are there.
    has_cert_manager: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    plural: String,
    namespace: String,
    name: String,
}

/// A change of an object.
#[derive(Clone)]
pub struct Event {
    version: u64,
    /// Its kind.
    pub plural: String,
    /// When it happened.
    pub at: Instant,
    labels: Value,
    line: Value,
}

impl Event {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub fn change(&self) -> &str {
        self.line["type"].as_str().expect("a text")
    }

    /// The object after it.
    pub fn object(&self) -> &Value {
        &self.line["object"]
    }
}

/// A request's path and what it asks of it.
struct Target {
    api_version: String,
    plural: String,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

impl Server {
    pub fn new() -> Self {
        let start = Timestamp::from_second(1_790_000_000).expect("in range");
        Self::with(State::default(), start)
    }

    /// A server that holds what another one held.
    pub fn open(snapshot: &Snapshot) -> Self {
        let Snapshot { objects, owners, last_version, now } = snapshot;
        let (objects, owners) = (objects.clone(), owners.clone());
        let state =
            State { objects, owners, last_version: *last_version, oldest_version: *last_version, ..State::default() };
        Self::with(state, *now)
    }

    fn with(state: State, now: Timestamp) -> Self {
        Self {
            version: Arc::new(watch::Sender::new(state.last_version)),
            state: Arc::new(Mutex::new(state)),
            faults: Faults::default(),
            clock: (now, Instant::now()),
        }
    }

    /// What it holds.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let (objects, owners) = (state.objects.clone(), state.owners.clone());
        Snapshot { objects, owners, last_version: state.last_version, now: self.now() }
    }

    /// What time it is, as virtual as the timers.
    pub fn now(&self) -> Timestamp {
        let (begin, since) = self.clock;
        begin.checked_add(since.elapsed()).expect("in range")
    }

    /// A client of this server, with a connection of its own.
    pub fn client(&self) -> Client {
        let (server, connection) = (self.clone(), Connection::default());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, connection) = (server.clone(), connection.clone());
            async move { server.serve(&connection, request).await }
        });
        Client::new(service, "default")
    }

    /// All objects, by kind and name.
    pub fn objects(&self) -> BTreeMap<(String, String), Value> {
        let state = self.lock();
        state.objects.iter().map(|(key, value)| ((key.plural.clone(), key.name.clone()), value.clone())).collect()
    }

    /// All changes so far.
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// Waits until nothing has changed for so long.
    pub async fn rest(&self, duration: Duration) {
        let mut version = self.version.subscribe();
        let changed = |version: &watch::Receiver<u64>| *version.borrow();
        let begin = Instant::now();
        loop {
            assert!(
                begin.elapsed() < LONGEST,
                "never rests: {:#?}",
                self.writes().iter().rev().take(30).collect::<Vec<_>>()
            );
            let before = changed(&version);
            let end = Instant::now() + duration;
            while timeout_at(end, version.changed()).await.is_ok() {
                if changed(&version) != before {
                    break;
                }
            }
            if changed(&version) == before {
                return;
            }
        }
    }

    /// Nobody reaches the server for so long.
    pub fn go_away(&self, duration: Duration) {
        self.faults.go_away(duration);
        self.announce();
    }

    /// Waits for any change.
    pub async fn changed(&self) {
        self.version.subscribe().changed().await.expect("the server lives");
    }

    /// The writes so far, Events and Leases left out, as `VERB plural/name`.
    pub fn writes(&self) -> Vec<String> {
        self.lock().writes.clone()
    }

    /// The notes of the Events so far.
    pub fn notes(&self) -> Vec<String> {
        self.lock().notes.clone()
    }

    /// An object as it stands.
    pub fn get(&self, plural: &str, name: &str) -> Option<Value> {
        let objects = &self.lock().objects;
        objects.iter().find(|(key, _)| key.plural == plural && key.name == name).map(|(_, object)| object.clone())
    }

    /// The names of all objects of a kind.
    pub fn names(&self, plural: &str) -> Vec<String> {
        let objects = &self.lock().objects;
        objects.keys().filter(|key| key.plural == plural).map(|key| key.name.clone()).collect()
    }

    /// Puts an object, as a user or a controller would; it is not counted.
    pub fn put(&self, plural: &str, object: Value) {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let key = Key { plural: plural.into(), namespace: text("namespace"), name: text("name") };
        self.lock().store(key, object);
        self.announce();
    }

    /// Changes an object, as a user or a controller would; it is not counted.
    pub fn edit(&self, plural: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(plural, name).unwrap_or_else(|| panic!("no {plural} {name}"));
        change(&mut object);
        self.put(plural, object);
    }

    /// Installs cert-manager's CRDs, or removes them.
    pub fn set_cert_manager(&self, installed: bool) {
        self.lock().has_cert_manager = installed;
    }

    /// Deletes an object, as a user would.
    pub fn delete(&self, plural: &str, name: &str) {
        let key = self.lock().objects.keys().find(|key| key.plural == plural && key.name == name).cloned();
        self.lock().remove(&key.unwrap_or_else(|| panic!("no {plural} {name}")));
        self.announce();
    }

    /// Waits until `holds`, at each change of any object.
    pub async fn until<T>(&self, what: &str, mut holds: impl FnMut(&Self) -> Option<T>) -> T {
        let mut version = self.version.subscribe();
        let wait = async {
            loop {
                if let Some(found) = holds(self) {
                    return found;
                }
                version.changed().await.expect("the server lives");
            }
        };
        // Virtual time: it passes only while nothing can go on.
        tokio::time::timeout(LONGEST, wait).await.unwrap_or_else(|_| {
            panic!("never came true: {what}; objects: {:#?}", self.lock().objects.keys().collect::<Vec<_>>())
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }

    fn announce(&self) {
        self.version.send_replace(self.lock().last_version);
    }

    async fn serve(&self, connection: &Connection, request: Request<Body>) -> io::Result<Answer> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        connection.alive().await;
        if self.faults.away() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let query: BTreeMap<String, String> = form_pairs(head.uri.query().unwrap_or_default()).into_iter().collect();
        let target = Target::parse(head.uri.path());
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
        let kind = head.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if head.method == Method::GET && query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
            return Ok(self.watch(connection, target, &query));
        }
        let cut = if head.method == Method::GET { None } else { self.faults.next_write() };
        if cut == Some(Cut::RequestLost) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if target.plural == "certificates" && !self.lock().has_cert_manager {
            // As an API server answers that knows no such group: no JSON.
            let body = Full::new(Bytes::from("404 page not found\n")).map_err(|never| match never {}).boxed_unsync();
            return Ok(Response::builder().status(StatusCode::NOT_FOUND).body(body).expect("a response"));
        }
        let new = target.name.as_ref().is_some_and(|name| self.get(&target.plural, name).is_none());
        let (code, answer) = if new && head.method != Method::GET && self.faults.refuses(&target.plural) {
            failure(StatusCode::FORBIDDEN, "Forbidden")
        } else {
            self.lock().answer(&head.method, &target, &query, kind, body)
        };
        self.announce();
        match cut {
            Some(Cut::AnswerLost) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Cut::Killed) => connection.kill().await,
            _ => {}
        }
        let body = Full::new(Bytes::from(answer.to_string())).map_err(|never| match never {}).boxed_unsync();
        Ok(Response::builder().status(code).header("content-type", "application/json").body(body).expect("a response"))
    }

    fn watch(&self, connection: &Connection, target: Target, query: &BTreeMap<String, String>) -> Answer {
        let seen: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let mut faults = self.faults.watch(&target.plural);
        faults.expired |= seen < self.lock().oldest_version;
        let watch = Watch {
            server: self.clone(),
            connection: connection.clone(),
            version: self.version.subscribe(),
            plural: target.plural,
            selector: query.get("labelSelector").cloned(),
            seen,
            faults,
            over: false,
        };
        let lines = futures::stream::unfold(watch, |mut watch| async move { Some((watch.next().await?, watch)) });
        let body = StreamBody::new(lines.map(|line| line.map(Frame::data))).boxed_unsync();
        Response::builder().header("content-type", "application/json").body(body).expect("a response")
    }
}

impl Connection {
    /// Returns while its client lives, and never after.
    async fn alive(&self) {
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    async fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.alive().await;
    }
}

/// One watch of one client.
struct Watch {
    server: Server,
    connection: Connection,
    version: watch::Receiver<u64>,
    plural: String,
    selector: Option<String>,
    seen: u64,
    faults: WatchFaults,
    over: bool,
}

impl Watch {
    /// The next line; none at the end of the connection.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.over {
            return None;
        }
        if self.faults.expired {
            self.over = true;
            let status = failure(StatusCode::GONE, "Expired").1;
            return Some(Ok(Bytes::from(json!({"type": "ERROR", "object": status}).to_string() + "\n")));
        }
        loop {
            self.connection.alive().await;
            if self.server.faults.away() {
                self.over = true;
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if self.faults.end.is_some_and(|end| end <= Instant::now()) {
                return None;
            }
            let due = match self.news() {
                Some((due, version, line)) if due <= Instant::now() => {
                    self.seen = version;
                    return Some(Ok(Bytes::from(line)));
                }
                Some((due, ..)) => Some(due),
                None => None,
            };
            match due.into_iter().chain(self.faults.end).min() {
                Some(until) => drop(timeout_at(until, self.version.changed()).await),
                None => self.version.changed().await.ok()?,
            }
        }
    }

    /// The next event, and when it is to come.
    fn news(&self) -> Option<(Instant, u64, String)> {
        let state = self.server.lock();
        let after = state.events.partition_point(|event| event.version <= self.seen);
        let mut news = state.events[after..].iter().filter(|event| event.plural == self.plural);
        let event = news.find(|event| selected(&event.labels, self.selector.as_deref()))?;
        Some((event.at + self.faults.delay, event.version, event.line.to_string() + "\n"))
    }
}

impl State {
    fn answer(
        &mut self,
        method: &Method,
        target: &Target,
        query: &BTreeMap<String, String>,
        content_type: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let namespace = target.namespace.clone().unwrap_or_default();
        let Some(name) = target.name.clone().or_else(|| body["metadata"]["name"].as_str().map(str::to_owned)) else {
            if *method == Method::POST {
                self.notes.extend(body["note"].as_str().map(str::to_owned));
                return (StatusCode::CREATED, body); // an Event with a generated name
            }
            return (StatusCode::OK, self.list(target, query));
        };
        let key = Key { plural: target.plural.clone(), namespace, name };
        if *method != Method::GET && !matches!(key.plural.as_str(), "events" | "leases") {
            let sub = target.subresource.as_ref().map(|sub| format!("/{sub}")).unwrap_or_default();
            self.writes.push(format!("{method} {}/{}{sub}", key.plural, key.name));
        }
        if key.plural == "events" {
            self.notes.extend(body["note"].as_str().map(str::to_owned));
        }
        match (method.as_str(), self.objects.get(&key).cloned()) {
            ("POST", Some(_)) => failure(StatusCode::CONFLICT, "AlreadyExists"),
            ("POST", None) => (StatusCode::CREATED, self.store(key, body)),
            ("PATCH", live) if content_type.contains("apply-patch") => self.apply(key, live, &body, query),
            (_, None) => failure(StatusCode::NOT_FOUND, "NotFound"),
            ("GET", Some(object)) => (StatusCode::OK, object),
            ("PUT", Some(mut object)) => {
                if body["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
                    return failure(StatusCode::CONFLICT, "Conflict");
                }
                if target.subresource.is_none() {
                    object = body;
                } else {
                    object["status"] = body["status"].clone();
                }
                (StatusCode::OK, self.store(key, object))
            }
            ("PATCH", Some(mut object)) if content_type.contains("json-patch") => {
                // To the API server, testing what is absent against null succeeds.
                object["metadata"].as_object_mut().expect("metadata").entry("finalizers").or_insert(Value::Null);
                let patch: json_patch::Patch = serde_json::from_value(body).expect("a JSON patch");
                match json_patch::patch(&mut object, &patch) {
                    Ok(()) => (StatusCode::OK, self.store(key, object)),
                    Err(_) => failure(StatusCode::UNPROCESSABLE_ENTITY, "Invalid"),
                }
            }
            ("PATCH", Some(mut object)) if target.subresource.as_deref() == Some("scale") => {
                let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": key.name},
                    "spec": body["spec"]});
                object["spec"]["workers"]["replicas"] = body["spec"]["replicas"].clone();
                self.store(key, object);
                (StatusCode::OK, scale)
            }
            ("PATCH", Some(mut object)) => {
                let asked = &body["metadata"]["uid"];
                if !asked.is_null() && *asked != object["metadata"]["uid"] {
                    return failure(StatusCode::CONFLICT, "Conflict");
                }
                merge(&mut object, &body);
                (StatusCode::OK, self.store(key, object))
            }
            ("DELETE", Some(object)) => {
                let asked = &body["preconditions"]["uid"];
                let version = &body["preconditions"]["resourceVersion"];
                let other = |asked: &Value, field: &str| !asked.is_null() && *asked != object["metadata"][field];
                if other(asked, "uid") || other(version, "resourceVersion") {
                    return failure(StatusCode::CONFLICT, "Conflict");
                }
                self.remove(&key);
                (StatusCode::OK, object)
            }
            (method, _) => panic!("the operator does not {method}"),
        }
    }

    /// Server-side apply.
    fn apply(
        &mut self,
        key: Key,
        live: Option<Value>,
        body: &Value,
        query: &BTreeMap<String, String>,
    ) -> (StatusCode, Value) {
        let manager = query.get("fieldManager").expect("whoever applies has a name");
        let force = query.get("force").is_some_and(|force| force == "true");
        let mut owners = self.owners.get(&key).cloned().unwrap_or_default();
        let Some(object) = owners.apply(&live.unwrap_or_else(|| json!({})), body, manager, force) else {
            return failure(StatusCode::CONFLICT, "Conflict");
        };
        let stored = self.store(key.clone(), object);
        self.owners.insert(key, owners);
        (StatusCode::OK, stored)
    }

    fn list(&self, target: &Target, query: &BTreeMap<String, String>) -> Value {
        let selector = query.get("labelSelector").map(String::as_str);
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(key, _)| key.plural == target.plural)
            .filter(|(key, _)| target.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace))
            .map(|(_, object)| object)
            .filter(|object| selected(&object["metadata"]["labels"], selector))
            .collect();
        let version = self.last_version.to_string();
        json!({"apiVersion": target.api_version, "kind": "List", "metadata": {"resourceVersion": version}, "items": items})
    }

    fn store(&mut self, key: Key, mut object: Value) -> Value {
        self.last_version += 1;
        if let Some(Value::Object(texts)) = object.as_object_mut().and_then(|object| object.remove("stringData")) {
            for (name, text) in texts {
                object["data"][name] = json!(ByteString(text.as_str().expect("a text").into()));
            }
        }
        let live = self.objects.get(&key);
        if let (Some(live), Some(owners)) = (live, self.owners.get_mut(&key)) {
            owners.update(live, &object);
        }
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = self.last_version.to_string().into();
        if live.is_none() {
            metadata["uid"] = format!("{:08x}-0000-0000-0000-000000000000", 0xabcd_0000 + self.last_version).into();
            metadata["generation"] = 1.into();
            metadata["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        } else if let Some(live) = live {
            for fixed in ["uid", "creationTimestamp", "generation"] {
                metadata[fixed] = live["metadata"][fixed].clone();
            }
            if live["spec"] != object["spec"] {
                let generation = object["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
                object["metadata"]["generation"] = generation.into();
            }
        }
        let deleting = !object["metadata"]["deletionTimestamp"].is_null();
        let held = object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
        if deleting && !held {
            self.objects.insert(key.clone(), object.clone());
            self.drop_now(&key);
            return object;
        }
        let type_ = if live.is_some() { "MODIFIED" } else { "ADDED" };
        self.record(&key.plural, type_, &object);
        self.objects.insert(key, object.clone());
        object
    }

    fn remove(&mut self, key: &Key) {
        let mut object = self.objects[key].clone();
        if object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty()) {
            if object["metadata"]["deletionTimestamp"].is_null() {
                object["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z".into();
                self.store(key.clone(), object);
            }
        } else {
            self.drop_now(key);
        }
    }

    /// Removes an object, and what it owns by owner references, as the garbage collector does.
    fn drop_now(&mut self, key: &Key) {
        self.last_version += 1;
        let mut object = self.objects.remove(key).expect("an object to remove");
        self.owners.remove(key);
        object["metadata"]["resourceVersion"] = self.last_version.to_string().into();
        self.record(&key.plural, "DELETED", &object);
        let owned: Vec<Key> = self
            .objects
            .iter()
            .filter(|(_, other)| {
                let owners = other["metadata"]["ownerReferences"].as_array();
                owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == object["metadata"]["uid"]))
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in owned {
            self.remove(&key);
        }
    }

    fn record(&mut self, plural: &str, type_: &str, object: &Value) {
        self.events.push(Event {
            version: self.last_version,
            plural: plural.to_owned(),
            at: Instant::now(),
            labels: object["metadata"]["labels"].clone(),
            line: json!({"type": type_, "object": object}),
        });
    }
}

impl Target {
    fn parse(path: &str) -> Self {
        let mut parts = path.trim_matches('/').split('/').map(str::to_owned);
        let api_version = match parts.next().as_deref() {
            Some("api") => parts.next().expect("a version"),
            _ => format!("{}/{}", parts.next().expect("a group"), parts.next().expect("a version")),
        };
        let mut next = parts.next();
        let mut namespace = None;
        if next.as_deref() == Some("namespaces") {
            namespace = parts.next();
            next = parts.next();
        }
        Self { api_version, plural: next.expect("a kind"), namespace, name: parts.next(), subresource: parts.next() }
    }
}

/// A merge patch: what is given replaces what is there, and null removes it.
fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    object.remove(key);
                } else {
                    merge(object.entry(key.clone()).or_insert_with(|| json!({})), value);
                }
            }
        }
        (object, patch) => *object = patch.clone(),
    }
}

fn selected(labels: &Value, selector: Option<&str>) -> bool {
    let mut wanted = selector.unwrap_or_default().split(',').filter(|wanted| !wanted.is_empty());
    wanted.all(|wanted| match wanted.split_once('=') {
        Some((key, value)) => labels[key] == value,
        None => !labels[wanted].is_null(),
    })
}

fn failure(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": reason});
    (code, status)
}

/// The pairs of a query string; the operator's hold no escapes but those of `=`, `,` and `/`.
fn form_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| text.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (decode(key), decode(value))).collect()
}
