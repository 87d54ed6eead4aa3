//! Clusters that ask who is there: operator and proxies have a credential of Warren's own, which is renewed before anybody is
//! refused, and stands in Secrets alone.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::{
    Operator, condition, drain::until_gone, make_ready, quickstart, routed, running_with, scene::Scene, server::Server,
    table, until_deployments, until_ready,
};

fn put_secret(server: &Server, name: &str, key: &str) {
    let metadata = json!({"name": name, "namespace": "trino"});
    // In base64: a file that nobody has looked into.
    let data = json!({key: "bm9ib2R5Cg=="});
    server.put("secrets", json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}));
}

/// The quickstart whose cluster asks for passwords.
async fn asking(scene: &Scene, credential: serde_json::Value) -> (Server, Operator) {
    let server = Server::new();
    put_secret(&server, "staff", "users");
    quickstart(&server);
    server.edit("trinoclustergroups", "adhoc", |group| {
        let spec = &mut group["spec"]["template"]["spec"];
        spec["tls"] = json!({"server": {"enabled": true}});
        spec["authentication"] =
            json!({"passwordFile": {"secretRef": {"name": "staff", "key": "users"}}, "credential": credential});
    });
    let operator = Operator::start_in(scene, &server, "warren:1");
    until_deployments(&server, 3).await;
    make_ready(&server, "");
    (server, operator)
}

async fn all_ready(server: &Server) -> String {
    for (plural, name) in [("trinoclustergroups", "adhoc"), ("trinogateways", "gw"), ("proxygroups", "edge")] {
        until_ready(server, plural, name).await;
    }
    server.names("trinoclusters").remove(0)
}

fn text(server: &Server, secret: &str, key: &str) -> Option<String> {
    let secret: Secret = serde_json::from_value(server.get("secrets", secret)?).expect("a Secret");
    Some(String::from_utf8(secret.data?.get(key)?.0.clone()).expect("text"))
}

/// What the proxies hold for a cluster.
fn held(server: &Server, cluster: &str) -> Option<String> {
    text(server, "edge-proxy", &format!("cluster.{cluster}"))
}

