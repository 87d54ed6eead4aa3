//! Drains: a cluster goes when it is proven that no query is left, or when the time for them is over, and not before.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{condition, make_ready, object, routed, running_with, scene::Scene, server::Server, until_deployments};

const FIRST: &str = "10.0.0.1";
const SECOND: &str = "10.0.0.2";

/// Replaces the one cluster; returns the old one's name and the new one's once the old one drains.
async fn replace(server: &Server) -> (String, String) {
    let old = server.names("trinoclusters").remove(0);
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["template"]["spec"]["version"] = "477".into());
    until_deployments(server, 5).await;
    let new = server.names("trinoclusters").into_iter().find(|name| *name != old).expect("a new cluster");
    make_ready(server, &new);
    let both = [(old.clone(), "Draining".to_owned()), (new.clone(), "Active".to_owned())];
    server.until("the old one drains", |server| (routed(server) == both).then_some(())).await;
    (old, new)
}

fn draining(server: &Server, cluster: &str) -> Option<Value> {
    server.get("trinoclusters", cluster).map(|cluster| cluster["status"]["draining"].clone())
}

pub async fn until_gone(server: &Server, cluster: &str) {
    let gone = |server: &Server| (!server.names("trinoclusters").contains(&cluster.to_owned())).then_some(());
    server.until(&format!("{cluster} is gone"), gone).await;
}

