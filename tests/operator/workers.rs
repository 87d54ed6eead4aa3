//! Workers: those that are to go drain first, are taken back when they are wanted again, and go nevertheless when their time
//! is over; and an autoscaler sets their number.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    Operator, condition, make_pods, make_ready, object, running_with, scene::Scene, server::Server, until_deployments,
    until_ready,
};

const CLUSTER: &str = "mine";
const WORKERS: &str = "mine-worker";

/// A cluster made by hand with three workers, of the addresses 10.0.0.1 to 10.0.0.3, that serves.
async fn three_workers(scene: &Scene, workers: &Value) -> (Server, Operator) {
    let (server, operator) = running_with("warren:1", scene).await;
    server.put("trinoclusters", object("TrinoCluster", CLUSTER, &json!({"version": "476", "workers": workers})));
    until_deployments(&server, 5).await;
    make_ready(&server, CLUSTER);
    until_ready(&server, "trinoclusters", CLUSTER).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    (server, operator)
}

fn scale(server: &Server, replicas: u64) {
    server.edit("trinoclusters", CLUSTER, |cluster| cluster["spec"]["workers"]["replicas"] = replicas.into());
}

fn replicas(server: &Server) -> u64 {
    server.get("deployments", WORKERS).expect("there")["spec"]["replicas"].as_u64().expect("a number")
}

fn pods(server: &Server) -> Vec<String> {
    server.names("pods").into_iter().filter(|name| name.starts_with(WORKERS)).collect()
}

fn draining(server: &Server) -> Option<u64> {
    server.get("trinoclusters", CLUSTER)?["status"]["workers"]["draining"].as_u64()
}

/// Does what the controllers do: pods go by their deletion cost, and the Deployment's status follows.
fn settle(server: &Server) {
    let cost = |name: &String| {
        let pod = server.get("pods", name).expect("there");
        let cost = pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].as_str();
        cost.map_or(0, |cost| cost.parse::<i64>().expect("a number"))
    };
    let mut there = pods(server);
    there.sort_by_key(cost);
    let wanted = usize::try_from(replicas(server)).expect("small");
    for name in there.iter().take(there.len().saturating_sub(wanted)) {
        server.delete("pods", name);
    }
    if there.len() < wanted {
        make_pods(server, WORKERS);
    }
    make_status(server);
}

fn make_status(server: &Server) {
    server.edit("deployments", WORKERS, |deployment| {
        let replicas = deployment["spec"]["replicas"].clone();
        deployment["status"] = json!({
            "observedGeneration": deployment["metadata"]["generation"], "replicas": replicas,
            "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
        });
    });
}

async fn until_draining(server: &Server, scene: &Scene, addresses: &[&str]) {
    let all = |_: &Server| addresses.iter().all(|address| scene.worker(address) == "DRAINING").then_some(());
    server.until(&format!("{addresses:?} drain"), all).await;
    let count = u64::try_from(addresses.len()).expect("small");
    server.until("status tells", |server| (draining(server)? == count).then_some(())).await;
}

