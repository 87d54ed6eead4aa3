//! The body of a coordinator's answer, read in the task of the client's request: pieces are handed on as they are read,
//! without a copy. Read to its end, it gives its connection back.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::wire::{Framing, Wire, WireError, parse_fields};

/// The first read of a body, beyond what came with its head; it doubles while that is filled.
const FIRST_READ: usize = 16 * 1024;

/// The largest read. What is read stays in the processor's cache until it is written.
const LARGEST_READ: usize = 64 * 1024;

/// Pieces up to this size are copied, larger ones handed on with the buffer that they are in.
const SMALL_PIECE: usize = 4 * 1024;

/// The longest line before a chunk, extensions included.
const MAX_CHUNK_LINE: usize = 4 * 1024;

/// The most bytes of trailers.
const MAX_TRAILERS: usize = 64 * 1024;

/// The most trailers.
const MAX_TRAILER_FIELDS: usize = 64;

/// A body that is read from `wire`.
#[derive(Debug)]
pub(super) struct WireBody<S> {
    /// The connection, until the body ends.
    wire: Option<Box<Wire<S>>>,
    part: Part,
    next_read: usize,
    /// A piece went on with the buffer that it is in.
    lent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Length(u64),
    UntilClose,
    ChunkLine,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WireBody<S> {
    pub(super) fn new(wire: Box<Wire<S>>, framing: Framing) -> Self {
        let part = match framing {
            Framing::Nothing | Framing::Length(0) => Part::Done,
            Framing::Length(length) => Part::Length(length),
            Framing::Chunked => Part::ChunkLine,
            Framing::UntilClose => Part::UntilClose,
        };
        Self { wire: Some(wire), part, next_read: FIRST_READ, lent: false }
    }

    /// The connection, once the body was read to its end; it has nothing more to say.
    pub(super) fn finish(&mut self) -> Option<Box<Wire<S>>> {
        let over = self.part == Part::Done;
        self.wire.take_if(|wire| over && wire.input.is_empty())
    }

    /// Reads more. Returns whether there was any.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, WireError>> {
        let Some(wire) = &mut self.wire else { return Poll::Ready(Err(WireError::Closed)) };
        // Whoever has it writes it out first, while it is in the processor's cache, and the buffer is free for the next read.
        if std::mem::take(&mut self.lent) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        wire.input.reserve(self.next_read);
        let read = ready!(poll_read_buf(Pin::new(&mut wire.stream), cx, &mut wire.input))?;
        // Who fills what is offered has more to say.
        if read >= self.next_read {
            self.next_read = (self.next_read * 2).min(LARGEST_READ);
        }
        Poll::Ready(Ok(read > 0))
    }

    fn input(&self) -> &[u8] {
        self.wire.as_ref().map_or(&[], |wire| &wire.input)
    }

    /// Up to `most` bytes of what is there already.
    fn piece(&mut self, most: u64) -> Option<Bytes> {
        let wire = self.wire.as_mut().filter(|wire| !wire.input.is_empty())?;
        let length = wire.input.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        if length > SMALL_PIECE {
            self.lent = true;
            return Some(wire.input.split_to(length).freeze());
        }
        // A copy leaves the buffer to the next answer.
        let piece = Bytes::copy_from_slice(&wire.input[..length]);
        wire.input.advance(length);
        Some(piece)
    }

    /// The next piece, trailers, or the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, WireError>> {
        loop {
            match self.part {
                Part::Done => return Poll::Ready(Ok(None)),
                Part::Length(left) | Part::Chunk(left) => {
                    if let Some(piece) = self.piece(left) {
                        let left = left - piece.len() as u64;
                        self.part = match (self.part, left) {
                            (Part::Length(_), 0) => Part::Done,
                            (Part::Length(_), left) => Part::Length(left),
                            (_, 0) => Part::ChunkEnd,
                            (_, left) => Part::Chunk(left),
                        };
                        return Poll::Ready(Ok(Some(Frame::data(piece))));
                    }
                }
                Part::UntilClose => {
                    if let Some(piece) = self.piece(u64::MAX) {
                        return Poll::Ready(Ok(Some(Frame::data(piece))));
                    }
                    if !ready!(self.poll_fill(cx))? {
                        self.part = Part::Done;
                        return Poll::Ready(Ok(None));
                    }
                    continue;
                }
                Part::ChunkLine | Part::ChunkEnd => {
                    if let Some(part) = self.read_line()? {
                        self.part = part;
                        continue;
                    }
                }
                Part::Trailers => {
                    if let Some(trailers) = self.read_trailers()? {
                        self.part = Part::Done;
                        let frame = (!trailers.is_empty()).then(|| Frame::trailers(trailers));
                        return Poll::Ready(Ok(frame));
                    }
                }
            }
            if !ready!(self.poll_fill(cx))? {
                return Poll::Ready(Err(WireError::Closed));
            }
        }
    }

    /// What follows the line that comes next, if all of it is there: the one before a chunk, or the empty one after it.
    fn read_line(&mut self) -> Result<Option<Part>, WireError> {
        let input = self.input();
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            let too_long = input.len() > MAX_CHUNK_LINE;
            return if too_long { Err(WireError::Invalid("a chunk's size is too long")) } else { Ok(None) };
        };
        let Some(line) = input[..end].strip_suffix(b"\r") else {
            return Err(WireError::Invalid("a line of its chunks ends wrongly"));
        };
        let part = match (self.part, line) {
            (Part::ChunkEnd, b"") => Part::ChunkLine,
            (Part::ChunkEnd, _) => return Err(WireError::Invalid("a chunk is longer than it says")),
            (_, line) => match chunk_size(line)? {
                0 => Part::Trailers,
                size => Part::Chunk(size),
            },
        };
        self.advance(end + 1);
        Ok(Some(part))
    }

    fn read_trailers(&mut self) -> Result<Option<HeaderMap>, WireError> {
        let input = self.input();
        if input.starts_with(b"\r\n") {
            self.advance(2);
            return Ok(Some(HeaderMap::new()));
        }
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
            let too_long = input.len() > MAX_TRAILERS;
            return if too_long { Err(WireError::Invalid("its trailers are too long")) } else { Ok(None) };
        };
        let Some(wire) = &mut self.wire else { return Err(WireError::Closed) };
        let text = wire.input.split_to(end + 4).freeze();
        let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
        match httparse::parse_headers(&text, &mut fields) {
            Ok(httparse::Status::Complete((_, fields))) => parse_fields(&text, fields).map(Some),
            _ => Err(WireError::Invalid("its trailers cannot be parsed")),
        }
    }

    fn advance(&mut self, bytes: usize) {
        if let Some(wire) = &mut self.wire {
            wire.input.advance(bytes);
        }
    }
}

/// The size in the line before a chunk; what its extensions say is for nobody (RFC 9112, section 7.1.1).
fn chunk_size(line: &[u8]) -> Result<u64, WireError> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let digits = !size.is_empty() && size.len() <= 16 && size.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(size).ok().filter(|_| digits);
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(WireError::Invalid("a chunk's size is no number"))
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
        self.part == Part::Done
    }

    fn size_hint(&self) -> SizeHint {
        match self.part {
            Part::Done => SizeHint::with_exact(0),
            Part::Length(left) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;
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
        let head = Head { method, target: "/v1/info".into(), fields: Fields::new() };
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
        let head = Head { method: Method::GET, target: "/v1/info".into(), fields: Fields::new() };
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
