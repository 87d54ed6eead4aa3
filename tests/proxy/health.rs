//! What makes a cluster unhealthy, and what is said of it.

use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::gateway::{Gateway, settings, table};

/// A server that answers every request, health checks too, in one way.
async fn answering(status: StatusCode, content_type: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |_| async move {
                let answer = Response::builder().status(status).header("content-type", content_type);
                answer.header("location", "/login").body(Full::new(bytes::Bytes::from_static(body.as_bytes())).boxed())
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn what_is_no_coordinator_is_unhealthy_with_its_reason() {
    const JSON: &str = "application/json";
    for (status, content_type, body, reason) in [
        (200, JSON, r#"{"starting":true}"#, "the coordinator is starting"),
        (200, JSON, "{}", "GET /v1/info answered with something else than a coordinator's JSON"),
        (200, "text/html", "<html>", "GET /v1/info answered with something else than a coordinator's JSON"),
        (
            303,
            JSON,
            "",
            "GET /v1/info answered 303 See Other: a login page or another server stands before the coordinator",
        ),
        (406, JSON, "", "GET /v1/info answered 406 with X-Forwarded headers and without: no coordinator does so"),
        (503, JSON, "", "GET /v1/info answered 503 Service Unavailable"),
    ] {
        let url = answering(StatusCode::from_u16(status).unwrap(), content_type, body).await;
        let gateway = Gateway::with(settings(), Some(table(&[("blue", &url)]))).await;
        gateway.until("a state", || gateway.cluster("blue")["health"] != "unknown").await;
        assert_eq!(gateway.unhealthy("blue").await, reason);
    }
}

#[tokio::test]
async fn the_proxy_is_ready_whatever_the_health_of_its_clusters_but_not_without_a_table() {
    let gateway = Gateway::with(settings(), None).await;
    assert_eq!(gateway.proxy.readiness().unwrap_err(), "no routing table is in force yet");
    assert_eq!(gateway.post("SELECT 1").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    gateway.reload(table(&[("blue", "http://127.0.0.1:1")])).await;
    gateway.unhealthy("blue").await;
    assert_eq!(gateway.proxy.readiness(), Ok(()));
}
