//! A scripted coordinator: answers as it is told, and remembers what it was asked.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

pub(crate) type Body = BoxBody<Bytes, Infallible>;
/// An answer; none breaks the connection.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Option<Response<Body>>> + Send>>;
type Script = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// The head of a request that a client's request led to; health checks are not remembered.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
}

pub(crate) struct Coordinator {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    script: Script,
    /// Whether the script answers health checks, too.
    bare: bool,
    seen: Mutex<Vec<Seen>>,
    starting: AtomicBool,
    connections: Mutex<Vec<JoinHandle<()>>>,
}

impl Coordinator {
    /// A coordinator that answers everything but health checks by `script`.
    pub(crate) async fn scripted<F, A>(script: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Option<Response<Body>>> + Send + 'static,
    {
        Self::at("127.0.0.1:0".parse().unwrap(), script).await
    }

    /// The same, at a given address.
    pub(crate) async fn at<F, A>(address: SocketAddr, script: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Option<Response<Body>>> + Send + 'static,
    {
        Self::listen(address, false, Arc::new(move |request| Box::pin(script(request)))).await
    }

    /// A coordinator that answers everything by `script`, health checks too, and remembers all of it.
    pub(crate) async fn bare<F, A>(script: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Option<Response<Body>>> + Send + 'static,
    {
        Self::listen("127.0.0.1:0".parse().unwrap(), true, Arc::new(move |request| Box::pin(script(request)))).await
    }

    async fn listen(address: SocketAddr, bare: bool, script: Script) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let shared = Arc::new(Shared {
            script,
            bare,
            seen: Mutex::default(),
            starting: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, server }
    }

    /// A coordinator that answers as Trino does: URIs come from the forwarded headers.
    pub(crate) async fn trino(name: &'static str) -> Self {
        Self::scripted(move |request| async move { Some(as_trino(name, request).await) }).await
    }

    /// One that answers each request with `status`.
    pub(crate) async fn saying(status: StatusCode) -> Self {
        Self::scripted(move |_| async move { Some(text(status, status.as_str())) }).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// From now on it says in health checks that it still starts, or no longer.
    pub(crate) fn set_starting(&self, starting: bool) {
        self.shared.starting.store(starting, Ordering::SeqCst);
    }

    /// Nobody listens any more, and open connections break.
    pub(crate) async fn stop(self) {
        self.server.abort();
        let _ = self.server.await;
        let connections: Vec<_> = std::mem::take(&mut *self.shared.connections.lock().unwrap());
        for connection in connections {
            connection.abort();
            let _ = connection.await;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let of_connection = shared.clone();
        let service = service_fn(move |request| {
            let shared = of_connection.clone();
            async move { answer(&shared, request).await.ok_or("broken off") }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .max_headers(2000)
            .serve_connection(TokioIo::new(stream), service);
        let task = tokio::spawn(async move { drop(connection.await) });
        shared.connections.lock().unwrap().push(task);
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Option<Response<Body>> {
    // Only what comes from a client says for whom it is forwarded.
    if !shared.bare && !request.headers().contains_key("x-forwarded-for") {
        let starting = shared.starting.load(Ordering::SeqCst);
        return Some(text(StatusCode::OK, &format!(r#"{{"nodeVersion":{{"version":"476"}},"starting":{starting}}}"#)));
    }
    shared.seen.lock().unwrap().push(Seen {
        method: request.method().clone(),
        target: request.uri().to_string(),
        headers: request.headers().clone(),
    });
    (shared.script)(request).await
}

pub(crate) const QUERY: &str = "20250805_101112_00003_abcde";

pub(crate) async fn as_trino(name: &str, request: Request<Incoming>) -> Response<Body> {
    let header = |name: &str| request.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let base = format!(
        "{}://{}:{}{}",
        header("x-forwarded-proto"),
        header("x-forwarded-host"),
        header("x-forwarded-port"),
        header("x-forwarded-prefix")
    );
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let page = |next: &str| {
        text(StatusCode::OK, &format!(r#"{{"id":"{QUERY}","nextUri":"{base}/v1/statement/{next}","from":"{name}"}}"#))
    };
    match (method, path.as_str()) {
        (Method::POST, "/v1/statement") => {
            let statement = request.into_body().collect().await.unwrap().to_bytes();
            if statement.starts_with(b"SELECT") {
                page(&format!("queued/{QUERY}/y0slug/1"))
            } else {
                text(StatusCode::BAD_REQUEST, "SQL statement is empty")
            }
        }
        (Method::GET, path) if path.ends_with("/y0slug/1") => page(&format!("executing/{QUERY}/y0slug/0")),
        (Method::GET, path) if path.ends_with("/y0slug/0") => {
            text(StatusCode::OK, &format!(r#"{{"id":"{QUERY}","data":[[1]],"from":"{name}"}}"#))
        }
        (Method::HEAD, path) if path.ends_with("/y0slug/0") => text(StatusCode::OK, ""),
        (Method::DELETE, path) if path.starts_with("/v1/statement/") => text(StatusCode::NO_CONTENT, ""),
        _ => text(StatusCode::NOT_FOUND, "no such page at the coordinator"),
    }
}

pub(crate) fn text(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed();
    Response::builder().status(status).body(body).unwrap()
}
