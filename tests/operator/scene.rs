//! What proxies and coordinators tell the operator, as a test sets it. Proxies apply each routing table at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use warren::{
    desired::certificate::fault,
    reconcile::{Fetch, FetchError, Trust},
};

use crate::{server::Server, table};

/// What goes on. Clones share it.
#[derive(Clone, Default)]
pub struct Scene {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Queries that a proxy of this address has a client's `nextUri` of.
    live: Vec<(String, String)>,
    /// Queries that a proxy of this address saw end, a moment ago.
    ended: Vec<(String, String)>,
    listed: Vec<String>,
    hidden: u32,
    deaf: BTreeSet<String>,
    /// Queries that ended at a cluster, and that failed of these.
    outcomes: BTreeMap<String, (u64, u64)>,
    /// Statements that fail, and with what message.
    failing: BTreeMap<String, String>,
    /// The coordinators list Warren's own queries alone.
    secretive: bool,
    transactions: usize,
    /// Workers that have not joined their coordinator.
    away: u64,
    /// What proxies of these addresses say of their settings; the others applied what stands in their ConfigMap.
    settings: BTreeMap<String, Value>,
    /// The states that workers of these addresses were told to take, or took; others are active.
    told: BTreeMap<String, String>,
    /// The password files of coordinators that do not read them again, by the name of the cluster.
    passwords: BTreeMap<String, String>,
    /// Coordinators that ask who is there believe nobody.
    refuses: bool,
}

impl Scene {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }

    pub fn live(&self, proxy: &str, query: &str) {
        self.lock().live.push((proxy.into(), query.into()));
    }

    pub fn ended(&self, proxy: &str, query: &str) {
        self.lock().ended.push((proxy.into(), query.into()));
    }

    /// The coordinators list these queries.
    pub fn listed(&self, queries: &[&str]) {
        self.lock().listed = queries.iter().map(|query| (*query).to_owned()).collect();
    }

    /// The coordinators count this many more than they list.
    pub fn hidden(&self, queries: u32) {
        self.lock().hidden = queries;
    }

    /// Whoever has this in its address does not answer.
    pub fn deaf(&self, address: &str, deaf: bool) {
        let addresses = &mut self.lock().deaf;
        if deaf {
            addresses.insert(address.into())
        } else {
            addresses.remove(address)
        };
    }

    /// So many queries have ended at the cluster since it started, and so many of these failed.
    pub fn outcomes(&self, cluster: &str, ended: u64, failed: u64) {
        self.lock().outcomes.insert(cluster.into(), (ended, failed));
    }

    /// Statements that hold `sql` fail with this message from now on, or do not any more.
    pub fn failing(&self, sql: &str, message: Option<&str>) {
        let failing = &mut self.lock().failing;
        match message {
            Some(message) => failing.insert(sql.into(), message.into()),
            None => failing.remove(sql),
        };
    }

    /// Clients have so many transactions open.
    pub fn transactions(&self, open: usize) {
        self.lock().transactions = open;
    }

    /// The coordinators list, for Warren, nobody else's queries.
    pub fn secretive(&self) {
        self.lock().secretive = true;
    }

    /// What the proxy of this address says of its settings from now on; nothing: that it applied them.
    pub fn settings(&self, proxy: &str, told: Option<Value>) {
        let settings = &mut self.lock().settings;
        match told {
            Some(told) => settings.insert(proxy.into(), told),
            None => settings.remove(proxy),
        };
    }

    /// This many workers of each cluster have not joined it.
    pub fn away(&self, workers: u64) {
        self.lock().away = workers;
    }

    /// The coordinator of a cluster knows the passwords of now, until it reads them again.
    pub fn reads_no_passwords(&self, server: &Server, cluster: &str, deaf: bool) {
        let passwords = &mut self.lock().passwords;
        if deaf {
            passwords.insert(cluster.into(), password_files(server, cluster));
        } else {
            passwords.remove(cluster);
        }
    }

    /// Coordinators that ask who is there believe nobody.
    pub fn refuses_all(&self) {
        self.lock().refuses = true;
    }

    /// The state of the worker of this address.
    pub fn worker(&self, address: &str) -> String {
        self.lock().told.get(address).cloned().unwrap_or_else(|| "ACTIVE".into())
    }

    /// The worker of this address is in this state.
    pub fn set_worker(&self, address: &str, state: &str) {
        self.lock().told.insert(address.into(), state.into());
    }

    pub fn fetch(&self, server: &Server) -> Fetch {
        let (scene, server) = (self.clone(), server.clone());
        Arc::new(move |request| {
            let told = scene.tell(&server, &request);
            Box::pin(async move { told.map(|text| text.into_bytes().into()) })
        })
    }

    fn tell(&self, server: &Server, request: &Request<Bytes>) -> Result<String, FetchError> {
        let mut state = self.lock();
        let url = request.uri().to_string();
        if state.deaf.iter().any(|address| url.contains(address)) {
            return Err(FetchError::Failed("connection refused".into()));
        }
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().expect("text"));
        if request.uri().scheme_str() == Some("https")
            && let Some(fault) = refused(server, request)
        {
            return Err(FetchError::Failed(fault));
        }
        if let Some(address) = url.strip_suffix(":9090/v1/queries") {
            let secret = serde_json::from_value(server.get("secrets", "edge-proxy").expect("there"));
            let secret: Secret = secret.expect("a Secret");
            let token = String::from_utf8(secret.data.expect("data")["admin-token"].0.clone()).expect("text");
            assert_eq!(header("authorization"), Some(&*format!("Bearer {token}")));
            return Ok(report(server, &state, without_scheme(address)).to_string());
        }
        if let Some(address) = url.strip_suffix(":9090/v1/status") {
            return Ok(settings(server, &state, without_scheme(address)).to_string());
        }
        let worker = url.strip_suffix("/v1/info/state").and_then(|worker| worker.split_once("://"));
        if let Some((scheme, address)) = worker {
            let port = if scheme == "https" { ":8443" } else { ":8080" };
            let address = address.strip_suffix(port).expect("a worker's port");
            if request.method() == "PUT" {
                let asked: String = serde_json::from_slice(request.body()).expect("a state");
                assert!(users(server).contains(&header("x-trino-user").expect("a user").to_owned()));
                state.told.insert(address.into(), asked);
                return Ok(String::new());
            }
            return Ok(json!(state.told.get(address).map_or("ACTIVE", String::as_str)).to_string());
        }
        let cluster = request.uri().host().and_then(|host| host.split_once("-coordinator")).expect("a coordinator").0;
        state.let_in(server, cluster, (header("x-trino-user"), header("authorization")))?;
        if url.ends_with("/v1/statement") {
            assert_eq!((request.method(), header("x-trino-user")), (&Method::POST, Some("warren-verify")));
            return Ok(state.answer(server, cluster, std::str::from_utf8(request.body()).expect("text")).to_string());
        }
        assert_eq!(header("x-trino-user"), Some("warren"));
        if url.ends_with("/v1/node") {
            let ages = (0..state.workers(server, cluster)).map(|_| json!({"age": "1.00m", "recentFailureRatio": 0.0}));
            return Ok(ages.collect::<Value>().to_string());
        }
        if url.ends_with("/v1/query") {
            let listed = state.listed.iter().map(|query| {
                json!({"queryId": query, "state": "RUNNING", "session": {"user": "ann"},
                    "queryStats": {"createTime": "2026-09-21T12:26:00.123Z"}})
            });
            let verification = json!({"queryId": VERIFICATION, "state": "FINISHED"});
            let all: Vec<_> = listed.chain([verification]).filter(|_| !state.secretive).collect();
            return Ok(Value::from(all).to_string());
        }
        if url.contains("CompletedQueries") {
            let (ended, failed) = state.outcomes.get(cluster).copied().unwrap_or_default();
            let counts = [
                ("CompletedQueries", ended),
                ("InternalFailures", failed),
                ("ExternalFailures", 0),
                ("InsufficientResourcesFailures", 0),
                ("ExecutionTime_FiveMinutes_count", 0),
            ];
            let line = |(name, count)| format!("trino_execution_name_QueryManager_{name} {count}\n");
            return Ok(counts.map(line).concat());
        }
        let running = state.listed.len() + state.hidden as usize;
        Ok(format!(
            "trino_execution_name_QueryManager_RunningQueries {running}.0\n\
             trino_execution_name_QueryManager_QueuedQueries 0.0\n"
        ))
    }
}

