//! The body of a coordinator's answer, read in the task of the client's request: pieces are handed on as they are read,
//! without a copy. Read to its end, it gives its connection back.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::{
    framing::{Decoder, Framing, SMALL_PIECE, Step},
    wire::{Wire, WireError},
};

/// The first read of a body, beyond what came with its head; it doubles while that is filled.
const FIRST_READ: usize = 16 * 1024;

/// The largest read. What is read stays in the processor's cache until it is written.
const LARGEST_READ: usize = 64 * 1024;

thread_local! {
    /// The buffer that was used last, by whichever body: it is still in the processor's cache. Whether it is free is seen when
    /// room is asked for in it; as long as a piece of it is not written, there is none.
    static SPARE: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// A body that is read from `wire`.
#[derive(Debug)]
pub(super) struct WireBody<S> {
    /// The connection, until the body ends.
    wire: Option<Box<Wire<S>>>,
    decoder: Decoder,
    next_read: usize,
    /// A piece was handed on with the buffer that it is in.
    lent: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WireBody<S> {
    pub(super) fn new(wire: Box<Wire<S>>, framing: Framing) -> Self {
        Self { wire: Some(wire), decoder: Decoder::new(framing), next_read: FIRST_READ, lent: false }
    }

    /// The connection, once the body was read to its end; it has nothing more to say.
    pub(super) fn finish(&mut self) -> Option<Box<Wire<S>>> {
        let over = self.decoder.is_done();
        let mut wire = self.wire.take_if(|wire| over && wire.input.is_empty())?;
        spare(&mut wire.input, self.next_read > FIRST_READ);
        Some(wire)
    }

    /// The next piece, trailers, or the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, WireError>> {
        loop {
            if self.decoder.is_done() {
                return Poll::Ready(Ok(None));
            }
            let Some(wire) = &mut self.wire else { return Poll::Ready(Err(WireError::Closed)) };
            match self.decoder.next(&mut wire.input).map_err(WireError::Invalid)? {
                Step::Frame(frame) => {
                    self.lent |= frame.data_ref().is_some_and(|piece| piece.len() > SMALL_PIECE);
                    return Poll::Ready(Ok(Some(frame)));
                }
                Step::End => return Poll::Ready(Ok(None)),
                Step::More => {}
            }
            // Whoever has it writes it out first, while it is in the processor's cache, and the buffer is free for the next read.
            let is_large = self.next_read > FIRST_READ;
            if std::mem::take(&mut self.lent) {
                spare(&mut wire.input, is_large);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if is_large
                && wire.input.is_empty()
                && let Some(spare) = SPARE.take()
            {
                wire.input = spare;
            }
            wire.input.reserve(self.next_read);
            let Poll::Ready(read) = poll_read_buf(Pin::new(&mut wire.stream), cx, &mut wire.input)? else {
                spare(&mut wire.input, is_large);
                return Poll::Pending;
            };
            // Who fills what is offered has more to say.
            if read >= self.next_read {
                self.next_read = (self.next_read * 2).min(LARGEST_READ);
            }
            if read == 0 && !self.decoder.close() {
                return Poll::Ready(Err(WireError::Closed));
            }
        }
    }
}

/// Leaves the buffer of a large body, of which all was taken, to whoever reads next.
fn spare(input: &mut BytesMut, is_large: bool) {
    if is_large && input.is_empty() {
        SPARE.set(Some(std::mem::take(input)));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Body for WireBody<S> {
    type Data = Bytes;
    type Error = WireError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        let this = self.get_mut();
        let next = ready!(this.poll_next(cx));
        if next.is_err() {
            this.wire = None;
        }
        Poll::Ready(next.transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, Method};
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::time::Instant;

    use super::*;
    use crate::proxy::{body::RequestBody, exchange::Head, fields::Fields};

    /// The status, the body and the trailers of an answer that comes in pieces of `size` bytes, and whether the
    /// connection can be used again.
    async fn read(
        method: Method,
        answer: &str,
        size: usize,
    ) -> Result<(u16, String, Option<HeaderMap>, bool), WireError> {
        let (near, mut far): (DuplexStream, DuplexStream) = tokio::io::duplex(64 * 1024);
        let pieces: Vec<Vec<u8>> = answer.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
        let server = tokio::spawn(async move {
            let mut request = vec![0; 4096];
            let _ = far.read(&mut request).await;
            for piece in pieces {
                if far.write_all(&piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        });
        let mut wire = Box::new(Wire::new(near));
        let head = Head { method, target: "/v1/info".into(), fields: Fields::new().into() };
        let head = wire.exchange(&head, RequestBody::nothing(), (Instant::now(), Duration::from_secs(60))).await?;
        let mut body = WireBody::new(wire, head.framing);
        let collected = (&mut body).collect().await?;
        let trailers = collected.trailers().cloned();
        let text = String::from_utf8(collected.to_bytes().to_vec()).unwrap();
        let keeps = head.keeps && body.finish().is_some();
        server.await.unwrap();
        Ok((head.status.as_u16(), text, trailers, keeps))
    }

    async fn in_any_pieces(method: Method, answer: &str, expected: (u16, &str, bool)) {
        for size in [1, 3, 17, answer.len()] {
            let (status, text, _, keeps) = read(method.clone(), answer, size).await.unwrap();
            assert_eq!((status, text.as_str(), keeps), expected, "in pieces of {size}: {answer}");
        }
    }

    #[tokio::test]
    async fn an_answer_ends_where_its_head_says() {
        in_any_pieces(Method::GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", (200, "hello", true)).await;
        in_any_pieces(Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", (200, "", true)).await;
        in_any_pieces(Method::GET, "HTTP/1.1 204 No Content\r\n\r\n", (204, "", true)).await;
        in_any_pieces(Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", (200, "", true)).await;
        in_any_pieces(Method::GET, "HTTP/1.1 200 OK\r\n\r\nuntil the end", (200, "until the end", false)).await;
        in_any_pieces(
            Method::GET,
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\na",
            (200, "a", false),
        )
        .await;
        in_any_pieces(Method::GET, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", (200, "a", false)).await;
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n6 ; x=\"y\"\r\n world\r\n0\r\n\r\n";
        in_any_pieces(Method::GET, chunked, (200, "hello world", true)).await;
        let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 410 Gone\r\nContent-Length: 1\r\n\r\nx";
        in_any_pieces(Method::GET, hints, (410, "x", true)).await;
    }

    #[tokio::test]
    async fn trailers_come_after_the_last_chunk() {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n";
        for size in [1, 8, answer.len()] {
            let (_, text, trailers, keeps) = read(Method::GET, answer, size).await.unwrap();
            let sums: Vec<_> = trailers.unwrap().get_all("x-sum").iter().cloned().collect();
            assert_eq!((text.as_str(), sums.len(), keeps), ("a", 2, true));
        }
    }

    #[tokio::test]
    async fn what_is_said_after_the_end_makes_the_connection_useless() {
        let (_, text, _, keeps) =
            read(Method::GET, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n", 1000).await.unwrap();
        assert_eq!((text.as_str(), keeps), ("a", false));
    }

    #[tokio::test]
    async fn an_answer_without_a_body_may_say_of_one_what_it_likes() {
        for (method, answer) in [
            (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
            (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
            (Method::GET, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: gzip\r\n\r\n"),
        ] {
            assert!(
                read(method, answer, 1000).await.is_ok_and(|(_, text, _, keeps)| text.is_empty() && keeps),
                "{answer}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_for_one_connection_stays_on_it() {
        let (near, mut far) = tokio::io::duplex(4096);
        let answer = "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-Kept: 1\r\n\
            Content-Length: 0\r\n\r\n";
        far.write_all(answer.as_bytes()).await.unwrap();
        let head = Head { method: Method::GET, target: "/v1/info".into(), fields: Fields::new().into() };
        let patience = (Instant::now(), Duration::from_secs(60));
        let head = Wire::new(near).exchange(&head, RequestBody::nothing(), patience).await.unwrap();
        let mut names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "x-kept"]);
    }

    #[tokio::test]
    async fn what_is_in_doubt_breaks_the_connection() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nbad trailer\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.1 99 Low\r\n\r\n",
            "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
            "garbage\r\n\r\n",
        ] {
            assert!(read(Method::GET, answer, 1000).await.is_err(), "{answer}");
        }
    }
}
