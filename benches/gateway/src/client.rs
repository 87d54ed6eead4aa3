//! A client of Trino's protocol on one connection that stays open: it sends a statement and follows `nextUri`. What it
//! gets is checked against the script; a proxy that answers otherwise ends the measurement.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    coordinator::HELD,
    message::{Broken, Chunks, Head, MAX_HEAD, head_end},
    script::Script,
};

/// The headers that Trino's clients send with each request, but for the first line and `Host`.
const HEADERS: &str = "User-Agent: StatementClientV1/476\r\nX-Trino-User: bench\r\nX-Trino-Source: trino-cli\r\nX-Trino-Catalog: \
tpch\r\nX-Trino-Schema: tiny\r\nX-Trino-Time-Zone: UTC\r\nX-Trino-Language: en-US\r\nX-Trino-Client-Capabilities: \
PATH,PARAMETRIC_DATETIME,SESSION_AUTHORIZATION\r\nX-Trino-Transaction-Id: NONE\r\nAccept-Encoding: gzip\r\nConnection: \
Keep-Alive\r\n";

/// How much of a body is kept to find `nextUri` in it; it stands before the rows.
const OPENING: usize = 1024;

/// Why a query did not go as its script says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no connection to {0}")]
    Connect(SocketAddr, #[source] io::Error),
    #[error("the connection broke")]
    Connection(#[from] io::Error),
    #[error("the server closed the connection in the middle")]
    Closed,
    #[error("an answer's head cannot be read")]
    Head,
    #[error(transparent)]
    Chunks(#[from] Broken),
    #[error("status {0}")]
    Status(u16),
    #[error("bytes came after the end of an answer")]
    Surplus,
    #[error("nextUri leads past the proxy: {0}")]
    Astray(String),
    #[error("the script wants {expected} as its {what}, and {found} came")]
    Unlike { what: &'static str, expected: u64, found: u64 },
}

/// One client.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    authority: String,
    buffer: Box<[u8]>,
    request: Vec<u8>,
    opening: Vec<u8>,
    /// The whole body of the last answer, for those who want to look at it.
    pub kept: Option<Vec<u8>>,
}

/// An answer that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Bytes of the body, without framing.
    pub body: u64,
    pub gzip: bool,
    /// How long the coordinator held the request.
    pub held: Duration,
    /// The path of the next request.
    pub next: Option<String>,
}

/// What of an answer's head is needed for its body.
struct Begun {
    status: u16,
    length: Option<u64>,
    gzip: bool,
    held: Duration,
}

impl Client {
    /// Connects to `address`, and reads with a buffer of `buffer` bytes.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr, buffer: usize) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await.map_err(|error| Error::Connect(address, error))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            authority: address.to_string(),
            buffer: vec![0; buffer.max(MAX_HEAD)].into_boxed_slice(),
            request: Vec::with_capacity(1024),
            opening: Vec::with_capacity(OPENING),
            kept: None,
        })
    }

    /// Sends a statement.
    ///
    /// # Errors
    /// When the answer is not 200, or does not come to its end.
    pub async fn submit(&mut self, statement: &str) -> Result<Answer, Error> {
        let length = statement.len();
        self.begin("POST", "/v1/statement");
        self.request.extend_from_slice(format!("Content-Length: {length}\r\n\r\n{statement}").as_bytes());
        self.exchange().await
    }

    /// Asks for a page.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn poll(&mut self, path: &str) -> Result<Answer, Error> {
        self.begin("GET", path);
        self.request.extend_from_slice(b"\r\n");
        self.exchange().await
    }

    fn begin(&mut self, method: &str, path: &str) {
        self.request.clear();
        for part in [method, " ", path, " HTTP/1.1\r\nHost: ", &self.authority, "\r\n", HEADERS] {
            self.request.extend_from_slice(part.as_bytes());
        }
    }

    async fn exchange(&mut self) -> Result<Answer, Error> {
        self.stream.write_all(&self.request).await?;
        let (begun, from, to) = self.read_head().await?;
        self.opening.clear();
        if let Some(kept) = &mut self.kept {
            kept.clear();
        }
        let body = match begun.length {
            Some(length) => self.counted(from, to, length).await?,
            None => self.chunked(from, to).await?,
        };
        if begun.status != 200 {
            return Err(Error::Status(begun.status));
        }
        let next = next_uri(&self.opening).map(|uri| path_at(uri, &self.authority)).transpose()?;
        Ok(Answer { body, gzip: begun.gzip, held: begun.held, next })
    }

    /// Reads a head; what came after it stands in the buffer between the two places.
    async fn read_head(&mut self) -> Result<(Begun, usize, usize), Error> {
        let mut filled = 0;
        let length = loop {
            match self.stream.read(&mut self.buffer[filled..]).await? {
                0 if filled == self.buffer.len() => return Err(Error::Head),
                0 => return Err(Error::Closed),
                read => filled += read,
            }
            if let Some(length) = head_end(&self.buffer[..filled]) {
                break length;
            }
        };
        let head = Head::new(&self.buffer[..length]).ok_or(Error::Head)?;
        let (_, status, _) = head.start().ok_or(Error::Head)?;
        let body = head.content_length();
        if body.is_none() && !head.is_chunked() {
            return Err(Error::Head);
        }
        let nanos = head.field(HELD).map_or(Some(0), |nanos| nanos.parse().ok()).ok_or(Error::Head)?;
        let begun = Begun {
            status: status.parse().map_err(|_| Error::Head)?,
            length: body,
            gzip: head.field("content-encoding") == Some("gzip"),
            held: Duration::from_nanos(nanos),
        };
        Ok((begun, length, filled))
    }

    /// Reads a body of `length` bytes, of which the buffer holds the first ones.
    async fn counted(&mut self, from: usize, to: usize, length: u64) -> Result<u64, Error> {
        let mut left = length.checked_sub((to - from) as u64).ok_or(Error::Surplus)?;
        note(&mut self.opening, self.kept.as_mut(), &self.buffer[from..to]);
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let read = self.stream.read(&mut self.buffer[..room]).await?;
            if read == 0 {
                return Err(Error::Closed);
            }
            note(&mut self.opening, self.kept.as_mut(), &self.buffer[..read]);
            left -= read as u64;
        }
        Ok(length)
    }

    async fn chunked(&mut self, mut from: usize, mut to: usize) -> Result<u64, Error> {
        let mut chunks = Chunks::default();
        let mut body = 0;
        loop {
            let (opening, kept, bytes) = (&mut self.opening, &mut self.kept, &self.buffer[from..to]);
            let taken = chunks.take(bytes, |content| {
                body += content.len() as u64;
                note(opening, kept.as_mut(), content);
            })?;
            if chunks.ended() {
                return if taken == to - from { Ok(body) } else { Err(Error::Surplus) };
            }
            (from, to) = (0, self.stream.read(&mut self.buffer).await?);
            if to == 0 {
                return Err(Error::Closed);
            }
        }
    }
}

