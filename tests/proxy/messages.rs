//! What passes of requests and answers: everything, as it is, but for what must not.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures::channel::mpsc;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::Notify};

use crate::{
    coordinator::{Coordinator, text},
    gateway::{Gateway, body, connect},
};

const POLL: &str = "/c/blue/v1/statement/executing/20250805_101112_00003_abcde/y0slug/0";

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_answer_streams_to_the_client_before_the_coordinator_has_sent_all_of_it() {
    let go_on = Arc::new(Notify::new());
    let waiting = go_on.clone();
    let blue = Coordinator::scripted(move |_| {
        let waiting = waiting.clone();
        async move {
            let first = futures::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"first")))]);
            let rest = futures::stream::once(async move {
                waiting.notified().await;
                Ok(Frame::data(Bytes::from_static(b"last")))
            });
            Some(Response::new(StreamBody::new(futures::StreamExt::chain(first, rest)).boxed_sync_free()))
        }
    })
    .await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let mut answer = gateway.get(POLL).await.into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    go_on.notify_one();
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "last");
}

/// Boxes a stream's body for the scripted coordinator.
trait Boxed {
    fn boxed_sync_free(self) -> crate::coordinator::Body;
}

impl<S> Boxed for StreamBody<S>
where
    S: futures::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static,
{
    /// The boxed body must be `Sync`; a channel's receiver is, whatever feeds it.
    fn boxed_sync_free(self) -> crate::coordinator::Body {
        let (sender, receiver) = mpsc::unbounded();
        let mut source = Box::pin(self);
        tokio::spawn(async move {
            while let Some(frame) = source.frame().await {
                if sender.unbounded_send(frame).is_err() {
                    break;
                }
            }
        });
        StreamBody::new(receiver).boxed()
    }
}

#[tokio::test]
async fn hundreds_of_request_headers_and_a_hundred_kilobytes_of_them_pass_in_order() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let mut request = gateway.request(Method::POST, "/v1/statement", "SELECT 1");
    let sent: Vec<String> = (0..400).map(|n| format!("property_{n}={}", "v".repeat(250))).collect();
    for value in &sent {
        request.headers_mut().append("x-trino-session", value.parse().unwrap());
    }
    assert_eq!(gateway.send(request).await.status(), StatusCode::OK);
    assert_eq!(values(&blue.seen()[0].headers, "x-trino-session"), sent);
}

#[tokio::test]
async fn more_headers_than_the_bound_are_refused() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let mut request = gateway.request(Method::GET, POLL, "");
    for _ in 0..1000 {
        request.headers_mut().append("x-many", HeaderValue::from_static("1"));
    }
    assert_eq!(gateway.send(request).await.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(blue.seen().is_empty());
}

#[tokio::test]
async fn repeated_answer_headers_pass_in_order_and_those_of_one_connection_do_not() {
    let blue = Coordinator::scripted(|_| async {
        let mut answer = text(StatusCode::OK, "{}");
        for value in ["a=1", "b=2", "a=3"] {
            answer.headers_mut().append("x-trino-set-session", value.parse().unwrap());
        }
        for (name, value) in [("connection", "x-mine"), ("x-mine", "1"), ("keep-alive", "timeout=9"), ("x-other", "2")]
        {
            answer.headers_mut().append(name, HeaderValue::from_static(value));
        }
        for value in ["Trino-UI-Token=a; Path=/ui; HttpOnly", "second=b; Path=/"] {
            answer.headers_mut().append("set-cookie", value.parse().unwrap());
        }
        Some(answer)
    })
    .await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let answer = gateway.get(POLL).await;
    assert_eq!(values(answer.headers(), "x-trino-set-session"), ["a=1", "b=2", "a=3"]);
    assert_eq!(
        values(answer.headers(), "set-cookie"),
        ["Trino-UI-Token=a; Path=/c/blue/ui; HttpOnly", "second=b; Path=/"]
    );
    assert_eq!(answer.headers()["x-other"], "2");
    for name in ["connection", "x-mine", "keep-alive"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn what_a_client_claims_about_forwarding_never_reaches_a_coordinator() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let answer = gateway
        .raw(&format!(
            "GET {POLL} HTTP/1.1\r\nHost: seen.example.com:99\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-Prefix: /evil\r\nX-Forwarded-Host: evil\r\nX_Forwarded_Port: 1\r\nForwarded: for=6.6.6.6\r\n\
             X-Real-IP: 6.6.6.6\r\nX-Trino-Internal-Bearer: x\r\nX-Presto-Internal-Bearer: x\r\n\
             X-Hop: 1\r\nUpgrade: h2c\r\nKeep-Alive: timeout=1\r\nAuthorization: Basic Og==\r\n\
             Connection: close, X-Hop, X-Forwarded-Prefix\r\n\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut headers: Vec<(String, String)> = blue.seen()[0]
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let expected = [
        ("authorization", "Basic Og=="),
        ("host", &blue.address.to_string()),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "seen.example.com"),
        ("x-forwarded-port", "99"),
        ("x-forwarded-prefix", "/c/blue"),
        ("x-forwarded-proto", "http"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_compressed_body_passes_byte_for_byte() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&b"[1,2,3],".repeat(10_000)).unwrap();
    let bytes = Bytes::from(gzip.finish().unwrap());
    let sent = bytes.clone();
    let blue = Coordinator::scripted(move |_| {
        let body = Full::new(sent.clone()).boxed();
        async move { Some(Response::builder().header("content-encoding", "gzip").body(body).unwrap()) }
    })
    .await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let mut request = gateway.request(Method::GET, POLL, "");
    request.headers_mut().append("accept-encoding", "gzip".parse().unwrap());
    let answer = gateway.send(request).await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert_eq!(answer.headers()["content-length"], bytes.len().to_string());
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), bytes);
    assert_eq!(blue.seen()[0].headers["accept-encoding"], "gzip");
}

#[tokio::test]
async fn trailers_pass_to_a_client_that_takes_them() {
    let blue = Coordinator::scripted(|_| async {
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))]);
        let frames = [Frame::data(Bytes::from_static(b"page")), Frame::trailers(trailers)];
        let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Infallible>))).boxed_sync_free();
        Some(Response::builder().header("trailer", "x-sum").body(body).unwrap())
    })
    .await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let answer =
        gateway.raw(&format!("GET {POLL} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n")).await;
    assert!(answer.contains("trailer: x-sum\r\n"), "{answer}");
    assert!(answer.ends_with("4\r\npage\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn every_status_passes_as_it_is() {
    for status in [200, 204, 303, 304, 400, 401, 404, 410, 429, 500, 502, 503, 504] {
        let status = StatusCode::from_u16(status).unwrap();
        let blue = Coordinator::scripted(move |_| async move {
            let mut answer = text(status, "");
            answer.headers_mut().insert("location", HeaderValue::from_static("http://a/c/blue/ui/login.html"));
            answer.headers_mut().insert("retry-after", HeaderValue::from_static("9"));
            answer.headers_mut().insert("www-authenticate", HeaderValue::from_static("Basic realm=\"Trino\""));
            Some(answer)
        })
        .await;
        let gateway = Gateway::before(&[("blue", &blue.url())]).await;
        let answer = gateway.get(POLL).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["location"], "http://a/c/blue/ui/login.html");
        assert_eq!(answer.headers()["retry-after"], "9");
        assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"Trino\"");
        assert_eq!(body(answer).await, "");
        assert_eq!(blue.seen().len(), 1);
    }
}

