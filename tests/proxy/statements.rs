//! New queries: where they go, and when another cluster is tried.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::{StreamExt as _, channel::mpsc};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    coordinator::{Coordinator, text},
    gateway::{Gateway, body, json, send, settings, table, until},
};

#[tokio::test]
async fn new_queries_go_round_the_clusters_and_each_stays_at_its_own() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    for expected in ["blue", "green", "blue", "green"] {
        let page = json(gateway.post("SELECT 1").await).await;
        assert_eq!(page["from"], expected);
        let base = format!("http://{}/c/{expected}/v1/statement/", gateway.address);
        let next = page["nextUri"].as_str().unwrap();
        assert!(next.starts_with(&base), "{next}");
        let path = next.strip_prefix(&format!("http://{}", gateway.address)).unwrap();
        let page = json(gateway.get(path).await).await;
        assert_eq!(page["from"], expected);
    }
    assert_eq!((blue.seen().len(), green.seen().len()), (4, 4));
}

#[tokio::test]
async fn the_turn_goes_on_over_a_reload() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let clusters = [("blue", &*blue.url()), ("green", &*green.url())].map(|(name, url)| (name, url.to_owned()));
    let clusters = [(clusters[0].0, &*clusters[0].1), (clusters[1].0, &*clusters[1].1)];
    let gateway = Gateway::before(&clusters).await;
    assert_eq!(json(gateway.post("SELECT 1").await).await["from"], "blue");
    let mut other = table(&clusters);
    other["externalUrl"] = json!("https://trino.example.com");
    gateway.reload(other).await;
    let page = json(gateway.post("SELECT 1").await).await;
    assert_eq!(page["from"], "green");
    let next = page["nextUri"].as_str().unwrap();
    assert!(next.starts_with("https://trino.example.com:443/c/green/v1/statement/queued/"), "{next}");
}

#[tokio::test]
async fn a_refused_connection_sends_the_query_elsewhere_and_takes_the_cluster_out() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    blue.stop().await;
    assert_eq!(json(gateway.post("SELECT 1").await).await["from"], "green");
    assert_eq!(gateway.unhealthy("blue").await.split(':').next(), Some("no connection"));
    assert_eq!(json(gateway.post("SELECT 1").await).await["from"], "green");
}

