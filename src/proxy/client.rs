//! A client's request, over whichever version of HTTP it came.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    deadline::Deadline,
    error::{Cause, Error},
};

/// How long a client may send nothing of a body that it began.
const PAUSE: Duration = Duration::from_secs(30);

/// A request whose head was read; its body comes when it is asked for.
#[derive(Debug)]
pub(super) struct ClientRequest {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    /// Shared with the connection that it came by, whose next request most often has the same.
    pub headers: Arc<HeaderMap>,
    pub body: ClientBody,
}

/// The body of a client's request.
#[derive(Debug)]
pub(super) struct ClientBody {
    source: Source,
    /// When all of it must have come.
    due: Option<Instant>,
    /// Nothing of it is there.
    waits: bool,
    /// How long that may be so.
    deadline: Deadline,
}

/// The body, or the next piece of it, did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the client sends no more of its body")]
struct Late;

/// What a request fails with whose body does, for this reason.
pub(super) fn fault(cause: &Cause) -> Error {
    if cause.is::<Late>() { Error::ClientLate } else { Error::ClientGone }
}

enum Source {
    Nothing,
    Http1(Pin<Box<dyn Body<Data = Bytes, Error = Cause> + Send>>),
    Http2(Incoming),
}

#[cfg(test)]
impl ClientRequest {
    /// One without a body.
    pub(super) fn for_tests(request: Request<()>) -> Self {
        let (head, ()) = request.into_parts();
        Self {
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers: Arc::new(head.headers),
            body: ClientBody::nothing(),
        }
    }
}

impl From<Request<Incoming>> for ClientRequest {
    fn from(request: Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        Self {
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers: Arc::new(head.headers),
            body: ClientBody::new(Source::Http2(body)),
        }
    }
}

impl ClientBody {
    /// No body.
    pub(super) fn nothing() -> Self {
        Self::new(Source::Nothing)
    }

    /// One that a connection of HTTP/1.1 reads.
    pub(super) fn http1(body: impl Body<Data = Bytes, Error = Cause> + Send + 'static) -> Self {
        Self::new(Source::Http1(Box::pin(body)))
    }

    fn new(source: Source) -> Self {
        Self { source, due: None, waits: false, deadline: Deadline::default() }
    }

    /// All of it must come within `whole`, and the next piece within some seconds.
    pub(super) fn set_patience(&mut self, whole: Duration) {
        if !matches!(self.source, Source::Nothing) {
            self.due = Some(Instant::now() + whole);
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Http1(_) => "Http1",
            Self::Http2(_) => "Http2",
        })
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Nothing => return Poll::Ready(None),
            Source::Http1(body) => body.as_mut().poll_frame(cx),
            Source::Http2(body) => Pin::new(body).poll_frame(cx).map_err(Cause::from),
        };
        let waited = std::mem::replace(&mut this.waits, polled.is_pending());
        let (Poll::Pending, Some(due)) = (&polled, this.due) else { return polled };
        if !waited {
            this.deadline.set(due.min(Instant::now() + PAUSE));
        }
        ready!(this.deadline.poll_over(cx));
        Poll::Ready(Some(Err(Late.into())))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Nothing => true,
            Source::Http1(body) => body.is_end_stream(),
            Source::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Http1(body) => body.size_hint(),
            Source::Http2(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// A body of which a piece comes every so many seconds.
    fn every(seconds: u64) -> ClientBody {
        let pieces = futures::stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Some((Ok::<_, Cause>(Frame::data(Bytes::from_static(b"x"))), ()))
        });
        let mut body = ClientBody::http1(StreamBody::new(pieces));
        body.set_patience(Duration::from_mins(5));
        body
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_some_time_for_each_piece_and_for_all_of_it() {
        for (seconds, expected) in [(20, 300), (29, 300), (31, 30)] {
            let begun = Instant::now();
            let cause = every(seconds).collect().await.unwrap_err();
            assert!(matches!(fault(&cause), Error::ClientLate));
            assert_eq!(begun.elapsed().as_secs(), expected, "a piece each {seconds} s");
        }
    }
}
