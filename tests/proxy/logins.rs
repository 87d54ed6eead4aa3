//! Logins by OAuth2: all legs of one reach the coordinator that began it, though the provider knows one callback alone.

use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{COOKIE, LOCATION, SET_COOKIE},
};
use hyper::body::Incoming;
use serde_json::json;

use crate::{
    coordinator::{Body, Coordinator, text},
    gateway::{Gateway, settings, table},
};

/// Answers the legs of a login as Trino 476 does: its URIs come from the forwarded headers.
fn legs(request: &Request<Incoming>) -> Response<Body> {
    let header = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let proto = header("x-forwarded-proto");
    let port = match (&*proto, &*header("x-forwarded-port")) {
        ("https", "443") | ("http", "80") => String::new(),
        (_, port) => format!(":{port}"),
    };
    let base = format!("{proto}://{}{port}{}", header("x-forwarded-host"), header("x-forwarded-prefix"));
    let redirect = |to: &str, cookie: &str| {
        let mut answer = text(StatusCode::SEE_OTHER, "");
        answer.headers_mut().insert(LOCATION, to.parse().unwrap());
        answer.headers_mut().append(SET_COOKIE, cookie.parse().unwrap());
        answer
    };
    match request.uri().path() {
        "/ui/" | "/oauth2/token/initiate/7f3a" => {
            let callback = format!("{base}/oauth2/callback").replace(':', "%3A").replace('/', "%2F");
            let to = format!(
                "https://idp.example.com/auth?response_type=code&redirect_uri={callback}&state=s%2Ftate&nonce=n"
            );
            redirect(&to, "__Secure-Trino-Nonce=abc;Version=1;Path=/oauth2/callback;HttpOnly")
        }
        "/oauth2/callback" => redirect(&format!("{base}/ui/"), "Trino-OAuth2-Token=t;Version=1;Path=/ui;HttpOnly"),
        "/oauth2/token/7f3a" => text(StatusCode::OK, r#"{"token":"t"}"#),
        _ => text(StatusCode::NOT_FOUND, ""),
    }
}

async fn coordinator() -> Coordinator {
    Coordinator::scripted(|request| async move { Some(legs(&request)) }).await
}

async fn gateway(clusters: &[(&str, &str)], external: Option<&str>) -> Gateway {
    let mut table = table(clusters);
    if let Some(external) = external {
        table["externalUrl"] = json!(external);
    }
    let gateway = Gateway::with(settings(), Some(table)).await;
    for (name, _) in clusters {
        gateway.healthy(name).await;
    }
    gateway
}

fn texts(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

async fn callback(gateway: &Gateway, cookies: &[&str]) -> Response<Incoming> {
    let mut request = gateway.request(Method::GET, "/oauth2/callback?code=c%2Fode&state=s%2Ftate", "");
    for cookie in cookies {
        request.headers_mut().append(COOKIE, cookie.parse().unwrap());
    }
    gateway.send(request).await
}

#[tokio::test]
async fn a_login_goes_through_one_callback_to_the_cluster_where_it_began_whichever_replica_it_meets() {
    let (blue, green) = (coordinator().await, coordinator().await);
    let urls = [blue.url(), green.url()];
    let clusters = [("blue", &*urls[0]), ("green", &*urls[1])];
    let external = Some("https://trino.example.com");
    let (first, second) = (gateway(&clusters, external).await, gateway(&clusters, external).await);
    for leg in ["/c/green/ui/", "/c/green/oauth2/token/initiate/7f3a"] {
        let to_provider = first.get(leg).await;
        assert_eq!(to_provider.status(), StatusCode::SEE_OTHER);
        assert_eq!(
            texts(to_provider.headers(), LOCATION),
            [
                "https://idp.example.com/auth?response_type=code&redirect_uri=https%3A%2F%2Ftrino.example.com%2Foauth2%2Fcallback&state=s%2Ftate&nonce=n"
            ]
        );
        let cookies = texts(to_provider.headers(), SET_COOKIE);
        assert_eq!(
            cookies,
            [
                "__Secure-Trino-Nonce=abc;Version=1;Path=/oauth2/callback;HttpOnly",
                "Warren-OAuth2-Cluster=green; Path=/oauth2/callback; Max-Age=900; HttpOnly; SameSite=Lax; Secure",
            ]
        );
    }
    let back = callback(&second, &["__Secure-Trino-Nonce=abc; Warren-OAuth2-Cluster=green"]).await;
    assert_eq!(back.status(), StatusCode::SEE_OTHER);
    assert_eq!(back.headers()[LOCATION], "https://trino.example.com/c/green/ui/");
    let cookies = texts(back.headers(), SET_COOKIE);
    assert_eq!(cookies[0], "Trino-OAuth2-Token=t;Version=1;Path=/c/green/ui;HttpOnly");
    let seen = green.seen().pop().unwrap();
    assert_eq!(seen.target, "/oauth2/callback?code=c%2Fode&state=s%2Ftate");
    assert!(seen.headers[COOKIE].to_str().unwrap().contains("__Secure-Trino-Nonce=abc"));
    // The redirect URI that it builds for the exchange of the code is that of the first leg.
    assert!(!seen.headers.contains_key("x-forwarded-prefix"));
    assert_eq!(second.get("/c/green/oauth2/token/7f3a").await.status(), StatusCode::OK);
    assert!(blue.seen().is_empty());
}

#[tokio::test]
async fn a_login_below_a_path_of_the_gateway_stays_below_it() {
    let blue = coordinator().await;
    let gateway = gateway(&[("blue", &blue.url())], Some("http://trino.example.com:8080/data")).await;
    let to_provider = gateway.get("/data/c/blue/ui/").await;
    let location = to_provider.headers()[LOCATION].to_str().unwrap();
    let redirect = "redirect_uri=http%3A%2F%2Ftrino.example.com%3A8080%2Fdata%2Foauth2%2Fcallback&";
    assert!(location.contains(redirect), "{location}");
    let cookies = texts(to_provider.headers(), SET_COOKIE);
    assert_eq!(
        cookies.last().unwrap(),
        "Warren-OAuth2-Cluster=blue; Path=/data/oauth2/callback; Max-Age=900; HttpOnly; SameSite=Lax"
    );
    let mut request = gateway.request(Method::GET, "/data/oauth2/callback?code=c&state=s", "");
    request.headers_mut().insert(COOKIE, "Warren-OAuth2-Cluster=blue".parse().unwrap());
    let back = gateway.send(request).await;
    assert_eq!(back.headers()[LOCATION], "http://trino.example.com:8080/data/c/blue/ui/");
    assert_eq!(blue.seen().last().unwrap().headers["x-forwarded-prefix"], "/data");
}

#[tokio::test]
async fn a_callback_without_a_cookie_or_with_a_strange_one_asks_no_coordinator() {
    let blue = coordinator().await;
    let gateway = gateway(&[("blue", &blue.url())], None).await;
    for (cookie, status) in [
        ("other=blue", StatusCode::BAD_REQUEST),
        ("Warren-OAuth2-Cluster=", StatusCode::BAD_REQUEST),
        ("Warren-OAuth2-Cluster=Blue", StatusCode::BAD_REQUEST),
        ("Warren-OAuth2-Cluster=../blue", StatusCode::BAD_REQUEST),
        ("Warren-OAuth2-Cluster=127.0.0.1:80", StatusCode::BAD_REQUEST),
        ("XWarren-OAuth2-Cluster=blue", StatusCode::BAD_REQUEST),
        ("Warren-OAuth2-Cluster=gone", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(callback(&gateway, &[cookie]).await.status(), status, "{cookie}");
    }
    assert_eq!(callback(&gateway, &[]).await.status(), StatusCode::BAD_REQUEST);
    assert!(blue.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_to_a_provider_with_a_callback_of_its_own_stays_as_it_is() {
    let elsewhere = "https://idp.example.com/auth?redirect_uri=https%3A%2F%2Fother.example.com%2Foauth2%2Fcallback";
    let blue = Coordinator::scripted(move |_| async move {
        let mut answer = text(StatusCode::SEE_OTHER, "");
        answer.headers_mut().insert(LOCATION, elsewhere.parse().unwrap());
        Some(answer)
    })
    .await;
    let gateway = gateway(&[("blue", &blue.url())], None).await;
    let answer = gateway.get("/c/blue/ui/").await;
    assert_eq!(answer.headers()[LOCATION], elsewhere);
    assert!(!answer.headers().contains_key(SET_COOKIE));
}
