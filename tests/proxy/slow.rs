//! Clients that are slow on purpose, and more of them than there may be: each is let go, and the others are served.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use warren::proxy::Settings;

use crate::{
    coordinator::{Coordinator, text},
    gateway::{Gateway, settings, table},
};

/// A deadline that a test waits for: what it is about comes after it, however late.
const SOON: Duration = Duration::from_millis(50);

async fn before(blue: &Coordinator, settings: Settings) -> Gateway {
    let gateway = Gateway::with(settings, Some(table(&[("blue", &blue.url())]))).await;
    gateway.healthy("blue").await;
    gateway
}

/// Sends this, and reads until the other end closes; a broken connection is an end, too.
async fn until_closed(gateway: &Gateway, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(30), reading).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_client_that_does_not_finish_the_head_of_a_request_is_let_go() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = before(&blue, Settings { header_timeout: SOON, ..settings() }).await;
    for head in ["", "G", "GET /v1/info HTTP/1.1\r\nHost: a\r\n", "\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"] {
        let answer = until_closed(&gateway, head.as_bytes()).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{head:?}: {answer}");
    }
    // A second head on a connection has the same deadline as the first.
    let answer =
        until_closed(&gateway, b"GET /v1/info HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/info HTTP/1.1\r\nHost: a\r\n").await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 1, "{answer}");
    assert_eq!(blue.seen().len(), 1);
    gateway.until("no connection", || gateway.metric("warren_proxy_connections") == 0).await;
}

#[tokio::test]
async fn an_http_2_client_that_asks_for_nothing_is_let_go() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = before(&blue, Settings { header_timeout: SOON, ..settings() }).await;
    until_closed(&gateway, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    gateway.until("no connection", || gateway.metric("warren_proxy_connections") == 0).await;
    assert!(blue.seen().is_empty());
}

#[tokio::test]
async fn a_body_that_does_not_come_holds_neither_a_coordinator_nor_the_proxy() {
    let script = || {
        Coordinator::scripted(|request| async move {
            let _ = request.into_body().collect().await;
            Some(text(StatusCode::OK, "never"))
        })
    };
    let (blue, green) = (script().await, script().await);
    let clusters = table(&[("blue", &blue.url()), ("green", &green.url())]);
    let gateway = Gateway::with(Settings { body_timeout: SOON, ..settings() }, Some(clusters)).await;
    gateway.healthy("blue").await;
    gateway.healthy("green").await;
    for target in ["/v1/statement", "/c/blue/ui/login"] {
        for framing in ["Content-Length: 100\r\n\r\nSELECT", "Transfer-Encoding: chunked\r\n\r\n64\r\nSELECT"] {
            let answer =
                until_closed(&gateway, format!("POST {target} HTTP/1.1\r\nHost: a\r\n{framing}").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 408 "), "{target} {framing}: {answer}");
        }
    }
    gateway.until("no request under way", || gateway.metric("warren_proxy_requests_in_flight") == 0).await;
    assert_eq!(gateway.cluster("blue")["inFlight"], 0);
    // It is not the first coordinator's fault, so no second one is asked.
    assert!(blue.seen().len() + green.seen().len() <= 4);
    gateway.until("no connection", || gateway.metric("warren_proxy_connections") == 0).await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_let_go_and_the_coordinator_with_it() {
    let blue = Coordinator::scripted(|_| async {
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let pieces = futures::stream::repeat_with(move || Ok::<_, Infallible>(Frame::data(piece.clone())));
        Some(Response::new(StreamBody::new(pieces).boxed()))
    })
    .await;
    let gateway = before(&blue, Settings { write_timeout: SOON, ..settings() }).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let poll = "/c/blue/v1/statement/executing/20250805_101112_00003_abcde/y0slug/0";
    stream.write_all(format!("GET {poll} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 100]).await.unwrap();
    let gone = "warren_proxy_requests_total{kind=\"poll\",outcome=\"client_gone\"}";
    gateway.until("the reader is let go", || gateway.metric(gone) == 1).await;
    assert_eq!(gateway.cluster("blue")["inFlight"], 0);
    gateway.until("no connection", || gateway.metric("warren_proxy_connections") == 0).await;
}

#[tokio::test]
async fn connections_over_the_bound_wait_until_others_end() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = before(&blue, Settings { max_connections: 2, ..settings() }).await;
    let request = b"GET /v1/info HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut within = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream.read_exact(&mut [0; 17]).await.unwrap();
        within.push(stream);
    }
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        waiting.push(stream);
    }
    // Those that are in are served on, and no other came in meanwhile.
    for stream in &mut within {
        stream.write_all(request).await.unwrap();
        // What is left of the first answer, and the beginning of the second.
        let mut answer = Vec::new();
        while !answer.ends_with(b"HTTP/1.1 200 OK\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
    }
    assert_eq!((gateway.metric("warren_proxy_connections"), blue.seen().len()), (2, 4));
    drop(within);
    for mut stream in waiting {
        stream.read_exact(&mut [0; 15]).await.unwrap();
        assert!(gateway.metric("warren_proxy_connections") <= 2);
    }
    assert_eq!(blue.seen().len(), 9);
}
