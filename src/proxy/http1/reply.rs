//! Answers as they are written in HTTP/1.1. Pure.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING},
    response::Parts,
};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    super::{clock, framing, headers},
    head::Refusal,
    io::Io,
};

/// How the body of an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all; whatever the head says of its length is true of another answer.
    Nothing,
    Length(u64),
    Chunked,
    /// The end of the connection ends it.
    UntilClose,
}

impl Coding {
    /// That of `body`, in the answer to a request.
    pub(super) fn of(method: &Method, version: Version, status: StatusCode, body: &impl Body) -> Self {
        if !framing::has_body(method, status) {
            return Self::Nothing;
        }
        match body.size_hint().exact() {
            Some(length) => Self::Length(length),
            None if version == Version::HTTP_11 => Self::Chunked,
            None => Self::UntilClose,
        }
    }
}

/// Whether the answer itself says that it is the last one.
pub(super) fn says_close(head: &Parts) -> bool {
    headers::tokens(&head.headers, CONNECTION).any(|word| word.eq_ignore_ascii_case("close"))
}

/// Appends the head of an answer. `closes` says that the connection ends with it.
pub(super) fn write_head(text: &mut BytesMut, head: &Parts, coding: Coding, closes: bool) {
    begin(text, head.status);
    let mut is_dated = false;
    for (name, value) in &head.headers {
        let of_body = name == CONTENT_LENGTH && (coding != Coding::Nothing || head.status == StatusCode::NO_CONTENT);
        if of_body || name == CONNECTION || name == TRANSFER_ENCODING {
            continue;
        }
        is_dated |= name == DATE;
        line(text, name, value);
    }
    match coding {
        // What writes to memory does not fail.
        Coding::Length(length) => write!(text, "content-length: {length}\r\n").unwrap_or_default(),
        Coding::Chunked => text.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Coding::Nothing | Coding::UntilClose => {}
    }
    end(text, is_dated, closes || coding == Coding::UntilClose);
}

/// Appends the whole answer to what is no request.
pub(super) fn refuse(text: &mut BytesMut, refusal: Refusal) {
    begin(text, refusal.status());
    text.extend_from_slice(b"content-length: 0\r\n");
    end(text, false, true);
}

/// Adds what is next of a body to what is to be written; none is its end. Nothing follows what `is_last`; the trailers are for
/// who `takes_trailers`.
pub(super) fn write_frame<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Io<S>,
    frame: Option<Frame<Bytes>>,
    coding: Coding,
    (is_last, takes_trailers): (bool, bool),
) {
    let chunked = coding == Coding::Chunked;
    let trailers = match frame.map(Frame::into_data) {
        Some(Ok(piece)) => {
            io.push(piece, chunked);
            None
        }
        Some(Err(frame)) => frame.into_trailers().ok().filter(|_| takes_trailers),
        None => None,
    };
    if !is_last || !chunked {
        return;
    }
    let text = io.text();
    text.extend_from_slice(b"0\r\n");
    // But for what would say how a message ends.
    let passes = |name: &HeaderName| *name != CONTENT_LENGTH && !headers::is_of_connection(name);
    for (name, value) in trailers.iter().flatten().filter(|(name, _)| passes(name)) {
        line(text, name, value);
    }
    text.extend_from_slice(b"\r\n");
}

fn begin(text: &mut BytesMut, status: StatusCode) {
    text.reserve(1024);
    for part in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"] {
        text.extend_from_slice(part.as_bytes());
    }
}

fn line(text: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        text.extend_from_slice(part);
    }
}

fn end(text: &mut BytesMut, is_dated: bool, closes: bool) {
    // Who passes on an answer without one adds it (RFC 9110, section 6.6.1).
    if !is_dated {
        clock::write_date(text);
    }
    if closes {
        text.extend_from_slice(b"connection: close\r\n");
    }
    text.extend_from_slice(b"\r\n");
}