fn stays(server: &Server, cluster: &str) -> bool {
    server.names("trinoclusters").contains(&cluster.to_owned())
        && routed(server).contains(&(cluster.to_owned(), "Draining".to_owned()))
}

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_cluster_goes_seconds_after_its_last_query() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    minutes(6).await; // the proxies have been there for longer than any query that a lost one knew
    scene.listed(&["20260921_122600_00001_abcde"]);
    let (old, _) = replace(&server).await;
    minutes(20).await;
    assert!(stays(&server, &old));
    let found = draining(&server, &old).expect("there");
    assert_eq!((&found["queries"], &found["oldest"]["id"]), (&json!(1), &json!("20260921_122600_00001_abcde")));
    assert_eq!((&found["oldest"]["user"], &found["oldest"]["since"]), (&json!("ann"), &json!("2026-09-21T12:26:00Z")));
    let ready = condition(&server.get("trinoclusters", &old).expect("there"), "Ready").expect("a condition");
    assert_eq!((ready.0.as_str(), ready.1.as_str()), ("True", "Draining"));
    assert!(ready.2.contains("1 queries go on, the oldest is 20260921_122600_00001_abcde of ann"), "{}", ready.2);
    scene.listed(&[]);
    let before = tokio::time::Instant::now();
    until_gone(&server, &old).await;
    assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_proxies_or_coordinator_know_or_do_not_tell_keeps_the_cluster() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    minutes(6).await;
    scene.live(FIRST, "20260921_122600_00001_abcde");
    let (old, _) = replace(&server).await;
    minutes(2).await;
    assert!(stays(&server, &old), "a client holds a nextUri");
    scene.hidden(2);
    scene.ended(SECOND, "20260921_122600_00001_abcde");
    minutes(2).await;
    assert!(stays(&server, &old), "the coordinator counts two that it does not list");
    scene.deaf(SECOND, true);
    scene.hidden(0);
    minutes(2).await;
    assert!(stays(&server, &old), "a proxy does not tell");
    let unknown = draining(&server, &old).expect("there")["unknown"].clone();
    assert_eq!(unknown, json!(["proxy edge-proxy-1: connection refused"]));
    scene.deaf("coordinator", true);
    scene.deaf(SECOND, false);
    minutes(2).await;
    assert!(stays(&server, &old), "the coordinator does not tell");
    scene.deaf("coordinator", false);
    scene.transactions(1);
    minutes(2).await;
    assert!(stays(&server, &old), "a client has begun a transaction");
    assert_eq!(draining(&server, &old).expect("there")["transactions"], 1);
    scene.transactions(0);
    until_gone(&server, &old).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whose_query_it_is_is_told_once_the_coordinator_answers() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    minutes(6).await;
    let query = "20260921_122600_00001_abcde";
    scene.live(FIRST, query);
    scene.listed(&[query]);
    let coordinator = format!("{}-coordinator", server.names("trinoclusters").remove(0));
    scene.deaf(&coordinator, true);
    let (old, _) = replace(&server).await;
    let oldest = |server: &Server| {
        let oldest = draining(server, &old)?["oldest"].clone();
        (oldest["id"] == query).then(|| oldest["user"].clone())
    };
    assert_eq!(server.until("the proxies tell of it", oldest).await, Value::Null);
    scene.deaf(&coordinator, false);
    server.until("the coordinator tells", |server| (oldest(server)? == "ann").then_some(())).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_proxy_was_lost_a_drain_waits_for_what_it_alone_knew() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    minutes(6).await;
    scene.hidden(1);
    let (old, _) = replace(&server).await;
    minutes(1).await;
    server.delete("pods", "edge-proxy-0");
    scene.hidden(0);
    minutes(4).await;
    assert!(stays(&server, &old));
    let before = tokio::time::Instant::now();
    until_gone(&server, &old).await;
    assert!(before.elapsed() < Duration::from_secs(90), "{:?}", before.elapsed());
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_ended_or_was_away_for_long_holds_up_nothing() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    scene.deaf(FIRST, true);
    scene.deaf(SECOND, true);
    server.edit("pods", "edge-proxy-0", |pod| pod["status"]["phase"] = "Failed".into());
    let (old, _) = replace(&server).await;
    minutes(10).await;
    assert!(stays(&server, &old), "the second proxy may know something");
    server.edit("pods", "edge-proxy-1", |pod| {
        // The node's end: Kubernetes has not heard of it since, and leaves the pod where it is.
        let since = "2026-09-21T12:00:00Z";
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "Unknown", "lastTransitionTime": since}]);
    });
    until_gone(&server, &old).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_over_what_still_runs_is_named_and_cut() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["rollout"]["drainTimeout"] = "10m".into());
    scene.listed(&["20260921_122600_00001_abcde", "20260921_122600_00002_abcde"]);
    let (old, _) = replace(&server).await;
    minutes(9).await;
    assert!(stays(&server, &old));
    until_gone(&server, &old).await;
    let events = server.notes();
    let cut = events.iter().find(|note| note.contains("the time to drain is over")).expect("an Event");
    assert!(
        cut.contains("2 queries are cut: 20260921_122600_00001_abcde of ann, 20260921_122600_00002_abcde of ann"),
        "{cut}"
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_terms_of_a_drain_are_those_of_the_newest_edit() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    scene.listed(&["20260921_122600_00001_abcde"]);
    // In one edit with the template: the old cluster is not of that revision any more.
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["rollout"]["drainTimeout"] = "30m".into();
        group["spec"]["template"]["spec"]["config"] = json!({"query.max-memory": "1GB"});
    });
    let (old, _) = replace(&server).await;
    minutes(20).await;
    assert!(stays(&server, &old));
    // And while it drains.
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["rollout"]["drainTimeout"] = "2h".into());
    minutes(90).await;
    assert!(stays(&server, &old));
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["rollout"]["drainTimeout"] = "1m".into());
    let before = tokio::time::Instant::now();
    until_gone(&server, &old).await;
    assert!(before.elapsed() < Duration::from_secs(60), "{:?}", before.elapsed());
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_drains_first_and_an_annotation_ends_that() {
    for forced in [false, true] {
        let scene = Scene::default();
        let (server, operator) = running_with("warren:1", &scene).await;
        minutes(6).await;
        scene.listed(&["20260921_122600_00001_abcde"]);
        let cluster = server.names("trinoclusters").remove(0);
        server.delete("trinoclustergroups", "adhoc");
        minutes(10).await;
        assert!(stays(&server, &cluster), "its polls are served");
        if forced {
            server.edit("trinoclustergroups", "adhoc", |group| {
                group["metadata"]["annotations"] = json!({"trinowarren.io/force-removal": "true"});
            });
        } else {
            scene.listed(&[]);
        }
        let gone = |server: &Server| server.names("trinoclustergroups").is_empty().then_some(());
        server.until("the group is gone", gone).await;
        assert!(server.names("trinoclusters").is_empty() && server.names("deployments") == ["edge-proxy"]);
        operator.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_made_by_hand_says_when_it_is_drained_and_serves_again_after_an_edit() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    server.put("trinoclusters", object("TrinoCluster", "mine", &json!({"version": "476"})));
    until_deployments(&server, 5).await;
    make_ready(&server, "mine");
    let phase = |phase: &'static str| {
        move |server: &Server| (server.get("trinoclusters", "mine")?["status"]["phase"] == phase).then_some(())
    };
    server.until("it is active", phase("Active")).await;
    let budget = |server: &Server| {
        server.get("poddisruptionbudgets", "mine-coordinator").expect("there")["spec"]["maxUnavailable"].clone()
    };
    scene.listed(&["20260921_122600_00001_abcde"]);
    server.edit("trinoclusters", "mine", |cluster| cluster["spec"]["serving"] = "Drained".into());
    server.until("it drains", phase("Draining")).await;
    minutes(10).await;
    assert_eq!(budget(&server), 0, "its queries hold an eviction");
    scene.listed(&[]);
    server.until("it is drained", phase("Drained")).await;
    minutes(30).await;
    assert_eq!(budget(&server), 1);
    let before = server.writes().len();
    minutes(60).await;
    assert_eq!(server.writes()[before..], [] as [String; 0], "it rests");
    server.edit("trinoclusters", "mine", |cluster| cluster["spec"]["serving"] = "Active".into());
    server.until("it is active again", phase("Active")).await;
    assert_eq!(draining(&server, "mine"), Some(Value::Null));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_hibernates_drains_has_no_pods_and_comes_back() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    server.put("trinoclusters", object("TrinoCluster", "mine", &json!({"version": "476", "workers": {"replicas": 3}})));
    until_deployments(&server, 5).await;
    make_ready(&server, "mine");
    let phase = |phase: &'static str| {
        move |server: &Server| (server.get("trinoclusters", "mine")?["status"]["phase"] == phase).then_some(())
    };
    server.until("it is active", phase("Active")).await;
    let replicas = |server: &Server| {
        ["mine-coordinator", "mine-worker"]
            .map(|name| server.get("deployments", name).expect("there")["spec"]["replicas"].clone())
    };
    scene.listed(&["20260921_122600_00001_abcde"]);
    server.edit("trinoclusters", "mine", |cluster| cluster["spec"]["serving"] = "Hibernated".into());
    server.until("it drains", phase("Draining")).await;
    minutes(10).await;
    assert_eq!(replicas(&server), [1, 3], "its query goes on");
    scene.listed(&[]);
    server.until("its pods are to go", |server| (replicas(server) == [0, 0]).then_some(())).await;
    assert_eq!(condition(&server.get("trinoclusters", "mine").expect("there"), "Ready").expect("one").1, "Hibernating");
    for pod in server.names("pods").iter().filter(|pod| pod.starts_with("mine")) {
        server.delete("pods", pod);
    }
    server.until("it hibernates", phase("Hibernated")).await;
    let before = server.writes().len();
    minutes(60).await;
    assert_eq!(server.writes()[before..], [] as [String; 0], "it rests");
    // As little as that is kept of it is lost by an edit.
    server.edit("trinoclusters", "mine", |cluster| cluster["spec"]["workers"]["replicas"] = 2.into());
    minutes(1).await;
    assert_eq!(replicas(&server), [0, 0]);
    server.edit("trinoclusters", "mine", |cluster| cluster["spec"]["serving"] = "Active".into());
    server.until("its pods come back", |server| (replicas(server) == [1, 2]).then_some(())).await;
    make_ready(&server, "mine");
    server.until("it is verified and active", phase("Active")).await;
    operator.stop().await;
}
