//! Proxies and what their gateway asks of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{condition, make_ready, running, server::Server, table, until_ready};

const TEMPLATE: &str = "/spec/template";

fn deployment(server: &Server, path: &str) -> Value {
    server.get("deployments", "edge-proxy").and_then(|found| found.pointer(path).cloned()).unwrap_or_default()
}

fn listens(server: &Server, flag: &str) -> bool {
    let args = deployment(server, "/spec/template/spec/containers/0/args");
    args.as_array().is_some_and(|args| args.iter().any(|arg| arg == flag))
}

/// Names and numbers of the Service's ports.
fn ports(server: &Server) -> Vec<(String, i64)> {
    let service = server.get("services", "edge-proxy").expect("a Service");
    let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let port =
        |port: &Value| (port["name"].as_str().unwrap_or_default().to_owned(), port["port"].as_i64().unwrap_or(0));
    ports.iter().map(port).collect()
}

async fn until_stalled(server: &Server, reason: &str) -> String {
    let stalled = |server: &Server| {
        condition(&server.get("proxygroups", "edge")?, "Stalled")
            .filter(|(status, found, _)| status == "True" && found == reason)
    };
    server.until(&format!("the proxies are Stalled for {reason}"), stalled).await.2
}

fn set_listeners(server: &Server, listeners: &Value) {
    server.edit("trinogateways", "gw", |gateway| gateway["spec"]["listeners"] = listeners.clone());
}