async fn until_replicas(server: &Server, count: u64) {
    server.until(&format!("{count} replicas"), |server| (replicas(server) == count).then_some(())).await;
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn workers_go_one_by_one_as_each_is_drained_also_under_another_operator() {
    let scene = Scene::default();
    let (server, operator) = three_workers(&scene, &json!({"replicas": 3})).await;
    scale(&server, 1);
    until_draining(&server, &scene, &["10.0.0.1", "10.0.0.2"]).await;
    let ready = condition(&server.get("trinoclusters", CLUSTER).expect("there"), "Ready").expect("a condition");
    assert_eq!((ready.0.as_str(), ready.1.as_str()), ("True", "WorkersDraining"));
    seconds(200).await;
    assert_eq!((replicas(&server), pods(&server).len()), (3, 3), "they have tasks");
    operator.stop().await;
    let operator = Operator::start_in(&scene, &server, "warren:1");
    scene.set_worker("10.0.0.2", "DRAINED");
    until_replicas(&server, 2).await;
    settle(&server);
    assert_eq!(pods(&server), ["mine-worker-0", "mine-worker-2"], "the one that is drained went");
    seconds(200).await;
    assert_eq!(replicas(&server), 2);
    scene.set_worker("10.0.0.1", "DRAINED");
    until_replicas(&server, 1).await;
    settle(&server);
    assert_eq!(pods(&server), ["mine-worker-2"]);
    server.until("status tells", |server| (draining(server)? == 0).then_some(())).await;
    let before = server.writes().len();
    seconds(3600).await;
    assert_eq!(server.writes()[before..], [] as [String; 0], "it rests");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_scale_out_takes_those_back_that_drain() {
    let scene = Scene::default();
    let (server, operator) = three_workers(&scene, &json!({"replicas": 3})).await;
    scale(&server, 1);
    until_draining(&server, &scene, &["10.0.0.1", "10.0.0.2"]).await;
    scale(&server, 4);
    until_replicas(&server, 4).await;
    let back =
        |_: &Server| ["10.0.0.1", "10.0.0.2"].iter().all(|address| scene.worker(address) == "ACTIVE").then_some(());
    server.until("both are active", back).await;
    let marked = |server: &Server| {
        pods(server).iter().any(|pod| {
            let annotations = server.get("pods", pod).expect("there")["metadata"]["annotations"].clone();
            annotations.as_object().is_some_and(|annotations| !annotations.is_empty())
        })
    };
    server.until("no pod is marked", |server| (!marked(server)).then_some(())).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_goes_when_its_time_is_over_with_an_event() {
    let scene = Scene::default();
    let workers = json!({"replicas": 3, "gracefulShutdown": {"timeout": "10m"}});
    let (server, operator) = three_workers(&scene, &workers).await;
    scene.deaf("10.0.0.1:8080/v1/info/state", true);
    scale(&server, 2);
    server.until("status tells", |server| (draining(server)? == 1).then_some(())).await;
    seconds(580).await;
    assert_eq!(replicas(&server), 3);
    let ready = condition(&server.get("trinoclusters", CLUSTER).expect("there"), "Ready").expect("a condition");
    assert!(ready.2.ends_with("not asked: mine-worker-0: connection refused"), "{}", ready.2);
    until_replicas(&server, 2).await;
    settle(&server);
    assert_eq!(pods(&server), ["mine-worker-1", "mine-worker-2"]);
    let told = server.notes().into_iter().filter(|note| note.contains("did not end its tasks in time")).count();
    assert_eq!(told, 1);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_end_its_tasks_in_time_is_not_given_it_twice() {
    let scene = Scene::default();
    let workers = json!({"replicas": 3, "gracefulShutdown": {"timeout": "10m"}});
    let (server, operator) = three_workers(&scene, &workers).await;
    scale(&server, 2);
    until_draining(&server, &scene, &["10.0.0.1"]).await;
    until_replicas(&server, 2).await;
    // The pod stays as long as its hook runs.
    server.edit("pods", "mine-worker-0", |pod| pod["metadata"]["finalizers"] = json!(["test/hook"]));
    settle(&server);
    let told = |_: &Server| (scene.worker("10.0.0.1") == "SHUTTING_DOWN").then_some(());
    server.until("the hook is told to end", told).await;
    assert_eq!(scene.worker("10.0.0.2"), "ACTIVE");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_name_of_the_user_stands_in_its_secret_alone() {
    let scene = Scene::default();
    let (server, operator) = three_workers(&scene, &json!({"replicas": 3})).await;
    let secret = server.get("secrets", "mine-drain").expect("there");
    let rules: k8s_openapi::ByteString = serde_json::from_value(secret["data"]["rules.json"].clone()).expect("bytes");
    let rules: Value = serde_json::from_slice(&rules.0).expect("JSON");
    let user = rules["system_information"][0]["user"].as_str().expect("a name").to_owned();
    assert_eq!(user.len(), "warren-".len() + 64);
    scale(&server, 1);
    until_draining(&server, &scene, &["10.0.0.1", "10.0.0.2"]).await;
    for kind in ["configmaps", "trinoclusters", "controllerrevisions", "deployments", "pods"] {
        for name in server.names(kind) {
            let object = server.get(kind, &name).expect("there").to_string();
            assert!(!object.contains(&user), "{kind} {name}");
        }
    }
    assert!(!server.notes().concat().contains(&user));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_sets_the_number_and_a_new_revision_begins_with_it() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    let old = server.names("trinoclusters").remove(0);
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["template"]["spec"]["workers"] = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 6}});
    });
    let replicas =
        |server: &Server, cluster: &str| server.get("trinoclusters", cluster)?["spec"]["workers"]["replicas"].as_u64();
    server.until("it begins with the fewest", |server| (replicas(server, &old)? == 2).then_some(())).await;
    let autoscaler = format!("{old}-worker");
    server
        .until("an autoscaler", |server| {
            let made = server.get("horizontalpodautoscalers", &autoscaler)?;
            assert_eq!(made["spec"]["scaleTargetRef"]["kind"], "TrinoCluster");
            (made["spec"]["maxReplicas"] == 6).then_some(())
        })
        .await;
    // As the autoscaler does; then the group applies its template again, for another reason.
    server.edit("trinoclusters", &old, |cluster| cluster["spec"]["workers"]["replicas"] = 5.into());
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["rollout"]["drainTimeout"] = "9m".into());
    let applied =
        |server: &Server| (server.get("trinoclusters", &old)?["spec"]["drain"]["timeout"] == "9m").then_some(());
    server.until("the group applies", applied).await;
    seconds(60).await;
    assert_eq!(replicas(&server, &old), Some(5), "nobody else sets it");
    assert_eq!(server.names("trinoclusters"), std::slice::from_ref(&old), "no new revision");

    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["template"]["spec"]["version"] = "477".into());
    until_deployments(&server, 5).await;
    let new = server.names("trinoclusters").into_iter().find(|name| *name != old).expect("a new cluster");
    server.until("it begins with what the old one has", |server| (replicas(server, &new)? == 5).then_some(())).await;
    let deployment = server.get("deployments", &format!("{new}-worker")).expect("there");
    assert_eq!(deployment["spec"]["replicas"], 5);
    make_ready(&server, &new);
    server.until("the old one is gone", |server| (server.names("trinoclusters") == [new.clone()]).then_some(())).await;
    assert_eq!(server.names("horizontalpodautoscalers"), [format!("{new}-worker")]);
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["template"]["spec"]["workers"] = json!({"replicas": 3});
    });
    // What is applied no more goes, at a real API server.
    server.edit("trinoclusters", &new, |cluster| cluster["spec"]["workers"] = json!({"replicas": 5}));
    let none = |server: &Server| server.names("horizontalpodautoscalers").is_empty().then_some(());
    server.until("the autoscaler is gone", none).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_drained_cluster_waits_for_none_of_its_workers() {
    let scene = Scene::default();
    let (server, operator) = three_workers(&scene, &json!({"replicas": 3})).await;
    server.edit("trinoclusters", CLUSTER, |cluster| cluster["spec"]["serving"] = "Drained".into());
    let drained =
        |server: &Server| (server.get("trinoclusters", CLUSTER)?["status"]["phase"] == "Drained").then_some(());
    server.until("it is drained", drained).await;
    // The scale-in is another edit: for a moment nobody knows that the drain still holds.
    scale(&server, 1);
    until_replicas(&server, 1).await;
    settle(&server);
    server.delete("trinoclusters", CLUSTER);
    let gone = |server: &Server| (!server.names("trinoclusters").contains(&CLUSTER.to_owned())).then_some(());
    server.until("it is gone", gone).await;
    operator.stop().await;
}
