//! Bodies of requests on their way to a coordinator: frames pass as they come, and are never collected.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::{client::ClientBody, error::Cause, kept::Replay};

/// The body of a request to a coordinator.
#[derive(Debug)]
pub(super) struct RequestBody(Source);

#[derive(Debug)]
enum Source {
    Nothing,
    Client(ClientBody),
    Kept(Replay),
    Text(Full<Bytes>),
}

impl RequestBody {
    /// No body.
    pub(super) fn nothing() -> Self {
        Self(Source::Nothing)
    }

    /// What the proxy asks itself.
    pub(super) fn text(text: String) -> Self {
        Self(Source::Text(Full::from(text)))
    }

    /// The client's body; it can be sent once.
    pub(super) fn client(body: ClientBody) -> Self {
        Self(Source::Client(body))
    }

    /// A body that can be sent again.
    pub(super) fn kept(replay: Replay) -> Self {
        Self(Source::Kept(replay))
    }

    /// Whether there is no body at all.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.0, Source::Nothing)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match &mut self.get_mut().0 {
            Source::Nothing => Poll::Ready(None),
            Source::Client(body) => Pin::new(body).poll_frame(cx),
            Source::Kept(body) => Pin::new(body).poll_frame(cx),
            Source::Text(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Nothing => true,
            Source::Client(body) => body.is_end_stream(),
            Source::Kept(body) => body.is_end_stream(),
            Source::Text(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Client(body) => body.size_hint(),
            Source::Kept(body) => body.size_hint(),
            Source::Text(body) => body.size_hint(),
        }
    }
}