fn note(opening: &mut Vec<u8>, kept: Option<&mut Vec<u8>>, content: &[u8]) {
    if opening.len() < OPENING {
        let more = content.len().min(OPENING - opening.len());
        opening.extend_from_slice(&content[..more]);
    }
    if let Some(kept) = kept {
        kept.extend_from_slice(content);
    }
}

/// The `nextUri` in the beginning of a body. That of a compressed one is stored as it is.
fn next_uri(opening: &[u8]) -> Option<&str> {
    const KEY: &[u8] = b"\"nextUri\":\"";
    let from = opening.windows(KEY.len()).position(|bytes| bytes == KEY)? + KEY.len();
    let length = opening[from..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&opening[from..from + length]).ok()
}

/// The path of a URI that leads to the server that was asked.
fn path_at(uri: &str, authority: &str) -> Result<String, Error> {
    let path = uri.strip_prefix("http://").and_then(|rest| rest.strip_prefix(authority));
    path.filter(|path| path.starts_with('/')).map(str::to_owned).ok_or_else(|| Error::Astray(uri.to_owned()))
}

/// Checks an answer against the script: the first to the statement (`poll` 0), and those of its polls.
///
/// # Errors
/// When they differ.
pub fn check(script: &Script, poll: u32, answer: &Answer) -> Result<(), Error> {
    let unlike = |what, expected: u64, found: u64| {
        if expected == found { Ok(()) } else { Err(Error::Unlike { what, expected, found }) }
    };
    unlike("further page", u64::from(poll < script.pages), u64::from(answer.next.is_some()))?;
    if poll == 0 {
        return Ok(());
    }
    unlike("compression", u64::from(script.gzip), u64::from(answer.gzip))?;
    // What rows compress to is known about only.
    let rows = script.bytes as u64 * u64::from(script.repeat);
    let least = if script.gzip { rows / 10 * 9 } else { rows };
    unlike("body's length", u64::from(answer.body < least), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_uri_must_lead_to_the_server_that_was_asked() {
        let next = next_uri(br#"{"id":"1","nextUri":"http://127.0.0.1:1/c/a/v1/statement/x","columns":[]"#).unwrap();
        assert_eq!(path_at(next, "127.0.0.1:1").unwrap(), "/c/a/v1/statement/x");
        assert!(path_at(next, "127.0.0.1:2").is_err());
        assert!(path_at("http://127.0.0.1:11/x", "127.0.0.1:1").is_err());
        assert_eq!(next_uri(b"{\"id\":\"1\",\"data\":[]}"), None);
    }

    #[test]
    fn an_answer_unlike_its_script_is_an_error() {
        let script = Script { pages: 2, bytes: 100, ..Script::default() };
        let answer = |body, next: Option<&str>| Answer {
            body,
            gzip: false,
            held: Duration::ZERO,
            next: next.map(str::to_owned),
        };
        assert!(check(&script, 0, &answer(10, Some("/1"))).is_ok());
        assert!(check(&script, 1, &answer(150, Some("/2"))).is_ok());
        assert!(check(&script, 2, &answer(150, None)).is_ok());
        assert!(check(&script, 2, &answer(150, Some("/3"))).is_err());
        assert!(check(&script, 1, &answer(150, None)).is_err());
        assert!(check(&script, 2, &answer(99, None)).is_err());
        assert!(check(&Script { gzip: true, ..script }, 2, &answer(150, None)).is_err());
    }
}
