//! The admin server: probes, metrics, and a status for whoever bears the token.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{Empty, Full};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use warren::telemetry::{Admin, Metrics, Token, admin};

use crate::gateway::{body, send};

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(admin: Admin) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(admin::serve(listener, admin, shutdown.clone()));
        Self { address, shutdown, serving }
    }

    async fn post(&self, path: &str, authorization: Option<&str>, sent: &'static str) -> (StatusCode, String) {
        let mut request =
            Request::post(path).header("host", "a").body(Full::new(Bytes::from_static(sent.as_bytes()))).unwrap();
        if let Some(value) = authorization {
            request.headers_mut().insert("authorization", value.parse().unwrap());
        }
        let response = send(self.address, request).await;
        (response.status(), body(response).await)
    }

    async fn get(&self, path: &str, authorization: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::get(path).header("host", "a").body(Empty::<Bytes>::new()).unwrap();
        if let Some(value) = authorization {
            request.headers_mut().insert("authorization", value.parse().unwrap());
        }
        let response = send(self.address, request).await;
        (response.status(), body(response).await)
    }
}

#[tokio::test]
async fn probes_tell_what_is_missing_and_metrics_are_there() {
    let ready = Arc::new(AtomicBool::new(false));
    let asked = ready.clone();
    let admin = Admin::new(Arc::new(Metrics::new())).ready_when(move || {
        if asked.load(Ordering::SeqCst) { Ok(()) } else { Err("the CRD trinoclusters is not there".to_owned()) }
    });
    let server = Server::start(admin).await;
    assert_eq!(server.get("/livez", None).await, (StatusCode::OK, "ok\n".to_owned()));
    let missing = "not ready: the CRD trinoclusters is not there\n".to_owned();
    assert_eq!(server.get("/readyz", None).await, (StatusCode::SERVICE_UNAVAILABLE, missing));
    ready.store(true, Ordering::SeqCst);
    assert_eq!(server.get("/readyz", None).await, (StatusCode::OK, "ok\n".to_owned()));
    let (status, metrics) = server.get("/metrics", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(metrics.contains("warren_build_info{version="), "{metrics}");
    assert_eq!(server.get("/v1/status", None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/", None).await.0, StatusCode::NOT_FOUND);
    server.shutdown.cancel();
    server.serving.await.unwrap();
}

#[tokio::test]
async fn the_status_is_for_the_bearer_of_the_token_and_hidden_while_there_is_none() {
    let file: PathBuf = std::env::temp_dir().join(format!("warren-admin-token-{}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let admin = Admin::new(Arc::new(Metrics::new()))
        .opened_by(Token::in_file(&file))
        .page("/v1/status", || json!({"ready": true}))
        .action("/v1/drain", |sent| {
            let sent = std::str::from_utf8(sent).map_err(|error| error.to_string())?;
            if sent.is_empty() { Err("nothing was sent".to_owned()) } else { Ok(json!({"sent": sent})) }
        });
    let server = Server::start(admin).await;
    assert_eq!(server.get("/v1/status", Some("Bearer ")).await.0, StatusCode::NOT_FOUND);
    std::fs::write(&file, "s3cret\n").unwrap();
    for wrong in [None, Some("Bearer "), Some("Bearer s3cre"), Some("Bearer s3crett"), Some("Basic s3cret")] {
        assert_eq!(server.get("/v1/status", wrong).await.0, StatusCode::UNAUTHORIZED, "{wrong:?}");
    }
    let right = server.get("/v1/status", Some("Bearer s3cret")).await;
    assert_eq!(right, (StatusCode::OK, r#"{"ready":true}"#.to_owned()));
    assert_eq!(server.post("/v1/drain", None, "now").await.0, StatusCode::UNAUTHORIZED);
    let done = server.post("/v1/drain", Some("Bearer s3cret"), "now").await;
    assert_eq!(done, (StatusCode::OK, r#"{"sent":"now"}"#.to_owned()));
    let refused = server.post("/v1/drain", Some("Bearer s3cret"), "").await;
    assert_eq!(refused, (StatusCode::BAD_REQUEST, "nothing was sent\n".to_owned()));
    assert_eq!(server.post("/v1/status", Some("Bearer s3cret"), "").await.0, StatusCode::METHOD_NOT_ALLOWED);
    // A new token takes effect by itself.
    std::fs::write(&file, "0ther").unwrap();
    assert_eq!(server.get("/v1/status", Some("Bearer s3cret")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get("/v1/status", Some("Bearer 0ther")).await.0, StatusCode::OK);
    std::fs::remove_file(&file).unwrap();
}
