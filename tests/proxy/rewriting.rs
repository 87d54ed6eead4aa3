//! Coordinators that build no URIs from forwarded headers: what they hand out is led back through the gateway.

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, HOST, LOCATION},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use crate::{
    coordinator::{Body, Coordinator, QUERY, text},
    gateway::{Gateway, body},
};

/// Rows with what must not change: a URI of the coordinator's own, and numbers that no float holds.
const ROWS: &str = r#""columns":[{"name":"nextUri","type":"varchar"}],"data":[["http://HOST/v1/statement/x",12345678901234567890123456789.10,1e400,-0]],"stats":{"state":"RUNNING"},"warnings":[]}"#;

/// A page with URIs below `base`, as the coordinator at `host` writes it.
fn page(base: &str, host: &str) -> String {
    format!(
        r#"{{"id":"{QUERY}","infoUri":"{base}/ui/query.html?{QUERY}","partialCancelUri":"{base}/v1/statement/executing/partialCancel/{QUERY}/0/y0slug/1","nextUri":"{base}/v1/statement/executing/{QUERY}/y0slug/1",{}"#,
        ROWS.replace("HOST", host)
    )
}

/// Answers as a coordinator that takes its URIs from `Host` alone. It would compress what may be compressed.
fn without_forwarding(request: &Request<Incoming>) -> Response<Body> {
    let host = request.headers()[HOST].to_str().unwrap().to_owned();
    let own = format!("http://{host}");
    let redirect = |to: String| {
        let mut answer = text(StatusCode::SEE_OTHER, "");
        answer.headers_mut().insert(LOCATION, to.parse().unwrap());
        answer
    };
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/info") => text(StatusCode::OK, r#"{"starting":false}"#),
        (&Method::GET, "/") => redirect(format!("{own}/ui/")),
        (&Method::GET, "/ui/") => redirect(format!("{own}/ui/login.html")),
        (&Method::GET, "/ui/elsewhere") => redirect("https://other.example.com/ui/".to_owned()),
        _ if request.headers().contains_key(ACCEPT_ENCODING) => {
            let body = Full::new(Bytes::from_static(b"\x1f\x8bno rewriter reads this")).boxed();
            Response::builder().header("content-encoding", "gzip").body(body).unwrap()
        }
        _ => text(StatusCode::OK, &page(&own, &host)),
    }
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"))
}

/// One without `http-server.process-forwarded`: Trino 470 answers 406 to each request with forwarded headers.
async fn refusing() -> Coordinator {
    Coordinator::bare(|request| async move {
        Some(if is_forwarded(request.headers()) {
            text(StatusCode::NOT_ACCEPTABLE, "")
        } else {
            without_forwarding(&request)
        })
    })
    .await
}

/// One that takes forwarded headers, and leaves the prefix out of what it builds.
async fn ignoring() -> Coordinator {
    Coordinator::bare(|request| async move { Some(without_forwarding(&request)) }).await
}

#[tokio::test]
async fn the_uris_of_its_pages_lead_through_the_gateway_and_its_rows_stay_as_they_are() {
    for blue in [refusing().await, ignoring().await] {
        let gateway = Gateway::before(&[("blue", &blue.url())]).await;
        let through = format!("http://{}/c/blue", gateway.address);
        let expected = page(&through, &blue.address.to_string());
        let first = gateway.post("SELECT 1").await;
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(body(first).await, expected);
        let next = format!("/c/blue/v1/statement/executing/{QUERY}/y0slug/1");
        assert_eq!(body(gateway.get(&next).await).await, expected);
        assert!(!is_forwarded(&blue.seen().last().unwrap().headers));
        assert_eq!(gateway.cluster("blue")["liveQueries"], 1);
    }
}

#[tokio::test]
async fn a_client_that_takes_gzip_gets_its_uris_all_the_same() {
    let blue = refusing().await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let mut request = gateway.request(Method::POST, "/v1/statement", "SELECT 1");
    request.headers_mut().insert(ACCEPT_ENCODING, "gzip, deflate".parse().unwrap());
    let answer = gateway.send(request).await;
    assert!(!answer.headers().contains_key("content-encoding"));
    let through = format!("http://{}/c/blue", gateway.address);
    assert_eq!(body(answer).await, page(&through, &blue.address.to_string()));
}

#[tokio::test]
async fn its_redirects_lead_through_the_gateway_and_those_to_elsewhere_do_not_change() {
    for blue in [refusing().await, ignoring().await] {
        let gateway = Gateway::before(&[("blue", &blue.url())]).await;
        let answer = gateway.get("/c/blue/ui/").await;
        assert_eq!(answer.headers()[LOCATION], format!("http://{}/c/blue/ui/login.html", gateway.address));
        let answer = gateway.get("/c/blue/ui/elsewhere").await;
        assert_eq!(answer.headers()[LOCATION], "https://other.example.com/ui/");
    }
}

#[tokio::test]
async fn one_that_builds_its_uris_itself_is_sent_forwarded_headers_and_not_rewritten() {
    let blue = Coordinator::bare(|request| async move {
        let prefix = request.headers().get("x-forwarded-prefix").map_or("", |prefix| prefix.to_str().unwrap());
        Some(match request.uri().path() {
            "/v1/info" => text(StatusCode::OK, r#"{"starting":false}"#),
            "/" => {
                let mut answer = text(StatusCode::SEE_OTHER, "");
                answer.headers_mut().insert(LOCATION, format!("http://a{prefix}/ui/").parse().unwrap());
                answer
            }
            _ => text(StatusCode::OK, &page(&format!("http://{}", request.headers()[HOST].to_str().unwrap()), "a")),
        })
    })
    .await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    assert_eq!(body(gateway.post("SELECT 1").await).await, page(&blue.url(), "a"));
    assert!(is_forwarded(&blue.seen().last().unwrap().headers));
}
