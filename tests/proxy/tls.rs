//! Coordinators behind https, with a CA that the table holds.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use warren::{
    follow::follow_credentials,
    proxy::{Roots, Settings},
};

use crate::gateway::{Gateway, body, settings};

/// A CA, in PEM, and the address of a coordinator with a certificate of it for `localhost`.
async fn coordinator() -> (String, String) {
    showing("localhost", 2100).await
}

/// The same, with a certificate for `name` that ends in `year`.
async fn showing(name: &str, year: i32) -> (String, String) {
    recording(name, year, Requests::default()).await
}

/// The paths of requests, with their headers.
type Requests = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// The same, which notes what it is asked.
async fn recording(name: &str, year: i32, requests: Requests) -> (String, String) {
    let mut ca = CertificateParams::new([]).unwrap();
    // Each its own name: of two CAs of one name, a certificate of the other is told as a wrong signature.
    ca.distinguished_name = DistinguishedName::new();
    ca.distinguished_name.push(DnType::CommonName, format!("CA {:x}", rand::random::<u64>()));
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut certificate = CertificateParams::new([name.to_owned()]).unwrap();
    certificate.not_after = rcgen::date_time_ymd(year, 1, 1);
    let certificate = certificate.signed_by(&key, &ca).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, requests) = (acceptor.clone(), requests.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request: Request<Incoming>| {
                    let path = request.uri().path().to_owned();
                    let page = if path == "/v1/statement" { r#"{"id":"q"}"# } else { r#"{"starting":false}"# };
                    requests.lock().unwrap().push((path, request.headers().clone()));
                    let answer = Response::new(Full::new(Bytes::from_static(page.as_bytes())));
                    std::future::ready(Ok::<_, std::convert::Infallible>(answer))
                });
                let server = hyper::server::conn::http1::Builder::new();
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    (ca.pem(), format!("https://localhost:{port}"))
}

