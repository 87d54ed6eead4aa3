//! How the end of a message's body is known in HTTP/1.1 (RFC 9112, sections 6 and 7), of requests and of answers, and the
//! pieces of such a body. Pure: it works on what was read. What is in doubt is an error.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body::{Frame, SizeHint};

use super::headers;

/// Pieces up to this size are copied, larger ones handed on with the buffer that they are in.
pub(super) const SMALL_PIECE: usize = 4 * 1024;

/// The longest line before a chunk, extensions included.
const MAX_CHUNK_LINE: usize = 4 * 1024;

/// The most bytes of trailers.
const MAX_TRAILERS: usize = 64 * 1024;

/// The most trailers.
const MAX_TRAILER_FIELDS: usize = 64;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    UntilClose,
}

/// What the head of a message says of its connection and its body.
#[derive(Debug, Default)]
pub(super) struct Said {
    length: Option<HeaderValue>,
    /// Its length is said more than once.
    repeats: bool,
    /// It has a body in chunks.
    chunked: bool,
    /// Why nobody knows where its body ends.
    fault: Option<&'static str>,
    /// No message follows it on this connection.
    pub closes: bool,
    /// The fields that are for this connection alone, since `Connection` names them.
    pub named: Vec<HeaderName>,
}

impl Said {
    /// Takes in a field; returns whether it is for whoever gets the message, and not for this connection alone.
    pub(super) fn passes(&mut self, name: &HeaderName, value: &HeaderValue) -> bool {
        if *name == CONTENT_LENGTH {
            self.repeats |= self.length.is_some();
            if self.length.as_ref().is_some_and(|length| length != value) {
                self.fault = Some("its lengths differ");
            }
            self.length = Some(value.clone());
        } else if *name == TRANSFER_ENCODING {
            if self.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                self.fault = Some("its transfer coding is not chunked alone");
            }
            self.chunked = true;
        } else if *name == CONNECTION {
            for word in headers::words(value) {
                self.closes |= word.eq_ignore_ascii_case("close");
                self.named.extend(word.parse::<HeaderName>());
            }
        }
        !headers::is_of_connection(name)
    }

    /// How the body of an answer with this status, to a request with this method, ends.
    pub(super) fn of_answer(&self, method: &Method, status: StatusCode) -> Result<Framing, &'static str> {
        if !has_body(method, status) {
            return Ok(Framing::Nothing);
        }
        Ok(self.known()?.unwrap_or(Framing::UntilClose))
    }

    /// How the body of a request ends.
    pub(super) fn of_request(&self) -> Result<Framing, &'static str> {
        if self.repeats {
            return Err("it says its length more than once");
        }
        Ok(self.known()?.unwrap_or(Framing::Nothing))
    }

    fn known(&self) -> Result<Option<Framing>, &'static str> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let length = match (&self.length, self.chunked) {
            (None, true) => return Ok(Some(Framing::Chunked)),
            (None, false) => return Ok(None),
            (Some(_), true) => return Err("it has both a length and a transfer coding"),
            (Some(length), false) => length,
        };
        let digits = length.as_bytes().iter().all(u8::is_ascii_digit);
        let number = length.to_str().ok().filter(|_| digits).and_then(|length| length.parse().ok());
        number.map(|number| Some(Framing::Length(number))).ok_or("its length is no number")
    }
}

/// Whether an answer with this status, to a request with this method, has a body, whatever its fields say of one.
pub(super) fn has_body(method: &Method, status: StatusCode) -> bool {
    let without = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    method != Method::HEAD && !without
}