#[tokio::test]
async fn a_coordinator_that_cannot_take_the_query_is_passed_over() {
    for status in [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT] {
        let (blue, green) = (Coordinator::saying(status).await, Coordinator::trino("green").await);
        let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
        assert_eq!(json(gateway.post("SELECT 1").await).await["from"], "green");
        assert_eq!((blue.seen().len(), green.seen().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_sends_the_query_elsewhere() {
    let blue = Coordinator::scripted(|_| async { None }).await;
    let green = Coordinator::trino("green").await;
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    assert_eq!(json(gateway.post("SELECT 1").await).await["from"], "green");
    assert_eq!((blue.seen().len(), green.seen().len()), (1, 1));
    assert_eq!(gateway.metric("warren_proxy_retries_total{kind=\"statement\"}"), 1);
}

#[tokio::test]
async fn a_broken_connection_is_tried_once_more_when_there_is_no_other_cluster() {
    let tries = Arc::new(AtomicUsize::new(0));
    let blue = Coordinator::scripted(move |_| {
        let first = tries.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { None } else { Some(text(StatusCode::OK, "taken")) } }
    })
    .await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    assert_eq!(body(gateway.post("SELECT 1").await).await, "taken");
}

#[tokio::test]
async fn an_answer_that_is_no_refusal_is_final() {
    for status in [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::INTERNAL_SERVER_ERROR] {
        let (blue, green) = (Coordinator::saying(status).await, Coordinator::trino("green").await);
        let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
        assert_eq!(gateway.post("SELECT 1").await.status(), status);
        assert_eq!((blue.seen().len(), green.seen().len()), (1, 0));
    }
}

#[tokio::test]
async fn when_every_cluster_fails_the_client_is_asked_to_come_again_and_told_nothing_of_the_inside() {
    let blue = Coordinator::saying(StatusCode::SERVICE_UNAVAILABLE).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let response = gateway.post("SELECT 1").await;
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    let text = body(response).await;
    assert!(text.starts_with("no cluster could take the query; try again soon (request "), "{text}");
    assert!(!text.contains("blue") && !text.contains("127.0.0.1"), "{text}");
}

#[tokio::test]
async fn without_a_healthy_cluster_the_client_is_asked_to_come_again() {
    let blue = Coordinator::trino("blue").await;
    blue.set_starting(true);
    let gateway = Gateway::with(settings(), Some(table(&[("blue", &blue.url())]))).await;
    assert_eq!(gateway.unhealthy("blue").await, "the coordinator is starting");
    let response = gateway.post("SELECT 1").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    assert!(blue.seen().is_empty());
    blue.set_starting(false);
    gateway.healthy("blue").await;
    assert_eq!(gateway.post("SELECT 1").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_query_that_nothing_matches_fails_as_trino_queries_fail() {
    let gateway = Gateway::with(settings(), Some(json!({"groups": [{"name": "adhoc"}]}))).await;
    gateway.until("ready", || gateway.proxy.readiness().is_ok()).await;
    let response = gateway.post("SELECT 1").await;
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    let page = json(response).await;
    assert_eq!(page["error"]["errorName"], "QUERY_REJECTED");
    assert_eq!(page["error"]["errorCode"], 31);
    assert_eq!(page["error"]["errorType"], "USER_ERROR");
    assert!(page["error"]["message"].as_str().unwrap().starts_with("No routing rule matches this query"));
    assert_eq!(page["stats"]["state"], "FAILED");
    assert!(page.get("nextUri").is_none());
    assert_eq!(page["id"].as_str().unwrap().split('_').map(str::len).collect::<Vec<_>>(), [8, 6, 5, 5]);
}

type Pieces = mpsc::UnboundedSender<Frame<Bytes>>;

/// A new query whose text a test writes piece by piece.
fn piecemeal(gateway: &Gateway) -> (Pieces, JoinHandle<Response<Incoming>>) {
    let (pieces, stream) = mpsc::unbounded();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/statement")
        .header("host", gateway.address.to_string())
        .body(StreamBody::new(stream.map(Ok::<_, Infallible>)))
        .unwrap();
    (pieces, tokio::spawn(send(gateway.address, request)))
}

fn piece(size: usize) -> Frame<Bytes> {
    Frame::data(Bytes::from(vec![b'x'; size]))
}

/// A coordinator that counts the bytes of statements as they come, and answers `status` at the end.
async fn counting(status: StatusCode) -> (Coordinator, Arc<AtomicUsize>) {
    let received = Arc::new(AtomicUsize::new(0));
    let counter = received.clone();
    let coordinator = Coordinator::scripted(move |request| {
        let counter = counter.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                counter.fetch_add(frame.ok()?.data_ref().map_or(0, Bytes::len), Ordering::SeqCst);
            }
            Some(text(status, "end"))
        }
    })
    .await;
    (coordinator, received)
}

#[tokio::test]
async fn a_statement_streams_to_the_coordinator_before_the_client_has_sent_all_of_it() {
    let (blue, received) = counting(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let (pieces, response) = piecemeal(&gateway);
    let mut sent = 0;
    // The third goes over what is kept.
    for size in [10, 600_000, 900_000, 5_000_000] {
        pieces.unbounded_send(piece(size)).unwrap();
        sent += size;
        until(format!("{sent} bytes at the coordinator"), || received.load(Ordering::SeqCst) == sent).await;
    }
    assert!(!response.is_finished());
    drop(pieces);
    assert_eq!(body(response.await.unwrap()).await, "end");
}

#[tokio::test]
async fn a_statement_that_fits_is_whole_at_the_second_cluster() {
    let (blue, at_blue) = counting(StatusCode::SERVICE_UNAVAILABLE).await;
    let (green, at_green) = counting(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    let (pieces, response) = piecemeal(&gateway);
    for size in [100, 1024 * 1024 - 100] {
        pieces.unbounded_send(piece(size)).unwrap();
    }
    drop(pieces);
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    assert_eq!(at_blue.load(Ordering::SeqCst), 1024 * 1024);
    assert_eq!(at_green.load(Ordering::SeqCst), 1024 * 1024);
}

#[tokio::test]
async fn a_statement_over_the_bound_is_sent_once_and_the_answer_is_the_coordinators() {
    let (blue, at_blue) = counting(StatusCode::SERVICE_UNAVAILABLE).await;
    let green = Coordinator::trino("green").await;
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    let (pieces, response) = piecemeal(&gateway);
    pieces.unbounded_send(piece(1024 * 1024 + 1)).unwrap();
    drop(pieces);
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body(response).await, "end");
    assert_eq!(at_blue.load(Ordering::SeqCst), 1024 * 1024 + 1);
    assert!(green.seen().is_empty());
}

#[tokio::test]
async fn a_client_that_breaks_off_is_no_failure_of_the_cluster() {
    let (blue, received) = counting(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    for _ in 0..5 {
        received.store(0, Ordering::SeqCst);
        let (pieces, response) = piecemeal(&gateway);
        pieces.unbounded_send(piece(10)).unwrap();
        until("the first bytes", || received.load(Ordering::SeqCst) == 10).await;
        response.abort();
        let _ = response.await;
    }
    gateway
        .until("five clients gone", || {
            gateway.metric("warren_proxy_requests_total{kind=\"statement\",outcome=\"client_gone\"}") >= 5
        })
        .await;
    assert_eq!(gateway.cluster("blue")["health"], "healthy");
    assert_eq!(gateway.cluster("blue")["inFlight"], 0);
    assert_eq!(gateway.post("SELECT 1").await.status(), StatusCode::OK);
}
