//! A client's connection of HTTP/2, which hyper serves.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::{client::ClientRequest, error::Cause};

/// With what a client begins HTTP/2 (RFC 9113, section 3.4). No request of HTTP/1.1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How often a client is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);

/// The most requests that one connection may have under way.
const MAX_STREAMS: u32 = 1000;

/// Whether a client begins HTTP/2. What was read to know that is in `input`.
///
/// # Errors
/// When the connection breaks.
pub(super) async fn begins<S: AsyncRead + Unpin>(stream: &mut S, input: &mut BytesMut) -> std::io::Result<bool> {
    input.reserve(2 * 1024);
    loop {
        let read = stream.read_buf(input).await?;
        let known = input.len().min(PREFACE.len());
        if read == 0 || known == PREFACE.len() || input[..known] != PREFACE[..known] {
            return Ok(input.starts_with(PREFACE));
        }
    }
}

/// Serves a client on `stream`, of which `input` was read already, until either side ends that. Its first request may take
/// `patience` to come.
///
/// # Errors
/// When the connection breaks, what comes on it is no HTTP/2, or no request comes.
pub(super) async fn serve<S, H, F, B>(
    (stream, input): (S, BytesMut),
    (max_header_bytes, patience): (u32, Duration),
    closing: CancellationToken,
    handle: H,
) -> Result<(), Cause>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(ClientRequest) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = bytes::Bytes, Error = Cause> + Send + 'static,
{
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .max_header_list_size(max_header_bytes)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let asked = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let answer = handle(request.into());
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(Begun { stream, input }), service));
    // From then on it is asked by pings whether it is still there.
    let late = async {
        tokio::time::sleep(patience).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = late => return Err("no request came in time".into()),
        () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

/// A connection of which something was read already.
#[derive(Debug)]
struct Begun<S> {
    stream: S,
    input: BytesMut,
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.input.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let length = self.input.len().min(into.remaining());
        into.put_slice(&self.input[..length]);
        self.input.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
