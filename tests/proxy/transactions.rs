//! Explicit transactions: each statement of one reaches the cluster that started it, and no other.

use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use crate::{
    coordinator::{Body, Coordinator, QUERY, text},
    gateway::{Gateway, json, table},
};

const ID: &str = "7c1f7d2e-9e0b-4c55-8d3a-0d2f5b3e6a11";

/// A coordinator that starts a transaction, [`ID`], with each statement that is in none; in one it answers as `within`
/// says. The headers' names begin with `dialect`.
async fn starting(name: &'static str, dialect: &'static str, within: fn() -> Option<Response<Body>>) -> Coordinator {
    Coordinator::scripted(move |request| async move {
        let of_statement = request.headers().get(format!("{dialect}-transaction-id"));
        if of_statement.is_some_and(|id| id != "NONE") {
            return within();
        }
        let mut answer = page(name);
        let started = format!("{dialect}-started-transaction-id").parse::<http::HeaderName>().unwrap();
        answer.headers_mut().insert(started, ID.parse().unwrap());
        Some(answer)
    })
    .await
}

fn page(name: &str) -> Response<Body> {
    text(StatusCode::OK, &format!(r#"{{"id":"{QUERY}","from":"{name}"}}"#))
}

#[expect(clippy::unnecessary_wraps, reason = "others break the connection")]
fn within() -> Option<Response<Body>> {
    Some(page("within"))
}

async fn post(gateway: &Gateway, lines: &[(&'static str, &str)]) -> Response<Incoming> {
    let mut request = gateway.request(Method::POST, "/v1/statement", "SELECT 1");
    for (name, value) in lines {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    gateway.send(request).await
}

fn last(coordinator: &Coordinator) -> HeaderMap {
    coordinator.seen().last().unwrap().headers.clone()
}

#[tokio::test]
async fn each_statement_of_a_transaction_reaches_the_cluster_that_started_it_with_the_bare_id() {
    let blue = starting("blue", "x-trino", within).await;
    let green = starting("green", "x-trino", within).await;
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    for (name, it, other) in [("blue", &blue, &green), ("green", &green, &blue)] {
        let started = post(&gateway, &[("x-trino-transaction-id", "NONE")]).await;
        assert_eq!(started.headers()["x-trino-started-transaction-id"], format!("{name}.{ID}"));
        let tagged = started.headers()["x-trino-started-transaction-id"].to_str().unwrap().to_owned();
        assert_eq!(last(it)["x-trino-transaction-id"], "NONE");
        let before = (it.seen().len(), other.seen().len());
        for _ in 0..3 {
            let answer = post(&gateway, &[("x-trino-transaction-id", &tagged)]).await;
            assert_eq!(json(answer).await["from"], "within");
            assert_eq!(last(it)["x-trino-transaction-id"], ID);
        }
        assert_eq!((it.seen().len(), other.seen().len()), (before.0 + 3, before.1));
    }
}

#[tokio::test]
async fn a_transaction_goes_on_at_a_draining_cluster_which_gets_no_other_statement() {
    let blue = starting("blue", "x-trino", within).await;
    let green = starting("green", "x-trino", within).await;
    let urls = [blue.url(), green.url()];
    let clusters = [("blue", &*urls[0]), ("green", &*urls[1])];
    let gateway = Gateway::before(&clusters).await;
    let mut draining = table(&clusters);
    draining["groups"][0]["clusters"][0]["serving"] = "Draining".into();
    gateway.reload(draining).await;
    let tagged = format!("blue.{ID}");
    for _ in 0..3 {
        assert_eq!(json(post(&gateway, &[("x-trino-transaction-id", &tagged)]).await).await["from"], "within");
        assert_eq!(json(post(&gateway, &[]).await).await["from"], "green");
    }
    assert_eq!((blue.seen().len(), green.seen().len()), (3, 3));
}

#[tokio::test]
async fn a_rule_that_rejects_holds_within_a_transaction_and_one_that_sends_elsewhere_does_not() {
    let blue = starting("blue", "x-trino", within).await;
    let green = starting("green", "x-trino", within).await;
    let urls = [blue.url(), green.url()];
    let clusters = [("blue", &*urls[0]), ("green", &*urls[1])];
    let gateway = Gateway::before(&clusters).await;
    let mut ruled = table(&clusters);
    ruled["routing"]["rules"] = json!([
        {"name": "no", "when": "query.source == \"bad\"", "reject": {"message": "Not here."}},
        {"name": "pin", "when": "true", "to": {"cluster": "green"}},
    ]);
    gateway.reload(ruled).await;
    let of_blue = format!("blue.{ID}");
    let rejected = post(&gateway, &[("x-trino-transaction-id", &of_blue), ("x-trino-source", "bad")]).await;
    assert_eq!(rejected.status(), StatusCode::OK, "an error as Trino tells it");
    let told = json(rejected).await["error"]["message"].clone();
    assert!(told.as_str().unwrap().starts_with("Not here."), "{told}");
    assert_eq!((blue.seen().len(), green.seen().len()), (0, 0));
    let passed = post(&gateway, &[("x-trino-transaction-id", &of_blue), ("x-trino-source", "good")]).await;
    assert_eq!(json(passed).await["from"], "within");
    assert_eq!((blue.seen().len(), green.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_statement_of_a_transaction_whose_connection_breaks_is_tried_nowhere_again() {
    let blue = starting("blue", "x-trino", || None).await;
    let green = starting("green", "x-trino", within).await;
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    let answer = post(&gateway, &[("x-trino-transaction-id", &format!("blue.{ID}"))]).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((blue.seen().len(), green.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_statement_of_a_transaction_that_its_cluster_cannot_take_is_passed_over_nowhere() {
    for status in [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT] {
        let blue = Coordinator::saying(status).await;
        let green = starting("green", "x-trino", within).await;
        let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
        let answer = post(&gateway, &[("x-trino-transaction-id", &format!("blue.{ID}"))]).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((blue.seen().len(), green.seen().len()), (1, 0), "{status}");
    }
}

#[tokio::test]
async fn a_statement_of_a_transaction_whose_cluster_is_gone_is_told_so_in_trinos_words() {
    let green = starting("green", "x-trino", within).await;
    let gateway = Gateway::before(&[("green", &green.url())]).await;
    for name in ["x-trino-transaction-id", "x-presto-transaction-id"] {
        let answer = post(&gateway, &[(name, &format!("blue.{ID}"))]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/json");
        let answer = json(answer).await;
        // io.trino.spi.StandardErrorCode, Trino 476: UNKNOWN_TRANSACTION(20, USER_ERROR).
        let error = &answer["error"];
        let said = json!([error["errorName"], error["errorCode"], error["errorType"]]);
        assert_eq!(said, json!(["UNKNOWN_TRANSACTION", 20, "USER_ERROR"]));
        assert_eq!(answer["stats"]["state"], "FAILED");
        assert_eq!(answer.get("nextUri"), None);
    }
    assert!(green.seen().is_empty());
}

#[tokio::test]
async fn a_statement_in_no_transaction_or_with_an_id_from_elsewhere_is_routed_as_usual() {
    let blue = starting("blue", "x-trino", within).await;
    let green = starting("green", "x-trino", within).await;
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    for id in ["NONE", ID, "No Cluster.7c1f", "-blue.7c1f", ".7c1f"] {
        for coordinator in [&blue, &green] {
            assert_eq!(post(&gateway, &[("x-trino-transaction-id", id)]).await.status(), StatusCode::OK);
            assert_eq!(last(coordinator)["x-trino-transaction-id"], id);
        }
    }
    assert_eq!((blue.seen().len(), green.seen().len()), (5, 5));
}

#[tokio::test]
async fn other_headers_that_end_in_transaction_id_neither_route_nor_change() {
    let blue = starting("blue", "x-trino", within).await;
    let green = starting("green", "x-trino", within).await;
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    for name in ["x-transaction-id", "x-corp-transaction-id", "x-api-gateway-transaction-id"] {
        for coordinator in [&blue, &green] {
            let answer = post(&gateway, &[(name, "green.7c1f"), ("x-trino-user", "alice")]).await;
            assert!(json(answer).await["error"].is_null());
            assert_eq!(last(coordinator)[name], "green.7c1f");
        }
        let answer = post(&gateway, &[(name, "elsewhere.7c1f"), ("x-trino-user", "alice")]).await;
        assert!(json(answer).await["error"].is_null());
        post(&gateway, &[]).await;
    }
}

#[tokio::test]
async fn the_headers_of_presto_and_of_an_alternate_name_carry_transactions_as_well() {
    for (dialect, started, of_statement, user) in [
        ("x-presto", "x-presto-started-transaction-id", "x-presto-transaction-id", "x-presto-user"),
        ("x-acme", "x-acme-started-transaction-id", "x-acme-transaction-id", "x-acme-user"),
    ] {
        let blue = starting("blue", dialect, within).await;
        let green = starting("green", dialect, within).await;
        let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
        let answer = post(&gateway, &[(of_statement, "NONE"), (user, "alice")]).await;
        assert_eq!(answer.headers()[started], format!("blue.{ID}"));
        for _ in 0..3 {
            let answer = post(&gateway, &[(of_statement, &format!("blue.{ID}")), (user, "alice")]).await;
            assert_eq!(json(answer).await["from"], "within");
            assert_eq!(last(&blue)[of_statement], ID);
        }
        assert_eq!((blue.seen().len(), green.seen().len()), (4, 0));
    }
}

#[tokio::test]
async fn a_poll_within_a_transaction_goes_where_its_path_says_and_has_the_bare_id() {
    let blue = Coordinator::trino("blue").await;
    let green = Coordinator::trino("green").await;
    let gateway = Gateway::before(&[("blue", &blue.url()), ("green", &green.url())]).await;
    let poll = format!("/c/green/v1/statement/executing/{QUERY}/y0slug/0");
    let mut request = gateway.request(Method::GET, &poll, "");
    request.headers_mut().insert("x-trino-transaction-id", format!("green.{ID}").parse().unwrap());
    assert_eq!(json(gateway.send(request).await).await["from"], "green");
    assert_eq!(last(&green)["x-trino-transaction-id"], ID);
    assert!(blue.seen().is_empty());
}
