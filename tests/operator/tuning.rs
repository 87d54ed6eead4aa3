//! Settings and labels of proxies, and proxies that serve some of a gateway's groups.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{condition, object, running, running_with, scene::Scene, server::Server, until_ready};

const FIRST: &str = "10.0.0.1";
const CONFIG: &str = "ConfigAccepted";

fn set_config(server: &Server, config: &str) {
    server.edit("proxygroups", "edge", |proxies| proxies["spec"]["template"]["spec"]["config"] = config.into());
}

fn template(server: &Server) -> Value {
    server.get("deployments", "edge-proxy").expect("there")["spec"]["template"].clone()
}

fn accepted(server: &Server) -> Option<(String, String, String)> {
    condition(&server.get("proxygroups", "edge")?, CONFIG)
}

async fn until_accepted(server: &Server, status: &str, reason: &str) -> String {
    let is_so = |server: &Server| accepted(server).filter(|found| (&*found.0, &*found.1) == (status, reason));
    server.until(&format!("{CONFIG} is {status} for {reason}"), is_so).await.2
}

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

#[tokio::test(start_paused = true)]
async fn settings_that_reload_restart_nothing_and_count_when_all_have_them() {
    let scene = Scene::default();
    let (server, operator) = running_with("warren:1", &scene).await;
    assert_eq!(accepted(&server), None, "there is nothing to accept");
    set_config(&server, "polls: {tries: 3}");
    let mounted = |server: &Server| template(server).to_string().contains("edge-proxy-config").then_some(());
    server.until("the settings are mounted", mounted).await;
    crate::make_ready(&server, "edge");
    until_accepted(&server, "True", "ConfigApplied").await;
    minutes(1).await;

    let (before, old) = (template(&server), accepted(&server).expect("a condition").2);
    scene.settings(FIRST, Some(json!({"hash": "0123456789", "fault": null})));
    set_config(&server, "polls: {tries: 4}");
    let message = until_accepted(&server, "False", "ConfigPending").await;
    assert!(message.starts_with("1 of 2 proxies applied "), "{message}");
    let fault = "polls.tries: no such setting";
    scene.settings(FIRST, Some(json!({"hash": "0123456789", "fault": fault})));
    let message = until_accepted(&server, "False", "ConfigRefused").await;
    assert!(message.contains("edge-proxy-0 goes on with the last good ones, 0123456789: polls.tries"), "{message}");
    let status = &server.get("proxygroups", "edge").expect("there")["status"];
    let hash = warren::tuning::digest("polls: {tries: 4}");
    assert_eq!(status["configHash"], hash);
    assert_eq!(status["appliedBy"][0], json!({"pod": "edge-proxy-0", "hash": "0123456789", "fault": fault}));
    assert_eq!(status["appliedBy"][1], json!({"pod": "edge-proxy-1", "hash": hash}));
    let pod = server.get("pods", "edge-proxy-1").expect("there");
    assert_eq!(pod["metadata"]["annotations"]["trinowarren.io/config"], hash);

    scene.settings(FIRST, None);
    assert_ne!(until_accepted(&server, "True", "ConfigApplied").await, old);
    assert_eq!(template(&server), before);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_are_named_and_change_nothing() {
    let (server, operator) = running("warren:1").await;
    let before = template(&server);
    for (config, message) in [
        (
            "listen: {client: '0.0.0.0:80'}",
            "listen: Warren sets this itself, from spec.template.spec.server.ports; remove it here",
        ),
        ("colour: blue", "colour: there is no such setting"),
        ("polls: {tries: 0}", "polls.tries: write a whole number from 1 to 100"),
    ] {
        set_config(&server, config);
        let told = |server: &Server| {
            accepted(server).filter(|(status, reason, told)| {
                (&**status, &**reason) == ("False", "ConfigRefused") && told.contains(message)
            })
        };
        let told = server.until(config, told).await.2;
        assert!(told.starts_with("spec.template.spec.config: ") && told.ends_with("stay in force"), "{told}");
        let proxies = server.get("proxygroups", "edge").expect("there");
        assert_eq!(condition(&proxies, "Stalled").map(|found| found.0).as_deref(), Some("True"));
        assert_eq!(condition(&proxies, "Ready").map(|found| found.0).as_deref(), Some("True"), "they serve");
        assert_eq!(template(&server), before);
    }
    server.edit("proxygroups", "edge", |proxies| {
        proxies["spec"]["template"]["spec"].as_object_mut().expect("fields").remove("config");
    });
    server.until("nothing is refused", |server| accepted(server).is_none().then_some(())).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn labels_come_to_pods_that_run_and_go_from_them() {
    let (server, operator) = running("warren:1").await;
    let before = template(&server);
    let set = |metadata: Value| {
        server.edit("proxygroups", "edge", |proxies| proxies["spec"]["template"]["metadata"] = metadata.clone());
    };
    let labels = |server: &Server, pod: &str| server.get("pods", pod).expect("there")["metadata"]["labels"].clone();
    set(json!({"labels": {"team": "bi"}, "annotations": {"example.com/a": "b"}}));
    for pod in ["edge-proxy-0", "edge-proxy-1"] {
        server.until("the label is there", |server| (labels(server, pod)["team"] == "bi").then_some(())).await;
        assert_eq!(server.get("pods", pod).expect("there")["metadata"]["annotations"]["example.com/a"], "b");
    }
    server.edit("pods", "edge-proxy-0", |pod| pod["metadata"]["labels"]["mesh"] = "someone's".into());
    set(json!({"labels": {"cost": "low"}}));
    let changed = |server: &Server| {
        let labels = labels(server, "edge-proxy-0");
        (labels["cost"] == "low" && labels.get("team").is_none()).then_some(labels)
    };
    let labels = server.until("the labels are changed", changed).await;
    assert_eq!(labels["mesh"], "someone's");
    assert_eq!(template(&server), before, "no pod is made anew");
    operator.stop().await;
}

fn narrow(server: &Server) -> Option<Value> {
    let config_map = server.get("configmaps", "edge-proxy-routing")?;
    serde_json::from_str(config_map["data"]["routing-table.json"].as_str()?).ok()
}

#[tokio::test(start_paused = true)]
async fn proxies_of_some_groups_follow_a_table_of_their_own() {
    let (server, operator) = running("warren:1").await;
    let external = |name: &str| json!([{"name": name, "url": format!("http://{name}:8080")}]);
    for (name, audience) in [("open", "partners"), ("secret", "none")] {
        let mut group = object("TrinoClusterGroup", name, &json!({"replicas": 0, "external": external(name)}));
        group["metadata"]["labels"] = json!({"audience": audience});
        server.put("trinoclustergroups", group);
    }
    server.edit("proxygroups", "edge", |proxies| {
        proxies["spec"]["groups"] = json!({"selector": {"matchLabels": {"audience": "partners"}}});
    });
    let names = |table: &Value| {
        let groups = table["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().map(|group| group["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let has = |server: &Server, wanted: &[&str]| narrow(server).filter(|table| names(table) == wanted);
    let table = server.until("one group is served", |server| has(server, &["open"])).await;
    assert!(!table.to_string().contains("http://secret"), "{table}");
    let follows = |server: &Server| {
        template(server).to_string().contains("--routing-config-map=edge-proxy-routing").then_some(())
    };
    server.until("the proxies follow it", follows).await;
    let role = server.get("roles", "edge-proxy").expect("there");
    assert_eq!(role["rules"][0]["resourceNames"], json!(["edge-proxy-routing"]));
    crate::make_ready(&server, "edge");
    until_ready(&server, "proxygroups", "edge").await;
    let before = template(&server);

    server.edit("trinoclustergroups", "open", |group| group["metadata"]["labels"]["audience"] = "none".into());
    server.edit("trinoclustergroups", "secret", |group| group["metadata"]["labels"]["audience"] = "partners".into());
    let table = server.until("one comes and one leaves", |server| has(server, &["secret", "open"])).await;
    assert_eq!(table["groups"][1]["clusters"][0]["serving"], "Draining");
    minutes(75).await;
    server.until("it has left", |server| has(server, &["secret"])).await;
    assert_eq!(template(&server), before, "nothing restarts");

    server.edit("proxygroups", "edge", |proxies| proxies["spec"]["groups"] = json!({"names": ["nowhere"]}));
    let missing = |server: &Server| {
        condition(&server.get("proxygroups", "edge")?, "Stalled").filter(|(_, reason, _)| reason == "GroupNotFound")
    };
    let message = server.until("a name is missing", missing).await.2;
    assert!(
        message.starts_with("spec.groups.names[0]: TrinoGateway \"gw\" has no TrinoClusterGroup \"nowhere\""),
        "{message}"
    );
    operator.stop().await;
}