#[tokio::test]
async fn the_answer_to_a_head_keeps_its_length_and_has_no_body() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let answer = gateway.raw(&format!("HEAD {POLL} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.contains("content-length: 3\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    // One that the gateway gives itself was given, though there is nothing of it to read.
    let answer = gateway.raw("HEAD /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    let refused = "warren_proxy_requests_total{kind=\"other\",outcome=\"refused\"}";
    gateway.until("it is counted as refused", || gateway.metric(refused) == 1).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_at_the_client() {
    let blue = Coordinator::scripted(|_| async {
        let first = futures::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"begin")))]);
        let body = StreamBody::new(futures::StreamExt::chain(first, futures::stream::pending())).boxed_sync_free();
        Some(Response::builder().header("content-length", "100").body(body).unwrap())
    })
    .await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let answer = gateway.get(POLL).await;
    assert_eq!(answer.headers()["content-length"], "100");
    let mut answer = answer.into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "begin");
    blue.stop().await;
    assert!(answer.collect().await.is_err());
    gateway
        .until("the break is counted", || {
            gateway.metric("warren_proxy_requests_total{kind=\"poll\",outcome=\"broken\"}") == 1
        })
        .await;
}

#[tokio::test]
async fn http_2_without_tls_is_served_with_large_headers() {
    let blue = Coordinator::trino("blue").await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}/v1/statement", gateway.address))
        .body(Full::new(Bytes::from_static(b"SELECT 1")))
        .unwrap();
    request.headers_mut().append("x-trino-session", "v".repeat(100_000).parse().unwrap());
    let answer = client.send_request(request).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, http::Version::HTTP_2));
    let page: serde_json::Value =
        serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
    let next = page["nextUri"].as_str().unwrap().to_owned();
    assert!(next.starts_with(&format!("http://{}/c/blue/", gateway.address)), "{next}");
    let request = Request::get(next).body(Full::default()).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_an_answer_harms_nobody() {
    let blue = Coordinator::scripted(|_| async {
        let first = futures::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"first")))]);
        Some(Response::new(
            StreamBody::new(futures::StreamExt::chain(first, futures::stream::pending())).boxed_sync_free(),
        ))
    })
    .await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let mut client = connect::<Empty<Bytes>>(gateway.address).await;
    let request = Request::get(POLL).header("host", "a").body(Empty::new()).unwrap();
    let mut answer = client.send_request(request).await.unwrap().into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    assert_eq!(gateway.cluster("blue")["inFlight"], 1);
    drop((client, answer));
    gateway
        .until("the client's leave is counted", || {
            gateway.metric("warren_proxy_requests_total{kind=\"poll\",outcome=\"client_gone\"}") == 1
        })
        .await;
    assert_eq!(gateway.cluster("blue")["inFlight"], 0);
    assert_eq!(gateway.cluster("blue")["health"], "healthy");
}
