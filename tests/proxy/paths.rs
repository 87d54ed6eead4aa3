//! What is let through, over the wire: the rules themselves are tested beside their code.

use http::{Method, StatusCode};

use crate::{
    coordinator::Coordinator,
    gateway::{Gateway, body},
};

#[tokio::test]
async fn tricks_with_paths_are_answered_without_asking_a_coordinator() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    for path in [
        "/c/blue/ui/../v1/statement",
        "/c/blue/ui/%2e%2e/v1/task",
        "/c/blue/ui/..%2fv1%2ftask",
        "/c/blue/ui/%5c..%5cv1",
        "/c/blue/ui/..;/v1/task",
        "/c/blue//ui/",
        "/c/blue/ui/./x",
        "/c/BLUE/ui/",
        "/c/127.0.0.1:80/ui/",
        "/c/unknown/v1/info",
        "/c/blue/v1/task/1",
        "/c/blue/v1/status",
        "/c/blue/v1/query",
        "/c/blue/v1/info/state",
        "/ui/",
        "/",
    ] {
        let answer = gateway.raw(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{path}: {answer}");
    }
    let post = gateway.send(gateway.request(Method::POST, "/c/blue/v1/statement", "SELECT 1")).await;
    assert_eq!(post.status(), StatusCode::NOT_FOUND);
    let put = gateway.send(gateway.request(Method::PUT, "/c/blue/v1/info/state", "\"DRAINING\"")).await;
    assert_eq!(put.status(), StatusCode::NOT_FOUND);
    assert!(blue.seen().is_empty());
}

#[tokio::test]
async fn the_roots_info_is_that_of_the_healthy_clusters_in_turn() {
    let blue = Coordinator::scripted(|_| async { Some(crate::coordinator::text(StatusCode::OK, "blue")) }).await;
    let green = Coordinator::scripted(|_| async { Some(crate::coordinator::text(StatusCode::OK, "green")) }).await;
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(body(gateway.get("/v1/info").await).await);
    }
    assert_eq!(answers, ["blue", "green", "blue", "green"]);
}

#[tokio::test]
async fn a_request_for_no_valid_host_is_refused_when_the_table_names_none() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let answer = gateway.raw("GET /v1/info HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(blue.seen().is_empty());
}
