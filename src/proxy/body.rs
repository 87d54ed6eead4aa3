//! Bodies of requests on their way to a coordinator: frames pass as they come, and are never collected.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Duration, Instant};

use super::{error::Cause, kept::Replay};

/// The body of a request to a coordinator.
#[derive(Debug)]
pub(super) struct RequestBody {
    source: Source,
    /// None where there is no body.
    progress: Option<Arc<Progress>>,
}

#[derive(Debug)]
enum Source {
    Nothing,
    Client(Incoming),
    Kept(Replay),
    Text(Full<Bytes>),
}

/// How far a request's body has come, for whoever waits for the answer.
#[derive(Debug)]
pub(super) struct Progress {
    last: Mutex<Instant>,
}

impl Progress {
    fn new() -> Arc<Self> {
        Arc::new(Self { last: Mutex::new(Instant::now()) })
    }

    /// Ends once nothing of the body passed for `timeout`.
    pub(super) async fn stalled(&self, timeout: Duration) {
        loop {
            let due = self.last() + timeout;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }

    fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn note(&self) {
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
    }
}

impl RequestBody {
    /// No body.
    pub(super) fn nothing() -> Self {
        Self { source: Source::Nothing, progress: None }
    }

    /// What the proxy asks itself.
    pub(super) fn text(text: String) -> Self {
        Self { source: Source::Text(Full::from(text)), progress: None }
    }

    /// The client's body; it can be sent once.
    pub(super) fn client(body: Incoming) -> Self {
        Self { source: Source::Client(body), progress: Some(Progress::new()) }
    }

    /// A body that can be sent again.
    pub(super) fn kept(replay: Replay) -> Self {
        Self { source: Source::Kept(replay), progress: Some(Progress::new()) }
    }

    /// How far it has come; none if there is nothing to come.
    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        self.progress.clone()
    }

    /// Whether there is no body at all.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.source, Source::Nothing)
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
            Source::Text(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        };
        if polled.is_ready()
            && let Some(progress) = &this.progress
        {
            progress.note();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Nothing => true,
            Source::Client(body) => body.is_end_stream(),
            Source::Kept(body) => body.is_end_stream(),
            Source::Text(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Client(body) => body.size_hint(),
            Source::Kept(body) => body.size_hint(),
            Source::Text(body) => body.size_hint(),
        }
    }
}
