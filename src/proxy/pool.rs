//! Connections to one coordinator: opened when none is idle, one request at a time on each, kept for the next one.
//!
//! Each shard of the proxy has idle connections of its own: a connection lives in the runtime that opened it, and a
//! request never waits for another core.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Request, Response, Uri};
use hyper::{body::Incoming, client::conn::http1};
use tokio::time::Instant;
use tower_service::Service as _;

use super::{body::RequestBody, connector::Connector, error::Cause, shard::Shard};

/// How long an idle connection is kept: less than servers and the tables of NAT usually allow (Jetty's is 30 s).
const MAX_IDLE_TIME: Duration = Duration::from_secs(20);

/// The most idle connections that a shard keeps to one cluster.
const MAX_IDLE: usize = 1024;

/// The largest buffer for a connection's input: pages of results are read in pieces of up to this size.
const READ_BUFFER: usize = 512 * 1024;

type Sender = http1::SendRequest<RequestBody>;

/// The connections to one coordinator.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    origin: Uri,
    max_headers: usize,
    idle: Box<[Mutex<VecDeque<Idle>>]>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

/// A connection on which an answer is under way. Dropped, it closes; [`Lease::give_back`] keeps it for the next
/// request.
#[derive(Debug)]
pub(super) struct Lease {
    pool: Arc<Pool>,
    shard: Shard,
    sender: Sender,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection could be opened: nothing was sent.
    Connect(Cause),
    /// The connection broke before an answer began, or what came was no HTTP.
    Broken(hyper::Error),
}

impl Pool {
    /// Connections to `origin` by `connector`, of `shards` shards.
    pub(super) fn new(connector: Connector, origin: Uri, max_headers: usize, shards: usize) -> Arc<Self> {
        let idle = (0..shards).map(|_| Mutex::default()).collect();
        Arc::new(Self { connector, origin, max_headers, idle })
    }

    /// Sends `request`, whose URI is path and query and which has a `Host`, and waits for the head of its answer.
    ///
    /// A connection that the coordinator closed while it idled is not the request's fault: as long as none of it was
    /// sent, the next connection is taken.
    ///
    /// # Errors
    /// [`Failure`]; nothing was sent after [`Failure::Connect`].
    pub(super) async fn send(
        self: &Arc<Self>,
        shard: Shard,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        while let Some(mut sender) = self.take(shard) {
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok((answer, self.lease(shard, sender))),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Failure::Broken(error.into_error())),
                },
            }
        }
        let mut sender = self.connect().await.map_err(Failure::Connect)?;
        match sender.try_send_request(request).await {
            Ok(answer) => Ok((answer, self.lease(shard, sender))),
            Err(error) => Err(Failure::Broken(error.into_error())),
        }
    }

    /// Closes the connections of `shard` that have idled for too long.
    pub(super) fn trim(&self, shard: Shard) {
        let mut idle = self.lock(shard);
        while idle.front().is_some_and(|oldest| oldest.is_stale()) {
            idle.pop_front();
        }
    }

    /// How many connections idle, over all shards.
    pub(super) fn idle(&self) -> usize {
        self.idle.iter().map(|idle| idle.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn lease(self: &Arc<Self>, shard: Shard, sender: Sender) -> Lease {
        Lease { pool: self.clone(), shard, sender }
    }

    /// The connection that idled for the shortest time, so that those which are not needed grow old.
    fn take(&self, shard: Shard) -> Option<Sender> {
        let mut idle = self.lock(shard);
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            let found = &idle[at];
            if found.is_stale() {
                // So are those that idled for longer.
                idle.drain(..=at);
                return None;
            }
            if found.sender.is_ready() {
                return idle.remove(at).map(|found| found.sender);
            }
            // One that is neither ready nor closed has not noticed yet that its answer was read.
            if found.sender.is_closed() {
                idle.remove(at);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Sender, Cause> {
        let io = self.connector.clone().call(self.origin.clone()).await?;
        let (mut sender, connection) =
            http1::Builder::new().max_headers(self.max_headers).max_buf_size(READ_BUFFER).handshake(io).await?;
        // Its owner is the sender: the task ends when that is dropped, or when the coordinator closes.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a coordinator ended");
            }
        });
        sender.ready().await?;
        Ok(sender)
    }

    fn lock(&self, shard: Shard) -> MutexGuard<'_, VecDeque<Idle>> {
        // Nothing panics while it holds the lock; if something did, idle connections would still be just that.
        self.idle[shard.index() % self.idle.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn is_stale(&self) -> bool {
        self.since.elapsed() > MAX_IDLE_TIME
    }
}

impl Lease {
    /// Keeps the connection for the next request: its answer was read to the end.
    pub(super) fn give_back(self) {
        let Self { pool, shard, sender } = self;
        if sender.is_closed() {
            return;
        }
        let mut idle = pool.lock(shard);
        if idle.len() >= MAX_IDLE || idle.front().is_some_and(Idle::is_stale) {
            idle.pop_front();
        }
        idle.push_back(Idle { sender, since: Instant::now() });
    }
}
