//! Logins by OAuth2: all legs of one reach the coordinator that began it, though the provider knows one callback alone.

use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, COOKIE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE},
};
use hyper::body::Incoming;
use serde_json::json;

use crate::{
    coordinator::{Body, Coordinator, text},
    gateway::{Gateway, body, settings, table},
};

/// Answers the legs of a login as Trino 476 does: a client's way to the provider is told below the forwarded prefix, and
/// everything else at the root. Recorded with dex as the provider.
fn legs(request: &Request<Incoming>) -> Response<Body> {
    let header = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let proto = header("x-forwarded-proto");
    let port = match (&*proto, &*header("x-forwarded-port")) {
        ("https", "443") | ("http", "80") => String::new(),
        (_, port) => format!(":{port}"),
    };
    let root = format!("{proto}://{}{port}", header("x-forwarded-host"));
    let below = format!("{root}{}", header("x-forwarded-prefix"));
    let redirect = |to: &str, cookie: &str| {
        let mut answer = text(StatusCode::SEE_OTHER, "");
        answer.headers_mut().insert(LOCATION, to.parse().unwrap());
        answer.headers_mut().append(SET_COOKIE, cookie.parse().unwrap());
        answer
    };
    let to_provider = |base: &str| {
        let callback = format!("{base}/oauth2/callback").replace(':', "%3A").replace('/', "%2F");
        let to =
            format!("https://idp.example.com/auth?response_type=code&redirect_uri={callback}&state=s.t.ate&nonce=n");
        redirect(&to, "__Secure-Trino-Nonce=abc;Version=1;Path=/oauth2/callback;Secure;HttpOnly")
    };
    match request.uri().path() {
        "/v1/statement" => {
            let mut answer = text(StatusCode::UNAUTHORIZED, "Unauthorized");
            let challenge = format!(
                "Bearer x_redirect_server=\"{root}/oauth2/token/initiate/7f3a\", x_token_server=\"{root}/oauth2/token/88db\""
            );
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge.parse().unwrap());
            answer
        }
        "/ui/" => to_provider(&root),
        "/oauth2/token/initiate/7f3a" => to_provider(&below),
        "/oauth2/callback" => {
            redirect(&format!("{below}/ui/"), "__Secure-Trino-OAuth2-Token=t;Version=1;Path=/ui/;Secure;HttpOnly")
        }
        "/oauth2/token/88db" => text(StatusCode::OK, &format!("{{\"nextUri\":\"{root}/oauth2/token/88db\"}}")),
        "/oauth2/token/b00d" => text(StatusCode::OK, r#"{"token":"t"}"#),
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

async fn callback(gateway: &Gateway, query: &str) -> Response<Incoming> {
    let mut request = gateway.request(Method::GET, &format!("/oauth2/callback{query}"), "");
    request
        .headers_mut()
        .insert(COOKIE, "__Secure-Trino-Nonce.blue=def; __Secure-Trino-Nonce.green=abc".parse().unwrap());
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
                "https://idp.example.com/auth?response_type=code&redirect_uri=https%3A%2F%2Ftrino.example.com%2Foauth2%2Fcallback&state=green.s.t.ate&nonce=n"
            ]
        );
        let cookies = texts(to_provider.headers(), SET_COOKIE);
        assert_eq!(cookies, ["__Secure-Trino-Nonce.green=abc;Version=1;Path=/oauth2/callback;Secure;HttpOnly"]);
    }
    let back = callback(&second, "?code=c%2Fode&state=green.s.t.ate").await;
    assert_eq!(back.status(), StatusCode::SEE_OTHER);
    assert_eq!(back.headers()[LOCATION], "https://trino.example.com/c/green/ui/");
    let cookies = texts(back.headers(), SET_COOKIE);
    assert_eq!(cookies[0], "__Secure-Trino-OAuth2-Token=t;Version=1;Path=/c/green/ui/;Secure;HttpOnly");
    let seen = green.seen().pop().unwrap();
    assert_eq!(seen.target, "/oauth2/callback?code=c%2Fode&state=s.t.ate");
    assert_eq!(seen.headers[COOKIE], "__Secure-Trino-Nonce.blue=def; __Secure-Trino-Nonce=abc");
    // The redirect URI that it builds for the exchange of the code is that of the first leg.
    assert!(!seen.headers.contains_key("x-forwarded-prefix"));
    assert!(blue.seen().is_empty());
}

