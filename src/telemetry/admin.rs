//! The admin server: liveness, readiness, metrics and status, for both planes. It serves nothing to clients of Trino.

use std::{convert::Infallible, fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{Metrics, Token, token::Verdict};

/// How long a client may take to send the head of a request, an idle connection included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one connection may live: probes and scrapes are short.
const CONNECTION_LIFETIME: Duration = Duration::from_mins(5);

/// The most connections at one time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;

/// How long open connections get to end after the shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

type Ready = dyn Fn() -> Result<(), String> + Send + Sync;
type Status = dyn Fn() -> serde_json::Value + Send + Sync;

/// What the admin server shows. Made once, then given to [`serve`].
///
/// | request | answer |
/// | --- | --- |
/// | `GET /livez` | 200 while the process runs |
/// | `GET /readyz` | 200, or 503 with a text that says what is missing |
/// | `GET /metrics` | the metrics as OpenMetrics text |
/// | `GET /v1/status` | the status as JSON, for the bearer of the token; 404 while there is no token |
pub struct Admin {
    metrics: Arc<Metrics>,
    ready: Box<Ready>,
    status: Option<(Token, Box<Status>)>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// An admin server that shows `metrics`, is always ready, and has no status.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, ready: Box::new(|| Ok(())), status: None }
    }

    /// Asks `ready` at each `GET /readyz`; its error says what is missing. It must not block.
    pub fn ready_when(mut self, ready: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.ready = Box::new(ready);
        self
    }

    /// Answers `GET /v1/status` by `status` to whoever bears `token`. It must not block.
    pub fn status(mut self, token: Token, status: impl Fn() -> serde_json::Value + Send + Sync + 'static) -> Self {
        self.status = Some((token, Box::new(status)));
        self
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n".to_owned());
        }
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => match (self.ready)() {
                Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
                Err(missing) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}\n")),
            },
            "/metrics" => match self.metrics.encode() {
                Ok(metrics) => typed(StatusCode::OK, Metrics::CONTENT_TYPE, metrics),
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "a metric failed to write itself\n".to_owned()),
            },
            "/v1/status" => self.answer_status(request).await,
            _ => not_found(),
        }
    }

    async fn answer_status(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let Some((token, status)) = &self.status else { return not_found() };
        match token.judge(request.headers()).await {
            Verdict::NoToken => not_found(),
            Verdict::Granted => typed(StatusCode::OK, "application/json", status().to_string()),
            Verdict::Denied => {
                let mut response = text(StatusCode::UNAUTHORIZED, "the admin token is needed\n".to_owned());
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                response
            }
        }
    }
}

/// Serves `admin` on `listener` until `shutdown`, then gives open connections a second to end.
pub async fn serve(listener: TcpListener, admin: Admin, shutdown: CancellationToken) {
    let admin = Arc::new(admin);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, admin.clone(), shutdown.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin server could not accept a connection");
                    // Out of file descriptors, most likely: do not spin until some are free again.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    let ended = tokio::time::timeout(SHUTDOWN_GRACE, async { while connections.join_next().await.is_some() {} });
    if ended.await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, admin: Arc<Admin>, shutdown: CancellationToken) {
    let service = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(admin.answer(&request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let lifetime = tokio::time::sleep(CONNECTION_LIFETIME);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => { connection.as_mut().graceful_shutdown(); connection.await }
        () = lifetime => { connection.as_mut().graceful_shutdown(); connection.await }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection to the admin server broke");
    }
}

fn not_found() -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, "there is no such page\n".to_owned())
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text)
}

fn typed(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
