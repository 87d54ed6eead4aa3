//! Coordinators behind https, with a CA that the table holds.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::gateway::{Gateway, body, settings};

/// A CA, in PEM, and the address of a coordinator with a certificate of it for `localhost`.
async fn coordinator() -> (String, String) {
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
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
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|_| async {
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(
                        br#"{"starting":false}"#,
                    ))))
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