fn without_scheme(address: &str) -> &str {
    address.trim_start_matches("http://").trim_start_matches("https://")
}

/// The id of each query that the operator runs.
const VERIFICATION: &str = "20260921_122500_00000_abcde";

impl State {
    /// Whether a coordinator that asks who is there believes who asks, and as whom.
    fn let_in(
        &self,
        server: &Server,
        cluster: &str,
        (user, authorization): (Option<&str>, Option<&str>),
    ) -> Result<(), FetchError> {
        let object = server.get("trinoclusters", cluster);
        if !object.is_some_and(|cluster| cluster["spec"]["authentication"].is_object()) {
            assert_eq!(authorization, None, "nobody asked for it");
            return Ok(());
        }
        let files = self.passwords.get(cluster).cloned().unwrap_or_else(|| password_files(server, cluster));
        let believed = !self.refuses && lets_in(&files, user, authorization);
        believed.then_some(()).ok_or(FetchError::Status(StatusCode::UNAUTHORIZED))
    }

    /// The workers that have joined.
    fn workers(&self, server: &Server, cluster: &str) -> u64 {
        let deployment = server.get("deployments", &format!("{cluster}-worker")).expect("there");
        deployment["spec"]["replicas"].as_u64().expect("a number").saturating_sub(self.away)
    }

