//! The whole operator against an API server in memory, in virtual time: what it makes, what it leaves alone, and that it
//! rests when there is nothing to do.

mod acts;
mod authentication;
mod canary;
mod catalogs;
mod crash;
mod drain;
mod events;
mod external;
mod faults;
mod fields;
mod kubectl;
mod nodes;
mod proxies;
mod scene;
mod server;
mod stale;
mod tls;
mod tuning;
mod verify;
mod workers;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warren::reconcile::{Clock, Metrics, Readiness, Scope, Settings, run};

use scene::Scene;
use server::Server;

struct Operator {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Operator {
    fn start(server: &Server, image: &str) -> Self {
        Self::start_in(&Scene::default(), server, image)
    }

    fn start_in(scene: &Scene, server: &Server, image: &str) -> Self {
        let shutdown = CancellationToken::new();
        // One clock for all operators of a server: a restarted one goes on where its objects are.
        let time = server.clone();
        let clock: Clock = Arc::new(move || Timestamp::from_second(time.now().as_second()).expect("in range"));
        let settings = Settings {
            scope: Scope::All,
            own_image: image.into(),
            instance: "test".into(),
            clock,
            leaving_taints: Some(Vec::new()),
            fetch: scene.fetch(server),
            namespace: Some("warren-system".into()),
        };
        let metrics = Metrics::register(&mut Registry::default());
        let task = tokio::spawn(run(server.client(), settings, metrics, Readiness::default(), shutdown.clone()));
        Self { shutdown, task }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("the operator ends well");
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "trinowarren.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "trino"}, "spec": spec,
    })
}

fn quickstart(server: &Server) {
    server.put("trinogateways", object("TrinoGateway", "gw", &json!({"routing": {"default": {"group": "adhoc"}}})));
    let template = json!({"spec": {"version": "476"}});
    let group = json!({"template": template, "rollout": {}});
    server.put("trinoclustergroups", object("TrinoClusterGroup", "adhoc", &group));
    server.put("proxygroups", object("ProxyGroup", "edge", &json!({"gateway": {"name": "gw"}, "replicas": 2})));
}

/// Does what the Deployment controller and the kubelet do, for the Deployments whose name begins with `prefix`.
fn make_ready(server: &Server, prefix: &str) {
    for name in server.names("deployments").iter().filter(|name| name.starts_with(prefix)) {
        server.edit("deployments", name, |deployment| {
            let replicas = deployment["spec"]["replicas"].clone();
            deployment["status"] = json!({
                "observedGeneration": deployment["metadata"]["generation"], "replicas": replicas,
                "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
            });
        });
        make_pods(server, name);
    }
}

/// Running pods of a Deployment, which go with it; the proxies' have the addresses 10.0.0.1, 10.0.0.2 and so on.
fn make_pods(server: &Server, deployment: &str) {
    let made = server.get("deployments", deployment).expect("there");
    for number in 0..made["spec"]["replicas"].as_u64().expect("a number") {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("{deployment}-{number}"), "namespace": "trino",
                "labels": made["spec"]["template"]["metadata"]["labels"],
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment,
                    "uid": made["metadata"]["uid"]}],
            },
            "spec": made["spec"]["template"]["spec"],
            "status": {
                "phase": "Running", "podIP": format!("10.0.0.{}", number + 1),
                "containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
            },
        });
        server.put("pods", pod);
    }
}

fn condition(object: &Value, type_: &str) -> Option<(String, String, String)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == type_)?;
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

async fn until_ready(server: &Server, plural: &str, name: &str) {
    server
        .until(&format!("{plural} {name} is Ready"), |server| {
            condition(&server.get(plural, name)?, "Ready").filter(|(status, ..)| status == "True")
        })
        .await;
}

async fn until_deployments(server: &Server, count: usize) {
    let enough = |server: &Server| (server.names("deployments").len() >= count).then_some(());
    server.until(&format!("{count} Deployments"), enough).await;
}