/// How many users the two password files hold.
fn valid(server: &Server, cluster: &str) -> [usize; 2] {
    ["users-1.db", "users-2.db"]
        .map(|key| text(server, &format!("{cluster}-credential"), key).expect("a file").lines().count())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_asked_by_a_credential_of_its_own_which_proxies_have_and_nobody_else_sees() {
    let (server, operator) = asking(&Scene::default(), json!({})).await;
    let cluster = all_ready(&server).await;
    let credential = held(&server, &cluster).expect("the proxies have it");
    let password = credential.strip_prefix("warren:").expect("Warren's user");
    assert_eq!(password.len(), 64);
    assert!(text(&server, "edge-proxy", "admin-token").is_some());
    let users = text(&server, &format!("{cluster}-credential"), "users-1.db").expect("a file");
    let names: Vec<_> = users.lines().map(|line| line.split(':').next().expect("a name")).collect();
    assert_eq!(names, ["warren", "warren-verify"]);
    assert_eq!(table(&server)["groups"][0]["clusters"][0]["ownCredential"], true);
    let status = &server.get("trinoclusters", &cluster).expect("there")["status"];
    assert_eq!(status["verification"]["seesQueries"], true);
    assert_eq!(status["credential"]["secret"], format!("{cluster}-credential"));
    for ((plural, name), object) in server.objects() {
        assert!(plural == "secrets" || !object.to_string().contains(password), "{plural} {name}");
    }
    assert!(!server.notes().concat().contains(password));

    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["replicas"] = json!(0));
    let gone = |server: &Server| {
        let nowhere = server.get("secrets", &format!("{cluster}-credential")).is_none();
        (nowhere && held(server, &cluster).is_none()).then_some(())
    };
    for deployment in [format!("{cluster}-coordinator"), format!("{cluster}-worker")] {
        server
            .until("it has no Deployment", |server| server.get("deployments", &deployment).is_none().then_some(()))
            .await;
    }
    server.until("its credential is gone everywhere", gone).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_password_is_used_when_the_coordinator_takes_it_and_the_old_one_is_valid_for_an_hour_more() {
    let scene = Scene::default();
    let (server, operator) = asking(&scene, json!({"renewAfter": "10h"})).await;
    let cluster = all_ready(&server).await;
    let pods = server.get("deployments", &format!("{cluster}-coordinator")).expect("there")["spec"].clone();
    let first = held(&server, &cluster).expect("a credential");
    // The kubelet is slow.
    scene.reads_no_passwords(&server, &cluster, true);
    tokio::time::sleep(Duration::from_secs(11 * 3600)).await;
    assert_eq!((valid(&server, &cluster), held(&server, &cluster).as_ref()), ([2, 2], Some(&first)));
    scene.reads_no_passwords(&server, &cluster, false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let second = held(&server, &cluster).expect("a credential");
    assert_ne!(second, first);
    assert_eq!(valid(&server, &cluster), [2, 2], "some proxies have the old one still");
    tokio::time::sleep(Duration::from_secs(3600 + 700)).await;
    assert_eq!(valid(&server, &cluster), [0, 2]);
    assert_eq!(held(&server, &cluster), Some(second));
    assert_eq!(server.get("deployments", &format!("{cluster}-coordinator")).expect("there")["spec"], pods);
    // One that somebody deletes is made anew.
    server.delete("secrets", &format!("{cluster}-credential"));
    tokio::time::sleep(Duration::from_secs(11 * 60)).await;
    assert_eq!(valid(&server, &cluster), [2, 0]);
    assert!(
        text(&server, &format!("{cluster}-credential"), "passwords.json")
            .expect("a key")
            .contains(held(&server, &cluster).expect("a credential").strip_prefix("warren:").expect("Warren's user"))
    );
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_refuses_the_credential_gets_no_queries_and_says_why() {
    let scene = Scene::default();
    scene.refuses_all();
    let (server, operator) = asking(&scene, json!({})).await;
    let failed = |server: &Server| {
        let (_, reason, message) =
            condition(&server.get("trinoclusters", &server.names("trinoclusters")[0])?, "Stalled")?;
        (reason == "VerificationFailed").then_some(message)
    };
    let message = server.until("the verification fails", failed).await;
    assert!(message.contains("the coordinator refuses Warren's own credential"), "{message}");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_pods_miss_is_told_with_its_field_until_it_comes_and_what_served_goes_on() {
    let (server, operator) = running_with("warren:1", &Scene::default()).await;
    let old = server.names("trinoclusters").remove(0);
    server.edit("trinoclustergroups", "adhoc", |group| {
        let spec = &mut group["spec"]["template"]["spec"];
        spec["tls"] = json!({"server": {"enabled": true}});
        spec["authentication"] = json!({"passwordFile": {"secretRef": {"name": "staff", "key": "users"}}});
    });
    until_deployments(&server, 5).await;
    let new = server.names("trinoclusters").into_iter().find(|name| *name != old).expect("a new cluster");
    let stalled = async |start: &str| {
        let told = |server: &Server| {
            let (status, reason, message) = condition(&server.get("trinoclusters", &new)?, "Stalled")?;
            (status == "True" && reason == "SecretNotFound" && message.starts_with(start)).then_some(message)
        };
        server.until(&format!("{new} is Stalled: {start}"), told).await
    };
    let field = "spec.authentication.passwordFile.secretRef";
    let missing =
        format!("{field}: there is no Secret \"staff\" in namespace \"trino\"; create it with a key \"users\"");
    let message = stalled(&missing).await;
    let of_group = |server: &Server| {
        let (status, reason, told) = condition(&server.get("trinoclustergroups", "adhoc")?, "Stalled")?;
        (status == "True" && reason == "ClusterStalled" && told.contains(&message)).then_some(())
    };
    server.until("the group says it, too", of_group).await;
    assert_eq!(routed(&server), [(old.clone(), "Active".to_owned())]);

    put_secret(&server, "staff", "people");
    stalled(&format!("{field}: Secret \"staff\" has no key \"users\"; add it there")).await;
    put_secret(&server, "staff", "users");
    let mended = |server: &Server| {
        let (status, ..) = condition(&server.get("trinoclusters", &new)?, "Stalled")?;
        (status == "False").then_some(())
    };
    server.until("it is seen", mended).await;
    make_ready(&server, &new);
    until_gone(&server, &old).await;
    until_ready(&server, "trinoclustergroups", "adhoc").await;

    // Pods that run have it, and go on.
    server.delete("secrets", "staff");
    stalled(&missing).await;
    assert_eq!(condition(&server.get("trinoclusters", &new).expect("there"), "Ready").expect("one").0, "True");
    assert_eq!(routed(&server), [(new.clone(), "Active".to_owned())]);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_config_map_that_pods_miss_is_told_with_its_field_until_it_comes() {
    let (server, operator) = running_with("warren:1", &Scene::default()).await;
    let old = server.names("trinoclusters").remove(0);
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["template"]["spec"]["coordinator"]["template"] = json!({"spec": {
            "containers": [{"name": "trino", "volumeMounts": [{"name": "site", "mountPath": "/site"}]}],
            "volumes": [{"name": "site", "configMap": {"name": "site", "items": [{"key": "a.json", "path": "a.json"}]}}],
        }});
    });
    until_deployments(&server, 5).await;
    let new = server.names("trinoclusters").into_iter().find(|name| *name != old).expect("a new cluster");
    let stalled = async |wanted: &str, start: &str| {
        let told = |server: &Server| {
            let (status, reason, message) = condition(&server.get("trinoclusters", &new)?, "Stalled")?;
            (status == wanted && (wanted == "False" || reason == "ConfigMapNotFound") && message.starts_with(start))
                .then_some(())
        };
        server.until(&format!("Stalled of {new} is {wanted}: {start}"), told).await;
    };
    let put = |key: &str| {
        let metadata = json!({"name": "site", "namespace": "trino"});
        server.put(
            "configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {key: "{}"}}),
        );
    };
    let field = "spec.coordinator.template.spec.volumes[site].configMap";
    let mend = "create it with a key \"a.json\"";
    stalled("True", &format!("{field}: there is no ConfigMap \"site\" in namespace \"trino\"; {mend}")).await;
    put("b.json");
    stalled("True", &format!("{field}: ConfigMap \"site\" has no key \"a.json\"; add it there")).await;
    put("a.json");
    stalled("False", "").await;
    make_ready(&server, &new);
    until_gone(&server, &old).await;
    operator.stop().await;
}
