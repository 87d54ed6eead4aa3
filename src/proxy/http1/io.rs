//! Both ways of a connection of HTTP/1.1: what was read and not yet used, and what is still to be written.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::super::{
    error::Cause,
    framing::{Decoder, Framing, Step},
};

/// How much is read at once of heads. Thousands of connections wait with such a buffer each.
const READ: usize = 2 * 1024;

/// How much is read at once of bodies.
const READ_OF_BODY: usize = 16 * 1024;

/// How much is read of what follows a request before that is answered.
const MAX_AHEAD: usize = 8 * 1024;

/// Pieces up to this size are copied, so that they go out with what is before and behind them.
const SMALL_PIECE: usize = 2 * 1024;

/// How much is gathered before it is written: about what one read of an answer brings.
const MANY_BYTES: usize = 128 * 1024;

/// How many large pieces are gathered, with what is between them.
const MANY_PIECES: usize = 32;

/// How much of a body that nobody wants is read after the answer to its request.
const MAX_SKIPPED: usize = 64 * 1024;

/// The largest buffer that a connection keeps for the next message.
const MAX_KEPT: usize = 8 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection. One request at a time is read from it and answered.
#[derive(Debug)]
pub(super) struct Io<S> {
    pub stream: S,
    pub input: BytesMut,
    /// The buffer of the input has grown. It does not tell itself: what was taken no longer counts.
    is_large: bool,
    output: Output,
    /// The body of the request that is under way.
    body: Decoder,
    /// Its client waits to be told that it is wanted.
    expects: bool,
    /// Nobody reads it any more.
    is_unwanted: bool,
    /// Which request is under way.
    serial: u64,
}

/// A connection that is read by whoever reads the request's body, and written by whoever answers.
pub(super) type Shared<S> = Arc<Mutex<Io<S>>>;

/// Nothing panics while it holds the lock; if something did, the other end would see a connection that broke.
pub(super) fn lock<S>(io: &Shared<S>) -> MutexGuard<'_, Io<S>> {
    io.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is to be written: first the pieces, then the text.
