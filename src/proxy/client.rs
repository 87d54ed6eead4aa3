//! A client's request, over whichever version of HTTP it came.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::error::Cause;

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
pub(super) struct ClientBody(Source);

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
            body: ClientBody(Source::Http2(body)),
        }
    }
}

impl ClientBody {
    /// No body.
    pub(super) fn nothing() -> Self {
        Self(Source::Nothing)
    }

    /// One that a connection of HTTP/1.1 reads.
    pub(super) fn http1(body: impl Body<Data = Bytes, Error = Cause> + Send + 'static) -> Self {
        Self(Source::Http1(Box::pin(body)))
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
        match &mut self.get_mut().0 {
            Source::Nothing => Poll::Ready(None),
            Source::Http1(body) => body.as_mut().poll_frame(cx),
            Source::Http2(body) => Pin::new(body).poll_frame(cx).map_err(Cause::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Nothing => true,
            Source::Http1(body) => body.is_end_stream(),
            Source::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Http1(body) => body.size_hint(),
            Source::Http2(body) => body.size_hint(),
        }
    }
}
