//! Connections of clients: accepted, served as HTTP/1.1 or HTTP/2, counted, and drained at the end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    Door, Settings, Shard,
    door::Tls,
    gateway::Gateway,
    outside::Arrival,
    pace::{Pace, Verdict},
    patient::Patient,
};

/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);

/// The most requests that one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 1000;

/// With what a client begins TLS: the record of a handshake (RFC 8446, 5.1). No method of HTTP begins so.
const HANDSHAKE: u8 = 22;

type Server = auto::Builder<TokioExecutor>;

/// Serves clients at `door` until `shutdown`, then drains.
pub(super) async fn serve(gateway: Arc<Gateway>, shard: Shard, door: Door, shutdown: CancellationToken) {
    let Door { listener, name, tls, for_events } = door;
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be used"),
    };
    let context = Arc::new(Context {
        server: server(&gateway.settings.load()),
        shard,
        listener: name,
        tls,
        for_events,
        closing: CancellationToken::new(),
        gateway,
    });
    // What is asked of them here changes with a new process only.
    let settings = context.gateway.settings.load_full();
    let most = settings.max_connections.div_ceil(settings.shards);
    let mut connections = JoinSet::new();
    let mut close_at = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled(), if close_at.is_none() => {
                if context.gateway.drain() {
                    tracing::info!(delay = ?settings.drain_delay, "draining: no longer ready, still serving");
                }
                close_at = Some(Instant::now() + settings.drain_delay);
            }
            () = sleep_until(close_at) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(context.clone(), stream, peer));
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
    context.closing.cancel();
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(settings.drain_timeout, ended).await.is_err() {
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
    // The deadline for a request's head is kept by `drive`.
    server.http1().header_read_timeout(None).max_headers(settings.max_headers).max_buf_size(buffer);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(settings.max_header_bytes)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    server
}

/// What all connections of a door share.
struct Context {
    gateway: Arc<Gateway>,
    server: Server,
    shard: Shard,
    listener: Option<Arc<str>>,
    tls: Option<Tls>,
    for_events: bool,
    closing: CancellationToken,
}

async fn connection(context: Arc<Context>, stream: TcpStream, peer: SocketAddr) {
    let Ok(local) = stream.local_addr() else { return };
    // Answers are short and awaited: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let meters = &context.gateway.observer.meters;
    meters.connections.inc();
    let tls = tls_of(&context, &stream).await;
    let arrival = Arrival {
        shard: context.shard,
        peer,
        peer_value: Arrival::value_of(peer),
        local,
        secure: tls.is_some(),
        server_name: None,
        listener: context.listener.clone(),
        for_events: context.for_events,
        seen: Mutex::default(),
        pace: Pace::new(),
    };
    let stream = Patient::new(stream, context.gateway.settings.load().write_timeout);
    let ended = match tls {
        None => serve_http(&context, stream, arrival).await,
        Some(tls) => match Box::pin(handshake(tls, stream, context.gateway.settings.load().header_timeout)).await {
            Ok(stream) => {
                let server_name = stream.get_ref().1.server_name().map(Into::into);
                // In a box: its state is several times that of a connection without TLS.
                Box::pin(serve_http(&context, stream, Arrival { server_name, ..arrival })).await
            }
            Err(error) => {
                meters.tls_failures.inc();
                Err(format!("TLS: {error}"))
            }
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "a client's connection broke");
    }
    meters.connections.dec();
}

/// What the connection is secured by. At a door for events who begins with plain HTTP goes on so; one that begins with nothing is
/// left to the deadlines of what follows.
async fn tls_of<'a>(context: &'a Context, stream: &TcpStream) -> Option<&'a Tls> {
    let tls = context.tls.as_ref()?;
    if !context.for_events {
        return Some(tls);
    }
    let mut first = [0];
    let deadline = context.gateway.settings.load().header_timeout;
    let seen = tokio::time::timeout(deadline, stream.peek(&mut first)).await;
    match seen {
        Ok(Ok(1)) if first[0] != HANDSHAKE => None,
        _ => Some(tls),
    }
}

async fn handshake<S>(tls: &Tls, stream: S, deadline: Duration) -> io::Result<tokio_rustls::server::TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shaken = tokio::time::timeout(deadline, TlsAcceptor::from(tls.config()).accept(stream));
    shaken.await.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no handshake in time")))
}

async fn serve_http<S>(context: &Context, stream: S, arrival: Arrival) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let arrival = Arc::new(arrival);
    let service = {
        let (gateway, arrival) = (context.gateway.clone(), arrival.clone());
        service_fn(move |request| {
            let (gateway, arrival) = (gateway.clone(), arrival.clone());
            // In a box of its own, so that a connection that waits for a request does not hold room for one.
            Box::pin(async move { gateway.handle(request, &arrival).await })
        })
    };
    let mut connection = std::pin::pin!(context.server.serve_connection(TokioIo::new(stream), service));
    drive(context, connection.as_mut(), &arrival.pace).await
}

/// Drives a connection to its end, and begins that end when the proxy closes, or a request does not come in time.
async fn drive<C>(context: &Context, mut connection: Pin<&mut C>, pace: &Pace) -> Result<(), String>
where
    C: hyper_util::server::graceful::GracefulConnection,
    C::Error: std::fmt::Display,
{
    let patience = context.gateway.settings.load().header_timeout;
    let mut closing = std::pin::pin!(context.closing.cancelled());
    let mut watch = std::pin::pin!(tokio::time::sleep(patience));
    let (mut is_armed, mut is_closing) = (false, false);
    std::future::poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended.map_err(|error| error.to_string()));
            }
            // Both know the task that they are to wake: while neither has something to say, asking them again at each
            // step of each request would change nothing.
            let closes = !is_closing && context.closing.is_cancelled();
            if is_armed && !closes && !watch.is_elapsed() {
                return Poll::Pending;
            }
            is_armed = true;
            if !is_closing && closing.as_mut().poll(cx).is_ready() {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            while watch.as_mut().poll(cx).is_ready() {
                match pace.verdict(patience) {
                    Verdict::Fine(until) => watch.as_mut().reset(until),
                    Verdict::Late => return Poll::Ready(Err("no request came in time".to_owned())),
                }
            }
            return Poll::Pending;
        }
    })
    .await
}
