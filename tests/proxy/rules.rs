//! Rules as clients meet them: what they see of a request, and what a rejected query looks like.

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use warren::proxy::Door;

use crate::{
    coordinator::Coordinator,
    gateway::{Gateway, json as json_of, settings},
};

/// Two groups of one cluster each, `adhoc` with blue and `etl` with green, these rules, and `adhoc` as the default.
async fn with_rules(blue: &Coordinator, green: &Coordinator, rules: Value) -> Gateway {
    let table = json!({
        "groups": [
            {"name": "adhoc", "clusters": [{"name": "blue", "url": blue.url()}]},
            {"name": "etl", "clusters": [{"name": "green", "url": green.url()}]},
        ],
        "routing": {"rules": rules, "default": {"group": "adhoc"}, "fallback": {"group": "adhoc"}},
    });
    let gateway = Gateway::with(settings(), Some(table)).await;
    gateway.healthy("blue").await;
    gateway.healthy("green").await;
    gateway
}

async fn post(gateway: &Gateway, headers: &[(&str, &str)], statement: &str) -> Value {
    let host = gateway.address.to_string();
    let mut request = Request::builder().method(Method::POST).uri("/v1/statement").header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer =
        gateway.send(request.body(Full::new(bytes::Bytes::copy_from_slice(statement.as_bytes()))).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    json_of(answer).await
}

#[tokio::test]
async fn the_first_rule_that_matches_decides() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let gateway = with_rules(
        &blue,
        &green,
        json!([
            {"name": "airflow", "when": "query.source == 'airflow' || 'etl' in query.tags", "to": {"group": "etl"}},
            {"name": "late", "when": "user.name == 'ann'", "to": {"cluster": "green"}},
            {"name": "team", "when": "request.headers['x-team'] == 'data'", "to": {"group": "etl"}},
        ]),
    )
    .await;
    for (headers, cluster) in [
        (&[("x-trino-source", "airflow")][..], "green"),
        (&[("x-trino-client-tags", "a,etl")], "green"),
        (&[("x-trino-user", "ann")], "green"),
        (&[("x-presto-user", "ann")], "green"),
        (&[("x-team", "data")], "green"),
        (&[("x-trino-user", "bob")], "blue"),
    ] {
        assert_eq!(post(&gateway, headers, "SELECT 1").await["from"], cluster, "{headers:?}");
    }
}

#[tokio::test]
async fn what_a_listener_presets_is_for_rules_alone_and_changes_with_the_table() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let door = Door::open("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0).named("bi");
    let table = |source: &str| {
        let when = "query.source == 'superset' || 'slow' in query.tags";
        json!({
            "listeners": [{"name": "bi", "source": source}],
            "groups": [
                {"name": "adhoc", "clusters": [{"name": "blue", "url": blue.url()}]},
                {"name": "etl", "clusters": [{"name": "green", "url": green.url()}]},
            ],
            "routing": {
                "rules": [{"name": "bi", "when": when, "to": {"group": "etl"}}], "default": {"group": "adhoc"},
            },
        })
    };
    let gateway = Gateway::at(door, settings(), Some(table("superset")));
    gateway.healthy("blue").await;
    gateway.healthy("green").await;
    assert_eq!(post(&gateway, &[], "SELECT 1").await["from"], "green");
    assert!(!green.seen()[0].headers.contains_key("x-trino-source"), "Trino gets the request as it came");
    assert_eq!(post(&gateway, &[("x-trino-source", "hue")], "SELECT 1").await["from"], "blue");
    let asked = json!({"headers": {}, "listener": "bi"}).to_string();
    assert!(gateway.proxy.explain(asked.as_bytes()).unwrap().to_string().contains("rule bi"));

    gateway.reload(table("tableau")).await;
    assert_eq!(post(&gateway, &[], "SELECT 1").await["from"], "blue");
    let mut tagged = table("tableau");
    tagged["listeners"][0]["clientTags"] = json!(["slow"]);
    gateway.reload(tagged).await;
    assert_eq!(post(&gateway, &[("x-trino-source", "hue")], "SELECT 1").await["from"], "green");
}

#[tokio::test]
async fn a_rejected_query_fails_as_trino_queries_fail_and_reaches_nobody() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let gateway = with_rules(
        &blue,
        &green,
        json!([{
            "name": "no-drop",
            "when": "query.type == 'DROP' && !user.name.startsWith('admin')",
            "reject": {"message": "DROP is not allowed here"},
        }]),
    )
    .await;
    let refused = post(&gateway, &[("x-trino-user", "bob")], "DROP TABLE a.b.c").await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("DROP is not allowed here (request "), "{message}");
    assert_eq!(refused["error"]["errorName"], "QUERY_REJECTED");
    assert_eq!(refused["nextUri"], Value::Null);
    // What cannot be read may be a DROP.
    assert!(post(&gateway, &[("x-trino-user", "bob")], "SELECT * FROM 'open").await["error"].is_object());
    // The prepared statement counts, not the EXECUTE.
    let prepared = [("x-trino-user", "bob"), ("x-trino-prepared-statement", "p=DROP+TABLE+a.b.c")];
    assert!(post(&gateway, &prepared, "EXECUTE p").await["error"].is_object());
    assert!(blue.seen().is_empty() && green.seen().is_empty());
    assert_eq!(post(&gateway, &[("x-trino-user", "bob")], "SELECT 'DROP TABLE'").await["from"], "blue");
}

