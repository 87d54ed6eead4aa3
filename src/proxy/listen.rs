//! Connections of clients: accepted, served as HTTP/1.1 or HTTP/2, counted, and drained at the end.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Settings,
    gateway::{Gateway, Phase},
};

/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);

/// The most requests that one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 1000;

type Server = auto::Builder<TokioExecutor>;

/// Serves clients on `listener` until `shutdown`, then drains.
pub(super) async fn serve(gateway: Arc<Gateway>, listener: TcpListener, shutdown: CancellationToken) {
    let server = Arc::new(server(&gateway.settings));
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    gateway.enter(Phase::Serving);
    let mut close_at = None;
    loop {
        let room = connections.len() < gateway.settings.max_connections;
        tokio::select! {
            () = shutdown.cancelled(), if close_at.is_none() => {
                gateway.enter(Phase::Draining);
                tracing::info!(delay = ?gateway.settings.drain_delay, "draining: no longer ready, still serving");
                close_at = Some(Instant::now() + gateway.settings.drain_delay);
            }
            () = sleep_until(close_at) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection { gateway: gateway.clone(), peer, closing: closing.clone() };
                    connections.spawn(connection.serve(stream, server.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of file descriptors, most likely: do not spin until some are free again.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    tracing::info!(connections = connections.len(), "draining: no new connections, running requests go on");
    closing.cancel();
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(gateway.settings.drain_timeout, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "the time to drain is over: open connections are cut");
        connections.shutdown().await;
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn server(settings: &Settings) -> Server {
    let mut server = Server::new(TokioExecutor::new());
    let buffer = usize::try_from(settings.max_header_bytes).unwrap_or(usize::MAX).max(8192);
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_headers(settings.max_headers)
        .max_buf_size(buffer);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(settings.max_header_bytes)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    server
}

/// One connection of a client.
struct Connection {
    gateway: Arc<Gateway>,
    peer: SocketAddr,
    closing: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream, server: Arc<Server>) {
        let Ok(local) = stream.local_addr() else { return };
        // Answers are short and awaited: waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let observer = self.gateway.observer.clone();
        observer.connections.inc();
        let asked = Arc::new(AtomicBool::new(false));
        let service = {
            let (gateway, peer, asked) = (self.gateway.clone(), self.peer, asked.clone());
            service_fn(move |request| {
                asked.store(true, Ordering::Relaxed);
                let gateway = gateway.clone();
                async move { gateway.handle(request, peer, local).await }
            })
        };
        let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
        let ended = self.drive(connection.as_mut(), &asked).await;
        if let Err(error) = ended {
            tracing::debug!(peer = %self.peer, error, "a client's connection broke");
        }
        observer.connections.dec();
    }

    /// Drives a connection to its end, and begins that end when the proxy closes.
    async fn drive<C>(&self, mut connection: Pin<&mut C>, asked: &AtomicBool) -> Result<(), String>
    where
        C: hyper_util::server::graceful::GracefulConnection,
        C::Error: std::fmt::Display,
    {
        let told = |ended: Result<(), C::Error>| ended.map_err(|error| error.to_string());
        // hyper's own deadline for a request's head begins only once it knows which HTTP is spoken.
        let first_request = tokio::time::sleep(self.gateway.settings.header_timeout);
        tokio::select! {
            ended = connection.as_mut() => return told(ended),
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                return told(connection.await);
            }
            () = first_request => {}
        }
        if !asked.load(Ordering::Relaxed) {
            return Err("no request came in time".to_owned());
        }
        tokio::select! {
            ended = connection.as_mut() => told(ended),
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                told(connection.await)
            }
        }
    }
}
