//! Connections of clients: accepted, served as HTTP/1.1 or HTTP/2, counted, and drained at the end.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Door, Shard, door::Tls, gateway::Gateway, http1, http2, outside::Arrival, patient::Patient, sent::Sent};

/// With what a client begins TLS: the record of a handshake (RFC 8446, 5.1). No method of HTTP begins so.
const HANDSHAKE: u8 = 22;

/// Serves clients at `door` until `shutdown`, then drains.
pub(super) async fn serve(gateway: Arc<Gateway>, shard: Shard, door: Door, shutdown: CancellationToken) {
    let Door { listener, name, tls, for_events } = door;
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be used"),
    };
    let context =
        Arc::new(Context { shard, listener: name, tls, for_events, closing: CancellationToken::new(), gateway });
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

/// What all connections of a door share.
struct Context {
    gateway: Arc<Gateway>,
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
    let _counted = Counted::new(&meters.connections);
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
        sent: Sent::default(),
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
}

/// A connection that is counted for as long as it is there, however it ends.
struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
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

async fn serve_http<S>(context: &Context, mut stream: S, arrival: Arrival) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let settings = context.gateway.settings.load_full();
    let mut input = BytesMut::new();
    let begins = tokio::time::timeout(settings.header_timeout, http2::begins(&mut stream, &mut input));
    let begun = tokio::select! {
        biased;
        begun = begins => begun.ok().transpose().map_err(|error| error.to_string())?,
        () = context.closing.cancelled() => None,
    };
    let Some(is_http2) = begun else {
        // No request came, or none is to come any more.
        return stream.shutdown().await.map_err(|error| error.to_string());
    };
    let (gateway, arrival) = (context.gateway.clone(), Arc::new(arrival));
    let handle = move |request| {
        let (gateway, arrival) = (gateway.clone(), arrival.clone());
        // In a box of its own, so that a connection that waits for a request does not hold room for one.
        Box::pin(async move { gateway.handle(request, &arrival).await })
    };
    let closing = context.closing.clone();
    if is_http2 {
        let limits = (settings.max_header_bytes, settings.header_timeout);
        let served = Box::pin(http2::serve((stream, input), limits, closing, handle)).await;
        return served.map_err(|error| error.to_string());
    }
    let bytes = usize::try_from(settings.max_header_bytes).unwrap_or(usize::MAX);
    let limits = http1::Limits { head: (bytes, settings.max_headers), patience: settings.header_timeout };
    drop(settings);
    http1::serve((stream, input), limits, closing, handle).await.map_err(|error| error.to_string())
}