#[tokio::test]
async fn a_rule_sees_the_tables_of_a_statement_and_the_statement_arrives_whole() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let gateway = with_rules(
        &blue,
        &green,
        json!([{"name": "big", "when": "'tpch.sf1.lineitem' in query.tables", "to": {"group": "etl"}}]),
    )
    .await;
    let session = [("x-trino-catalog", "tpch"), ("x-trino-schema", "sf1")];
    assert_eq!(post(&gateway, &session, "SELECT * FROM lineitem").await["from"], "green");
    assert_eq!(post(&gateway, &session, "SELECT * FROM orders").await["from"], "blue");
    // Too large to be kept: its tables are unknown, and it still goes through, read ahead or not.
    let large = format!("SELECT '{}' FROM lineitem", "x".repeat(2 * 1024 * 1024));
    assert_eq!(post(&gateway, &session, &large).await["from"], "blue");
}

#[tokio::test]
async fn a_query_goes_to_the_fallback_when_its_group_has_no_healthy_cluster() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let rules = json!([{"name": "all", "when": "true", "to": {"group": "etl"}}]);
    let gateway = with_rules(&blue, &green, rules).await;
    assert_eq!(post(&gateway, &[], "SELECT 1").await["from"], "green");
    green.stop().await;
    // The first one learns it by a refused connection, and goes on.
    assert_eq!(post(&gateway, &[], "SELECT 1").await["from"], "blue");
    assert_eq!(post(&gateway, &[], "SELECT 1").await["from"], "blue");
}

#[tokio::test]
async fn explain_says_what_would_become_of_a_query() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let rules = json!([{"name": "etl", "when": "query.source == 'airflow'", "to": {"group": "etl"}}]);
    let gateway = with_rules(&blue, &green, rules).await;
    let asked = json!({"headers": {"X-Trino-Source": "airflow"}, "sql": "SELECT 1"});
    let explanation = gateway.proxy.explain(asked.to_string().as_bytes()).unwrap().to_string();
    assert!(explanation.contains("rule etl") && explanation.contains("green"), "{explanation}");
    assert!(gateway.proxy.explain(b"{\"sq\": 1}").unwrap_err().contains("unknown field"));
    assert!(blue.seen().is_empty() && green.seen().is_empty());
}

#[tokio::test]
async fn an_external_router_is_asked_where_no_rule_matches_and_the_default_decides_where_it_fails() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    // It reads what trino-gateway sends, and answers what it expects.
    let router = Coordinator::scripted(|request| async move {
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/route"));
        assert!(!request.headers().contains_key("authorization") && !request.headers().contains_key("x-mine"));
        let user = request.headers()["x-trino-user"].to_str().unwrap().to_owned();
        let asked = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
        let asked: Value = serde_json::from_slice(&asked).unwrap();
        assert_eq!(asked["trinoRequestUser"]["user"], user);
        let tables = &asked["trinoQueryProperties"]["tables"];
        let answer = match user.as_str() {
            "ann" if *tables == json!(["tpch.sf1.lineitem"]) => {
                json!({"routingGroup": "etl", "errors": [], "externalHeaders": {"X-Note": "1"}})
            }
            "bob" => json!({"routingGroup": "nowhere"}),
            "eve" => json!({"errors": ["no idea"]}),
            _ => json!({}),
        };
        Some(crate::coordinator::text(StatusCode::OK, &answer.to_string()))
    })
    .await;
    let table = json!({
        "groups": [
            {"name": "adhoc", "clusters": [{"name": "blue", "url": blue.url()}]},
            {"name": "etl", "clusters": [{"name": "green", "url": green.url()}]},
        ],
        "routing": {
            "rules": [{"name": "own", "when": "user.name == 'own'", "to": {"group": "adhoc"}}],
            "external": {"url": format!("{}/route", router.url()), "excludeHeaders": ["x-mine"], "timeoutMillis": 30000},
            "default": {"group": "adhoc"},
        },
    });
    let gateway = Gateway::with(settings(), Some(table)).await;
    gateway.healthy("blue").await;
    gateway.healthy("green").await;
    // The scripted router takes what says for whom it is forwarded for a client's; see there.
    let marked = |user: &'static str| {
        [("x-trino-user", user), ("x-forwarded-for", "x"), ("authorization", "Basic x"), ("x-mine", "1")]
    };
    assert_eq!(post(&gateway, &marked("ann"), "SELECT * FROM tpch.sf1.lineitem").await["from"], "green");
    assert_eq!(green.seen()[0].headers["x-note"], "1");
    assert!(green.seen()[0].headers.contains_key("authorization"));
    for user in ["ann", "bob", "eve", "own"] {
        assert_eq!(post(&gateway, &marked(user), "SELECT 1").await["from"], "blue", "{user}");
    }
    assert_eq!(router.seen().len(), 4);
    router.stop().await;
    assert_eq!(post(&gateway, &marked("ann"), "SELECT * FROM tpch.sf1.lineitem").await["from"], "blue");
}