    /// The one page of a statement's answer.
    fn answer(&self, server: &Server, cluster: &str, sql: &str) -> Value {
        if let Some((_, message)) = self.failing.iter().find(|(part, _)| sql.contains(*part)) {
            return json!({"id": VERIFICATION, "error": {"errorName": "GENERIC_USER_ERROR", "message": message}});
        }
        let rows: Vec<_> = if sql.contains("system.runtime.nodes") {
            (0..self.workers(server, cluster)).map(|number| json!([format!("worker-{number}")])).collect()
        } else if sql.contains("system.metadata.catalogs") {
            let catalogs = server.get("trinoclusters", cluster).expect("there")["spec"]["catalogs"].clone();
            let picked = catalogs["selector"].is_object() && catalogs["resolved"].is_null();
            let all = if picked { server.names("trinocatalogs") } else { Vec::new() };
            let written = ["inline", "resolved"].into_iter().filter_map(|field| catalogs[field].as_object());
            let written = written.flatten().map(|(name, _)| name.clone());
            written.chain(all).map(|name| json!([name])).collect()
        } else if sql.contains("system.runtime.transactions") {
            vec![json!(["ad2d29c3-715c-4322-8dc6-b5997a78f743"]); self.transactions]
        } else {
            vec![json!([1])]
        };
        json!({"id": VERIFICATION, "data": rows})
    }
}

/// Why who asks refuses the certificate that it is shown; none if it does not. Pods show what their Secrets hold now.
fn refused(server: &Server, request: &Request<Bytes>) -> Option<String> {
    let trust = request.extensions().get::<Trust>().expect("who asks by https says whom it trusts");
    let name = trust.name.as_deref().unwrap_or_else(|| request.uri().host().expect("a host"));
    let label = name.split('.').next().expect("a label");
    let secrets = [format!("{label}-tls"), format!("{label}-admin-tls"), "kept".to_owned()];
    let secret = secrets.iter().find_map(|secret| server.get("secrets", secret)).expect("a certificate");
    let secret: Secret = serde_json::from_value(secret).expect("a Secret");
    let chain = String::from_utf8(secret.data.expect("data")["tls.crt"].0.clone()).expect("PEM");
    fault(&chain, &trust.ca, name, server.now())
}

/// The password files of a cluster's Secret, one after the other.
fn password_files(server: &Server, cluster: &str) -> String {
    let Some(secret) = server.get("secrets", &format!("{cluster}-credential")) else { return String::new() };
    let data = serde_json::from_value::<Secret>(secret).expect("a Secret").data.expect("data");
    ["users-1.db", "users-2.db"].map(|key| String::from_utf8(data[key].0.clone()).expect("text")).concat()
}

/// Whether a coordinator with these lines `user:iterations:salt:hash` believes who asks. Nobody may act for another user.
fn lets_in(files: &str, user: Option<&str>, authorization: Option<&str>) -> bool {
    let Some(basic) = authorization.and_then(|header| header.strip_prefix("Basic ")) else { return false };
    let decoded = String::from_utf8(STANDARD.decode(basic).expect("base64")).expect("text");
    let (name, password) = decoded.split_once(':').expect("user:password");
    let mut hashes = files.lines().filter_map(|line| line.strip_prefix(&format!("{name}:")));
    user == Some(name)
        && hashes.any(|hash| {
            let salt = hash.split(':').nth(1).and_then(|salt| hex::decode(salt).ok()).expect("a salt");
            warren::trino::password::hash(password, salt.try_into().expect("16 bytes")) == hash
        })
}

/// Those who may set the state of a worker, each of its own cluster's.
fn users(server: &Server) -> Vec<String> {
    let names = server.names("secrets").into_iter().filter(|name| name.ends_with("-drain"));
    names
        .map(|name| {
            let secret: Secret =
                serde_json::from_value(server.get("secrets", &name).expect("there")).expect("a Secret");
            String::from_utf8(secret.data.expect("data")["user"].0.clone()).expect("text")
        })
        .collect()
}

/// What a proxy says of its settings: what a test says, else that it has applied those that there are.
fn settings(server: &Server, state: &State, address: &str) -> Value {
    let applied = || {
        let config = server.get("configmaps", "edge-proxy-config").expect("there");
        let document = config["data"]["proxy.yaml"].as_str().expect("a document");
        json!({"hash": warren::tuning::digest(document), "fault": null})
    };
    let told = state.settings.get(address).cloned();
    json!({"ready": true, "settings": told.unwrap_or_else(applied)})
}

fn report(server: &Server, state: &State, address: &str) -> Value {
    let of = |known: &[(String, String)]| -> Vec<String> {
        known.iter().filter(|(proxy, _)| proxy == address).map(|(_, query)| query.clone()).collect()
    };
    let groups = table(server)["groups"].as_array().cloned().unwrap_or_default();
    let clusters = groups.iter().flat_map(|group| group["clusters"].as_array().cloned().unwrap_or_default());
    let clusters = clusters.map(|cluster| {
        let live = of(&state.live).into_iter().map(|id| json!({"id": id, "ageMillis": 90_000, "idleMillis": 2_000}));
        let ended = of(&state.ended).into_iter().map(|id| json!({"id": id, "ageMillis": 1_000}));
        json!({"cluster": cluster["name"], "serving": cluster["serving"], "inFlight": 0, "count": live.len(),
            "queries": live.collect::<Value>(), "ended": ended.collect::<Value>()})
    });
    json!({"clusters": clusters.collect::<Value>()})
}