#[derive(Debug, Default)]
struct Output {
    pieces: VecDeque<Bytes>,
    text: BytesMut,
    /// The buffer of the text has grown.
    is_large: bool,
    /// The stream holds something back: TLS does, if the other end takes nothing.
    is_held: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Io<S> {
    /// A connection of which `input` was read already.
    pub(super) fn new(stream: S, input: BytesMut) -> Self {
        let body = Decoder::new(Framing::Nothing);
        let output = Output::default();
        Self { stream, input, is_large: false, output, body, expects: false, is_unwanted: false, serial: 0 }
    }

    /// Begins a request with such a body. What is left of the one before can no longer be read.
    pub(super) fn begin(&mut self, framing: Framing, expects: bool) {
        self.serial += 1;
        (self.body, self.expects, self.is_unwanted) = (Decoder::new(framing), expects, false);
    }

    /// Reads more of what comes; returns how many bytes.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        release(&mut self.input, &mut self.is_large);
        self.poll_read(cx, READ)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        self.input.reserve(room);
        self.is_large |= self.input.len() + room > MAX_KEPT;
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input)
    }

    /// Whether the client went away while its request is under way. Of one that sends what comes next already, some is read.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.reads_ahead() {
            match ready!(self.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Whether to read before the answer is there: the rest of a body that nobody wants, and what follows the request. Whoever
    /// takes a body sees by himself whether its client goes away.
    fn reads_ahead(&mut self) -> bool {
        (self.is_unwanted && self.skip()) || (self.body.is_done() && self.input.len() < MAX_AHEAD)
    }

    /// Takes what is there of the body; returns whether more of it may come.
    fn skip(&mut self) -> bool {
        loop {
            match self.body.next(&mut self.input) {
                Ok(Step::Frame(_)) => {}
                Ok(Step::More) => return true,
                Ok(Step::End) | Err(_) => return false,
            }
        }
    }

    /// Takes what is left of the body as far as it came; returns whether that is all of it. Some clients send it in a packet of
    /// its own, which may have come since.
    pub(super) fn drop_body(&mut self, cx: &mut Context<'_>) -> bool {
        let mut skipped = 0;
        // Who waits to be told that it is wanted sends none.
        while self.skip() && !self.expects && skipped < MAX_SKIPPED {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(read @ 1..)) => skipped += read,
                _ => return false,
            }
        }
        self.body.is_done()
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        loop {
            match self.body.next(&mut self.input)? {
                Step::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                Step::End => return Poll::Ready(None),
                Step::More => {}
            }
            if std::mem::take(&mut self.expects) {
                self.output.text.extend_from_slice(CONTINUE);
            }
            ready!(self.poll_flush(cx))?;
            if ready!(self.poll_read(cx, READ_OF_BODY))? == 0 {
                return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())));
            }
        }
    }

    /// What is to be written behind all else that is.
    pub(super) fn text(&mut self) -> &mut BytesMut {
        &mut self.output.text
    }

    /// Adds a piece of an answer's body, with what the coding puts before and behind it.
    pub(super) fn push(&mut self, piece: Bytes, chunked: bool) {
        use std::fmt::Write as _;
        let Output { pieces, text, .. } = &mut self.output;
        // An empty chunk would end the body.
        if piece.is_empty() {
            return;
        }
        if chunked {
            // What writes to memory does not fail.
            let _ = write!(text, "{:x}\r\n", piece.len());
        }
        if piece.len() <= SMALL_PIECE {
            text.extend_from_slice(&piece);
        } else {
            if !text.is_empty() {
                pieces.push_back(text.split().freeze());
            }
            pieces.push_back(piece);
        }
        if chunked {
            text.extend_from_slice(b"\r\n");
        }
    }

    /// Whether a further piece is to be added before what is there is written.
    pub(super) fn has_room(&self) -> bool {
        let Output { pieces, text, .. } = &self.output;
        pieces.len() < MANY_PIECES && pieces.iter().map(Bytes::len).sum::<usize>() + text.len() < MANY_BYTES
    }

    /// Writes all that is to be written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output.is_empty() && !self.output.is_held {
            return Poll::Ready(Ok(()));
        }
        self.output.is_large |= self.output.text.len() > MAX_KEPT;
        while !self.output.is_empty() {
            let Output { pieces, text, .. } = &self.output;
            let written = if pieces.is_empty() {
                ready!(Pin::new(&mut self.stream).poll_write(cx, text))?
            } else {
                let mut slices = [IoSlice::new(b""); MANY_PIECES + 3];
                let parts = pieces.iter().map(|piece| &**piece).chain([&**text]);
                let mut length = 0;
                for (slice, part) in slices.iter_mut().zip(parts) {
                    *slice = IoSlice::new(part);
                    length += 1;
                }
                ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..length]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
            self.output.is_held = true;
        }
        release(&mut self.output.text, &mut self.output.is_large);
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.output.is_held = false;
        Poll::Ready(Ok(()))
    }
}

impl Output {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.text.is_empty()
    }

    /// So many bytes were written.
    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.pieces.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            // The buffer that it is in is free for the next read.
            self.pieces.pop_front();
        }
        self.text.advance(written);
    }
}

/// Lets go of what an unusual message took.
fn release(buffer: &mut BytesMut, is_large: &mut bool) {
    if buffer.is_empty() && std::mem::take(is_large) {
        *buffer = BytesMut::new();
    }
}

/// The body of the request that is under way.
#[derive(Debug)]
pub(super) struct RequestBody<S> {
    io: Shared<S>,
    serial: u64,
}

/// The request was answered, and the next one is under way.
#[derive(Debug, thiserror::Error)]
#[error("the request is over")]
struct Over;

impl<S: AsyncRead + AsyncWrite + Unpin> RequestBody<S> {
    /// That of the request that [`Io::begin`] began last.
    pub(super) fn new(io: &Shared<S>) -> Self {
        Self { io: io.clone(), serial: lock(io).serial }
    }
}

impl<S> Drop for RequestBody<S> {
    fn drop(&mut self) {
        let mut io = lock(&self.io);
        io.is_unwanted |= io.serial == self.serial;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Body for RequestBody<S> {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let mut io = lock(&self.io);
        if io.serial != self.serial {
            return Poll::Ready(Some(Err(Over.into())));
        }
        io.poll_body(cx)
    }

    fn is_end_stream(&self) -> bool {
        let io = lock(&self.io);
        io.serial == self.serial && io.body.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        let io = lock(&self.io);
        if io.serial == self.serial { io.body.size_hint() } else { SizeHint::default() }
    }
}
