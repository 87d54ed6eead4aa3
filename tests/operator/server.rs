//! An API server in memory, as far as the operator uses one: list, watch, get, apply, JSON and merge patch, create, status,
//! delete with finalizers and preconditions. It counts the writes. It checks no schema and runs no controller.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use k8s_openapi::ByteString;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::watch;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The server. Clones share it.
#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    version: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    events: Vec<Event>,
    last_version: u64,
    writes: Vec<String>,
    notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    plural: String,
    namespace: String,
    name: String,
}

struct Event {
    version: u64,
    plural: String,
    labels: Value,
    line: Value,
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
        Self { state: Arc::default(), version: Arc::new(watch::Sender::new(0)) }
    }

    /// A client of this server.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.serve(request).await) }
        });
        Client::new(service, "default")
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
        tokio::time::timeout(std::time::Duration::from_secs(3600), wait).await.unwrap_or_else(|_| {
            panic!("never came true: {what}; objects: {:#?}", self.lock().objects.keys().collect::<Vec<_>>())
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }

    fn announce(&self) {
        self.version.send_replace(self.lock().last_version);
    }

    async fn serve(&self, request: Request<Body>) -> Answer {
        let (head, body) = request.into_parts();
        let query: BTreeMap<String, String> = form_pairs(head.uri.query().unwrap_or_default()).into_iter().collect();
        let target = Target::parse(head.uri.path());
        let body = body.collect().await.expect("a whole body").to_bytes();
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
        let kind = head.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if head.method == Method::GET && query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
            return self.watch(target, &query);
        }
        let (code, answer) = self.lock().answer(&head.method, &target, &query, kind, body);
        self.announce();
        let body = Full::new(Bytes::from(answer.to_string())).boxed_unsync();
        Response::builder().status(code).header("content-type", "application/json").body(body).expect("a response")
    }

    fn watch(&self, target: Target, query: &BTreeMap<String, String>) -> Answer {
        let seen: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let selector = query.get("labelSelector").cloned();
        let lines = watch_lines(self.clone(), target.plural, seen, selector);
        let body = StreamBody::new(lines.map(|line| Ok::<_, Infallible>(Frame::data(line)))).boxed_unsync();
        Response::builder().header("content-type", "application/json").body(body).expect("a response")
    }
}

fn watch_lines(server: Server, plural: String, seen: u64, selector: Option<String>) -> impl Stream<Item = Bytes> {
    let version = server.version.subscribe();
    futures::stream::unfold((server, version, seen), move |(server, mut version, mut seen)| {
        let (plural, selector) = (plural.clone(), selector.clone());
        async move {
            loop {
                let next = {
                    let state = server.lock();
                    let mut news = state.events.iter().filter(|event| event.version > seen && event.plural == plural);
                    news.find(|event| selected(&event.labels, selector.as_deref()))
                        .map(|event| (event.version, event.line.to_string() + "\n"))
                };
                if let Some((at, line)) = next {
                    seen = at;
                    return Some((Bytes::from(line), (server, version, seen)));
                }
                version.changed().await.ok()?;
            }
        }
    })
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
            ("PATCH", live) if content_type.contains("apply-patch") => {
                let mut object = live.unwrap_or_else(|| json!({"apiVersion": target.api_version}));
                merge(&mut object, &body);
                (StatusCode::OK, self.store(key, object))
            }
            (_, None) => failure(StatusCode::NOT_FOUND, "NotFound"),
            ("GET", Some(object)) => (StatusCode::OK, object),
            ("PUT", Some(mut object)) => {
                if body["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
                    return failure(StatusCode::CONFLICT, "Conflict");
                }
                object["status"] = body["status"].clone();
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
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = self.last_version.to_string().into();
        if live.is_none() {
            metadata["uid"] = format!("{:08x}-0000-0000-0000-000000000000", 0xabcd_0000 + self.last_version).into();
            metadata["generation"] = 1.into();
            metadata["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        } else if live.is_some_and(|live| live["spec"] != object["spec"]) {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            object["metadata"]["generation"] = generation.into();
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

/// Server-side apply and merge patch, as far as one manager is concerned: what is given replaces what is there.
fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    object.remove(key);
                } else {
                    merge(object.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (object, patch) => *object = patch.clone(),
    }
}

fn selected(labels: &Value, selector: Option<&str>) -> bool {
    let pairs = selector.unwrap_or_default().split(',').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').expect("key=value")).all(|(key, value)| labels[key] == value)
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
