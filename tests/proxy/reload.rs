//! Another table takes effect without breaking anything that is under way.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures::channel::mpsc;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::sync::Mutex;

use crate::{
    coordinator::Coordinator,
    gateway::{Gateway, connect, table},
};

const POLL: &str = "/v1/statement/executing/20250805_101112_00003_abcde/y0slug/0";

#[tokio::test]
async fn a_reload_keeps_connections_and_answers_that_are_under_way() {
    let (pieces, stream) = mpsc::unbounded::<Result<Frame<Bytes>, Infallible>>();
    let stream = Arc::new(Mutex::new(Some(stream)));
    let blue = Coordinator::scripted(move |_| {
        let stream = stream.clone();
        async move { Some(Response::new(StreamBody::new(stream.lock().await.take()?).boxed())) }
    })
    .await;
    let green = Coordinator::trino("green").await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let mut client = connect::<Full<Bytes>>(gateway.address).await;
    let get = |cluster: &str| {
        let target = format!("/c/{cluster}{POLL}");
        Request::get(target).header("host", "a").body(Full::default()).unwrap()
    };
    let mut answer = client.send_request(get("blue")).await.unwrap().into_body();
    pieces.unbounded_send(Ok(Frame::data(Bytes::from_static(b"before ")))).unwrap();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "before ");

    gateway.reload(table(&[("green", &green.url())])).await;
    pieces.unbounded_send(Ok(Frame::data(Bytes::from_static(b"after")))).unwrap();
    drop(pieces);
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "after");

    // The same connection of the client goes by the new table.
    client.ready().await.unwrap();
    assert_eq!(client.send_request(get("blue")).await.unwrap().status(), StatusCode::NOT_FOUND);
    client.ready().await.unwrap();
    assert_eq!(client.send_request(get("green")).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_cluster_that_stayed_the_same_keeps_its_health_over_a_reload() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    // From here on a check would fail, so that only kept health is health.
    blue.set_starting(true);
    green.set_starting(true);
    gateway.reload(table(&[("blue", &blue.url()), ("green", &green.url())])).await;
    assert_eq!(gateway.cluster("blue")["health"], "healthy");
    gateway.unhealthy("green").await;
    // Another address under the same name is another cluster.
    gateway.reload(table(&[("blue", &green.url())])).await;
    assert_eq!(gateway.unhealthy("blue").await, "the coordinator is starting");
    assert_eq!(gateway.metric("warren_proxy_cluster_healthy{cluster=\"green\"}"), 0);
}
