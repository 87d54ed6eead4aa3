//! What coordinators tell of their queries: who may, what is refused, and what it makes of the counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use warren::proxy::{Door, HealthChecks, Settings};

use crate::{
    coordinator::{Coordinator, as_trino, text},
    gateway::{Gateway, body, exchange_raw, settings, table},
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PATH: &str = "/v1/trino-event-listener";

/// As Trino 476 sent them.
const CREATED: &[u8] = include_bytes!("../events/476/created.json");
const COMPLETED: &[u8] = include_bytes!("../events/476/completed.json");
const QUERY: &str = "20261126_202218_00006_tep8r";

/// A coordinator that says it has `running` queries.
async fn with_queries(running: Arc<AtomicU32>) -> Coordinator {
    Coordinator::bare(move |request: Request<Incoming>| {
        let running = running.load(Ordering::SeqCst);
        async move {
            let name = "trino_execution_name_QueryManager";
            Some(match (request.method(), request.uri().path()) {
                (&Method::GET, "/metrics") => text(
                    StatusCode::OK,
                    &format!("{name}_RunningQueries {running}.0\n{name}_QueuedQueries 0.0\n# EOF\n"),
                ),
                (&Method::GET, "/v1/info") => text(StatusCode::OK, r#"{"starting":false}"#),
                (&Method::GET, "/") => text(StatusCode::NOT_FOUND, ""),
                _ => as_trino("blue", request).await,
            })
        }
    })
    .await
}

/// A table of one cluster, `blue`, whose coordinator has the token, and whose queries are counted.
fn with_token(url: &str) -> Value {
    let mut table = table(&[("blue", url)]);
    table["groups"][0]["strategy"] = json!("LeastQueries");
    table["groups"][0]["clusters"][0]["eventToken"] = json!(hex::encode(Sha256::digest(TOKEN)));
    table
}

async fn before(coordinator: &Coordinator, change: impl Fn(&mut Value), interval: Duration) -> Gateway {
    let mut table = with_token(&coordinator.url());
    change(&mut table);
    let health = HealthChecks { interval, ..settings().health };
    let gateway = Gateway::with(Settings { health, ..settings() }, Some(table)).await;
    gateway.healthy("blue").await;
    gateway.until("the count", || gateway.cluster("blue")["reportedQueries"].is_u64()).await;
    gateway
}

const ONCE: Duration = Duration::from_hours(1);

async fn tell(gateway: &Gateway, token: &str, event: &[u8]) -> Response<Incoming> {
    let mut request = gateway.request(Method::POST, PATH, "").map(|_| Full::new(Bytes::copy_from_slice(event)));
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers.insert("content-type", "application/json; charset=utf-8".parse().unwrap());
    gateway.send(request).await
}

fn queries(gateway: &Gateway) -> Value {
    gateway.cluster("blue")["queries"].clone()
}

#[tokio::test]
async fn events_count_queries_once_until_the_coordinator_says_how_many_there_are() {
    let running = Arc::new(AtomicU32::new(3));
    let blue = with_queries(running.clone()).await;
    let gateway = before(&blue, |_| {}, ONCE).await;
    assert_eq!(queries(&gateway), 3);
    for (event, count) in [(CREATED, 4), (CREATED, 4), (COMPLETED, 3), (COMPLETED, 3), (CREATED, 3)] {
        assert_eq!(tell(&gateway, TOKEN, event).await.status(), StatusCode::NO_CONTENT);
        assert_eq!(queries(&gateway), count);
    }
    let counted = |kind: &str, outcome: &str| {
        gateway.metric(&format!("warren_proxy_events_total{{kind=\"{kind}\",outcome=\"{outcome}\"}} "))
    };
    assert_eq!((counted("created", "counted"), counted("created", "repeated")), (1, 2));
    assert_eq!((counted("completed", "counted"), counted("completed", "repeated")), (1, 1));
    assert_eq!(gateway.metric("warren_proxy_requests_total{kind=\"event\",outcome=\"ok\"} "), 5);
    // None of them went to a coordinator, nor keeps a drain waiting.
    assert!(blue.seen().iter().all(|seen| seen.method != Method::POST));
    assert_eq!(gateway.cluster("blue")["inFlight"], 0);
}

#[tokio::test]
async fn a_new_count_of_the_coordinator_takes_the_place_of_events_that_told_of_too_many() {
    let running = Arc::new(AtomicU32::new(0));
    let blue = with_queries(running.clone()).await;
    let gateway = before(&blue, |_| {}, Duration::from_millis(20)).await;
    tell(&gateway, TOKEN, CREATED).await;
    // Its completion is lost.
    gateway.until("none again", || queries(&gateway) == 0).await;
    running.store(7, Ordering::SeqCst);
    gateway.until("seven", || queries(&gateway) == 7).await;
    let line = "warren_proxy_cluster_queries{cluster=\"blue\"} ";
    gateway.until("the metric", || gateway.metric(line) == 7).await;
}

#[tokio::test]
async fn of_clients_that_poll_the_cluster_the_live_report_has_what_began_and_is_not_known_to_have_ended() {
    let blue = with_queries(Arc::new(AtomicU32::new(0))).await;
    let direct = |table: &mut Value| {
        table["proxyMode"] = json!("ProxyFirstCall");
        table["groups"][0]["strategy"] = json!("RoundRobin");
        table["groups"][0]["clusters"][0]["clientUrl"] = json!("http://127.0.0.1:9");
    };
    let gateway = before(&blue, direct, ONCE).await;
    let live = || {
        let report = gateway.proxy.queries();
        let cluster = report.clusters.into_iter().next().unwrap();
        (cluster.running, cluster.queries.into_iter().map(|query| query.id).collect::<Vec<_>>())
    };
    assert_eq!(live(), (Some(0), vec![]));
    let page = body(gateway.post("SELECT 1").await).await;
    let posted: Value = serde_json::from_str(&page).unwrap();
    let posted = posted["id"].as_str().unwrap().to_owned();
    assert_eq!(live(), (Some(1), vec![posted.clone()]));
    // The event of the query that was posted here counts it no second time; another one is of another proxy.
    let own = String::from_utf8(CREATED.to_vec()).unwrap().replace(QUERY, &posted);
    tell(&gateway, TOKEN, own.as_bytes()).await;
    tell(&gateway, TOKEN, CREATED).await;
    let (running, mut ids) = live();
    ids.sort();
    let mut expected = vec![posted.clone(), QUERY.to_owned()];
    expected.sort();
    assert_eq!((running, ids), (Some(2), expected));
    tell(&gateway, TOKEN, COMPLETED).await;
    assert_eq!(live(), (Some(1), vec![posted]));
}

#[tokio::test]
async fn without_a_token_of_a_cluster_nothing_is_taken() {
    let blue = with_queries(Arc::new(AtomicU32::new(0))).await;
    let gateway = before(&blue, |_| {}, ONCE).await;
    for token in ["", "wrong", &TOKEN[1..], &format!("{TOKEN}0"), &hex::encode(Sha256::digest(TOKEN))] {
        let refused = tell(&gateway, token, CREATED).await;
        assert_eq!(
            (refused.status(), &refused.headers()["www-authenticate"]),
            (StatusCode::UNAUTHORIZED, &"Bearer".parse().unwrap())
        );
        let told = body(refused).await;
        assert!(
            told.starts_with("Authorization must be the bearer token of a cluster") && !told.contains(TOKEN),
            "{told}"
        );
    }
    let request = gateway.request(Method::POST, PATH, "{}");
    assert_eq!(gateway.send(request).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(queries(&gateway), 0);
    let line = "warren_proxy_events_total{kind=\"unknown\",outcome=\"unauthorized\"} ";
    assert_eq!(gateway.metric(line), 6);
    // A table without tokens lets nobody tell.
    gateway.reload(table(&[("blue", &blue.url())])).await;
    assert_eq!(tell(&gateway, TOKEN, CREATED).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_path_is_served_in_one_spelling_and_below_no_cluster() {
    let blue = with_queries(Arc::new(AtomicU32::new(0))).await;
    let gateway = before(&blue, |_| {}, ONCE).await;
    for path in [
        "/c/blue/v1/trino-event-listener",
        "/v1/trino-event-listener/",
        "/v1/trino%2devent-listener",
        "//v1/trino-event-listener",
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
            CREATED.len()
        );
        let answer = exchange_raw(gateway.address, &[head.as_bytes(), CREATED].concat()).await;
        assert!(answer.starts_with(b"HTTP/1.1 404 "), "{path}: {}", answer.escape_ascii());
    }
    assert_eq!(queries(&gateway), 0);
    assert!(blue.seen().iter().all(|seen| seen.method != Method::POST));
}

#[tokio::test]
async fn what_is_no_event_or_too_large_is_refused_with_a_short_text_that_holds_nothing_of_it() {
    let blue = with_queries(Arc::new(AtomicU32::new(0))).await;
    let gateway = before(&blue, |_| {}, ONCE).await;
    for (event, begins) in [
        (&b"secret"[..], "the body is no event of Trino in JSON"),
        (b"{}", "the event is neither of a query nor of a split"),
        (b"{\"metadata\": {\"queryId\": \"secret query\"}}", "metadata.queryId is no query id"),
    ] {
        let refused = tell(&gateway, TOKEN, event).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let told = body(refused).await;
        assert!(told.starts_with(begins) && !told.contains("secret"), "{told}");
    }
    let mut compressed = gateway.request(Method::POST, PATH, "x");
    compressed.headers_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    compressed.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(gateway.send(compressed).await.status(), StatusCode::BAD_REQUEST);
    // By its length, before any of it is read.
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 8388609\r\n\r\n"
    );
    let answer = exchange_raw(gateway.address, head.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", answer.escape_ascii());
    // And without one, once it is over.
    let pieces = futures::stream::iter(
        (0..9).map(|_| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(vec![b' '; 1024 * 1024])))),
    );
    let request = gateway.request(Method::POST, PATH, "").map(|_| StreamBody::new(pieces));
    let (mut head, streamed) = request.into_parts();
    head.headers.insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    assert_eq!(gateway.send(Request::from_parts(head, streamed)).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(queries(&gateway), 0);
}

#[tokio::test]
async fn a_gateway_that_does_not_want_events_takes_them_and_counts_nothing() {
    let blue = with_queries(Arc::new(AtomicU32::new(0))).await;
    let gateway = before(&blue, |table| table["ignoresEvents"] = json!(true), ONCE).await;
    assert_eq!(tell(&gateway, TOKEN, CREATED).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(tell(&gateway, "wrong", CREATED).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(queries(&gateway), 0);
    assert_eq!(gateway.metric("warren_proxy_events_total{kind=\"created\",outcome=\"ignored\"} "), 1);
}

#[tokio::test]
async fn a_door_for_events_serves_nothing_else_and_asks_for_no_host() {
    let blue = with_queries(Arc::new(AtomicU32::new(0))).await;
    let door = Door::open("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0).for_events(None);
    let mut table = with_token(&blue.url());
    table["allowedHosts"] = json!(["trino.example.com"]);
    let gateway = Gateway::at(door, settings(), Some(table));
    gateway.healthy("blue").await;
    for request in [
        gateway.request(Method::POST, "/v1/statement", "SELECT 1"),
        gateway.request(Method::GET, "/v1/info", ""),
        gateway.request(Method::GET, "/c/blue/ui/", ""),
    ] {
        assert_eq!(gateway.send(request).await.status(), StatusCode::NOT_FOUND);
    }
    assert!(blue.seen().iter().all(|seen| !seen.target.starts_with("/v1/statement")));
    assert_eq!(tell(&gateway, TOKEN, CREATED).await.status(), StatusCode::NO_CONTENT);
}
