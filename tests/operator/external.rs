//! External clusters: how proxies come by credentials for their checks, and how one that takes no new queries ends.

use std::time::Duration;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde_json::{Value, json};

use crate::{condition, object, routed, running, running_with, scene::Scene, server::Server, table};

const PROXY: &str = "10.0.0.1";
const QUERY: &str = "20260921_122600_00001_abcde";

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

fn set_external(server: &Server, external: &Value) {
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["external"] = external.clone());
}

/// How the external cluster stands; null if the group knows none.
fn standing(server: &Server) -> Value {
    server.get("trinoclustergroups", "adhoc").expect("there")["status"]["external"][0].clone()
}

fn serving(server: &Server) -> Option<String> {
    routed(server).into_iter().find(|(name, _)| name == "onprem").map(|(_, serving)| serving)
}

/// With an external cluster that is known.
async fn with_external(server: &Server) {
    set_external(server, &json!([{"name": "onprem", "url": "https://trino.example.org"}]));
    let known = |server: &Server| {
        (standing(server)["phase"] == "Active" && serving(server).as_deref() == Some("Active")).then_some(())
    };
    server.until("it is known", known).await;
}

/// What the proxies' Secret holds, but for the admin token.
fn held(server: &Server) -> Vec<(String, Value)> {
    let secret: Secret = serde_json::from_value(server.get("secrets", "edge-proxy").expect("there")).expect("a Secret");
    let files = secret.data.expect("data").into_iter().filter(|(key, _)| key != "admin-token");
    files.map(|(key, ByteString(bytes))| (key, serde_json::from_slice(&bytes).expect("JSON"))).collect()
}

fn put_secret(server: &Server, data: &Value) {
    server.put(
        "secrets",
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "trino"}, "stringData": data}),
    );
}

