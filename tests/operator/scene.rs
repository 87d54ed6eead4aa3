//! What proxies and coordinators tell the operator, as a test sets it. Proxies apply each routing table at once.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::Request;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use warren::reconcile::{Fetch, FetchError};

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

    pub fn fetch(&self, server: &Server) -> Fetch {
        let (scene, server) = (self.clone(), server.clone());
        Arc::new(move |request| {
            let told = scene.tell(&server, &request);
            Box::pin(async move { told.map(|text| text.into_bytes().into()) })
        })
    }

    fn tell(&self, server: &Server, request: &Request<Bytes>) -> Result<String, FetchError> {
        let state = self.lock();
        let url = request.uri().to_string();
        if state.deaf.iter().any(|address| url.contains(address)) {
            return Err(FetchError("connection refused".into()));
        }
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().expect("text"));
        if let Some(address) = url.strip_suffix(":9090/v1/queries") {
            let secret = serde_json::from_value(server.get("secrets", "edge-proxy").expect("there"));
            let secret: Secret = secret.expect("a Secret");
            let token = String::from_utf8(secret.data.expect("data")["admin-token"].0.clone()).expect("text");
            assert_eq!(header("authorization"), Some(&*format!("Bearer {token}")));
            return Ok(report(server, &state, address.trim_start_matches("http://")).to_string());
        }
        assert_eq!(header("x-trino-user"), Some("warren"));
        if url.ends_with("/v1/query") {
            let listed = state.listed.iter().map(|query| {
                json!({"queryId": query, "state": "RUNNING", "session": {"user": "ann"},
                    "queryStats": {"createTime": "2026-09-21T12:26:00.123Z"}})
            });
            return Ok(listed.collect::<Value>().to_string());
        }
        let running = state.listed.len() + state.hidden as usize;
        Ok(format!(
            "trino_execution_name_QueryManager_RunningQueries {running}.0\n\
             trino_execution_name_QueryManager_QueuedQueries 0.0\n"
        ))
    }
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
