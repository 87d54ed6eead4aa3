//! The query that checks a cluster: what it asks, what its answers make of the cluster, and that nothing is left of it.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    coordinator::{Body, Coordinator, Seen, text},
    gateway::{Gateway, settings, table},
};

const ID: &str = "20250805_101112_00003_abcde";

fn page(next: Option<&str>, rest: &str) -> String {
    // Whatever host a coordinator believes that it has: nobody must be asked there.
    let next = next.map(|next| format!(r#","nextUri":"https://elsewhere.invalid:1/c/blue/v1/statement/{next}""#));
    format!(r#"{{"id":"{ID}","infoUri":"https://elsewhere.invalid:1/ui/"{}{rest}}}"#, next.unwrap_or_default())
}

fn ok(text_of_page: &str) -> Response<Body> {
    text(StatusCode::OK, text_of_page)
}

/// A coordinator that answers `/v1/info`, and statements as `pages` does.
async fn coordinator(
    pages: impl Fn(&Method, &str, Bytes) -> Option<Response<Body>> + Clone + Send + Sync + 'static,
) -> Coordinator {
    Coordinator::bare(move |request: Request<Incoming>| {
        let pages = pages.clone();
        async move {
            let (head, body) = request.into_parts();
            let sent = body.collect().await.unwrap().to_bytes();
            match head.uri.path() {
                "/v1/info" => Some(ok(r#"{"starting":false}"#)),
                "/" => Some(ok("")),
                path => match pages(&head.method, path, sent) {
                    Some(page) => Some(page),
                    None => std::future::pending().await,
                },
            }
        }
    })
    .await
}

fn checked(clusters: &[(&str, &str)]) -> Value {
    let mut table = table(clusters);
    table["groups"][0]["healthCheck"] =
        json!({"sql": "SELECT 'é'", "user": "warren-health", "intervalSeconds": 3600, "timeoutSeconds": 30});
    table
}

/// What of a query reached the coordinator.
fn of_statements(coordinator: &Coordinator) -> Vec<Seen> {
    coordinator.seen().into_iter().filter(|seen| seen.target.starts_with("/v1/statement")).collect()
}

fn calls(coordinator: &Coordinator) -> Vec<String> {
    of_statements(coordinator).iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect()
}

async fn before(coordinator: &Coordinator) -> Gateway {
    Gateway::with(settings(), Some(checked(&[("blue", &coordinator.url())]))).await
}

#[tokio::test]
async fn a_query_is_followed_to_its_end_at_the_cluster_itself_before_the_cluster_is_healthy() {
    let blue = coordinator(|method, path, sent| {
        Some(ok(&match (method, path) {
            (&Method::POST, "/v1/statement") if sent == "SELECT 'é'".as_bytes() => {
                page(Some("queued/q/s/1?a=%2F"), "")
            }
            (&Method::GET, "/v1/statement/queued/q/s/1") => page(Some("executing/q/s/0"), r#","data":[[1]]"#),
            (&Method::GET, "/v1/statement/executing/q/s/0") => page(None, r#","data":[["error"]]"#),
            _ => return Some(text(StatusCode::NOT_FOUND, "")),
        }))
    })
    .await;
    let gateway = before(&blue).await;
    gateway.healthy("blue").await;
    let expected = ["POST /v1/statement", "GET /v1/statement/queued/q/s/1?a=%2F", "GET /v1/statement/executing/q/s/0"];
    assert_eq!(calls(&blue), expected);
    for seen in of_statements(&blue) {
        assert_eq!(seen.headers["x-trino-user"], "warren-health");
        assert_eq!(seen.headers["x-trino-source"], "warren-health-check");
        assert_eq!(seen.headers["host"], blue.address.to_string());
    }
    let ok = r#"warren_proxy_health_checks_total{cluster="blue",check="sql",result="ok"}"#;
    gateway.until("a count", || gateway.metric(ok) == 1).await;
}

#[tokio::test]
async fn what_makes_the_query_fail_is_told_and_the_cluster_takes_no_queries() {
    let failed =
        r#","error":{"message":"No nodes available to run query","errorCode":65538,"errorName":"NO_NODES_AVAILABLE"}"#;
    let cases: [(StatusCode, String, &str, &str); 4] = [
        (
            StatusCode::OK,
            page(None, failed),
            "failed: NO_NODES_AVAILABLE: No nodes available to run query",
            "query_failed",
        ),
        (
            StatusCode::UNAUTHORIZED,
            String::new(),
            "was answered 401 Unauthorized: it asks for credentials, and was sent none that it takes",
            "status",
        ),
        (StatusCode::SERVICE_UNAVAILABLE, String::new(), "was answered 503 Service Unavailable", "status"),
        (StatusCode::OK, "<html>".into(), "was answered with something else than a page of results", "not_a_page"),
    ];
    for (status, answer, reason, word) in cases {
        let blue = coordinator(move |_, _, _| Some(text(status, &answer))).await;
        let gateway = before(&blue).await;
        assert_eq!(gateway.unhealthy("blue").await, format!("the query of the health check {reason}"));
        assert_eq!(gateway.post("SELECT 1").await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(calls(&blue), ["POST /v1/statement"]);
        let count = format!(r#"warren_proxy_health_checks_total{{cluster="blue",check="sql",result="{word}"}}"#);
        assert_eq!(gateway.metric(&count), 1);
        assert_eq!(gateway.metric(r#"warren_proxy_health_checks_total{cluster="blue",check="info",result="ok"}"#), 1);
        assert_eq!(gateway.metric(r#"warren_proxy_cluster_healthy{cluster="blue"}"#), 0);
    }
}

#[tokio::test]
async fn a_query_that_does_not_end_is_cancelled_where_it_stands() {
    let blue = coordinator(|method, path, _| match (method, path) {
        (&Method::POST, _) => Some(ok(&page(Some("queued/q/s/1"), ""))),
        (&Method::GET, "/v1/statement/queued/q/s/1") => Some(ok(&page(Some("executing/q/s/7"), ""))),
        (&Method::DELETE, _) => Some(text(StatusCode::NO_CONTENT, "")),
        _ => None,
    })
    .await;
    let mut table = checked(&[("blue", &blue.url())]);
    table["groups"][0]["healthCheck"]["timeoutSeconds"] = 1.into();
    let gateway = Gateway::with(settings(), Some(table)).await;
    assert_eq!(gateway.unhealthy("blue").await, "the query of the health check did not end in time");
    assert_eq!(calls(&blue)[2..], ["GET /v1/statement/executing/q/s/7", "DELETE /v1/statement/executing/q/s/7"]);
}

#[tokio::test]
async fn a_query_whose_result_does_not_end_is_cancelled_before_its_deadline() {
    let data = format!(r#","data":[["{}"]]"#, "x".repeat(300 * 1024));
    let blue = coordinator(move |method, _, _| match *method {
        Method::DELETE => Some(text(StatusCode::NO_CONTENT, "")),
        _ => Some(ok(&page(Some("executing/q/s/1"), &data))),
    })
    .await;
    let gateway = before(&blue).await;
    let reason = gateway.unhealthy("blue").await;
    assert_eq!(reason, "the query of the health check has too large a result: choose one that returns little");
    let asked: Vec<_> = of_statements(&blue).iter().map(|seen| seen.method.clone()).collect();
    assert_eq!(asked, [Method::POST, Method::GET, Method::GET, Method::GET, Method::DELETE]);
}

#[tokio::test]
async fn a_proxy_that_ends_leaves_no_query_behind() {
    let blue = coordinator(|method, _, _| match *method {
        Method::POST => Some(ok(&page(Some("executing/q/s/1"), ""))),
        Method::DELETE => Some(text(StatusCode::NO_CONTENT, "")),
        _ => None,
    })
    .await;
    let gateway = before(&blue).await;
    gateway.until("a poll", || calls(&blue).len() == 2).await;
    gateway.shutdown.cancel();
    gateway.serving.await.unwrap();
    assert_eq!(calls(&blue)[2..], ["DELETE /v1/statement/executing/q/s/1"]);
}

#[tokio::test]
async fn a_cluster_that_takes_no_queries_is_not_asked_and_a_new_table_takes_none_out() {
    let blue = coordinator(|_, _, _| Some(text(StatusCode::INTERNAL_SERVER_ERROR, ""))).await;
    let mut table = checked(&[("blue", &blue.url())]);
    table["groups"][0]["clusters"][0]["serving"] = json!("Draining");
    let gateway = Gateway::with(settings(), Some(table.clone())).await;
    gateway.healthy("blue").await;
    table["groups"][0]["clusters"][0]["serving"] = json!("Active");
    gateway.reload(table.clone()).await;
    assert_eq!(gateway.cluster("blue")["health"], "healthy");
    assert_eq!(calls(&blue), [""; 0]);

    // A proxy that begins with that table knows nothing good of the cluster.
    let other = Gateway::with(settings(), Some(table.clone())).await;
    other.unhealthy("blue").await;
    table["groups"][0]["healthCheck"] = Value::Null;
    other.reload(table.clone()).await;
    assert_eq!(other.cluster("blue")["health"], "healthy");
}
