//! Bodies of requests on their way to a coordinator: frames pass as they come, and are never collected.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Duration, Instant};

use super::{error::Cause, kept::Replay};

/// The body of a request to a coordinator.
#[derive(Debug)]
pub(super) struct RequestBody {
    source: Source,
    progress: Arc<Progress>,
}

#[derive(Debug)]
enum Source {
    Nothing,
    Client(Incoming),
    Kept(Replay),
}

/// How far a request's body has come, for whoever waits for the answer.
#[derive(Debug)]
pub(super) struct Progress {
    last: Mutex<Instant>,
    failed: AtomicBool,
}

impl Progress {
    fn new() -> Arc<Self> {
        Arc::new(Self { last: Mutex::new(Instant::now()), failed: AtomicBool::new(false) })
    }

    /// Ends once nothing of the body passed for `timeout`. The clock of a request without a body starts now.
    pub(super) async fn stalled(&self, timeout: Duration) {
        loop {
            let due = self.last() + timeout;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }

    /// Whether it was the client that broke off.
    pub(super) fn client_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn note(&self, frame: Option<&Result<Frame<Bytes>, Cause>>) {
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        if matches!(frame, Some(Err(_))) {
            self.failed.store(true, Ordering::Relaxed);
        }
    }
}

impl RequestBody {
    /// No body.
    pub(super) fn nothing() -> Self {
        Self { source: Source::Nothing, progress: Progress::new() }
    }

    /// The client's body; it can be sent once.
    pub(super) fn client(body: Incoming) -> Self {
        Self { source: Source::Client(body), progress: Progress::new() }
    }

    /// A body that can be sent again.
    pub(super) fn kept(replay: Replay) -> Self {
        Self { source: Source::Kept(replay), progress: Progress::new() }
    }

    /// How far it has come.
    pub(super) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Nothing => Poll::Ready(None),
            Source::Client(body) => Pin::new(body).poll_frame(cx).map_err(Cause::from),
            Source::Kept(body) => Pin::new(body).poll_frame(cx),
        };
        if let Poll::Ready(frame) = &polled {
            this.progress.note(frame.as_ref());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Nothing => true,
            Source::Client(body) => body.is_end_stream(),
            Source::Kept(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Client(body) => body.size_hint(),
            Source::Kept(body) => body.size_hint(),
        }
    }
}