#[tokio::test]
async fn a_client_is_led_to_the_cluster_that_asks_for_its_login_and_stays_there_while_it_waits() {
    let blue = coordinator().await;
    for (external, below) in [
        ("https://trino.example.com", "https://trino.example.com/c/blue/oauth2/token"),
        ("https://trino.example.com:8443/data", "https://trino.example.com:8443/data/c/blue/oauth2/token"),
    ] {
        let gateway = gateway(&[("blue", &blue.url())], Some(external)).await;
        let answer = gateway.send(gateway.request(Method::POST, "/v1/statement", "SELECT 1")).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let challenge = format!("Bearer x_redirect_server=\"{below}/initiate/7f3a\", x_token_server=\"{below}/88db\"");
        assert_eq!(texts(answer.headers(), WWW_AUTHENTICATE), [challenge]);
        let mut request = gateway.request(Method::GET, "/c/blue/oauth2/token/88db", "");
        request.headers_mut().insert(ACCEPT_ENCODING, "gzip".parse().unwrap());
        let waits = gateway.send(request).await;
        assert!(!blue.seen().last().unwrap().headers.contains_key(ACCEPT_ENCODING));
        assert_eq!(body(waits).await, format!("{{\"nextUri\":\"{below}/88db\"}}"));
        let over = gateway.get("/c/blue/oauth2/token/b00d").await;
        assert_eq!(body(over).await, r#"{"token":"t"}"#);
    }
}

#[tokio::test]
async fn a_login_below_a_path_of_the_gateway_stays_below_it() {
    let blue = coordinator().await;
    let gateway = gateway(&[("blue", &blue.url())], Some("http://trino.example.com:8080/data")).await;
    for leg in ["/data/c/blue/ui/", "/data/c/blue/oauth2/token/initiate/7f3a"] {
        let to_provider = gateway.get(leg).await;
        let location = to_provider.headers()[LOCATION].to_str().unwrap();
        let redirect =
            "redirect_uri=http%3A%2F%2Ftrino.example.com%3A8080%2Fdata%2Foauth2%2Fcallback&state=blue.s.t.ate&";
        assert!(location.contains(redirect), "{location}");
        let cookies = texts(to_provider.headers(), SET_COOKIE);
        assert_eq!(cookies, ["__Secure-Trino-Nonce.blue=abc;Version=1;Path=/data/oauth2/callback;Secure;HttpOnly"]);
    }
    let back = gateway.get("/data/oauth2/callback?code=c&state=blue.s.t.ate").await;
    assert_eq!(back.headers()[LOCATION], "http://trino.example.com:8080/data/c/blue/ui/");
    assert_eq!(blue.seen().last().unwrap().headers["x-forwarded-prefix"], "/data");
}

#[tokio::test]
async fn a_callback_whose_state_names_no_cluster_asks_no_coordinator() {
    let blue = coordinator().await;
    let gateway = gateway(&[("blue", &blue.url())], None).await;
    for (query, status) in [
        ("", StatusCode::BAD_REQUEST),
        ("?code=c", StatusCode::BAD_REQUEST),
        ("?code=c&state=", StatusCode::BAD_REQUEST),
        ("?code=c&state=blue", StatusCode::BAD_REQUEST),
        ("?code=c&state=Blue.s", StatusCode::BAD_REQUEST),
        ("?code=c&state=%2E%2E%2Fblue.s", StatusCode::BAD_REQUEST),
        ("?code=c&state=127.0.0.1:80", StatusCode::NOT_FOUND),
        ("?code=c&state=gone.s", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(callback(&gateway, query).await.status(), status, "{query}");
    }
    assert!(blue.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_to_a_provider_with_a_callback_of_its_own_stays_as_it_is() {
    let elsewhere =
        "https://idp.example.com/auth?redirect_uri=https%3A%2F%2Fother.example.com%2Foauth2%2Fcallback&state=s";
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