#[tokio::test]
async fn a_coordinator_is_trusted_by_the_ca_of_the_table_and_by_no_other() {
    let (ca, url) = coordinator().await;
    let (other_ca, _) = coordinator().await;
    let table = json!({
        "groups": [{"name": "adhoc", "clusters": [
            {"name": "blue", "url": url, "ca": "its"},
            {"name": "green", "url": url, "ca": "other"},
            {"name": "red", "url": url, "ca": "broken"},
        ]}],
        "routing": {"default": {"group": "adhoc"}},
        "certificates": {"its": ca, "other": other_ca, "broken": "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"},
    });
    let gateway = Gateway::with(settings(), Some(table)).await;
    gateway.healthy("blue").await;
    let green = gateway.unhealthy("green").await;
    assert!(green.contains("invalid peer certificate"), "{green}");
    let red = gateway.unhealthy("red").await;
    assert!(red.contains("its CA certificate cannot be used"), "{red}");
    assert_eq!(body(gateway.get("/c/blue/v1/info").await).await, r#"{"starting":false}"#);
}

#[tokio::test]
async fn a_certificate_for_another_name_or_an_expired_one_is_refused_and_the_client_is_told() {
    let (named, (expired, late)) = (showing("elsewhere", 2100).await, showing("localhost", 2001).await);
    let ((other_ca, _), (_, unknown)) = (coordinator().await, coordinator().await);
    let table = json!({
        "groups": [{"name": "adhoc", "clusters": [
            {"name": "blue", "url": named.1, "ca": "named"},
            {"name": "green", "url": late, "ca": "expired"},
            {"name": "red", "url": unknown, "ca": "other"},
        ]}],
        "routing": {"default": {"group": "adhoc"}},
        "certificates": {"named": named.0, "expired": expired, "other": other_ca},
    });
    let gateway = Gateway::with(settings(), Some(table)).await;
    for (cluster, reason, told) in [
        ("blue", "not valid for name", "shows a certificate for another name"),
        ("green", "expired", "shows a certificate that has expired"),
        ("red", "UnknownIssuer", "shows a certificate of an unknown CA"),
    ] {
        let health = gateway.unhealthy(cluster).await;
        assert!(health.contains("invalid peer certificate") && health.contains(reason), "{health}");
        let answer = body(gateway.get(&format!("/c/{cluster}/v1/info")).await).await;
        assert!(answer.contains(told), "{answer}");
    }
}

#[tokio::test]
async fn another_ca_of_a_cluster_takes_effect_at_once_and_what_is_known_of_the_cluster_stays() {
    let (ca, url) = coordinator().await;
    let (next_ca, _) = coordinator().await;
    let trusting = |ca: &str| {
        json!({
            "groups": [{"name": "adhoc", "clusters": [{"name": "blue", "url": url, "ca": "its"}]}],
            "routing": {"default": {"group": "adhoc"}},
            "certificates": {"its": ca},
        })
    };
    // The check that a new CA brings about is the only one for an hour.
    let mut settings = settings();
    settings.health.failures = 1;
    let gateway = Gateway::with(settings, Some(trusting(&ca))).await;
    gateway.healthy("blue").await;
    gateway.reload(trusting(&format!("{ca}{next_ca}"))).await;
    assert_eq!(gateway.cluster("blue")["health"], "healthy", "no request waits for another check");
    assert_eq!(body(gateway.get("/c/blue/v1/info").await).await, r#"{"starting":false}"#);
    gateway.reload(trusting(&next_ca)).await;
    let answer = body(gateway.get("/c/blue/v1/info").await).await;
    assert!(answer.contains("a certificate of an unknown CA"), "{answer}");
    gateway.unhealthy("blue").await;
}

#[tokio::test]
async fn credentials_are_sent_with_the_proxys_own_questions_to_their_cluster_alone() {
    let [first, second] = [Requests::default(), Requests::default()];
    let ((ca, url), (other_ca, other)) =
        (recording("localhost", 2100, first.clone()).await, recording("localhost", 2100, second.clone()).await);
    let directory = std::env::temp_dir().join(format!("warren-credentials-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |cluster: &str, url: &str, authorization: &str| {
        let text = json!({"url": url, "authorization": authorization}).to_string();
        std::fs::write(directory.join(format!("cluster.{cluster}")), text).unwrap();
    };
    file("blue", &url, "Bearer mine");
    // As long as only the table has come and not yet the Secret, the credentials are another cluster's.
    file("green", "https://before.example.com", "Bearer stale");
    let table = json!({
        "groups": [{"name": "adhoc", "strategy": "LeastQueries",
            "healthCheck": {"sql": "SELECT 1", "user": "warren-health", "intervalSeconds": 3600, "timeoutSeconds": 5},
            "clusters": [{"name": "blue", "url": url, "ca": "its", "ownCredential": true}, {"name": "green", "url": other, "ca": "other"}]}],
        "routing": {"default": {"group": "adhoc"}},
        "certificates": {"its": ca, "other": other_ca},
    });
    let mut settings = settings();
    // With each check of a healthy cluster its queries are counted.
    settings.health.interval = std::time::Duration::from_millis(20);
    let gateway = Gateway::with(settings, Some(table)).await;
    let (proxy, from, shutdown) = (gateway.proxy.clone(), directory.clone(), gateway.shutdown.clone());
    tokio::spawn(follow_credentials(from, move |known| proxy.set_credentials(known), shutdown));
    let of = |requests: &Requests, path: &str| -> Vec<HeaderMap> {
        let requests = requests.lock().unwrap();
        requests.iter().filter(|(asked, _)| asked == path).map(|(_, headers)| headers.clone()).collect()
    };
    for cluster in ["blue", "green"] {
        gateway.healthy(cluster).await;
    }
    assert_eq!(body(gateway.get("/c/blue/v1/info").await).await, r#"{"starting":false}"#);
    let with_it = |path: &str| -> Vec<HeaderMap> {
        of(&first, path).into_iter().filter(|headers| headers.contains_key("authorization")).collect()
    };
    gateway.until("a count", || !with_it("/metrics").is_empty() && !of(&second, "/metrics").is_empty()).await;
    gateway.until("a query", || !with_it("/v1/statement").is_empty()).await;
    assert_eq!(with_it("/v1/statement").len(), of(&first, "/v1/statement").len(), "no query without it");
    for path in ["/v1/statement", "/metrics"] {
        for headers in with_it(path) {
            assert_eq!(headers["authorization"], "Bearer mine", "{path}");
            assert!(!headers.contains_key("x-trino-user"), "{path}: who it is follows from the token");
        }
        for headers in of(&second, path) {
            assert!(!headers.contains_key("authorization") && headers.contains_key("x-trino-user"), "{path}");
        }
    }
    let infos = of(&first, "/v1/info");
    assert!(infos.iter().all(|headers| !headers.contains_key("authorization")), "what clients ask is theirs");
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn a_ca_of_the_proxys_own_counts_besides_those_of_the_table_and_is_replaced_without_a_restart() {
    let [(ca, url), (own_ca, own), (next_ca, next)] = [coordinator().await, coordinator().await, coordinator().await];
    let file = std::env::temp_dir().join(format!("warren-backend-ca-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let fault = Roots::read(file.clone()).unwrap_err().to_string();
    assert!(fault.contains("it holds no certificate in PEM"), "{fault}");
    std::fs::write(&file, own_ca).unwrap();
    let roots = Roots::read(file.clone()).unwrap();
    let table = json!({
        "groups": [{"name": "adhoc", "clusters": [
            {"name": "blue", "url": url, "ca": "its"},
            {"name": "green", "url": own},
            {"name": "gold", "url": own, "ca": "its"},
            {"name": "red", "url": next},
        ]}],
        "routing": {"default": {"group": "adhoc"}},
        "certificates": {"its": ca},
    });
    let settings = Settings { backend_roots: Some(roots.clone()), ..settings() };
    let gateway = Gateway::with(settings, Some(table)).await;
    for trusted in ["blue", "green", "gold"] {
        gateway.healthy(trusted).await;
    }
    let red = gateway.unhealthy("red").await;
    assert!(red.contains("UnknownIssuer"), "{red}");
    std::fs::write(&file, next_ca).unwrap();
    let over = CancellationToken::new();
    let following = tokio::spawn(roots.follow(over.clone()));
    gateway.healthy("red").await;
    over.cancel();
    following.await.unwrap();
    std::fs::remove_file(file).unwrap();
}
