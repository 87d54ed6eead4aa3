//! The admin server: liveness, readiness, metrics and status, for both planes. It serves nothing to clients of Trino.

use std::{convert::Infallible, fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
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
type Page = dyn Fn() -> serde_json::Value + Send + Sync;
type Action = dyn Fn(&[u8]) -> Result<serde_json::Value, String> + Send + Sync;
type Secure = dyn Fn() -> Arc<ServerConfig> + Send + Sync;

/// What the admin server shows. Made once, then given to [`serve`].
///
/// | request | answer |
/// | --- | --- |
/// | `GET /livez` | 200 while the process runs |
/// | `GET /readyz` | 200, or 503 with a text that says what is missing |
/// | `GET /metrics` | the metrics as OpenMetrics text |
/// | `GET` of a page | JSON, for the bearer of the token; 404 while there is no token |
/// | `POST` of an action | the same; 400 with a text when what was sent cannot be used |
pub struct Admin {
    metrics: Arc<Metrics>,
    ready: Box<Ready>,
    token: Option<Token>,
    pages: Vec<(&'static str, Box<Page>)>,
    actions: Vec<(&'static str, Box<Action>)>,
    secure: Option<Box<Secure>>,
}

/// The most bytes that an action is sent.
const MAX_SENT: usize = 1024 * 1024;

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// An admin server that shows `metrics`, is always ready, and has neither pages nor actions.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, ready: Box::new(|| Ok(())), token: None, pages: Vec::new(), actions: Vec::new(), secure: None }
    }

    /// Asks `ready` at each `GET /readyz`; its error says what is missing. It must not block.
    pub fn ready_when(mut self, ready: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.ready = Box::new(ready);
        self
    }

    /// Opens pages and actions to whoever bears `token`, and to nobody else.
    pub fn opened_by(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Answers `GET` of `path` by `page`. It must not block.
    pub fn page(mut self, path: &'static str, page: impl Fn() -> serde_json::Value + Send + Sync + 'static) -> Self {
        self.pages.push((path, Box::new(page)));
        self
    }

    /// Does `action` at a `POST` of `path`, with what was sent; its error says what is wrong with that. It must not
    /// block.
    pub fn action(
        mut self,
        path: &'static str,
        action: impl Fn(&[u8]) -> Result<serde_json::Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.actions.push((path, Box::new(action)));
        self
    }

    /// Speaks HTTPS alone. `config` is asked at each connection, so that a renewed certificate is shown to the next one; it
    /// must offer HTTP/1.1 and nothing else.
    pub fn secured(mut self, config: impl Fn() -> Arc<ServerConfig> + Send + Sync + 'static) -> Self {
        self.secure = Some(Box::new(config));
        self
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if let Some((_, action)) = self.actions.iter().find(|(known, _)| *known == path && head.method == Method::POST)
        {
            return match self.judge(&head.headers).await {
                Err(refusal) => refusal,
                Ok(()) => match Limited::new(body, MAX_SENT).collect().await {
                    Ok(sent) => answer_action(action, &sent.to_bytes()),
                    Err(_) => {
                        text(StatusCode::PAYLOAD_TOO_LARGE, "what was sent is too large, or broke off\n".to_owned())
                    }
                },
            };
        }
        if head.method != Method::GET && head.method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "this is not served here\n".to_owned());
        }
        match path {
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => match (self.ready)() {
                Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
                Err(missing) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}\n")),
            },
            "/metrics" => match self.metrics.encode() {
                Ok(metrics) => typed(StatusCode::OK, Metrics::CONTENT_TYPE, metrics),
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "a metric failed to write itself\n".to_owned()),
            },
            _ => match self.pages.iter().find(|(known, _)| *known == path) {
                None => not_found(),
                Some((_, page)) => match self.judge(&head.headers).await {
                    Ok(()) => typed(StatusCode::OK, "application/json", page().to_string()),
                    Err(refusal) => refusal,
                },
            },
        }
    }

    /// Whether a request with these headers may see pages and do actions; if not, what it is told.
    async fn judge(&self, headers: &HeaderMap) -> Result<(), Response<Full<Bytes>>> {
        let Some(token) = &self.token else { return Err(not_found()) };
        match token.judge(headers).await {
            Verdict::NoToken => Err(not_found()),
            Verdict::Granted => Ok(()),
            Verdict::Denied => {
                let mut response = text(StatusCode::UNAUTHORIZED, "the admin token is needed\n".to_owned());
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                Err(response)
            }
        }
    }
}

fn answer_action(action: &Action, sent: &[u8]) -> Response<Full<Bytes>> {
    match action(sent) {
        Ok(done) => typed(StatusCode::OK, "application/json", done.to_string()),
        Err(fault) => text(StatusCode::BAD_REQUEST, format!("{fault}\n")),
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
    let Some(config) = admin.secure.as_ref().map(|config| config()) else {
        return talk(stream, peer, admin, shutdown).await;
    };
    let handshake = tokio::time::timeout(HEADER_TIMEOUT, TlsAcceptor::from(config).accept(stream));
    match handshake.await {
        Ok(Ok(stream)) => talk(stream, peer, admin, shutdown).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake with the admin server failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake with the admin server took too long"),
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    admin: Arc<Admin>,
    shutdown: CancellationToken,
) {
    let service = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(admin.answer(request).await) }
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
