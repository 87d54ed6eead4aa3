//! A cluster takes queries when it has shown that it can, and not before.

use std::time::Duration;

use serde_json::json;

use crate::{
    condition, drain::until_gone, make_ready, routed, running_with, scene::Scene, server::Server, until_deployments,
    until_ready,
};

/// Edits the group so that a second cluster comes up beside the first one, and makes its pods ready.
async fn second(server: &Server, rollout: serde_json::Value) -> (String, String) {
    let old = server.names("trinoclusters").remove(0);
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["template"]["spec"]["version"] = "477".into();
        group["spec"]["template"]["spec"]["catalogs"] = json!({"inline": {"tpch": {"connector.name": "tpch"}}});
        group["spec"]["rollout"] = rollout;
    });
    until_deployments(server, 5).await;
    let new = server.names("trinoclusters").into_iter().find(|name| *name != old).expect("a new cluster");
    make_ready(server, &new);
    (old, new)
}

async fn until_said(server: &Server, cluster: &str, phase: &str, words: &str) {
    let said = |server: &Server| {
        let object = server.get("trinoclusters", cluster)?;
        let (.., message) = condition(&object, "Ready")?;
        (object["status"]["phase"] == phase && message.contains(words)).then_some(())
    };
    server.until(&format!("{cluster} is {phase} and says {words:?}"), said).await;
}

fn stalled(server: &Server) -> Option<String> {
    let group = server.get("trinoclustergroups", "adhoc")?;
    let (status, reason, message) = condition(&group, "Stalled")?;
    (status == "True" && reason == "ClusterStalled").then_some(message)
}

#[tokio::test(start_paused = true)]
async fn a_cluster_whose_workers_have_not_joined_takes_no_query_from_one_that_serves() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    scene.away(1);
    let (old, new) = second(&server, json!({})).await;
    until_said(&server, &new, "Verifying", "0 of 1 workers have joined").await;
    until_said(&server, &new, "Failed", "0 of 1 workers have joined").await;
    assert_eq!(routed(&server), [(old.clone(), "Active".to_owned())]);
    let message = server.until("the group is stalled", stalled).await;
    assert!(message.ends_with("The clusters that served go on"), "{message}");
    scene.away(0);
    let turned = [(old.clone(), "Draining".to_owned()), (new, "Active".to_owned())];
    server.until("the new one takes over", |server| (routed(server) == turned).then_some(())).await;
    until_gone(&server, &old).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_verification_query_that_fails_keeps_the_old_cluster_and_is_named() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    scene.failing("FROM hive", Some("line 1:15: Catalog 'hive' not found"));
    let queries = json!({"verify": {"queries": ["SELECT 1", "SELECT 1 FROM hive.a.b"], "timeout": "30s"}});
    let (old, new) = second(&server, queries).await;
    let why = "verify.queries[1] fails: GENERIC_USER_ERROR: line 1:15: Catalog 'hive' not found";
    until_said(&server, &new, "Failed", why).await;
    let message = server.until("the group is stalled", stalled).await;
    assert!(message.contains(why), "{message}");
    assert_eq!(routed(&server), [(old.clone(), "Active".to_owned())]);
    let events = server.notes();
    assert!(events.iter().any(|note| note.contains(why)), "{events:?}");
    // An edit of what is asked, with no other change, is enough: nothing is started again.
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["rollout"]["verify"]["queries"] = json!(["SELECT 1"]);
    });
    let turned = [(old, "Draining".to_owned()), (new, "Active".to_owned())];
    server.until("the new one takes over", |server| (routed(server) == turned).then_some(())).await;
    until_ready(&server, "trinoclustergroups", "adhoc").await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_catalog_that_is_not_there_is_caught() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    scene.failing("system.metadata.catalogs", Some("no"));
    let (old, new) = second(&server, json!({})).await;
    until_said(&server, &new, "Verifying", "system.metadata.catalogs\" fails: GENERIC_USER_ERROR: no").await;
    assert_eq!(routed(&server), [(old, "Active".to_owned())]);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_hides_the_queries_of_others_is_not_taken_for_drained() {
    let scene = Scene::default();
    scene.secretive();
    let (server, operator) = running_with("warren:1", &scene).await;
    let (old, new) = second(&server, json!({"drainTimeout": "30m"})).await;
    let turned = [(old.clone(), "Draining".to_owned()), (new, "Active".to_owned())];
    server.until("the new one takes over", |server| (routed(server) == turned).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(29 * 60)).await;
    assert_eq!(routed(&server), turned);
    let draining = server.get("trinoclusters", &old).expect("there")["status"]["draining"].clone();
    assert_eq!(draining["unknown"], json!(["coordinator: it does not show Warren the queries of other users"]));
    until_gone(&server, &old).await;
    operator.stop().await;
}
