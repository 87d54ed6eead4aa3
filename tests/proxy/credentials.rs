//! The credentials by which the proxy asks clusters: what it asks with them, what it waits for, and that no client gets one.

use std::{fs, path::PathBuf};

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use warren::follow::follow_credentials;

use crate::{
    coordinator::{Coordinator, Seen, text},
    gateway::{Gateway, body, settings, table},
};

/// `warren:secret`, as RFC 7617 writes it.
const BASIC: &str = "Basic d2FycmVuOnNlY3JldA==";

const OF_QUERY: &str = r#"warren_proxy_health_checks_total{cluster="blue",check="sql""#;

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("warren-credentials-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join("new"), text).unwrap();
        fs::rename(self.0.join("new"), self.0.join(file)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A coordinator that asks who is there, and refuses in the words of Trino.
async fn asking() -> Coordinator {
    Coordinator::bare(|request: Request<Incoming>| async move {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
        let known = header("authorization") == Some(BASIC) && header("x-trino-user") == Some("warren");
        // It looks at passwords of those alone who did not show them to everybody.
        let let_in = known && header("x-forwarded-proto") == Some("https");
        Some(match request.uri().path() {
            "/v1/info" => text(StatusCode::OK, r#"{"starting":false}"#),
            "/" => text(StatusCode::OK, ""),
            _ if !let_in => text(StatusCode::UNAUTHORIZED, "Access Denied: Invalid credentials"),
            "/metrics" => text(
                StatusCode::OK,
                "trino_execution_name_QueryManager_RunningQueries 3.0\n\
                 trino_execution_name_QueryManager_QueuedQueries 4.0\n",
            ),
            _ => text(StatusCode::OK, r#"{"id":"20250805_101112_00003_abcde","data":[[1]]}"#),
        })
    })
    .await
}

fn of(coordinator: &Coordinator, path: &str) -> Vec<Seen> {
    coordinator.seen().into_iter().filter(|seen| seen.target.starts_with(path)).collect()
}

async fn before(coordinator: &Coordinator, folder: &Folder) -> Gateway {
    let mut table = table(&[("blue", &coordinator.url())]);
    table["groups"][0]["strategy"] = json!("LeastQueries");
    table["groups"][0]["healthCheck"] = json!({"sql": "SELECT 1", "user": "ann", "intervalSeconds": 5});
    table["groups"][0]["clusters"][0]["ownCredential"] = json!(true);
    let mut settings = settings();
    settings.health.interval = std::time::Duration::from_millis(10);
    let gateway = Gateway::with(settings, Some(table)).await;
    let (proxy, directory, shutdown) = (gateway.proxy.clone(), folder.0.clone(), gateway.shutdown.clone());
    tokio::spawn(follow_credentials(directory, move |known| proxy.set_credentials(known), shutdown));
    gateway
}

#[tokio::test]
async fn what_the_proxy_asks_waits_for_its_credential_and_a_cluster_does_not() {
    let (blue, folder) = (asking().await, Folder::new("waits"));
    folder.write("admin-token", "a:b");
    let gateway = before(&blue, &folder).await;
    gateway.healthy("blue").await;
    assert_eq!(of(&blue, "/v1/statement").len(), 0);
    folder.write("cluster.blue", "warren:secret\n");
    gateway.until("a count", || gateway.cluster("blue")["reportedQueries"] == 7).await;
    let ok = format!(r#"{OF_QUERY},result="ok"}}"#);
    gateway.until("a query", || gateway.metric(&ok) > 0).await;
    let asked = of(&blue, "/v1/statement");
    assert_eq!(asked[0].headers["x-trino-user"], "warren", "ann's password is nobody's business");

    // Of a client nothing is added, nor anything taken away.
    let refused = gateway.post("SELECT 2").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(body(refused).await, "Access Denied: Invalid credentials");
    let of_client = of(&blue, "/v1/statement").into_iter().rfind(|seen| seen.headers.contains_key("x-forwarded-for"));
    assert!(!of_client.unwrap().headers.contains_key("authorization"));
    let own = Request::builder().method(Method::POST).uri("/v1/statement").header("host", "gw");
    let own = own.header("authorization", "Basic YW5uOm93bg==").body("SELECT 3".to_owned()).unwrap();
    assert_eq!(gateway.send(own).await.status(), StatusCode::UNAUTHORIZED);
    let seen = of(&blue, "/v1/statement").into_iter().rfind(|seen| seen.headers.contains_key("x-forwarded-for"));
    assert_eq!(seen.unwrap().headers["authorization"], "Basic YW5uOm93bg==");
}

#[tokio::test]
async fn a_credential_that_is_refused_is_told_and_takes_no_cluster_out() {
    let (blue, folder) = (asking().await, Folder::new("refused"));
    folder.write("cluster.blue", "warren:old");
    folder.write("cluster.Not A Cluster", "warren:secret");
    let gateway = before(&blue, &folder).await;
    let refused = format!(r#"{OF_QUERY},result="status"}}"#);
    gateway.until("a refusal", || gateway.metric(&refused) > 0).await;
    gateway.healthy("blue").await;
    folder.write("cluster.blue", "warren:secret");
    let ok = format!(r#"{OF_QUERY},result="ok"}}"#);
    gateway.until("a query", || gateway.metric(&ok) > 0).await;
    assert_eq!(gateway.cluster("blue")["health"], "healthy");
    assert!(!gateway.proxy.status().to_string().contains("secret"));
}