async fn until_held(server: &Server, authorization: Option<&str>) {
    let wanted: Vec<_> = authorization
        .map(|authorization| {
            let file = json!({"url": "https://trino.example.org", "authorization": authorization});
            ("cluster.onprem".to_owned(), file)
        })
        .into_iter()
        .collect();
    server.until(&format!("{authorization:?} is held"), |server| (held(server) == wanted).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn credentials_for_checks_come_to_the_proxies_secret_and_nowhere_else() {
    let (server, operator) = running("warren:1").await;
    let template = server.get("deployments", "edge-proxy").expect("there")["spec"]["template"].clone();
    put_secret(&server, &json!({"username": "Aladdin"}));
    let external =
        json!([{"name": "onprem", "url": "https://trino.example.org", "credentialsSecretRef": {"name": "login"}}]);
    set_external(&server, &external);
    let stalled = |server: &Server| {
        condition(&server.get("trinoclustergroups", "adhoc")?, "Stalled").filter(|(status, ..)| status == "True")
    };
    let (_, reason, message) = server.until("the Secret is told", stalled).await;
    assert_eq!(reason, "SecretNotFound");
    assert!(
        message.starts_with("spec.external[onprem].credentialsSecretRef: Secret \"login\" has neither"),
        "{message}"
    );
    assert_eq!(held(&server), []);

    put_secret(&server, &json!({"username": "Aladdin", "password": "open sesame"}));
    until_held(&server, Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")).await;
    put_secret(&server, &json!({"token": "abc.def"}));
    until_held(&server, Some("Bearer abc.def")).await;
    let before = server.writes().len();
    server.delete("secrets", "login");
    minutes(10).await;
    until_held(&server, Some("Bearer abc.def")).await;
    let again = server.writes()[before..].iter().filter(|write| write.contains("secrets")).count();
    assert_eq!(again, 0, "those that they had stay");

    for (path, object) in server.objects() {
        let is_secret = path.0 == "secrets";
        let text = object.to_string();
        assert!(is_secret || !text.contains("abc.def"), "{path:?}");
        assert!(is_secret || !text.contains("sesame"), "{path:?}");
    }
    assert!(server.notes().iter().all(|note| !note.contains("sesame") && !note.contains("abc.def")));
    set_external(&server, &json!([{"name": "onprem", "url": "https://trino.example.org"}]));
    until_held(&server, None).await;
    let after = server.get("deployments", "edge-proxy").expect("there")["spec"]["template"].clone();
    assert_eq!(after, template, "no proxy is replaced");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_rests_takes_no_queries_and_stays() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    with_external(&server).await;
    scene.live(PROXY, QUERY);
    let rests = json!([{"name": "onprem", "url": "https://trino.example.org", "serving": "Drained"}]);
    set_external(&server, &rests);
    let drains = |server: &Server| (standing(server)["draining"]["queries"] == 1).then_some(());
    server.until("it drains", drains).await;
    minutes(90).await;
    assert_eq!(standing(&server)["phase"], "Draining", "its time is not bounded");
    assert_eq!(serving(&server).as_deref(), Some("Draining"));
    scene.ended("10.0.0.2", QUERY);
    server.until("it is drained", |server| (standing(server)["phase"] == "Drained").then_some(())).await;
    assert_eq!((standing(&server)["draining"].clone(), serving(&server).as_deref()), (Value::Null, Some("Draining")));
    let ready = condition(&server.get("trinoclustergroups", "adhoc").expect("there"), "Ready").expect("a condition");
    assert_eq!((ready.0.as_str(), ready.1.as_str()), ("True", "ClustersReady"));
    let before = server.writes().len();
    minutes(60).await;
    assert_eq!(server.writes()[before..], [] as [String; 0], "and rests");
    with_external(&server).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_removed_serves_its_queries_to_their_end() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    with_external(&server).await;
    scene.live(PROXY, QUERY);
    set_external(&server, &json!([]));
    let drains = |server: &Server| {
        let found = standing(server);
        (found["phase"] == "Draining" && found["draining"]["oldest"]["id"] == QUERY).then_some(())
    };
    server.until("it drains", drains).await;
    minutes(30).await;
    assert_eq!(serving(&server).as_deref(), Some("Draining"));
    let ready = condition(&server.get("trinoclustergroups", "adhoc").expect("there"), "Ready").expect("a condition");
    assert_eq!((ready.0.as_str(), ready.1.as_str()), ("True", "ClustersDraining"));
    assert!(ready.2.starts_with("external cluster \"onprem\" was removed; it takes no new queries; 1 queries go on"));
    with_external(&server).await;
    set_external(&server, &json!([]));
    server.until("it drains again", drains).await;
    scene.ended("10.0.0.2", QUERY);
    server.until("it is gone", |server| (standing(server).is_null() && serving(server).is_none()).then_some(())).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn when_the_time_of_a_removed_entry_is_over_what_is_cut_is_named() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["rollout"]["drainTimeout"] = "10m".into());
    with_external(&server).await;
    scene.live(PROXY, QUERY);
    set_external(&server, &json!([]));
    minutes(9).await;
    assert_eq!(serving(&server).as_deref(), Some("Draining"));
    server.until("it is gone", |server| serving(server).is_none().then_some(())).await;
    let cut = server.notes().into_iter().find(|note| note.contains("the time to drain is over")).expect("an Event");
    assert!(cut.contains(&format!("\"onprem\": the time to drain is over, and 1 queries are cut: {QUERY}")), "{cut}");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_moves_to_another_group_goes_on_there() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    with_external(&server).await;
    scene.live(PROXY, QUERY);
    set_external(&server, &json!([]));
    let external = json!([{"name": "onprem", "url": "https://trino.example.org"}]);
    server.put("trinoclustergroups", object("TrinoClusterGroup", "batch", &json!({"external": external})));
    let moved = |server: &Server| {
        let groups = table(server)["groups"].as_array().cloned().unwrap_or_default();
        let batch = groups.iter().find(|group| group["name"] == "batch")?;
        (batch["clusters"][0]["serving"] == "Active" && serving(server).is_none()).then_some(())
    };
    server.until("it is the other group's", moved).await;
    server.until("its first group knows it no more", |server| standing(server).is_null().then_some(())).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_deleted_waits_for_its_external_clusters() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    let spec = json!({"external": [{"name": "far", "url": "https://far.example.org"}]});
    server.put("trinoclustergroups", object("TrinoClusterGroup", "batch", &spec));
    let phase =
        |server: &Server| Some(server.get("trinoclustergroups", "batch")?["status"]["external"][0]["phase"].clone());
    server.until("it is known", |server| (phase(server)? == "Active").then_some(())).await;
    minutes(6).await;
    scene.live(PROXY, QUERY);
    server.delete("trinoclustergroups", "batch");
    minutes(20).await;
    assert_eq!(phase(&server), Some("Draining".into()));
    scene.ended("10.0.0.2", QUERY);
    server.until("it is gone", |server| server.get("trinoclustergroups", "batch").is_none().then_some(())).await;
    operator.stop().await;
}
