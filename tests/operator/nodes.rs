//! A cluster whose coordinator's node is to go is replaced before it drains.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    drain::until_gone, make_ready, object, routed, running_with, scene::Scene, server::Server, until_deployments,
    until_ready,
};

fn node(server: &Server, name: &str, spec: &Value) {
    server.put("nodes", json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}));
}

#[tokio::test(start_paused = true)]
async fn a_cordoned_node_moves_its_clusters_and_an_uncordon_ends_no_move() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    server.put("trinoclusters", object("TrinoCluster", "mine", &json!({"version": "476"})));
    until_deployments(&server, 5).await;
    make_ready(&server, "mine");
    tokio::time::sleep(Duration::from_secs(360)).await;
    let old = server.names("trinoclusters").into_iter().find(|name| name != "mine").expect("the group's");
    for pod in [format!("{old}-coordinator-0"), "mine-coordinator-0".into()] {
        server.edit("pods", &pod, |pod| pod["spec"] = json!({"containers": [], "nodeName": "n1"}));
    }
    server.edit("pods", &format!("{old}-worker-0"), |pod| pod["spec"] = json!({"containers": [], "nodeName": "n2"}));
    node(&server, "n1", &json!({}));
    node(&server, "n2", &json!({"unschedulable": true}));
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(server.names("trinoclusters").len(), 2, "workers drain by themselves");
    node(&server, "n1", &json!({"unschedulable": true}));
    until_deployments(&server, 7).await;
    assert_eq!(routed(&server), [(old.clone(), "Active".to_owned())], "it serves until the new one does");
    assert!(server.notes().iter().any(|note| note.contains("node \"n1\" is to go")), "{:?}", server.notes());
    node(&server, "n1", &json!({}));
    let is_new = |name: &String| *name != old && name != "mine";
    let new = server.names("trinoclusters").into_iter().find(is_new).expect("a new one");
    make_ready(&server, &new);
    until_gone(&server, &old).await;
    assert_eq!(routed(&server), [(new, "Active".to_owned())]);
    until_ready(&server, "trinoclustergroups", "adhoc").await;
    operator.stop().await;
}
