//! `kubectl warren` beside the operator: a user's drain is the user's, a group's is the group's, and a rollback turns back.

use std::time::Duration;

use serde_json::{Value, json};
use warren::cli::kubectl::{Progress, drain, progress, promote, rollback, status, undrain};

use crate::{
    condition, make_ready, routed, running_with, scene::Scene, server::Server, until_deployments, until_ready,
};

const QUERY: &str = "20260921_122600_00001_abcde";

async fn until_phase(server: &Server, cluster: &str, phase: &str) {
    let reached = |server: &Server| (server.get("trinoclusters", cluster)?["status"]["phase"] == phase).then_some(());
    server.until(&format!("{cluster} is {phase}"), reached).await;
}

async fn until_routed(server: &Server, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(name, how)| ((*name).to_owned(), (*how).to_owned())).collect();
    server.until(&format!("the table says {expected:?}"), |server| (routed(server) == expected).then_some(())).await;
}

fn edit(server: &Server, change: impl FnOnce(&mut Value)) {
    server.edit("trinoclustergroups", "adhoc", |group| change(&mut group["spec"]));
}

/// Begins an upgrade; the name of the new cluster, which is not ready.
async fn upgrade(server: &Server, old: &str) -> String {
    edit(server, |spec| spec["template"]["spec"]["version"] = "477".into());
    until_deployments(server, 5).await;
    server.names("trinoclusters").into_iter().find(|name| name != old).expect("a new cluster")
}

#[tokio::test(start_paused = true)]
async fn a_users_drain_stays_until_the_user_takes_it_back() {
    let (server, operator) = running_with("warren:1", &Scene::default()).await;
    let (client, cluster) = (server.client(), server.names("trinoclusters").remove(0));
    let said = drain(&client, "trino", &cluster).await.expect("drained");
    assert!(said.contains("warning: no other cluster of group adhoc takes queries"), "{said}");
    until_phase(&server, &cluster, "Drained").await;
    assert_eq!(routed(&server), [(cluster.clone(), "Draining".to_owned())]);
    let told = progress(&client, "trino", &cluster).await.expect("told");
    assert!(matches!(&told, Progress::Done(line) if line.contains("none is left")), "{told:?}");

    // The group has something to apply to it, and leaves the user's field alone.
    edit(&server, |spec| spec["template"]["spec"]["workers"] = json!({"replicas": 3}));
    let scaled =
        |server: &Server| (server.get("trinoclusters", &cluster)?["spec"]["workers"]["replicas"] == 3).then_some(());
    server.until("it is scaled", scaled).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(server.get("trinoclusters", &cluster).expect("there")["spec"]["serving"], "Drained");
    assert_eq!(server.names("trinoclusters"), std::slice::from_ref(&cluster));

    undrain(&client, "trino", &cluster).await.expect("undrained");
    until_routed(&server, &[(&cluster, "Active")]).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn undrain_does_not_take_back_what_the_group_drains_itself() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    let (client, old) = (server.client(), server.names("trinoclusters").remove(0));
    scene.listed(&[QUERY]);
    let new = upgrade(&server, &old).await;
    make_ready(&server, &new);
    until_routed(&server, &[(&old, "Draining"), (&new, "Active")]).await;
    drain(&client, "trino", &old).await.expect("drained by both");
    let refused = undrain(&client, "trino", &old).await.expect_err("the group drains it").to_string();
    assert!(refused.starts_with(&format!("its group drains trinocluster/{old} since ")), "{refused}");
    tokio::time::sleep(Duration::from_secs(600)).await;
    until_phase(&server, &old, "Draining").await;

    // The group turns back: its own drain ends, the user's does not.
    drain(&client, "trino", &old).await.expect("drained by both");
    edit(&server, |spec| spec["template"]["spec"]["version"] = "476".into());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(routed(&server), [(old.clone(), "Draining".to_owned()), (new.clone(), "Active".to_owned())]);
    undrain(&client, "trino", &old).await.expect("nobody else drains it");
    until_routed(&server, &[(&old, "Active"), (&new, "Draining")]).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_takes_back_a_revision_that_does_not_start() {
    let (server, operator) = running_with("warren:1", &Scene::default()).await;
    let (client, old) = (server.client(), server.names("trinoclusters").remove(0));
    let none = rollback(&client, "trino", "adhoc", false).await.expect_err("no earlier revision").to_string();
    assert!(none.contains("put the earlier spec.template back"), "{none}");
    let template = server.get("trinoclustergroups", "adhoc").expect("there")["spec"]["template"].clone();
    let new = upgrade(&server, &old).await;

    tokio::time::sleep(Duration::from_secs(5)).await; // what the new cluster's objects woke settles
    let before = server.writes().len();
    let shown = rollback(&client, "trino", "adhoc", true).await.expect("shown");
    let expected = format!(
        "trinoclustergroup/adhoc: back to the template of trinocluster/{old}\n\
         - spec.template.spec.version: \"477\"\n+ spec.template.spec.version: \"476\"\nnothing was changed\n"
    );
    assert_eq!((shown, server.writes().len()), (expected, before));
    rollback(&client, "trino", "adhoc", false).await.expect("rolled back");
    assert_eq!(server.get("trinoclustergroups", "adhoc").expect("there")["spec"]["template"], template);
    let gone = |server: &Server| (!server.names("trinoclusters").contains(&new)).then_some(());
    server.until("the new one is gone", gone).await;
    until_ready(&server, "trinoclustergroups", "adhoc").await;
    assert_eq!(routed(&server), [(old, "Active".to_owned())]);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_turns_queries_back_while_the_old_cluster_drains() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    let (client, old) = (server.client(), server.names("trinoclusters").remove(0));
    scene.listed(&[QUERY]);
    let new = upgrade(&server, &old).await;
    make_ready(&server, &new);
    until_routed(&server, &[(&old, "Draining"), (&new, "Active")]).await;
    rollback(&client, "trino", "adhoc", false).await.expect("rolled back");
    until_routed(&server, &[(&old, "Active"), (&new, "Draining")]).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn promote_names_the_new_revision_and_status_shows_it() {
    let (server, operator) = running_with("warren:1", &Scene::default()).await;
    let (client, old) = (server.client(), server.names("trinoclusters").remove(0));
    let none = promote(&client, "trino", "adhoc").await.expect_err("nothing new").to_string();
    assert_eq!(none, "trinoclustergroup/adhoc has no new revision to promote");
    upgrade(&server, &old).await;
    let waits = |server: &Server| {
        let group = server.get("trinoclustergroups", "adhoc")?;
        let seen = group["status"]["observedGeneration"] == group["metadata"]["generation"];
        condition(&group, "Reconciling").filter(|(status, ..)| seen && status == "True")
    };
    server.until("the group has seen it", waits).await;
    promote(&client, "trino", "adhoc").await.expect("promoted");
    let group = server.get("trinoclustergroups", "adhoc").expect("there");
    let update = &group["status"]["updateRevision"];
    assert_eq!(group["metadata"]["annotations"]["trinowarren.io/promote"], *update);

    let report = status(&client, "trino", None, None).await.expect("a report");
    assert_eq!(report.groups[0].update_revision.as_deref(), update.as_str());
    assert_eq!((report.gateways[0].proxies[0].ready, report.clusters.len()), (2, 2));
    assert!(report.attention.iter().any(|told| told.object == "trinoclustergroup/adhoc"), "{report:?}");
    assert!(status(&client, "trino", None, Some("nowhere")).await.is_err());
    operator.stop().await;
}
