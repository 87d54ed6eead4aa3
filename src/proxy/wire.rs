//! One connection to a coordinator, HTTP/1.1: a request is written, the head of its answer read; the body is
//! [`super::stream`]'s. All in the task of the client's request: hyper's client runs a connection in a task of its own
//! and passes everything to it and back, which costs a small page twice the wake-ups (docs/performance.md). What comes
//! is read strictly, and anything in doubt breaks the connection.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::io::poll_read_buf;

use super::{
    body::RequestBody,
    deadline::Deadline,
    error::Cause,
    exchange::Head,
    framing::{Framing, Said, end_of_head, parse_field},
};

/// The largest head of an answer.
const MAX_HEAD: usize = 512 * 1024;

/// The most headers of an answer.
const MAX_HEADERS: usize = 512;

/// The size of the first read of an answer: head and a small page. Thousands of polls wait with such a buffer each.
const FIRST_READ: usize = 2 * 1024;

/// How much of a body is gathered before it is written.
const MANY_BYTES: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Wire<S> {
    pub(super) stream: S,
    /// What was read and not yet used.
    pub(super) input: BytesMut,
    output: BytesMut,
    deadline: Deadline,
}

/// The head of an answer, and what follows it.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub framing: Framing,
    /// Whether the connection can be used again after the body.
    pub keeps: bool,
}

/// Why there is no answer, or no end of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the connection was closed before the answer's end")]
    Closed,
    #[error("the answer is not valid HTTP: {0}")]
    Invalid(&'static str),
    #[error("there was no answer in time")]
    Late,
    #[error("the client's body broke off")]
    Body(#[source] Cause),
}

/// A request being written.
struct Writing {
    body: RequestBody,
    /// What is left of the length that was announced; none where the body goes in chunks.
    left: Option<u64>,
    /// The body was taken to its end; what is left is in the output.
    taken: bool,
    /// All that is there of the body was sent. Its client has a deadline of its own.
    waits: bool,
    /// How long the answer may take after the last piece of the body.
    patience: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new(), deadline: Deadline::default() }
    }

    /// Whether the other end has neither closed an idle connection nor said something on it that nobody asked for. What
    /// it did a moment ago may not be known yet.
    pub(super) fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        self.input.is_empty() && poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input).is_pending()
    }

    /// Sends a request and reads the head of its answer, at most for `patience` after `now`, or after the last piece of the body; it is
    /// not counted how long the body waits for its client. An answer may come before all of the body is sent; the rest is then
    /// kept, and the connection is not used again.
    ///
    /// # Errors
    /// When the connection breaks, what comes is no HTTP, it comes too late, or the body itself fails.
    pub(super) async fn exchange(
        &mut self,
        head: &Head<'_>,
        body: RequestBody,
        (now, patience): (Instant, Duration),
    ) -> Result<AnswerHead, WireError> {
        let left = write_head(&mut self.output, head, &body);
        let taken = body.is_nothing();
        self.deadline.set(now + patience);
        let mut writing = Some(Writing { body, left, taken, waits: false, patience });
        let mut broke = None;
        std::future::poll_fn(|cx| {
            if let Some(request) = &mut writing {
                match self.poll_send(cx, request) {
                    Poll::Pending => {}
                    Poll::Ready(Err(error @ WireError::Body(_))) => return Poll::Ready(Err(error)),
                    // The other end may have answered before it stopped reading.
                    Poll::Ready(Err(error)) => (writing, broke) = (None, Some(error)),
                    Poll::Ready(Ok(())) => writing = None,
                }
            }
            let whole = writing.is_none() && broke.is_none();
            match self.poll_head(cx, &head.method) {
                Poll::Ready(Ok(answer)) => Poll::Ready(Ok(AnswerHead { keeps: answer.keeps && whole, ..answer })),
                Poll::Ready(Err(error)) => Poll::Ready(Err(broke.take().unwrap_or(error))),
                Poll::Pending if writing.as_ref().is_some_and(|request| request.waits) => Poll::Pending,
                Poll::Pending => self.deadline.poll_over(cx).map(|()| Err(WireError::Late)),
            }
        })
        .await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, request: &mut Writing) -> Poll<Result<(), WireError>> {
        request.waits = false;
        loop {
            // A statement is most often there with its head, and goes out with it in one write.
            let waits = loop {
                let enough = self.output.len() >= MANY_BYTES && request.left != Some(0);
                if request.taken || enough {
                    break false;
                }
                if self.poll_take(cx, request)?.is_pending() {
                    break true;
                }
            };
            // The last byte waits for the end, since a body that is longer than it said makes no request.
            if waits && request.left == Some(0) {
                request.waits = true;
                return Poll::Pending;
            }
            while !self.output.is_empty() {
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
                if written == 0 {
                    return Poll::Ready(Err(WireError::Closed));
                }
                self.output.advance(written);
            }
            if request.taken {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                return Poll::Ready(Ok(()));
            }
            if waits {
                request.waits = true;
                return Poll::Pending;
            }
        }
    }

    /// Takes the next piece of the body into the output, or its end.
    fn poll_take(&mut self, cx: &mut Context<'_>, request: &mut Writing) -> Result<Poll<()>, WireError> {
        let polled = Pin::new(&mut request.body).poll_frame(cx);
        if polled.is_ready() {
            self.deadline.set(Instant::now() + request.patience);
        }
        match polled {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Some(Ok(frame))) => {
                // Trailers are not sent on: no client of Trino has any, and no list says which would do no harm.
                let Some(data) = frame.data_ref() else { return Ok(Poll::Ready(())) };
                if let Some(left) = &mut request.left {
                    *left = left.checked_sub(data.len() as u64).ok_or_else(not_as_announced)?;
                }
                write_data(&mut self.output, data, request.left.is_none());
                // One that knows its end need not be polled for it; one that does not may have more than it should.
                request.taken = request.left == Some(0) && request.body.is_end_stream();
            }
            Poll::Ready(Some(Err(error))) => return Err(WireError::Body(error)),
            Poll::Ready(None) => {
                request.taken = true;
                match request.left {
                    None => self.output.extend_from_slice(b"0\r\n\r\n"),
                    Some(0) => {}
                    // What comes next on this connection would be taken for the rest.
                    Some(_) => return Err(not_as_announced()),
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, method: &Method) -> Poll<Result<AnswerHead, WireError>> {
        let mut searched = 0;
        loop {
            if let Some(end) = end_of_head(&self.input, searched).map_err(WireError::Invalid)? {
                // A copy of some hundred bytes leaves the buffer to the next answer.
                let head = Bytes::copy_from_slice(&self.input[..end]);
                self.input.advance(end);
                let answer = parse_head(&head, method)?;
                // 100 Continue and 103 Early Hints come before the answer.
                if !answer.status.is_informational() {
                    return Poll::Ready(Ok(answer));
                }
                searched = 0;
                continue;
            }
            if self.input.len() >= MAX_HEAD {
                return Poll::Ready(Err(WireError::Invalid("its head is too large")));
            }
            searched = self.input.len();
            self.input.reserve(FIRST_READ);
            if ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input))? == 0 {
                return Poll::Ready(Err(WireError::Closed));
            }
        }
    }
}

