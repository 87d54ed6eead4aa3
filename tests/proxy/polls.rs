//! What comes after the first answer: polls, heartbeats, cancels, spooled segments.

use http::{Method, StatusCode};

use crate::{
    coordinator::{Coordinator, text},
    gateway::{Gateway, body, json, table},
};

const QUERY: &str = "20250805_101112_00003_abcde";

fn poll(cluster: &str) -> String {
    format!("/c/{cluster}/v1/statement/executing/{QUERY}/y0slug/0?maxWait=1s&targetResultSize=16MB")
}

#[tokio::test]
async fn a_query_known_by_its_id_alone_is_found_by_what_its_cluster_gave_out() {
    let (blue, green) = (
        Coordinator::trino("blue").await,
        Coordinator::scripted(|_| async {
            Some(crate::coordinator::text(StatusCode::OK, r#"{"id":"20250805_101112_00009_zzzzz","nextUri":"x"}"#))
        })
        .await,
    );
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    let cancel = |query: &str| gateway.send(gateway.request(Method::DELETE, &format!("/v1/query/{query}"), ""));
    assert_eq!(cancel("20250805_101112_00003_abcde").await.status(), StatusCode::NOT_FOUND);
    // One query for each; the pages must have passed whole.
    for _ in 0..2 {
        body(gateway.post("SELECT 1").await).await;
    }
    let (at_blue, at_green) = (blue.seen().len(), green.seen().len());
    cancel("20250805_101112_00003_abcde").await;
    assert_eq!((blue.seen().len(), green.seen().len()), (at_blue + 1, at_green));
    assert_eq!(blue.seen()[at_blue].target, "/v1/query/20250805_101112_00003_abcde");
    cancel("20250805_101112_00001_zzzzz").await;
    assert_eq!((blue.seen().len(), green.seen().len()), (at_blue + 1, at_green + 1));
    assert_eq!(cancel("20250805_101112_00001_other").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_poll_a_heartbeat_and_a_cancel_reach_the_cluster_that_they_name() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    assert_eq!(json(gateway.get(&poll("green")).await).await["from"], "green");
    let heartbeat = gateway.send(gateway.request(Method::HEAD, &poll("green"), "")).await;
    assert_eq!(heartbeat.status(), StatusCode::OK);
    let cancel = gateway.send(gateway.request(Method::DELETE, &poll("green"), "")).await;
    assert_eq!(cancel.status(), StatusCode::NO_CONTENT);
    let partial = format!("/c/green/v1/statement/executing/partialCancel/{QUERY}/2/y0slug/0");
    let partial = gateway.send(gateway.request(Method::DELETE, &partial, "")).await;
    assert_eq!(partial.status(), StatusCode::NO_CONTENT);
    let seen: Vec<_> = green.seen().into_iter().map(|seen| (seen.method, seen.target)).collect();
    let target = poll("green").strip_prefix("/c/green").unwrap().to_owned();
    assert_eq!(
        seen,
        [
            (Method::GET, target.clone()),
            (Method::HEAD, target.clone()),
            (Method::DELETE, target),
            (Method::DELETE, format!("/v1/statement/executing/partialCancel/{QUERY}/2/y0slug/0")),
        ]
    );
    assert!(blue.seen().is_empty());
}

#[tokio::test]
async fn a_poll_never_goes_to_another_cluster() {
    let (blue, green) = (Coordinator::saying(StatusCode::SERVICE_UNAVAILABLE).await, Coordinator::trino("green").await);
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    let response = gateway.get(&poll("blue")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body(response).await, "503");
    blue.stop().await;
    let response = gateway.get(&poll("blue")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert!(body(response).await.starts_with("the query's cluster cannot be reached"));
    assert!(green.seen().is_empty());
}

#[tokio::test]
async fn a_poll_waits_for_a_coordinator_that_comes_back_within_seconds() {
    let blue = Coordinator::trino("blue").await;
    let (address, url) = (blue.address, blue.url());
    let gateway = Gateway::before(&[("blue", &url)]).await;
    blue.stop().await;
    let asked = tokio::spawn(crate::gateway::send(gateway.address, gateway.request(Method::GET, &poll("blue"), "")));
    gateway.until("a retry", || gateway.metric("warren_proxy_retries_total{kind=\"poll\"}") >= 1).await;
    let _again = Coordinator::at(address, |_| async { Some(text(StatusCode::OK, "page")) }).await;
    assert_eq!(body(asked.await.unwrap()).await, "page");
}

#[tokio::test]
async fn a_poll_whose_connection_broke_before_the_answer_is_asked_again_but_a_cancel_is_not() {
    let blue = Coordinator::scripted(|_| async { None }).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let response = gateway.get(&poll("blue")).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(blue.seen().len(), 5);
    let response = gateway.send(gateway.request(Method::DELETE, &poll("blue"), "")).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(blue.seen().len(), 6);
}

#[tokio::test]
async fn a_draining_or_unhealthy_cluster_serves_its_polls_and_gets_no_new_query() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let clusters = [("blue", blue.url()), ("green", green.url())];
    let clusters = [(clusters[0].0, &*clusters[0].1), (clusters[1].0, &*clusters[1].1)];
    let gateway = Gateway::before(&clusters).await;
    let mut draining = table(&clusters);
    draining["groups"][0]["clusters"][0]["serving"] = "Draining".into();
    gateway.reload(draining).await;
    for _ in 0..3 {
        assert_eq!(json(gateway.post("SELECT 1").await).await["from"], "green");
    }
    assert_eq!(json(gateway.get(&poll("blue")).await).await["from"], "blue");
    let sick = Coordinator::trino("sick").await;
    sick.set_starting(true);
    gateway.reload(table(&[("sick", &sick.url())])).await;
    gateway.unhealthy("sick").await;
    assert_eq!(json(gateway.get(&poll("sick")).await).await["from"], "sick");
}

#[tokio::test]
async fn spooled_segments_and_acknowledgements_reach_their_cluster() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    for path in ["/v1/spooled/download/AbC-_=", "/v1/spooled/ack/AbC-_="] {
        assert_eq!(gateway.get(&format!("/c/blue{path}")).await.status(), StatusCode::OK);
        assert_eq!(blue.seen().last().unwrap().target, path);
    }
}