/// The proxies of [`running`], with a listener `bi` at 8081 for `superset`.
async fn listening(server: &Server) {
    set_listeners(server, &json!([{"name": "bi", "port": 8081, "source": "superset"}]));
    let flag = "--listen=bi=0.0.0.0:8081";
    server.until("the proxies listen", |server| listens(server, flag).then_some(())).await;
    make_ready(server, "edge");
    until_ready(server, "proxygroups", "edge").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_is_a_port_of_the_proxies_and_what_it_presets_restarts_nothing() {
    let (server, operator) = running("warren:1").await;
    listening(&server).await;
    let named = |name: &str, port| (name.to_owned(), port);
    assert_eq!(ports(&server), [named("http", 8080), named("bi", 8081)]);
    assert_eq!(table(&server)["listeners"], json!([{"name": "bi", "source": "superset"}]));
    let status = &server.get("proxygroups", "edge").expect("there")["status"];
    assert_eq!(status["listeners"], json!([{"name": "bi", "address": "http://edge-proxy.trino.svc:8081"}]));

    let (before, template) = (server.writes().len(), deployment(&server, TEMPLATE));
    set_listeners(&server, &json!([{"name": "bi", "port": 8081, "clientTags": ["slow"]}]));
    let arrived = |server: &Server| (table(server)["listeners"][0]["clientTags"] == json!(["slow"])).then_some(());
    server.until("the preset is published", arrived).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let writes = server.writes()[before..].to_vec();
    let others: Vec<_> = writes.iter().filter(|write| !write.ends_with("/status")).collect();
    assert_eq!(others, ["PATCH configmaps/gw-routing"]);

    set_listeners(&server, &json!([]));
    server.until("the port is gone", |server| (ports(server) == [named("http", 8080)]).then_some(())).await;
    let changed = |server: &Server| (deployment(server, TEMPLATE) != template).then_some(());
    server.until("the proxies are others", changed).await;
    assert!(!listens(&server, "--listen=bi=0.0.0.0:8081"));
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn proxies_keep_their_listeners_when_the_gateway_is_paused_or_gone() {
    let (server, operator) = running("warren:1").await;
    listening(&server).await;
    let template = deployment(&server, TEMPLATE);
    server.edit("trinogateways", "gw", |gateway| {
        gateway["spec"]["paused"] = true.into();
        gateway["spec"]["listeners"] = json!([]);
    });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(deployment(&server, TEMPLATE), template);
    server.delete("trinogateways", "gw");
    until_stalled(&server, "GatewayNotFound").await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(deployment(&server, TEMPLATE), template);
    assert_eq!(ports(&server).len(), 2);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_port_that_the_service_has_already_is_told_and_changes_nothing() {
    let (server, operator) = running("warren:1").await;
    listening(&server).await;
    let (template, before) = (deployment(&server, TEMPLATE), ports(&server));
    let set_port = |port: i32| {
        server.edit("proxygroups", "edge", |proxies| proxies["spec"]["service"] = json!({"port": port}));
    };
    set_port(8081);
    let message = until_stalled(&server, "InvalidSpec").await;
    assert!(
        message.starts_with("spec.service.port: 8081 is the port of listener \"bi\" of TrinoGateway \"gw\""),
        "{message}"
    );
    assert_eq!((deployment(&server, TEMPLATE), ports(&server)), (template, before));
    let ready = condition(&server.get("proxygroups", "edge").expect("there"), "Ready").expect("a condition");
    assert_eq!(ready.0, "True", "they serve");

    set_port(443);
    server.until("the Service has the other port", |server| (ports(server)[0].1 == 443).then_some(())).await;
    let stalled = |server: &Server| condition(&server.get("proxygroups", "edge")?, "Stalled");
    let mended = |server: &Server| stalled(server).filter(|(status, ..)| status == "False");
    server.until("the proxies are not Stalled any more", mended).await;
    operator.stop().await;
}

/// In base64: a certificate and a key that nobody has looked into.
const CERTIFICATE: &str = "Y2VydGlmaWNhdGU=";
const KEY: &str = "bm9ib2R5IHNlZXMgbWU=";

fn put_secret(server: &Server, name: &str, data: &Value) {
    let metadata = json!({"name": name, "namespace": "trino"});
    server.put("secrets", json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}));
}

fn is_ready(server: &Server) -> bool {
    let proxies = server.get("proxygroups", "edge").expect("there");
    condition(&proxies, "Ready").is_some_and(|(status, ..)| status == "True")
}

#[tokio::test(start_paused = true)]
async fn tls_waits_for_its_secret_while_what_served_goes_on() {
    let (server, operator) = running("warren:1").await;
    let plain = deployment(&server, TEMPLATE);
    server.edit("proxygroups", "edge", |proxies| {
        let client = json!({"secretRef": {"name": "edge-tls"}});
        proxies["spec"]["template"]["spec"]["security"]["tls"]["client"] = client;
    });
    let field = "spec.template.spec.security.tls.client.secretRef";
    let message = until_stalled(&server, "SecretNotFound").await;
    assert!(
        message.starts_with(&format!("{field}: there is no Secret \"edge-tls\" in namespace \"trino\"")),
        "{message}"
    );
    put_secret(&server, "edge-tls", &json!({"tls.crt": CERTIFICATE, "tls.key": ""}));
    let lacks = |server: &Server| {
        let (.., message) = condition(&server.get("proxygroups", "edge")?, "Stalled")?;
        message.starts_with(&format!("{field}: Secret \"edge-tls\" has no key \"tls.key\"")).then_some(())
    };
    server.until("the missing key is told", lacks).await;
    assert!(is_ready(&server), "it serves");
    assert_eq!((deployment(&server, TEMPLATE), ports(&server)[0].0.as_str()), (plain, "http"));

    put_secret(&server, "edge-tls", &json!({"tls.crt": CERTIFICATE, "tls.key": KEY}));
    let flag = "--tls-key=/etc/warren/client-tls/tls.key";
    server.until("the proxies speak TLS", |server| listens(server, flag).then_some(())).await;
    make_ready(&server, "edge");
    let mended = |server: &Server| {
        let proxies = server.get("proxygroups", "edge")?;
        (condition(&proxies, "Stalled")?.0 == "False" && condition(&proxies, "Reconciling")?.0 == "False").then_some(())
    };
    server.until("the proxies are all there", mended).await;
    assert_eq!(ports(&server)[0].0, "https");
    let proxies = server.get("proxygroups", "edge").expect("there");
    assert_eq!(proxies["status"]["address"], "https://edge-proxy.trino.svc:8080");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_renewed_or_deleted_secret_restarts_nothing_and_what_it_held_is_nowhere_else() {
    let (server, operator) = running("warren:1").await;
    put_secret(&server, "edge-tls", &json!({"tls.crt": CERTIFICATE, "tls.key": KEY, "ca.crt": CERTIFICATE}));
    server.edit("proxygroups", "edge", |proxies| {
        let secret = json!({"name": "edge-tls"});
        let client = json!({"secretRef": secret, "clientAuth": {"caSecretRef": secret}});
        proxies["spec"]["template"]["spec"]["security"]["tls"]["client"] = client;
    });
    let flag = "--tls-client-ca=/etc/warren/client-ca/ca.crt";
    server.until("clients need certificates", |server| listens(server, flag).then_some(())).await;
    make_ready(&server, "edge");
    until_ready(&server, "proxygroups", "edge").await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let (before, template) = (server.writes().len(), deployment(&server, TEMPLATE));
    put_secret(&server, "edge-tls", &json!({"tls.crt": KEY, "tls.key": CERTIFICATE, "ca.crt": KEY}));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(server.writes()[before..], [] as [String; 0]);
    for kind in ["configmaps", "proxygroups", "controllerrevisions", "deployments", "trinogateways"] {
        for name in server.names(kind) {
            let text = server.get(kind, &name).expect("there").to_string();
            assert!(!text.contains(KEY) && !text.contains("nobody sees me"), "{kind} {name}");
        }
    }

    server.delete("secrets", "edge-tls");
    until_stalled(&server, "SecretNotFound").await;
    assert!(is_ready(&server), "those that run go on");
    assert_eq!(deployment(&server, TEMPLATE), template);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_variables_and_volumes_refer_to_is_there_before_a_proxy_is_replaced() {
    let (server, operator) = running("warren:1").await;
    let plain = deployment(&server, TEMPLATE);
    server.edit("proxygroups", "edge", |proxies| {
        let spec = &mut proxies["spec"]["template"]["spec"];
        spec["env"] = json!([{"name": "TOKEN", "secretKeyRef": {"name": "tracing", "key": "token"}}]);
        spec["volumes"] =
            json!([{"name": "site", "mountPath": "/etc/site", "source": {"configMap": {"name": "site"}}}]);
    });
    let fields = "spec.template.spec";
    let message = until_stalled(&server, "SecretNotFound").await;
    assert!(
        message.starts_with(&format!("{fields}.env[TOKEN].secretKeyRef: there is no Secret \"tracing\"")),
        "{message}"
    );
    // A variable may be empty.
    put_secret(&server, "tracing", &json!({"token": ""}));
    let message = until_stalled(&server, "ConfigMapNotFound").await;
    let wanted = format!("{fields}.volumes[site].source.configMap: there is no ConfigMap \"site\"");
    assert!(message.starts_with(&wanted), "{message}");
    assert!(is_ready(&server), "it serves");
    assert_eq!(deployment(&server, TEMPLATE), plain);
    let metadata = json!({"name": "site", "namespace": "trino"});
    server.put("configmaps", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}));
    server.until("the proxies are replaced", |server| (deployment(server, TEMPLATE) != plain).then_some(())).await;
    make_ready(&server, "edge");
    until_ready(&server, "proxygroups", "edge").await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_no_node_takes_is_told() {
    let (server, operator) = running("warren:1").await;
    server.edit("pods", "edge-proxy-0", |pod| {
        let message = "0/3 nodes are available: 3 Insufficient memory.";
        pod["status"] = json!({"phase": "Pending", "conditions":
            [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]});
    });
    let message = until_stalled(&server, "Unschedulable").await;
    assert!(message.contains("3 Insufficient memory") && message.contains("spec.template.spec.resources"), "{message}");
    assert!(is_ready(&server), "the other one serves");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn proxies_may_refer_to_what_is_made_for_them() {
    let (server, operator) = running("warren:1").await;
    let plain = deployment(&server, TEMPLATE);
    server.edit("proxygroups", "edge", |proxies| {
        let spec = &mut proxies["spec"]["template"]["spec"];
        spec["security"]["tls"]["admin"] = json!({"enabled": true});
        let source = json!({"secret": {"secretName": "edge-proxy-admin-tls"}});
        spec["volumes"] = json!([{"name": "admin", "mountPath": "/etc/admin", "source": source}]);
    });
    server.until("the proxies are replaced", |server| (deployment(server, TEMPLATE) != plain).then_some(())).await;
    operator.stop().await;
}
