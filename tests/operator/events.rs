//! Coordinators that tell of their queries: without anyone doing anything, to the gateway that serves them, whichever it is, and
//! without a restart.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use warren::cli::kubectl::event_listener;

use crate::{object, running, server::Server, table, until_deployments};

fn gateway_of(server: &Server, cluster: &str) -> Value {
    let service = server.get("services", &format!("{cluster}-events")).expect("a Service");
    service["spec"]["selector"]["trinowarren.io/gateway"].clone()
}

fn template(server: &Server, cluster: &str) -> Value {
    server.get("deployments", &format!("{cluster}-coordinator")).expect("there")["spec"]["template"].clone()
}

/// The SHA-256 of the token that a Secret holds.
fn hash(server: &Server, secret: &str) -> String {
    let secret = server.get("secrets", secret).expect("a Secret");
    let token = STANDARD.decode(secret["data"]["token"].as_str().expect("a token")).expect("base64");
    assert_eq!(token.len(), 64);
    hex::encode(Sha256::digest(token))
}

#[tokio::test(start_paused = true)]
async fn a_cluster_tells_its_gateway_by_a_token_of_its_own_and_the_table_knows_its_hash() {
    let (server, operator) = running("warren:1").await;
    let cluster = server.names("trinoclusters").remove(0);
    assert_eq!(gateway_of(&server, &cluster), "gw");
    let entry = table(&server)["groups"][0]["clusters"][0].clone();
    assert_eq!(entry["eventToken"], hash(&server, &format!("{cluster}-events")));
    let config_map = server.get("configmaps", "gw-routing").expect("a table").to_string();
    let secret = server.get("secrets", &format!("{cluster}-events")).expect("there");
    assert!(!config_map.contains(secret["data"]["token"].as_str().expect("a token")));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gateways_come_and_go_and_no_coordinator_restarts() {
    let (server, operator) = running("warren:1").await;
    let cluster = server.names("trinoclusters").remove(0);
    let before = template(&server, &cluster);
    let leads = |expected: &'static str| {
        let cluster = cluster.clone();
        move |server: &Server| (gateway_of(server, &cluster) == expected).then_some(())
    };
    let spec = json!({"routing": {"default": {"group": "adhoc"}}});
    server.put("trinogateways", object("TrinoGateway", "later", &spec));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(gateway_of(&server, &cluster), "gw");
    // One that does not want to know gives way to one that does.
    server.edit("trinogateways", "gw", |gateway| gateway["spec"]["eventListener"] = json!({"enabled": false}));
    server.until("it tells the other one", leads("later")).await;
    assert_eq!(table(&server)["ignoresEvents"], true);
    server.edit("trinogateways", "later", |gateway| gateway["spec"]["groups"] = json!({"names": ["other"]}));
    server.until("it tells the first one", leads("gw")).await;
    server.delete("trinogateways", "gw");
    server.until("it tells nobody", leads("")).await;
    server.edit("trinogateways", "later", |gateway| gateway["spec"]["groups"] = json!(null));
    server.until("it tells the one that is left", leads("later")).await;
    assert_eq!(template(&server, &cluster), before);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_version_rendered_tells_nothing_and_has_no_service() {
    let (server, operator) = running("warren:1").await;
    let cluster = server.names("trinoclusters").remove(0);
    operator.stop().await;
    let revision = server.names("controllerrevisions").into_iter().find(|name| name.starts_with(&cluster));
    server.edit("controllerrevisions", &revision.expect("a revision"), |kept| {
        let files = kept.pointer_mut("/data/components/coordinator/files").expect("files");
        files.as_object_mut().expect("files").remove("warren-event-listener.properties").expect("the listener's");
    });
    let service = format!("{cluster}-events");
    server.delete("services", &service);
    let operator = crate::Operator::start(&server, "warren:1");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(server.get("services", &service).is_none());
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_by_hand_and_one_that_shall_not_tell_do_not() {
    let (server, operator) = running("warren:1").await;
    let spec = json!({"version": "476"});
    server.put("trinoclusters", object("TrinoCluster", "mine", &spec));
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["template"]["spec"]["eventListener"] = json!({"enabled": false});
    });
    until_deployments(&server, 7).await;
    let telling: Vec<_> = server.names("services").into_iter().filter(|name| name.ends_with("-events")).collect();
    assert_eq!(telling.len(), 1, "{telling:?}");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_external_cluster_gets_a_token_and_kubectl_prints_its_snippet() {
    let (server, operator) = running("warren:1").await;
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["external"] = json!([{"name": "onprem", "url": "https://trino.example.org"}]);
    });
    server.edit("trinogateways", "gw", |gateway| {
        gateway["spec"]["externalUrl"] = json!("https://example.com/trino");
    });
    let entry = |server: &Server| {
        let clusters = table(server)["groups"][0]["clusters"].as_array().cloned().unwrap_or_default();
        clusters.into_iter().find(|cluster| cluster["name"] == "onprem" && cluster["eventToken"].is_string())
    };
    let entry = server.until("the table knows its token", entry).await;
    assert_eq!(entry["eventToken"], hash(&server, "adhoc.onprem.events"));
    let printed = event_listener(&server.client(), "trino", "onprem").await.expect("a snippet");
    assert_eq!(printed, include_str!("../golden/event-listener.txt"));
    let made = server.names("trinoclusters").remove(0);
    let said = event_listener(&server.client(), "trino", &made).await.expect("words");
    assert_eq!(said, format!("trinocluster/{made} tells its gateway by itself; there is nothing to do\n"));
    let error = event_listener(&server.client(), "trino", "nowhere").await.expect_err("no such cluster");
    assert!(error.to_string().contains("no TrinoClusterGroup"), "{error}");
    operator.stop().await;
}
