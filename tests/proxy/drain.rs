//! The end of a proxy: readiness first, then no new connections, then the last answers.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, channel::mpsc};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use tokio::{net::TcpStream, sync::Mutex};
use warren::proxy::Settings;

use crate::{
    coordinator::Coordinator,
    gateway::{Gateway, connect, settings, table, until},
};

const POLL: &str = "/c/blue/v1/statement/executing/20250805_101112_00003_abcde/y0slug/0";

type Pieces = mpsc::UnboundedSender<Frame<Bytes>>;

/// A coordinator whose answer a test writes piece by piece.
async fn piecemeal() -> (Pieces, Coordinator) {
    let (pieces, stream) = mpsc::unbounded();
    let stream = Arc::new(Mutex::new(Some(stream)));
    let coordinator = Coordinator::scripted(move |_| {
        let stream = stream.clone();
        async move {
            Some(Response::new(BodyExt::boxed(StreamBody::new(stream.lock().await.take()?.map(Ok::<_, Infallible>)))))
        }
    })
    .await;
    (pieces, coordinator)
}

fn piece(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn running_answers_end_whole_while_idle_connections_close_and_new_ones_are_refused() {
    let (pieces, blue) = piecemeal().await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let mut idle = connect::<Empty<Bytes>>(gateway.address).await;
    idle.ready().await.unwrap();
    let mut answer = gateway.get(POLL).await.into_body();
    pieces.unbounded_send(piece("first ")).unwrap();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "first ");

    gateway.shutdown.cancel();
    until("the idle connection closes", || idle.is_closed()).await;
    assert!(TcpStream::connect(gateway.address).await.is_err());
    assert!(!gateway.serving.is_finished());
    assert_eq!(gateway.proxy.readiness().unwrap_err(), "draining: this proxy is shutting down");

    pieces.unbounded_send(piece("last")).unwrap();
    drop(pieces);
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "last");
    gateway.serving.await.unwrap();
}

#[tokio::test]
async fn readiness_ends_at_once_while_new_connections_are_still_served() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let settings = Settings { drain_delay: Duration::from_hours(1), ..settings() };
    let gateway = Gateway::with(settings, Some(table(&[("blue", &blue.url())]))).await;
    gateway.healthy("blue").await;
    assert_eq!(gateway.proxy.readiness(), Ok(()));
    gateway.shutdown.cancel();
    until("not ready", || gateway.proxy.readiness().is_err()).await;
    assert_eq!(gateway.get(POLL).await.status(), StatusCode::OK);
    assert_eq!(gateway.post("SELECT 1").await.status(), StatusCode::OK);
    assert!(!gateway.serving.is_finished());
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_cut_when_the_time_is_over() {
    let (pieces, blue) = piecemeal().await;
    let settings = Settings { drain_timeout: Duration::from_millis(50), ..settings() };
    let gateway = Gateway::with(settings, Some(table(&[("blue", &blue.url())]))).await;
    gateway.healthy("blue").await;
    let mut answer = gateway.get(POLL).await.into_body();
    pieces.unbounded_send(piece("first")).unwrap();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    gateway.shutdown.cancel();
    gateway.serving.await.unwrap();
    assert!(answer.collect().await.is_err());
}
