//! A new revision shows what it can do on a share of the queries before it takes over.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    condition, drain::until_gone, make_ready, routed, running_with, scene::Scene, server::Server, table,
    until_deployments, until_ready,
};

/// A group with a canary of two steps, and a new revision whose cluster is ready: the old one's name and the new one's.
async fn begin(server: &Server, steps: Value) -> (String, String) {
    let old = server.names("trinoclusters").remove(0);
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["rollout"] = json!({"canary": {"steps": steps}});
        group["spec"]["template"]["spec"]["version"] = "477".into();
    });
    until_deployments(server, 5).await;
    let new = server.names("trinoclusters").into_iter().find(|name| *name != old).expect("a new cluster");
    make_ready(server, &new);
    until_ready(server, "trinoclusters", &new).await;
    (old, new)
}

fn steps() -> Value {
    json!([{"weight": 10, "for": "5m"}, {"weight": 50, "for": "10m"}])
}

/// The table's canary: its share and its clusters.
fn share(server: &Server) -> Option<(u64, Vec<String>)> {
    let canary = table(server)["groups"][0]["canary"].clone();
    let clusters = canary["clusters"].as_array()?.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
    Some((canary["percent"].as_u64()?, clusters))
}

async fn until_share(server: &Server, percent: u64, cluster: &str) {
    let wanted = Some((percent, vec![cluster.to_owned()]));
    server.until(&format!("{cluster} gets {percent} %"), |server| (share(server) == wanted).then_some(())).await;
}

fn status(server: &Server) -> Value {
    server.get("trinoclustergroups", "adhoc").expect("there")["status"]["canary"].clone()
}

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

#[tokio::test(start_paused = true)]
async fn it_gets_its_share_step_by_step_and_takes_over_when_it_does_no_worse() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    let (old, new) = begin(&server, steps()).await;
    scene.outcomes(&old, 1000, 10);
    until_share(&server, 10, &new).await;
    let both = [(old.clone(), "Active".to_owned()), (new.clone(), "Active".to_owned())];
    assert_eq!(routed(&server), both);
    minutes(4).await;
    scene.outcomes(&old, 1100, 11);
    scene.outcomes(&new, 100, 3);
    until_share(&server, 50, &new).await;
    assert_eq!((&status(&server)["step"], &status(&server)["new"]["queries"]), (&json!(2), &json!(100)));
    minutes(9).await;
    assert_eq!(routed(&server), both);
    let turned = [(old.clone(), "Draining".to_owned()), (new.clone(), "Active".to_owned())];
    server.until("the new one takes over", |server| (routed(server) == turned).then_some(())).await;
    server.until("it gets all of its share", |server| share(server).is_none().then_some(())).await;
    assert_eq!(status(&server)["stage"], "Promoted");
    until_gone(&server, &old).await;
    until_ready(&server, "trinoclustergroups", "adhoc").await;
    // It was ready all along; that the old one is gone is still to be written down.
    server.rest(Duration::from_secs(5)).await;
    let before = server.writes().len();
    minutes(60).await;
    assert_eq!(server.writes()[before..], [] as [String; 0], "it rests");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_does_worse_gets_no_query_any_more_until_somebody_mends_it() {
    for mend in ["rollback", "promote"] {
        let scene = Scene::default();
        let (server, operator) = running_with("warren:1", &scene).await;
        let (old, new) = begin(&server, steps()).await;
        until_share(&server, 10, &new).await;
        scene.outcomes(&old, 1000, 10);
        scene.outcomes(&new, 40, 4);
        let only_old = [(old.clone(), "Active".to_owned()), (new.clone(), "Draining".to_owned())];
        server.until("the new one gets nothing", |server| (routed(server) == only_old).then_some(())).await;
        let group = server.get("trinoclustergroups", "adhoc").expect("there");
        let (stalled, reason, message) = condition(&group, "Stalled").expect("a condition");
        assert_eq!((stalled.as_str(), reason.as_str()), ("True", "CanaryAborted"));
        let words = "10.0 % of the new clusters' queries fail (4 of 40), of the old ones' 1.0 % (10 of 1000)";
        assert!(message.contains(words), "{message}");
        assert_eq!(condition(&group, "Ready").expect("a condition").0, "True", "it serves");
        minutes(120).await;
        assert_eq!(routed(&server), only_old);
        server.edit("trinoclustergroups", "adhoc", |group| {
            if mend == "rollback" {
                group["spec"]["template"]["spec"]["version"] = "476".into();
            } else {
                let revision = group["status"]["updateRevision"].clone();
                group["metadata"]["annotations"] = json!({"trinowarren.io/promote": revision});
            }
        });
        let (stays, goes) = if mend == "rollback" { (&old, &new) } else { (&new, &old) };
        until_gone(&server, goes).await;
        assert_eq!(routed(&server), [(stays.clone(), "Active".to_owned())]);
        until_ready(&server, "trinoclustergroups", "adhoc").await;
        operator.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_without_a_time_waits_for_a_promotion_and_a_restarted_operator_goes_on() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    let (old, new) = begin(&server, json!([{"weight": 5}])).await;
    until_share(&server, 5, &new).await;
    operator.stop().await;
    let operator = crate::Operator::start_in(&scene, &server, "warren:1");
    minutes(600).await;
    assert_eq!(share(&server), Some((5, vec![new.clone()])));
    server.edit("trinoclustergroups", "adhoc", |group| {
        let revision = group["status"]["updateRevision"].clone();
        group["metadata"]["annotations"] = json!({"trinowarren.io/promote": revision});
    });
    until_gone(&server, &old).await;
    assert_eq!(routed(&server), [(new, "Active".to_owned())]);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn clusters_are_replaced_one_after_the_other_within_the_surge() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["replicas"] = 3.into());
    until_deployments(&server, 7).await;
    make_ready(&server, "adhoc");
    until_ready(&server, "trinoclustergroups", "adhoc").await;
    minutes(6).await;
    let old = server.names("trinoclusters");
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["template"]["spec"]["version"] = "477".into());
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        make_ready(&server, "adhoc");
        assert!(server.names("trinoclusters").len() <= 4, "{:?}", server.names("trinoclusters"));
        let active = routed(&server).iter().filter(|(_, serving)| serving == "Active").count();
        assert!(active >= 3, "{:?}", routed(&server));
    }
    assert!(server.names("trinoclusters").iter().all(|name| !old.contains(name)));
    until_ready(&server, "trinoclustergroups", "adhoc").await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_an_aborted_canary_another_edit_leaves_the_old_one_alone() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    minutes(6).await;
    let (old, worse) = begin(&server, steps()).await;
    until_share(&server, 10, &worse).await;
    scene.outcomes(&worse, 40, 40);
    let only_old = [(old.clone(), "Active".to_owned()), (worse.clone(), "Draining".to_owned())];
    server.until("the new one gets nothing", |server| (routed(server) == only_old).then_some(())).await;
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["template"]["spec"]["version"] = "478".into());
    until_gone(&server, &worse).await;
    let active = |server: &Server| routed(server).contains(&(old.clone(), "Active".to_owned()));
    assert!(active(&server), "it serves all the time");
    until_deployments(&server, 5).await;
    let better = server.names("trinoclusters").into_iter().find(|name| *name != old).expect("a third one");
    make_ready(&server, &better);
    until_share(&server, 10, &better).await;
    assert!(active(&server));
    minutes(16).await;
    until_gone(&server, &old).await;
    assert_eq!(routed(&server), [(better.clone(), "Active".to_owned())]);
    operator.stop().await;
}
