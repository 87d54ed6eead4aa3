//! A client's connection of HTTP/1.1: requests are read, handed over and answered, one after the other, all in one task.
//!
//! hyper's server is not used for it: it makes a map of the fields of each request, and of each poll of a query they are the
//! same; reading them once makes a small page some 5 % cheaper (docs/performance.md). What comes is read strictly, by
//! httparse, and what is in doubt is answered 400 and ends the connection.

mod head;
mod io;
#[cfg(any(test, fuzzing))]
mod reading;
mod reply;

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use http::{Method, Response};
use http_body::{Body, Frame};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

#[cfg(any(test, fuzzing))]
pub(super) use self::reading::requests;
use self::{
    head::{Head, Reader, Refusal},
    io::{Io, RequestBody, Shared, lock},
    reply::Coding,
};
use super::{
    client::{ClientBody, ClientRequest},
    deadline::Deadline,
    error::Cause,
    framing::Framing,
};

/// How long a client may go on sending after an answer that did not wait for all of its request. Without that, the kernel
/// would tell it that the connection broke, and it might not read the answer.
const LINGER: Duration = Duration::from_secs(1);

/// How much of that is read.
const MAX_LINGERED: u64 = 1024 * 1024;

/// What is asked of a connection's requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most bytes of a head, and the most fields in it.
    pub head: (usize, usize),
    /// How long a head may take to come, from the end of the answer before on.
    pub patience: Duration,
}

/// Why a connection ended that neither side closed between two requests.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("the head of a request did not come in time")]
    Late,
    #[error("the client went away")]
    Gone,
    #[error("a request was refused: {0}")]
    Refused(#[from] Refusal),
    #[error("an answer broke off: {0}")]
    Broken(Cause),
}

/// A connection between two requests.
struct Connection<S> {
    io: Shared<S>,
    reader: Reader,
    deadline: Deadline,
    patience: Duration,
    closing: Closing,
}

