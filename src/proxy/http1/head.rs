//! The heads of clients' requests, read strictly (RFC 9112, sections 2 to 6). All polls of a query have the same fields:
//! those that a connection sent before, byte for byte, are not read again. Pure.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{
    HeaderMap, Method, StatusCode, Uri, Version,
    header::{EXPECT, TE},
};

use super::super::{
    framing::{Framing, Said, end_of_head, parse_field},
    headers,
};

/// The longest target: what a `Uri` can hold.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// The longest first line: a target with what stands around it.
const MAX_LINE: usize = MAX_TARGET + 64;

/// Up to here it is seen whether a first line is one before it ends.
const MAX_BEGIN: usize = 256;

/// The most bytes of fields that are kept for the next request: idle connections shall not fill the memory.
const MAX_KNOWN: usize = 8 * 1024;

/// The head of a request.
#[derive(Debug)]
pub(super) struct Head {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub section: Arc<Section>,
}

/// All of a head but its first line.
#[derive(Debug)]
pub(super) struct Section {
    /// As it came, with its end.
    text: Bytes,
    pub headers: Arc<HeaderMap>,
    pub framing: Framing,
    /// The client sends nothing after this request.
    pub closes: bool,
    /// The client waits to be told that its body is wanted.
    pub expects: bool,
    /// The client understands trailers.
    pub trailers: bool,
}

/// Why a request is refused without a look at what it asks for, and its connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::proxy) enum Refusal {
    #[error("it is no HTTP/1.1: {0}")]
    Invalid(&'static str),
    #[error("its target is too long")]
    LongTarget,
    #[error("its head is too large")]
    TooLarge,
}

impl Refusal {
    /// What its client is told.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::LongTarget => StatusCode::URI_TOO_LONG,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

/// Reads the heads of one connection.
#[derive(Debug)]
pub(super) struct Reader {
    max_bytes: usize,
    max_fields: usize,
    /// What the last request without a body had.
    known: Option<Arc<Section>>,
    /// Up to there no head ends.
    searched: usize,
}

impl Reader {
    /// Reads heads of at most so many bytes and fields.
    pub(super) fn new(max_bytes: usize, max_fields: usize) -> Self {
        Self { max_bytes, max_fields, known: None, searched: 0 }
    }

    /// Takes the head that `input` begins with, if all of it is there. Without one, more is to be read.
    ///
    /// # Errors
    /// When it is none, or too large.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<Option<Head>, Refusal> {
        // Some clients end a body with a line that is not part of it (RFC 9112, section 2.2).
        while input.starts_with(b"\r\n") {
            input.advance(2);
            self.searched = 0;
        }
        let Some(line) = memchr::memchr(b'\n', input).map(|at| at + 1) else {
            // Who speaks another protocol shall not have to wait. What comes byte by byte is not read again with each of them.
            let begins = self.searched > MAX_BEGIN || httparse::Request::new(&mut []).parse(input).is_ok();
            return match input.len() {
                _ if !begins => Err(Refusal::Invalid("its first line cannot be parsed")),
                MAX_LINE.. if self.max_bytes > MAX_LINE => Err(Refusal::LongTarget),
                _ => self.more(input),
            };
        };
        if !input[..line].ends_with(b"\r\n") {
            return Err(Refusal::Invalid("a line does not end with CRLF"));
        }
        let known = self.known.as_ref().filter(|known| input[line..].starts_with(&known.text)).cloned();
        let end = match &known {
            Some(known) => line + known.text.len(),
            None => match end_of_head(input, self.searched).map_err(Refusal::Invalid)? {
                Some(end) => end,
                None => return self.more(input),
            },
        };
        if end > self.max_bytes {
            return Err(Refusal::TooLarge);
        }
        self.searched = 0;
        let (method, uri, version) = parse_line(&input[..line])?;
        let section = match known.filter(|_| version == Version::HTTP_11) {
            Some(known) => known,
            None => self.learn(Bytes::copy_from_slice(&input[line..end]), version)?,
        };
        input.advance(end);
        Ok(Some(Head { method, uri, version, section }))
    }

    fn more(&mut self, input: &[u8]) -> Result<Option<Head>, Refusal> {
        self.searched = input.len();
        if input.len() > self.max_bytes { Err(Refusal::TooLarge) } else { Ok(None) }
    }

    fn learn(&mut self, text: Bytes, version: Version) -> Result<Arc<Section>, Refusal> {
        let section = Arc::new(parse_section(text, version, self.max_fields)?);
        let is_small = section.text.len() <= MAX_KNOWN;
        if section.framing == Framing::Nothing && version == Version::HTTP_11 && is_small {
            self.known = Some(section.clone());
        }
        Ok(section)
    }
}

fn parse_line(line: &[u8]) -> Result<(Method, Uri, Version), Refusal> {
    let mut parsed = httparse::Request::new(&mut []);
    if parsed.parse(line).is_err() {
        return Err(Refusal::Invalid("its first line cannot be parsed"));
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Refusal::Invalid("its first line is cut off"));
    };
    if target.len() > MAX_TARGET {
        return Err(Refusal::LongTarget);
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::Invalid("its method is none"))?;
    let uri = Uri::from_maybe_shared(Bytes::copy_from_slice(target.as_bytes()));
    let uri = uri.map_err(|_| Refusal::Invalid("its target is none"))?;
    Ok((method, uri, if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 }))
}

