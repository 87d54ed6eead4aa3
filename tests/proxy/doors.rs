//! Listeners with TLS: what they speak, which certificate they show, and whom they refuse.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use warren::{
    proxy::{Door, Settings, Tls, TlsFiles},
    telemetry::{Admin, Metrics, admin},
};

use crate::{
    coordinator::Coordinator,
    gateway::{Gateway, settings, table},
};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A CA, and the files of a server with a certificate of it.
struct Certified {
    ca: Issuer,
    directory: PathBuf,
}

impl Drop for Certified {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Certified {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let directory = std::env::temp_dir().join(format!("warren-doors-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("ca.pem"), ca.pem()).unwrap();
        let certified = Self { ca, directory };
        certified.renew(0);
        certified
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.directory.join("tls.crt"), key: self.directory.join("tls.key"), client_ca: None }
    }

    /// Writes a new certificate and its key; returns the certificate. `age` tells its files from those before.
    fn renew(&self, age: u64) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &self.ca).unwrap();
        self.write("tls.crt", &certificate.pem(), age);
        self.write("tls.key", &key.serialize_pem(), age);
        certificate.der().to_vec()
    }

    fn write(&self, name: &str, text: &str, age: u64) {
        let path = self.directory.join(name);
        std::fs::write(&path, text).unwrap();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + age);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
    }

    /// A client that trusts the CA, offers these protocols, and shows a certificate of `issuer`, if there is one.
    fn client(&self, protocols: &[&str], issuer: Option<&Issuer>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match issuer {
            None => config.with_no_client_auth(),
            Some(issuer) => {
                let (certificate, key) = client_certificate(issuer);
                config.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        // What a resumed session shows is what it remembers.
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

fn client_certificate(issuer: &Issuer) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["alice".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().clone(), PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
}

async fn secured(blue: &Coordinator, tls: &Tls) -> Gateway {
    let door = Door::open("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0).secured(tls.clone()).named("secure");
    // Longer than all the time that a test lets pass.
    let settings = Settings { header_timeout: Duration::from_hours(1), ..settings() };
    let gateway = Gateway::at(door, settings, Some(table(&[("blue", &blue.url())])));
    gateway.healthy("blue").await;
    gateway
}

async fn connect(gateway: &Gateway, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(gateway.address).await?;
    client.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// The certificate that the gateway shows now.
async fn shown(gateway: &Gateway, client: &TlsConnector) -> Vec<u8> {
    let stream = connect(gateway, client).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn both_versions_of_http_are_served_as_the_handshake_says_and_coordinators_know_of_tls() {
    let certified = Certified::new();
    let blue = Coordinator::trino("blue").await;
    let gateway = secured(&blue, &Tls::read(certified.files()).unwrap()).await;
    for (offered, spoken) in
        [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"], Version::HTTP_11), (&[], Version::HTTP_11)]
    {
        let stream = connect(&gateway, &certified.client(offered, None)).await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(agreed.as_deref(), offered.first().map(|first| first.as_bytes()));
        let request = Request::builder().method(Method::POST);
        let body = Full::new(Bytes::from_static(b"SELECT 1"));
        let authority = format!("localhost:{}", gateway.address.port());
        let answer = if spoken == Version::HTTP_2 {
            let request = request.uri(format!("https://{authority}/v1/statement")).body(body).unwrap();
            let (mut client, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            client.send_request(request).await.unwrap()
        } else {
            let request = request.uri("/v1/statement").header("host", &authority).body(body).unwrap();
            let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            client.send_request(request).await.unwrap()
        };
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, spoken));
        let page: serde_json::Value =
            serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
        let next = page["nextUri"].as_str().unwrap();
        assert!(next.starts_with(&format!("https://{authority}/c/blue/")), "{next}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_after_its_files_changed_and_bad_files_leave_the_last_good_one() {
    let certified = Certified::new();
    let blue = Coordinator::saying(StatusCode::OK).await;
    let tls = Tls::read(certified.files()).unwrap();
    let gateway = secured(&blue, &tls).await;
    let client = certified.client(&["http/1.1"], None);
    let over = CancellationToken::new();
    let following = tokio::spawn(tls.clone().follow(over.clone()));
    // It has noted what the files are before they change.
    tokio::task::yield_now().await;
    let mut open = connect(&gateway, &client).await.unwrap();
    let first = shown(&gateway, &client).await;

    let second = certified.renew(1);
    look_again().await;
    assert_eq!(shown(&gateway, &client).await, second);
    assert_ne!(first, second);

    certified.write("tls.key", "no key", 2);
    look_again().await;
    assert_eq!(shown(&gateway, &client).await, second);
    certified.write("tls.key", &KeyPair::generate().unwrap().serialize_pem(), 3);
    look_again().await;
    assert_eq!(shown(&gateway, &client).await, second);
    std::fs::remove_file(certified.directory.join("tls.crt")).unwrap();
    look_again().await;
    assert_eq!(shown(&gateway, &client).await, second);

    let third = certified.renew(4);
    look_again().await;
    assert_eq!(shown(&gateway, &client).await, third);
    // A connection of the first certificate goes on.
    open.write_all(b"GET /v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 17];
    open.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
    over.cancel();
    following.await.unwrap();
}

/// Lets the time pass after which the files are looked at, and nothing else: no deadline of the proxy is as short.
async fn look_again() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    // What became due runs before this goes on: reading the files awaits nothing.
    tokio::task::yield_now().await;
}

/// What comes back until the other end closes.
async fn raw<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut stream: S,
    request: &[u8],
) -> std::io::Result<Vec<u8>> {
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_client_without_a_certificate_of_the_client_ca_is_refused() {
    let (certified, other) = (Certified::new(), Certified::new());
    let blue = Coordinator::saying(StatusCode::OK).await;
    let files = TlsFiles { client_ca: Some(certified.directory.join("ca.pem")), ..certified.files() };
    let gateway = secured(&blue, &Tls::read(files).unwrap()).await;
    let request = b"GET /v1/info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for issuer in [None, Some(&other.ca)] {
        // TLS 1.3 lets the client believe that it is in until it reads.
        let refused = match connect(&gateway, &certified.client(&[], issuer)).await {
            Ok(stream) => raw(stream, request).await,
            Err(error) => Err(error),
        };
        assert!(refused.is_err(), "{refused:?}");
    }
    gateway.until("the failures are counted", || gateway.metric("warren_proxy_tls_failures_total") == 2).await;
    assert!(blue.seen().is_empty());
    let stream = connect(&gateway, &certified.client(&[], Some(&certified.ca))).await.unwrap();
    let answer = raw(stream, request).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
    assert_eq!(blue.seen().len(), 1);
}

#[tokio::test]
async fn http_without_tls_is_refused_where_tls_is_served() {
    let certified = Certified::new();
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = secured(&blue, &Tls::read(certified.files()).unwrap()).await;
    for request in [&b"GET /v1/info HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let answer = raw(stream, request).await.unwrap_or_default();
        assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
    }
    gateway.until("the failures are counted", || gateway.metric("warren_proxy_tls_failures_total") == 2).await;
    assert!(blue.seen().is_empty());
}

#[tokio::test]
async fn a_door_for_events_speaks_tls_to_who_begins_it_and_plain_http_to_others() {
    let certified = Certified::new();
    let blue = Coordinator::saying(StatusCode::OK).await;
    let tls = Tls::read(certified.files()).unwrap();
    let door = Door::open("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0).for_events(Some(tls));
    let gateway = Gateway::at(door, settings(), Some(table(&[("blue", &blue.url())])));
    gateway.healthy("blue").await;
    let event =
        b"POST /v1/trino-event-listener HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    let secure = connect(&gateway, &certified.client(&["http/1.1"], None)).await.unwrap();
    let plain = TcpStream::connect(gateway.address).await.unwrap();
    for answer in [raw(secure, event).await.unwrap(), raw(plain, event).await.unwrap()] {
        assert!(answer.starts_with(b"HTTP/1.1 401 "), "{}", answer.escape_ascii());
    }
    // Who says nothing, or no HTTP, is cut off like anywhere else.
    let mut silent = TcpStream::connect(gateway.address).await.unwrap();
    silent.shutdown().await.unwrap();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
    let stranger = TcpStream::connect(gateway.address).await.unwrap();
    assert!(raw(stranger, b"\x15\x03\x01").await.unwrap_or_default().starts_with(b"HTTP/1.1 400 "));
}

#[tokio::test]
async fn the_admin_port_speaks_http_1_by_https_alone_and_shows_a_renewed_certificate() {
    let certified = Certified::new();
    let tls = Tls::read(certified.files()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let secured = tls.clone();
    let admin = Admin::new(Arc::new(Metrics::new())).secured(move || secured.config_of_http1());
    let over = CancellationToken::new();
    let serving = tokio::spawn(admin::serve(listener, admin, over.clone()));
    let following = tokio::spawn(tls.follow(over.clone()));
    tokio::task::yield_now().await;
    let client = certified.client(&["h2", "http/1.1"], None);
    let ask = async || {
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = client.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let (spoken, shown) = {
            let session = stream.get_ref().1;
            (session.alpn_protocol().map(<[u8]>::to_vec), session.peer_certificates().unwrap()[0].to_vec())
        };
        assert_eq!(spoken.as_deref(), Some(&b"http/1.1"[..]));
        let answer = raw(stream, b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
        shown
    };
    let first = ask().await;
    let second = certified.renew(1);
    look_again().await;
    assert_eq!(ask().await, second);
    assert_ne!(first, second);
    let plain = TcpStream::connect(address).await.unwrap();
    let answer = raw(plain, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap_or_default();
    assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
    over.cancel();
    serving.await.unwrap();
    following.await.unwrap();
}