/// The length of the head, or of the trailers, that `input` begins with, if all of it is there; up to `searched` its end was
/// not.
///
/// # Errors
/// When a line ends with LF alone: who takes that for the end of a line sees other lines than who does not.
pub(super) fn end_of_head(input: &[u8], searched: usize) -> Result<Option<usize>, &'static str> {
    for at in memchr::memchr_iter(b'\n', &input[searched..]).map(|at| searched + at) {
        if !input[..at].ends_with(b"\r") {
            return Err("a line does not end with CRLF");
        }
        if input[..at].ends_with(b"\r\n\r") {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

/// A field of a head as httparse found it in `text`; its value stays where it is.
///
/// # Errors
/// When one is not valid.
pub(super) fn parse_field(
    text: &Bytes,
    field: &httparse::Header<'_>,
) -> Result<(HeaderName, HeaderValue), &'static str> {
    let name = HeaderName::from_bytes(field.name.as_bytes());
    let value = HeaderValue::from_maybe_shared(text.slice_ref(field.value));
    name.ok().zip(value.ok()).ok_or("a field is not valid")
}

/// A body on its way in: what of it is still to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder(Part);

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

/// What is next of a body.
#[derive(Debug)]
pub(super) enum Step {
    Frame(Frame<Bytes>),
    /// More must be read first.
    More,
    End,
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Nothing | Framing::Length(0) => Part::Done,
            Framing::Length(length) => Part::Length(length),
            Framing::Chunked => Part::ChunkLine,
            Framing::UntilClose => Part::UntilClose,
        })
    }

    /// Takes the next piece, the trailers or the end from what was read.
    ///
    /// # Errors
    /// When that is no such body.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Step, &'static str> {
        loop {
            match self.0 {
                Part::Done => return Ok(Step::End),
                Part::Length(left) | Part::Chunk(left) => {
                    let Some(piece) = piece(input, left) else { return Ok(Step::More) };
                    let left = left - piece.len() as u64;
                    self.0 = match (self.0, left) {
                        (Part::Length(_), 0) => Part::Done,
                        (Part::Length(_), left) => Part::Length(left),
                        (_, 0) => Part::ChunkEnd,
                        (_, left) => Part::Chunk(left),
                    };
                    return Ok(Step::Frame(Frame::data(piece)));
                }
                Part::UntilClose => {
                    return Ok(piece(input, u64::MAX).map_or(Step::More, |piece| Step::Frame(Frame::data(piece))));
                }
                Part::ChunkLine | Part::ChunkEnd => {
                    let Some(part) = self.read_line(input)? else { return Ok(Step::More) };
                    self.0 = part;
                }
                Part::Trailers => {
                    let Some(trailers) = read_trailers(input)? else { return Ok(Step::More) };
                    self.0 = Part::Done;
                    return Ok(if trailers.is_empty() { Step::End } else { Step::Frame(Frame::trailers(trailers)) });
                }
            }
        }
    }

    /// No more can be read. Returns whether that is the end.
    pub(super) fn close(&mut self) -> bool {
        if self.0 == Part::UntilClose {
            self.0 = Part::Done;
        }
        self.is_done()
    }

    /// Whether all of it was taken.
    pub(super) fn is_done(&self) -> bool {
        self.0 == Part::Done
    }

    /// How much is still to come, in bytes, where that is known.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self.0 {
            Part::Done => SizeHint::with_exact(0),
            Part::Length(left) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }

    /// What follows the line that comes next, if all of it is there: the one before a chunk, or the empty one after it.
    fn read_line(self, input: &mut BytesMut) -> Result<Option<Part>, &'static str> {
        let Some(end) = memchr::memchr(b'\n', input) else {
            return if input.len() > MAX_CHUNK_LINE { Err("a chunk's size is too long") } else { Ok(None) };
        };
        let line = input[..end].strip_suffix(b"\r").filter(|line| !line.contains(&b'\r'));
        let Some(line) = line else { return Err("a line of its chunks ends wrongly") };
        let part = match (self.0, line) {
            (Part::ChunkEnd, b"") => Part::ChunkLine,
            (Part::ChunkEnd, _) => return Err("a chunk is longer than it says"),
            (_, line) => match chunk_size(line)? {
                0 => Part::Trailers,
                size => Part::Chunk(size),
            },
        };
        input.advance(end + 1);
        Ok(Some(part))
    }
}

/// Up to `most` bytes of what is there already.
fn piece(input: &mut BytesMut, most: u64) -> Option<Bytes> {
    let length = input.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    if length > SMALL_PIECE {
        return Some(input.split_to(length).freeze());
    }
    // A copy leaves the buffer to what comes next.
    let piece = (length > 0).then(|| Bytes::copy_from_slice(&input[..length]));
    input.advance(length);
    piece
}

fn read_trailers(input: &mut BytesMut) -> Result<Option<HeaderMap>, &'static str> {
    if input.starts_with(b"\r\n") {
        input.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let Some(end) = end_of_head(input, 0)? else {
        return if input.len() > MAX_TRAILERS { Err("its trailers are too long") } else { Ok(None) };
    };
    let text = input.split_to(end).freeze();
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
    match httparse::parse_headers(&text, &mut fields) {
        Ok(httparse::Status::Complete((_, fields))) => {
            fields.iter().map(|field| parse_field(&text, field)).collect::<Result<_, _>>().map(Some)
        }
        _ => Err("its trailers cannot be parsed"),
    }
}

/// The size in the line before a chunk; what its extensions say is for nobody (RFC 9112, section 7.1.1).
fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let digits = !size.is_empty() && size.len() <= 16 && size.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(size).ok().filter(|_| digits);
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or("a chunk's size is no number")
}
