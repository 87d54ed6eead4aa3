//! Connections to one coordinator: opened when none is idle, one request at a time on each, kept for the next one.
//!
//! Each shard of the proxy has idle connections of its own: a connection lives in the runtime that opened it, and a
//! request never waits for another core.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};
use tower_service::Service as _;

use super::{
    body::RequestBody,
    connector::Connector,
    error::Cause,
    exchange::Head,
    shard::Shard,
    stream::WireBody,
    wire::{Wire, WireError},
};

/// How long an idle connection is kept: less than servers and the tables of NAT usually allow (Jetty's is 30 s).
const MAX_IDLE_TIME: Duration = Duration::from_secs(20);

/// The most idle connections that a shard keeps to one cluster.
const MAX_IDLE: usize = 1024;

type Stream = TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>;

/// The connections to one coordinator.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    origin: Uri,
    idle: Box<[Mutex<VecDeque<Idle>>]>,
}

#[derive(Debug)]
struct Idle {
    /// In a box: it holds the state of TLS, and is moved about.
    wire: Box<Wire<Stream>>,
    since: Instant,
}

/// The body of an answer. Read to its end, its connection goes back to the pool; dropped before, it closes.
#[derive(Debug)]
pub(super) struct PooledBody {
    body: WireBody<Stream>,
    /// Where its connection goes, if that can be used again.
    home: Option<(Arc<Pool>, Shard)>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection could be opened: nothing was sent.
    Connect(Cause),
    /// The connection broke before an answer began, or what came was no HTTP.
    Broken(WireError),
}

impl Pool {
    /// Connections to `origin` by `connector`, of `shards` shards.
    pub(super) fn new(connector: Connector, origin: Uri, shards: usize) -> Arc<Self> {
        let idle = (0..shards).map(|_| Mutex::default()).collect();
        Arc::new(Self { connector, origin, idle })
    }

    /// Sends a request and waits for the head of its answer, at most for `patience` after the last byte of the body passed.
    ///
    /// A connection that the coordinator is known to have closed while it idled is passed over.
    ///
    /// # Errors
    /// [`Failure`]; nothing was sent after [`Failure::Connect`].
    pub(super) async fn send(
        self: &Arc<Self>,
        shard: Shard,
        head: &Head<'_>,
        body: RequestBody,
        patience: Duration,
    ) -> Result<Response<PooledBody>, Failure> {
        let mut now = Instant::now();
        let idle = std::future::poll_fn(|cx| Poll::Ready(self.take(shard, now, cx))).await;
        let mut wire = if let Some(wire) = idle {
            wire
        } else {
            let wire = self.connect().await.map_err(Failure::Connect)?;
            now = Instant::now();
            wire
        };
        let answer = wire.exchange(head, body, (now, patience)).await.map_err(Failure::Broken)?;
        let home = answer.keeps.then(|| (self.clone(), shard));
        let mut response = Response::new(PooledBody { body: WireBody::new(wire, answer.framing), home });
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response.body_mut().go_home();
        Ok(response)
    }

    /// Closes the connections of `shard` that have idled for too long.
    pub(super) fn trim(&self, shard: Shard) {
        let mut idle = self.lock(shard);
        let now = Instant::now();
        while idle.front().is_some_and(|first| first.is_stale(now)) {
            idle.pop_front();
        }
    }

    /// How many connections idle, over all shards.
    pub(super) fn idle(&self) -> usize {
        self.idle.iter().map(|idle| idle.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// The connection that idled for the shortest time, so that those which are not needed grow old.
    fn take(&self, shard: Shard, now: Instant, cx: &mut Context<'_>) -> Option<Box<Wire<Stream>>> {
        let mut idle = self.lock(shard);
        while let Some(mut last) = idle.pop_back() {
            if last.is_stale(now) {
                // So are those that idled for longer.
                idle.clear();
            } else if last.wire.is_quiet(cx) {
                return Some(last.wire);
            }
        }
        None
    }

    fn give_back(&self, shard: Shard, wire: Box<Wire<Stream>>) {
        let now = Instant::now();
        let mut idle = self.lock(shard);
        if idle.len() >= MAX_IDLE || idle.front().is_some_and(|first| first.is_stale(now)) {
            idle.pop_front();
        }
        idle.push_back(Idle { wire, since: now });
    }

    async fn connect(&self) -> Result<Box<Wire<Stream>>, Cause> {
        let stream = self.connector.clone().call(self.origin.clone()).await?;
        Ok(Box::new(Wire::new(TokioIo::new(stream))))
    }

    fn lock(&self, shard: Shard) -> MutexGuard<'_, VecDeque<Idle>> {
        // Nothing panics while it holds the lock; if something did, idle connections would still be just that.
        self.idle[shard.index() % self.idle.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) > MAX_IDLE_TIME
    }
}

impl PooledBody {
    /// Gives the connection back if the body is over.
    fn go_home(&mut self) {
        if let Some(wire) = self.body.finish()
            && let Some((pool, shard)) = self.home.take()
        {
            pool.give_back(shard, wire);
        }
    }
}

impl Body for PooledBody {
    type Data = Bytes;
    type Error = WireError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.go_home();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