/// Tells of the end of the proxy. The token knows the task to wake after it was asked once.
struct Closing {
    token: CancellationToken,
    waits: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// Serves a client on `stream`, of which `input` was read already, until either side ends that. Each request is answered by
/// what `handle` makes of it.
///
/// # Errors
/// When the connection breaks, or what comes on it is no request.
pub(super) async fn serve<S, H, F, B>(
    (stream, input): (S, BytesMut),
    limits: Limits,
    closing: CancellationToken,
    handle: H,
) -> Result<(), Fault>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Fn(ClientRequest) -> F,
    F: Future<Output = Response<B>> + Unpin,
    B: Body<Data = bytes::Bytes, Error = Cause> + Unpin,
{
    let mut connection = Connection {
        io: Arc::new(Mutex::new(Io::new(stream, input))),
        reader: Reader::new(limits.head.0, limits.head.1),
        deadline: Deadline::default(),
        patience: limits.patience,
        closing: Closing { token: closing, waits: None },
    };
    loop {
        let head = match connection.next_head().await {
            Ok(Some(head)) => head,
            Ok(None) => break,
            Err(Fault::Refused(refusal)) => {
                reply::refuse(lock(&connection.io).text(), refusal);
                connection.flush().await?;
                connection.linger().await;
                return Err(refusal.into());
            }
            Err(fault) => return Err(fault),
        };
        if !connection.answer(head, &handle).await? {
            break;
        }
    }
    Ok(std::future::poll_fn(|cx| Pin::new(&mut lock(&connection.io).stream).poll_shutdown(cx)).await?)
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection<S> {
    /// The head of the next request; none if there is no further one, or none comes in time.
    async fn next_head(&mut self) -> Result<Option<Head>, Fault> {
        self.deadline.set(Instant::now() + self.patience);
        std::future::poll_fn(|cx| self.poll_head(cx)).await
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Head>, Fault>> {
        let mut io = lock(&self.io);
        loop {
            if let Some(head) = self.reader.take(&mut io.input)? {
                return Poll::Ready(Ok(Some(head)));
            }
            match io.poll_fill(cx)? {
                Poll::Ready(0) if io.input.is_empty() => return Poll::Ready(Ok(None)),
                Poll::Ready(0) => return Poll::Ready(Err(Fault::Gone)),
                Poll::Ready(_) => {}
                Poll::Pending if io.input.is_empty() && self.closing.poll(cx) => return Poll::Ready(Ok(None)),
                Poll::Pending => {
                    ready!(self.deadline.poll_over(cx));
                    return Poll::Ready(if io.input.is_empty() { Ok(None) } else { Err(Fault::Late) });
                }
            }
        }
    }

    /// Has a request answered; returns whether another one may follow.
    async fn answer<F, B>(&mut self, head: Head, handle: &impl Fn(ClientRequest) -> F) -> Result<bool, Fault>
    where
        F: Future<Output = Response<B>> + Unpin,
        B: Body<Data = bytes::Bytes, Error = Cause> + Unpin,
    {
        let Head { method, uri, version, section } = head;
        lock(&self.io).begin(section.framing, section.expects);
        let body = match section.framing {
            Framing::Nothing => ClientBody::nothing(),
            _ => ClientBody::http1(RequestBody::new(&self.io)),
        };
        let request = ClientRequest { method: method.clone(), uri, version, headers: section.headers.clone(), body };
        let mut handling = handle(request);
        let response = std::future::poll_fn(|cx| match Pin::new(&mut handling).poll(cx) {
            Poll::Ready(response) => Poll::Ready(Ok(response)),
            Poll::Pending => lock(&self.io).poll_gone(cx).map(|()| Err(Fault::Gone)),
        });
        let response = response.await?;
        drop(handling);
        let (head, body) = response.into_parts();
        let rest_is_there = std::future::poll_fn(|cx| Poll::Ready(lock(&self.io).drop_body(cx))).await;
        let closes = section.closes
            || !rest_is_there
            || method == Method::CONNECT
            || reply::says_close(&head)
            || self.closing.token.is_cancelled();
        let coding = Coding::of(&method, version, head.status, &body);
        reply::write_head(lock(&self.io).text(), &head, coding, closes);
        self.write(body, coding, section.trailers).await?;
        if !rest_is_there {
            self.linger().await;
        }
        Ok(!closes)
    }

    /// Writes an answer's body, piece by piece as it comes.
    async fn write<B>(&self, mut body: B, coding: Coding, trailers: bool) -> Result<(), Fault>
    where
        B: Body<Data = bytes::Bytes, Error = Cause> + Unpin,
    {
        let (mut over, mut must_flush) = (coding == Coding::Nothing, false);
        std::future::poll_fn(|cx| {
            loop {
                // Nothing more is taken of the answer before what is there was written: who reads slowly fills no memory.
                if over || must_flush {
                    ready!(lock(&self.io).poll_flush(cx))?;
                    must_flush = false;
                }
                if over {
                    return Poll::Ready(Ok(()));
                }
                let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) else {
                    let mut io = lock(&self.io);
                    // What is there goes out while the rest is awaited.
                    must_flush = true;
                    ready!(io.poll_flush(cx))?;
                    must_flush = false;
                    return io.poll_gone(cx).map(|()| Err(Fault::Gone));
                };
                let mut io = lock(&self.io);
                let frame = frame.transpose().map_err(Fault::Broken)?;
                over = frame.as_ref().is_none_or(Frame::is_trailers) || body.is_end_stream();
                reply::write_frame(&mut io, frame, coding, (over, trailers));
                must_flush = !io.has_room();
            }
        })
        .await
    }

    async fn flush(&self) -> std::io::Result<()> {
        std::future::poll_fn(|cx| lock(&self.io).poll_flush(cx)).await
    }

    /// Ends the answers and lets the client send the rest of what it began, unread, for a moment.
    async fn linger(&self) {
        let rest = async {
            std::future::poll_fn(|cx| Pin::new(&mut lock(&self.io).stream).poll_shutdown(cx)).await?;
            let mut left = MAX_LINGERED;
            while left > 0 {
                let read = std::future::poll_fn(|cx| {
                    let mut io = lock(&self.io);
                    io.input.clear();
                    io.poll_fill(cx)
                });
                match read.await? {
                    0 => break,
                    read => left = left.saturating_sub(read as u64),
                }
            }
            Ok::<_, std::io::Error>(())
        };
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
}

impl Closing {
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.waits.is_some() {
            return self.token.is_cancelled();
        }
        let mut waits = Box::pin(self.token.clone().cancelled_owned());
        let is_closing = waits.as_mut().poll(cx).is_ready();
        self.waits = Some(waits);
        is_closing
    }
}

#[cfg(test)]
mod tests;
