//! What coordinators are told of where clients see the gateway, and of who the clients are.

use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use warren::proxy::Door;

use crate::{
    coordinator::Coordinator,
    gateway::{Gateway, json, settings, table},
};

/// The forwarded headers that the coordinator was sent last, those of this list that were there.
fn forwarded(coordinator: &Coordinator) -> Vec<(&'static str, String)> {
    let seen: HeaderMap = coordinator.seen().last().unwrap().headers.clone();
    let names = ["proto", "host", "port", "prefix", "for"];
    let value = |name: &'static str| {
        let values: Vec<_> = seen.get_all(format!("x-forwarded-{name}")).iter().collect();
        assert!(values.len() < 2, "{name}: {values:?}");
        values.first().map(|value| (name, value.to_str().unwrap().to_owned()))
    };
    names.into_iter().filter_map(value).collect()
}

fn expected(lines: [(&'static str, &str); 5]) -> Vec<(&'static str, String)> {
    lines.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

async fn before(blue: &Coordinator, change: impl FnOnce(&mut Value)) -> Gateway {
    let mut table = table(&[("blue", &blue.url())]);
    change(&mut table);
    let gateway = Gateway::with(settings(), Some(table)).await;
    gateway.healthy("blue").await;
    gateway
}

async fn post(gateway: &Gateway, target: &str, lines: &[(&'static str, &str)]) -> Response<Incoming> {
    let mut request = gateway.request(Method::POST, target, "SELECT 1");
    for (name, value) in lines {
        if *name == "host" {
            request.headers_mut().remove(*name);
        }
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    gateway.send(request).await
}

const SAID: [(&str, &str); 6] = [
    ("host", "inside:8080"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "trino.example.com"),
    ("x-forwarded-port", "8443"),
    ("x-forwarded-prefix", "/data"),
    ("x-forwarded-for", "6.6.6.6, 1.2.3.4"),
];

#[tokio::test]
async fn a_trusted_proxy_says_where_clients_see_the_gateway_and_who_they_are() {
    for trusted in ["127.0.0.1", "127.0.0.0/8"] {
        let blue = Coordinator::trino("blue").await;
        let gateway = before(&blue, |table| table["trustedProxies"] = json!([trusted])).await;
        let page = json(post(&gateway, "/v1/statement", &SAID).await).await;
        let next = page["nextUri"].as_str().unwrap();
        assert!(next.starts_with("https://trino.example.com:8443/data/c/blue/v1/statement/queued/"), "{next}");
        assert_eq!(
            forwarded(&blue),
            expected([
                ("proto", "https"),
                ("host", "trino.example.com"),
                ("port", "8443"),
                ("prefix", "/data/c/blue"),
                ("for", "6.6.6.6, 1.2.3.4, 127.0.0.1"),
            ])
        );
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_trusted_is_not_believed() {
    let blue = Coordinator::trino("blue").await;
    let gateway = before(&blue, |table| table["trustedProxies"] = json!(["10.0.0.0/8", "::1", "127.0.0.2"])).await;
    assert_eq!(post(&gateway, "/v1/statement", &SAID).await.status(), StatusCode::OK);
    assert_eq!(
        forwarded(&blue),
        expected([
            ("proto", "http"),
            ("host", "inside"),
            ("port", "8080"),
            ("prefix", "/c/blue"),
            ("for", "127.0.0.1"),
        ])
    );
}

#[tokio::test]
async fn the_lines_of_a_chain_of_proxies_become_one_in_their_order() {
    let blue = Coordinator::trino("blue").await;
    let gateway = before(&blue, |table| table["trustedProxies"] = json!(["127.0.0.1", "10.0.0.0/8"])).await;
    let way = [("host", "a"), ("x-forwarded-for", "2001:db8::1, 10.0.0.7"), ("x-forwarded-for", "10.0.0.8")];
    assert_eq!(post(&gateway, "/v1/statement", &way).await.status(), StatusCode::OK);
    let seen = forwarded(&blue);
    assert_eq!(seen.last().unwrap().1, "2001:db8::1, 10.0.0.7, 10.0.0.8, 127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_that_says_no_address_or_no_plain_path_is_answered_400() {
    let blue = Coordinator::trino("blue").await;
    let gateway = before(&blue, |table| table["trustedProxies"] = json!(["127.0.0.1"])).await;
    for said in [("x-forwarded-host", "a b"), ("x-forwarded-prefix", "data"), ("x-forwarded-prefix", "/a?b")] {
        let answer = post(&gateway, "/v1/statement", &[("host", "a"), said]).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{said:?}");
    }
    assert!(blue.seen().is_empty());
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_refused_whoever_says_it() {
    let blue = Coordinator::trino("blue").await;
    let change = |table: &mut Value| {
        table["allowedHosts"] = json!(["trino.example.com", "*.corp.example.com"]);
        table["trustedProxies"] = json!(["127.0.0.1"]);
    };
    let gateway = before(&blue, change).await;
    for allowed in ["trino.example.com", "TRINO.example.com:8443", "a.corp.example.com"] {
        assert_eq!(post(&gateway, "/v1/statement", &[("host", allowed)]).await.status(), StatusCode::OK, "{allowed}");
    }
    let answered = blue.seen().len();
    for refused in
        ["evil.example.com", "corp.example.com", "trino.example.com.evil", "127.0.0.1", "evilcorp.example.com"]
    {
        let answer = post(&gateway, "/v1/statement", &[("host", refused)]).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{refused}");
    }
    let said = [("host", "trino.example.com"), ("x-forwarded-host", "evil.example.com")];
    assert_eq!(post(&gateway, "/v1/statement", &said).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(blue.seen().len(), answered);
}

#[tokio::test]
async fn an_external_url_with_a_path_holds_whether_or_not_the_path_was_taken_off_before() {
    let blue = Coordinator::trino("blue").await;
    let gateway = before(&blue, |table| table["externalUrl"] = json!("https://trino.example.com/data/sql")).await;
    for target in ["/v1/statement", "/data/sql/v1/statement"] {
        let page = json(post(&gateway, target, &[("host", "anything")]).await).await;
        let next = page["nextUri"].as_str().unwrap();
        let below = next.strip_prefix("https://trino.example.com:443").unwrap();
        assert!(below.starts_with("/data/sql/c/blue/v1/statement/queued/"), "{next}");
        assert_eq!(blue.seen().last().unwrap().target, "/v1/statement");
        for path in [below, below.strip_prefix("/data/sql").unwrap()] {
            assert_eq!(json(gateway.get(path).await).await["from"], "blue", "{path}");
            assert!(blue.seen().last().unwrap().target.starts_with("/v1/statement/queued/"));
        }
    }
    for path in ["/v1/info?a=b", "/data/sql/v1/info?a=b"] {
        gateway.get(path).await;
        assert_eq!(blue.seen().last().unwrap().target, "/v1/info?a=b", "{path}");
    }
    let seen = blue.seen().len();
    for path in ["/data/v1/info", "/data/sql", "/data/sqlx/v1/info", "/data/sql/data/sql/v1/info", "/data/sql/v1/task"]
    {
        assert_eq!(gateway.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(blue.seen().len(), seen);
}

#[tokio::test]
async fn a_listener_of_ipv6_serves_and_its_clients_have_addresses_of_ipv6() {
    let blue = Coordinator::trino("blue").await;
    let door = Door::open("[::1]:0".parse().unwrap(), 1).unwrap().remove(0);
    let gateway = Gateway::at(door, settings(), Some(table(&[("blue", &blue.url())])));
    gateway.healthy("blue").await;
    let page = json(gateway.post("SELECT 1").await).await;
    let port = gateway.address.port();
    let next = page["nextUri"].as_str().unwrap().to_owned();
    assert!(next.starts_with(&format!("http://[::1]:{port}/c/blue/")), "{next}");
    let port = port.to_string();
    assert_eq!(
        forwarded(&blue),
        expected([("proto", "http"), ("host", "[::1]"), ("port", &port), ("prefix", "/c/blue"), ("for", "::1")])
    );
}

#[tokio::test]
async fn after_the_first_call_clients_go_to_a_cluster_with_an_address_of_its_own() {
    let (blue, green) = (Coordinator::trino("blue").await, Coordinator::trino("green").await);
    let mut first_call = table(&[("blue", &blue.url()), ("green", &green.url())]);
    first_call["proxyMode"] = json!("ProxyFirstCall");
    first_call["externalUrl"] = json!("https://trino.example.com/data");
    first_call["groups"][0]["clusters"][0]["clientUrl"] = json!("https://blue.example.com:8443");
    let gateway = Gateway::with(settings(), Some(first_call)).await;
    gateway.healthy("blue").await;
    gateway.healthy("green").await;
    let mut pages = Vec::new();
    for _ in 0..2 {
        pages.push(json(gateway.post("SELECT 1").await).await["nextUri"].as_str().unwrap().to_owned());
    }
    assert!(pages[0].starts_with("https://blue.example.com:8443/v1/statement/queued/"), "{pages:?}");
    assert!(pages[1].starts_with("https://trino.example.com:443/data/c/green/v1/statement/queued/"), "{pages:?}");
    let seen = forwarded(&blue);
    assert_eq!(seen.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["proto", "host", "port", "for"]);
    assert_eq!(seen[1].1, "blue.example.com");
    // Its polls are not seen here: it counts no live query for them.
    assert_eq!(
        (gateway.cluster("blue")["liveQueries"].clone(), gateway.cluster("green")["liveQueries"].clone()),
        (json!(0), json!(1))
    );
}