fn parse_section(text: Bytes, version: Version, max_fields: usize) -> Result<Section, Refusal> {
    let lines = memchr::memchr_iter(b'\n', &text).count();
    // The last line is empty.
    if lines > max_fields.saturating_add(1) {
        return Err(Refusal::TooLarge);
    }
    let mut fields = vec![httparse::EMPTY_HEADER; lines];
    let parsed = match httparse::parse_headers(&text, &mut fields) {
        Ok(httparse::Status::Complete((length, parsed))) if length == text.len() => parsed,
        _ => return Err(Refusal::Invalid("its fields cannot be parsed")),
    };
    let mut said = Said::default();
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let (name, value) = parse_field(&text, field).map_err(Refusal::Invalid)?;
        said.passes(&name, &value);
        headers.append(name, value);
    }
    let framing = said.of_request().map_err(Refusal::Invalid)?;
    // It knows no chunks.
    if version == Version::HTTP_10 && framing == Framing::Chunked {
        return Err(Refusal::Invalid("it has a transfer coding in HTTP/1.0"));
    }
    let has = |name, word: &str| headers::tokens(&headers, name).any(|said| said.eq_ignore_ascii_case(word));
    let expects = version == Version::HTTP_11 && has(EXPECT, "100-continue");
    let trailers = has(TE, "trailers");
    let closes = said.closes || version == Version::HTTP_10;
    Ok(Section { text, headers: Arc::new(headers), framing, closes, expects, trailers })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = "Host: a\r\nX-Trino-User: alice\r\n\r\n";

    fn reader() -> Reader {
        Reader::new(1024, 8)
    }

    fn taken(reader: &mut Reader, head: impl AsRef<[u8]>) -> Result<Option<Head>, Refusal> {
        reader.take(&mut BytesMut::from(head.as_ref()))
    }

    fn refused(head: impl AsRef<[u8]>) -> Option<StatusCode> {
        taken(&mut reader(), head).err().map(Refusal::status)
    }

    #[test]
    fn a_head_is_taken_however_it_comes_and_what_follows_is_left() {
        let sent = format!("\r\nPOST /v1/statement?x HTTP/1.1\r\nContent-Length: 3\r\n{FIELDS}");
        for size in [1, 2, 7, sent.len()] {
            let (mut reader, mut input) = (reader(), BytesMut::new());
            let mut heads = Vec::new();
            for piece in sent.as_bytes().chunks(size) {
                input.extend_from_slice(piece);
                heads.extend(reader.take(&mut input).unwrap());
            }
            let [head] = &heads[..] else { panic!("{} heads", heads.len()) };
            assert_eq!((head.method.as_str(), head.uri.to_string().as_str()), ("POST", "/v1/statement?x"));
            assert_eq!((head.section.framing, head.section.headers.len()), (Framing::Length(3), 3));
            assert!(input.is_empty());
        }
        let mut input = BytesMut::from(format!("GET / HTTP/1.1\r\n{FIELDS}GET /n").as_bytes());
        assert!(reader().take(&mut input).unwrap().is_some());
        assert_eq!(&input[..], b"GET /n");
    }

    #[test]
    fn fields_that_came_before_are_not_read_again_and_others_are() {
        let mut reader = reader();
        let mut of = |line: &str, fields: &str| {
            let head = taken(&mut reader, format!("{line}\r\n{fields}")).unwrap().unwrap();
            (head.uri.to_string(), head.section)
        };
        let (_, first) = of("GET /1 HTTP/1.1", FIELDS);
        let (target, second) = of("HEAD /2 HTTP/1.1", FIELDS);
        assert_eq!(target, "/2");
        assert!(Arc::ptr_eq(&first, &second));
        // The body of a new query has fields of its own, and its polls those that they had.
        let (_, posted) = of("POST / HTTP/1.1", &format!("Content-Length: 3\r\n{FIELDS}"));
        assert_eq!(posted.headers.len(), 3);
        assert!(Arc::ptr_eq(&first, &of("GET /3 HTTP/1.1", FIELDS).1));
        for other in [FIELDS.replace("alice", "alicf"), FIELDS.replace("\r\n\r\n", "\r\nX-More: 1\r\n\r\n")] {
            let (_, section) = of("GET /4 HTTP/1.1", &other);
            assert!(!Arc::ptr_eq(&first, &section));
            assert_eq!(section.text, other);
        }
        let (_, old) = of("GET / HTTP/1.0", FIELDS);
        assert!(old.closes, "HTTP/1.0 ends with its answer");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let bad = Some(StatusCode::BAD_REQUEST);
        for head in [
            "\x16\x03\x01",
            "garbage\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost\r\n\r\n",
            "GET / HTTP/1.1\r\nX: \0\r\n\r\n",
            "GET /\" HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(refused(head), bad, "{head:?}");
        }
        let large = Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(refused(format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(1024))), large);
        assert_eq!(refused(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(1024))), large);
        assert_eq!(refused(format!("GET / HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(9))), large);
        assert_eq!(refused(format!("GET / HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(8))), None);
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_TARGET));
        for head in [long, format!("GET /{}", "a".repeat(MAX_LINE))] {
            let refusal = taken(&mut Reader::new(1024 * 1024, 8), head).unwrap_err();
            assert_eq!(refusal.status(), StatusCode::URI_TOO_LONG);
        }
    }
}