/// A group, a gateway and proxies whose Deployments are ready.
async fn running(image: &str) -> (Server, Operator) {
    running_with(image, &Scene::default()).await
}

async fn running_with(image: &str, scene: &Scene) -> (Server, Operator) {
    let server = Server::new();
    quickstart(&server);
    let operator = Operator::start_in(scene, &server, image);
    until_deployments(&server, 3).await;
    make_ready(&server, "");
    for (plural, name) in [("trinoclustergroups", "adhoc"), ("trinogateways", "gw"), ("proxygroups", "edge")] {
        until_ready(&server, plural, name).await;
    }
    // What the last status writes woke settles too.
    tokio::time::sleep(Duration::from_secs(5)).await;
    (server, operator)
}

fn table(server: &Server) -> Value {
    let config_map = server.get("configmaps", "gw-routing").expect("a routing table");
    serde_json::from_str(config_map["data"]["routing-table.json"].as_str().expect("a table")).expect("JSON")
}

fn routed(server: &Server) -> Vec<(String, String)> {
    let table = table(server);
    let clusters = table["groups"][0]["clusters"].as_array().cloned().unwrap_or_default();
    let text = |cluster: &Value, field: &str| cluster[field].as_str().unwrap_or_default().to_owned();
    clusters.iter().map(|cluster| (text(cluster, "name"), text(cluster, "serving"))).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_nothing_changes() {
    let (server, operator) = running("warren:1").await;
    let before = server.writes();
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    let after = server.writes();
    assert_eq!(after[before.len()..], [] as [String; 0], "twelve resyncs of each object and 120 sweeps");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_or_upgraded_operator_writes_only_that_an_update_is_there() {
    let (server, operator) = running("warren:1").await;
    operator.stop().await;
    let before = server.writes().len();
    let operator = Operator::start(&server, "warren:2");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(server.writes()[before..], ["PUT proxygroups/edge/status"]);
    let status = &server.get("proxygroups", "edge").expect("there")["status"];
    assert_eq!((status["image"].as_str(), status["updateAvailable"].as_str()), (Some("warren:1"), Some("warren:2")));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_rendered_for_a_revision_stays_when_warren_would_render_it_differently() {
    let (server, operator) = running("warren:1").await;
    operator.stop().await;
    let revision = server.names("controllerrevisions").into_iter().find(|name| name.starts_with("adhoc-"));
    let revision = revision.expect("a revision");
    let path = "/data/components/coordinator/template/spec/containers/0/command/0";
    // As if an older version had rendered another command, and the Deployment ran it.
    server.edit("controllerrevisions", &revision, |kept| {
        *kept.pointer_mut(path).expect("a command") = json!("/older/start");
    });
    let operator = Operator::start(&server, "warren:1");
    let coordinator = server.names("deployments").into_iter().find(|name| name.ends_with("-coordinator"));
    let coordinator = coordinator.expect("a coordinator");
    let command = "/spec/template/spec/containers/0/command/0";
    let old =
        |server: &Server| (server.get("deployments", &coordinator)?.pointer(command)? == "/older/start").then_some(());
    server.until("the Deployment follows what is kept", old).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_edit_makes_a_new_cluster_and_the_old_one_serves_until_it_is_ready() {
    let (server, operator) = running("warren:1").await;
    let old = server.names("trinoclusters").remove(0);
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["template"]["spec"]["version"] = "477".into());
    until_deployments(&server, 5).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(routed(&server), [(old.clone(), "Active".to_owned())], "the new one is not ready");
    let new = server.names("trinoclusters").into_iter().find(|name| *name != old).expect("a new cluster");
    make_ready(&server, &new);
    let both = [(old.clone(), "Draining".to_owned()), (new.clone(), "Active".to_owned())];
    server.until("the old one drains", |server| (routed(server) == both).then_some(())).await;
    assert!(server.names("trinoclusters").contains(&old), "it goes on serving its queries");
    server.until("the old one is gone", |server| (server.names("trinoclusters") == [new.clone()]).then_some(())).await;
    assert_eq!(routed(&server), [(new.clone(), "Active".to_owned())]);
    let left = server.names("deployments").into_iter().filter(|name| name.starts_with(&old)).count();
    assert_eq!(left, 0, "its workloads went with it");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn more_workers_restart_nothing() {
    let (server, operator) = running("warren:1").await;
    let clusters = server.names("trinoclusters");
    let before = server.writes().len();
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["template"]["spec"]["workers"] = json!({"replicas": 3});
    });
    let worker = format!("{}-worker", clusters[0]);
    let scaled = |server: &Server| (server.get("deployments", &worker)?["spec"]["replicas"] == 3).then_some(());
    server.until("three workers", scaled).await;
    make_ready(&server, &worker);
    until_ready(&server, "trinoclustergroups", "adhoc").await;
    assert_eq!(server.names("trinoclusters"), clusters);
    let writes = server.writes()[before..].to_vec();
    let others = writes.iter().filter(|write| !write.ends_with("/status") && !write.contains("gateways"));
    assert_eq!(
        others.cloned().collect::<Vec<_>>(),
        [format!("PATCH trinoclusters/{}", clusters[0]), format!("PATCH deployments/{worker}")]
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rules_that_trino_reads_again_change_in_place_and_others_make_a_new_cluster() {
    let (server, operator) = running("warren:1").await;
    let files = |who: &str, most: u32| {
        json!({
            "accessControl": [{"name": "rules", "rules": {"queries": [{"user": who, "allow": ["execute"]}]}}],
            "resourceGroups": {"rules": {"rootGroups": [{"name": "all", "hardConcurrencyLimit": most}]}},
        })
    };
    let edit = |files: serde_json::Value| {
        server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["template"]["spec"]["files"] = files);
    };
    let first = server.names("trinoclusters").remove(0);
    edit(files("ann", 5));
    until_deployments(&server, 5).await;
    let cluster = server.names("trinoclusters").into_iter().find(|name| *name != first).expect("a new cluster");
    make_ready(&server, &cluster);
    server
        .until("the first is gone", |server| (server.names("trinoclusters") == [cluster.clone()]).then_some(()))
        .await;
    let deployment = server.get("deployments", &format!("{cluster}-coordinator")).expect("there");
    let map = format!("{cluster}-coordinator-live");
    let said = |server: &Server, who: &str| {
        let rules = server.get("configmaps", &map)?["data"]["access-control..rules.json"].as_str()?.to_owned();
        rules.contains(&format!("\"user\": \"{who}\"")).then_some(())
    };
    server.until("the rules are there", |server| said(server, "ann")).await;
    edit(files("bob", 5));
    server.until("the rules have changed", |server| said(server, "bob")).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(server.names("trinoclusters"), std::slice::from_ref(&cluster));
    let after = server.get("deployments", &format!("{cluster}-coordinator")).expect("there");
    assert_eq!(after["spec"], deployment["spec"], "its pods stay");
    assert!(said(&server, "bob").is_some(), "what is in use is not pruned");
    edit(files("bob", 6));
    until_deployments(&server, 5).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_says_so_and_is_left_alone() {
    let (server, operator) = running("warren:1").await;
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["paused"] = true.into();
        group["spec"]["template"]["spec"]["version"] = "477".into();
    });
    let paused = |server: &Server| {
        condition(&server.get("trinoclustergroups", "adhoc")?, "Ready").filter(|(_, reason, _)| reason == "Paused")
    };
    let (status, _, message) = server.until("the group says that it is paused", paused).await;
    assert_eq!(status, "True", "it serves");
    assert!(message.contains("spec.paused"), "{message}");
    let before = server.writes().len();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(server.writes()[before..], [] as [String; 0]);
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["paused"] = false.into());
    until_deployments(&server, 5).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deletion_leaves_nothing_behind() {
    let (server, operator) = running("warren:1").await;
    for (plural, name) in [("trinoclustergroups", "adhoc"), ("proxygroups", "edge"), ("trinogateways", "gw")] {
        server.delete(plural, name);
    }
    let kinds = [
        "trinoclustergroups",
        "trinoclusters",
        "proxygroups",
        "trinogateways",
        "deployments",
        "services",
        "configmaps",
        "secrets",
        "serviceaccounts",
        "controllerrevisions",
        "networkpolicies",
        "poddisruptionbudgets",
        "horizontalpodautoscalers",
        "roles",
        "rolebindings",
    ];
    let left = |server: &Server| {
        let names = kinds.iter().flat_map(|kind| server.names(kind));
        // Whoever trusts the CA trusts the next cluster, too.
        names.filter(|name| name != "warren-ca").collect::<Vec<_>>()
    };
    server.until("all is gone", |server| left(server).is_empty().then_some(())).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_cluster_left_behind_is_swept() {
    let (server, operator) = running("warren:1").await;
    let cluster = server.names("trinoclusters").remove(0);
    operator.stop().await;
    // Someone takes the finalizers away and deletes group and cluster while no operator runs.
    for (plural, name) in [("trinoclustergroups", "adhoc"), ("trinoclusters", cluster.as_str())] {
        server.edit(plural, name, |object| object["metadata"]["finalizers"] = json!([]));
        server.delete(plural, name);
    }
    assert!(!server.names("deployments").is_empty());
    let operator = Operator::start(&server, "warren:1");
    let orphans = |server: &Server| {
        let kinds = ["deployments", "services", "secrets", "configmaps", "controllerrevisions", "serviceaccounts"];
        kinds.iter().flat_map(|kind| server.names(kind)).any(|name| name.starts_with(&cluster))
    };
    server.until("the orphans are gone", |server| (!orphans(server)).then_some(())).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_left_alone_and_told() {
    let server = Server::new();
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "edge-proxy", "namespace": "trino"},
        "spec": {"selector": {"app": "mine"}}});
    server.put("services", service);
    quickstart(&server);
    let operator = Operator::start(&server, "warren:1");
    let stalled = |server: &Server| {
        condition(&server.get("proxygroups", "edge")?, "Stalled").filter(|(status, ..)| status == "True")
    };
    let (_, reason, message) = server.until("the ProxyGroup is Stalled", stalled).await;
    assert_eq!(reason, "NameTaken");
    assert!(message.contains("Service \"edge-proxy\""), "{message}");
    assert_eq!(server.get("services", "edge-proxy").expect("there")["spec"]["selector"]["app"], "mine");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_object_is_told_and_stalls_nobody_else() {
    let server = Server::new();
    let broken = object("TrinoClusterGroup", "broken", &json!({"template": {"spec": {"version": 476}}}));
    server.put("trinoclustergroups", broken);
    quickstart(&server);
    let operator = Operator::start(&server, "warren:1");
    until_deployments(&server, 3).await;
    make_ready(&server, "");
    until_ready(&server, "trinogateways", "gw").await;
    let told = |server: &Server| condition(&server.get("trinoclustergroups", "broken")?, "Stalled");
    let (status, reason, message) = server.until("the broken group is told", told).await;
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Malformed"));
    assert!(message.contains("Expected a string"), "{message}");
    operator.stop().await;
}

/// The condition `Stalled` of the gateway once it is true for `reason`.
async fn until_stalled(server: &Server, reason: &str) -> String {
    let stalled = |server: &Server| {
        condition(&server.get("trinogateways", "gw")?, "Stalled")
            .filter(|(status, found, _)| status == "True" && found == reason)
    };
    server.until(&format!("the gateway is Stalled for {reason}"), stalled).await.2
}

#[tokio::test(start_paused = true)]
async fn a_bad_rule_stalls_the_gateway_and_the_published_table_stays() {
    let (server, operator) = running("warren:1").await;
    let published = table(&server);
    let rules = |server: &Server, rules: Value| {
        server.edit("trinogateways", "gw", |gateway| gateway["spec"]["routing"]["rules"] = rules);
    };
    rules(&server, json!([{"name": "etl", "when": "query.sorce == 'airflow'", "to": {"group": "adhoc"}}]));
    let message = until_stalled(&server, "InvalidRoutingTable").await;
    assert!(message.contains("routing.rules[etl].when: line 1, column 1: there is no query.sorce; "), "{message}");
    assert_eq!(table(&server), published, "proxies go on by the last good table");
    let ready = condition(&server.get("trinogateways", "gw").expect("there"), "Ready").expect("a condition");
    assert_eq!(ready.0, "True", "it serves");

    rules(&server, json!([{"name": "etl", "when": "query.source == 'airflow'", "to": {"group": "adhoc"}}]));
    let mended = |server: &Server| (table(server)["routing"]["rules"][0]["name"] == "etl").then_some(());
    server.until("the mended table is published", mended).await;
    until_ready(&server, "trinogateways", "gw").await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_rules_name_and_is_not_there_is_told_and_holds_back_nothing_else() {
    let (server, operator) = running("warren:1").await;
    for (routing, mode, reason, start) in [
        (
            json!({"rules": [{"name": "etl", "when": "true", "to": {"group": "etl"}}]}),
            "ProxyAllCalls",
            "GroupNotFound",
            "spec.routing.rules[etl].to.group: there is no TrinoClusterGroup \"etl\"",
        ),
        (
            json!({"rules": [{"name": "pin", "when": "true", "to": {"cluster": "green"}}]}),
            "ProxyAllCalls",
            "ClusterNotFound",
            "spec.routing.rules[pin].to.cluster: no group behind this gateway has a cluster \"green\"",
        ),
        (
            json!({}),
            "ProxyFirstCall",
            "ClientUrlMissing",
            "spec.proxyMode: ProxyFirstCall needs the clientUrl of every",
        ),
    ] {
        server.edit("trinogateways", "gw", |gateway| {
            gateway["spec"]["routing"] = routing.clone();
            gateway["spec"]["routing"]["fallback"] = json!({"group": "adhoc"});
            gateway["spec"]["proxyMode"] = mode.into();
        });
        let message = until_stalled(&server, reason).await;
        assert!(message.starts_with(start), "{message}");
        let rules = routing["rules"].as_array().map_or(0, Vec::len);
        let published = table(&server);
        assert_eq!(published["routing"]["rules"].as_array().map_or(0, Vec::len), rules, "it is published");
        assert_eq!(published["routing"]["fallback"]["group"], "adhoc");
    }
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn references_to_what_is_missing_are_named() {
    let server = Server::new();
    server.put("trinogateways", object("TrinoGateway", "gw", &json!({"groups": {"names": ["adhoc", "gone"]}})));
    server.put("proxygroups", object("ProxyGroup", "edge", &json!({"gateway": {"name": "nowhere"}})));
    let external = json!([{"name": "onprem", "url": "https://trino.example.org", "caSecretRef": {"name": "ca"}}]);
    server.put("trinoclustergroups", object("TrinoClusterGroup", "adhoc", &json!({"external": external})));
    let operator = Operator::start(&server, "warren:1");
    for (plural, name, reason, field) in [
        ("trinogateways", "gw", "GroupNotFound", "spec.groups.names[1]: there is no TrinoClusterGroup \"gone\""),
        ("proxygroups", "edge", "GatewayNotFound", "spec.gateway.name: there is no TrinoGateway \"nowhere\""),
        (
            "trinoclustergroups",
            "adhoc",
            "SecretNotFound",
            "spec.external[onprem].caSecretRef: there is no Secret \"ca\"",
        ),
    ] {
        let stalled =
            |server: &Server| condition(&server.get(plural, name)?, "Stalled").filter(|(status, ..)| status == "True");
        let (_, found, message) = server.until(&format!("{name} is Stalled"), stalled).await;
        assert_eq!(found, reason);
        assert!(message.starts_with(field), "{message}");
    }
    operator.stop().await;
}
