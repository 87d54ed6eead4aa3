//! Which queries are still live: those whose clients hold a `nextUri`, as far as the proxy saw.

use std::io::Write as _;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::json;

use crate::{
    coordinator::{Body, Coordinator, QUERY, text},
    gateway::{Gateway, body},
};

fn path(rest: &str) -> String {
    format!("/c/blue/v1/statement/{rest}")
}

fn poll() -> String {
    path(&format!("executing/{QUERY}/y0slug/0"))
}

fn count(gateway: &Gateway) -> u64 {
    gateway.cluster("blue")["liveQueries"].as_u64().unwrap()
}

/// Sends a request, and reads its answer to the end.
async fn ask(gateway: &Gateway, method: Method, target: &str, statement: &str) -> StatusCode {
    let answer = gateway.send(gateway.request(method, target, statement)).await;
    let status = answer.status();
    let _ = answer.into_body().collect().await.unwrap();
    status
}

#[tokio::test]
async fn a_query_lives_from_its_first_page_to_its_last() {
    let blue = Coordinator::trino("blue").await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    assert_eq!(count(&gateway), 0);
    let blank = json!({
        "cluster": "blue", "serving": "Active", "inFlight": 0, "count": 0, "running": 0, "queries": [], "ended": [],
    });
    assert_eq!(json!(gateway.proxy.queries()), json!({"clusters": [blank]}));
    ask(&gateway, Method::POST, "/v1/statement", "SELECT 1").await;
    assert_eq!(count(&gateway), 1);
    let listed = json!(gateway.proxy.queries())["clusters"][0].clone();
    assert_eq!((listed["cluster"].clone(), listed["count"].clone()), (json!("blue"), json!(1)));
    assert_eq!(listed["queries"][0]["id"], QUERY);
    assert!(listed["queries"][0]["ageMillis"].is_u64() && listed["queries"][0]["idleMillis"].is_u64());
    // A page that says where to go on, a heartbeat, and then the last page, which names no next one.
    ask(&gateway, Method::GET, &path(&format!("queued/{QUERY}/y0slug/1")), "").await;
    ask(&gateway, Method::HEAD, &poll(), "").await;
    assert_eq!(count(&gateway), 1);
    ask(&gateway, Method::GET, &poll(), "").await;
    assert_eq!(count(&gateway), 0);
    let after = gateway.proxy.queries().clusters.remove(0);
    assert_eq!((after.queries.len(), after.ended[0].id.as_str()), (0, QUERY));
}

#[tokio::test]
async fn a_poll_of_a_query_that_began_at_another_replica_makes_it_known() {
    let blue = Coordinator::trino("blue").await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    ask(&gateway, Method::GET, &path(&format!("queued/{QUERY}/y0slug/1")), "").await;
    assert_eq!(count(&gateway), 1);
}

#[tokio::test]
async fn a_cancel_ends_a_query_and_that_of_one_stage_does_not() {
    let blue = Coordinator::trino("blue").await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    ask(&gateway, Method::POST, "/v1/statement", "SELECT 1").await;
    let partial = path(&format!("executing/partialCancel/{QUERY}/2/y0slug/0"));
    assert_eq!(ask(&gateway, Method::DELETE, &partial, "").await, StatusCode::NO_CONTENT);
    assert_eq!(count(&gateway), 1);
    assert_eq!(ask(&gateway, Method::DELETE, &poll(), "").await, StatusCode::NO_CONTENT);
    assert_eq!(count(&gateway), 0);
}

#[tokio::test]
async fn a_query_that_its_cluster_does_not_know_is_not_live_and_one_it_fails_to_tell_of_is() {
    for (status, live) in
        [(StatusCode::NOT_FOUND, 0), (StatusCode::INTERNAL_SERVER_ERROR, 1), (StatusCode::SERVICE_UNAVAILABLE, 1)]
    {
        let blue = Coordinator::scripted(move |request| async move {
            Some(if request.method() == Method::POST {
                text(StatusCode::OK, &format!(r#"{{"id":"{QUERY}","nextUri":"http://a/"}}"#))
            } else {
                text(status, "")
            })
        })
        .await;
        let gateway = Gateway::before(&[("blue", &blue.url())]).await;
        ask(&gateway, Method::POST, "/v1/statement", "SELECT 1").await;
        assert_eq!(count(&gateway), 1);
        assert_eq!(ask(&gateway, Method::GET, &poll(), "").await, status);
        assert_eq!(count(&gateway), live, "{status}");
    }
}

#[tokio::test]
async fn pages_in_gzip_are_read_as_well_and_pass_untouched() {
    fn gzipped(page: &str) -> Response<Body> {
        let body = Full::new(Bytes::from(gzip(page))).boxed();
        Response::builder().header("content-encoding", "gzip").body(body).unwrap()
    }
    fn gzip(page: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(page.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }
    let last = format!(r#"{{"id":"{QUERY}","infoUri":"http://a/","data":[["nextUri"]]}}"#);
    let expected = gzip(&last);
    let blue = Coordinator::scripted(move |request| {
        let last = last.clone();
        async move {
            Some(if request.method() == Method::POST {
                gzipped(&format!(r#"{{"id":"{QUERY}","infoUri":"http://a/","nextUri":"http://b/"}}"#))
            } else {
                gzipped(&last)
            })
        }
    })
    .await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    ask(&gateway, Method::POST, "/v1/statement", "SELECT 1").await;
    assert_eq!(count(&gateway), 1);
    let answer = gateway.get(&poll()).await;
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), expected);
    assert_eq!(count(&gateway), 0);
}

#[tokio::test]
async fn a_failed_statement_and_an_answer_that_is_no_page_leave_no_live_query() {
    for answer in [
        format!(r#"{{"id":"{QUERY}","stats":{{"state":"FAILED"}},"error":{{"message":"no"}}}}"#),
        "<html>nextUri</html>".to_owned(),
        r#"{"nextUri":"http://a/"}"#.to_owned(),
        r#"{"id":"not an id","nextUri":"http://a/"}"#.to_owned(),
    ] {
        let sent = answer.clone();
        let blue = Coordinator::scripted(move |_| {
            let answer = text(StatusCode::OK, &sent);
            async move { Some(answer) }
        })
        .await;
        let gateway = Gateway::before(&[("blue", &blue.url())]).await;
        assert_eq!(body(gateway.post("SELECT 1").await).await, answer);
        assert_eq!(count(&gateway), 0, "{answer}");
    }
}

#[tokio::test]
async fn a_heartbeat_that_is_refused_makes_no_query_known() {
    let blue = Coordinator::saying(StatusCode::UNAUTHORIZED).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    for number in 0..20 {
        ask(&gateway, Method::HEAD, &format!("/c/blue/v1/statement/executing/q_{number}/y0slug/0"), "").await;
    }
    assert_eq!(count(&gateway), 0);
}