fn not_as_announced() -> WireError {
    WireError::Body("the body is not as long as it was said to be".into())
}

/// Writes the head of a request; returns the length that it announces, none if the body goes in chunks.
fn write_head(output: &mut BytesMut, head: &Head<'_>, body: &RequestBody) -> Option<u64> {
    let Head { method, target, fields } = head;
    output.reserve(256 + fields.as_bytes().len());
    for part in [method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        output.extend_from_slice(part.as_bytes());
    }
    output.extend_from_slice(fields.as_bytes());
    let length = body.size_hint().exact();
    match length {
        Some(0) if *method == Method::GET || *method == Method::HEAD || *method == Method::DELETE => {}
        Some(length) => output.extend_from_slice(format!("content-length: {length}\r\n").as_bytes()),
        None => output.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    output.extend_from_slice(b"\r\n");
    length
}

fn write_data(output: &mut BytesMut, data: &[u8], chunked: bool) {
    if !chunked {
        output.extend_from_slice(data);
    } else if !data.is_empty() {
        // An empty chunk would end the body.
        output.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        output.extend_from_slice(data);
        output.extend_from_slice(b"\r\n");
    }
}

fn parse_head(head: &Bytes, method: &Method) -> Result<AnswerHead, WireError> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let parsing = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, head, &mut fields);
    let whole = parsing.map_err(|_| WireError::Invalid("its head cannot be parsed"))?.is_complete();
    let (true, Some(code), Some(version)) = (whole, parsed.code, parsed.version) else {
        return Err(WireError::Invalid("its head is cut off"));
    };
    let status = StatusCode::from_u16(code).map_err(|_| WireError::Invalid("its status is none"))?;
    // A protocol that nobody asked for.
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(WireError::Invalid("it switches protocols"));
    }
    let mut said = Said::default();
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for field in &*parsed.headers {
        let (name, value) = parse_field(head, field).map_err(WireError::Invalid)?;
        if said.passes(&name, &value) {
            headers.append(name, value);
        }
    }
    for name in &said.named {
        headers.remove(name);
    }
    let framing = said.of_answer(method, status).map_err(WireError::Invalid)?;
    let keeps = version == 1 && !said.closes && framing != Framing::UntilClose;
    Ok(AnswerHead { status, headers, framing, keeps })
}
