//! A coordinator that knows no SQL: it registers any statement, and answers its polls as the statement's script says.
//! It keeps nothing of a query, so that it costs little beside the proxy that is measured.

use std::{
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    message::{Chunks, Head, MAX_HEAD, head_end},
    page::{self, Pages},
    script::Script,
};

const INFO: &str =
    r#"{"nodeVersion":{"version":"476"},"environment":"bench","coordinator":true,"starting":false,"uptime":"1.00m"}"#;

/// The field that tells how long a poll was held, in nanoseconds: what the proxy added is the rest of its latency.
pub const HELD: &str = "x-bench-held";

/// What all connections share.
#[derive(Debug, Default)]
struct Coordinator {
    pages: Arc<Pages>,
    queries: AtomicU64,
}

/// Serves connections for ever.
pub async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    let coordinator = Arc::new(Coordinator { pages, queries: AtomicU64::new(0) });
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let coordinator = coordinator.clone();
                // Nobody waits for it: a connection ends with its client.
                tokio::spawn(async move { coordinator.connection(stream).await });
            }
            Err(error) => eprintln!("coordinator: a connection could not be accepted: {error}"),
        }
    }
}

/// A request: what its head says, and its body.
struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Coordinator {
    async fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut unread = Vec::with_capacity(MAX_HEAD);
        while let Some(request) = read(&mut stream, &mut unread).await? {
            self.answer(&mut stream, &request).await?;
        }
        Ok(())
    }

    async fn answer(&self, stream: &mut TcpStream, request: &Request) -> io::Result<()> {
        let arrived = Instant::now();
        let mut answer = Vec::with_capacity(4096);
        let head = Head::new(&request.head).ok_or(io::ErrorKind::InvalidData)?;
        let (method, path, _) = head.start().ok_or(io::ErrorKind::InvalidData)?;
        match (method, path) {
            ("GET", "/v1/info") => page::plain(&mut answer, "200 OK", INFO),
            ("POST", "/v1/statement") => match Script::of_statement(&String::from_utf8_lossy(&request.body)) {
                Ok(script) => {
                    let number = self.queries.fetch_add(1, Ordering::Relaxed);
                    let id = format!("20261121_111335_{number:05}_bench");
                    page::registered(&mut answer, &opening(&head, &id, &script.slug(), Some(1)));
                }
                Err(error) => page::plain(&mut answer, "400 Bad Request", &format!("\"{error}\"")),
            },
            ("GET", path) => match poll_of(path) {
                Some(poll) => return self.page(stream, &head, poll, arrived).await,
                None => page::plain(&mut answer, "404 Not Found", "\"no such query\""),
            },
            _ => page::plain(&mut answer, "404 Not Found", "\"nothing here\""),
        }
        stream.write_all(&answer).await
    }

    async fn page(&self, stream: &mut TcpStream, head: &Head<'_>, poll: Poll<'_>, arrived: Instant) -> io::Result<()> {
        let Poll { id, slug, script, token } = poll;
        let page = self.pages.of(&script);
        let next = (token < script.pages).then_some(token + 1);
        let mut fields = String::new();
        if !script.hold.is_zero() {
            tokio::time::sleep(script.hold).await;
            fields = format!("{HELD}: {}\r\n", arrived.elapsed().as_nanos());
        }
        let mut answer = Vec::with_capacity(4096);
        page.open(&mut answer, &script, &opening(head, id, slug, next), &fields);
        let first = &page.unit[page.size_line..];
        if script.repeat == 1 {
            return write(stream, [&answer, first, &page.closing]).await;
        }
        write(stream, [&answer, first, &[]]).await?;
        for _ in 1..script.repeat {
            stream.write_all(&page.unit).await?;
        }
        stream.write_all(&page.closing).await
    }
}

/// A poll, by its path.
struct Poll<'a> {
    id: &'a str,
    slug: &'a str,
    script: Script,
    token: u32,
}

fn poll_of(path: &str) -> Option<Poll<'_>> {
    let mut segments = path.strip_prefix("/v1/statement/executing/")?.split('/');
    let (id, slug, token) = (segments.next()?, segments.next()?, segments.next()?);
    let (script, token) = (Script::of_slug(slug)?, token.parse().ok()?);
    (segments.next().is_none() && (1..=script.pages).contains(&token)).then_some(Poll { id, slug, script, token })
}

/// The first fields of an answer, with the URIs that Trino would build: from the forwarded headers if there are any,
/// else from `Host`.
fn opening(head: &Head<'_>, id: &str, slug: &str, next: Option<u32>) -> String {
    let proto = head.field("x-forwarded-proto").unwrap_or("http");
    let prefix = head.field("x-forwarded-prefix").unwrap_or_default();
    let authority = match (head.field("x-forwarded-host"), head.field("x-forwarded-port")) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => head.field("host").unwrap_or("unknown").to_owned(),
    };
    let base = format!("{proto}://{authority}{prefix}");
    let next = next.map_or_else(String::new, |token| {
        format!("\"nextUri\":\"{base}/v1/statement/executing/{id}/{slug}/{token}\",")
    });
    format!("{{\"id\":\"{id}\",\"infoUri\":\"{base}/ui/query.html?{id}\",{next}")
}

/// Reads one request; none when the client has gone. What came after it stays in `unread`.
async fn read(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(end) = head_end(unread) {
            break end;
        }
        if unread.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    };
    let rest = unread.split_off(end);
    let bytes = std::mem::replace(unread, rest);
    let head = Head::new(&bytes).ok_or(io::ErrorKind::InvalidData)?;
    let body = if head.is_chunked() {
        let mut chunks = Chunks::default();
        let mut body = Vec::new();
        loop {
            let taken = chunks.take(unread, |part| body.extend_from_slice(part)).map_err(io::Error::other)?;
            unread.drain(..taken);
            if chunks.ended() {
                break body;
            }
            more(stream, unread).await?;
        }
    } else {
        let length = usize::try_from(head.content_length().unwrap_or(0)).map_err(io::Error::other)?;
        while unread.len() < length {
            more(stream, unread).await?;
        }
        unread.drain(..length).collect()
    };
    unread.reserve(MAX_HEAD);
    Ok(Some(Request { head: bytes, body }))
}

async fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(unread).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Writes three pieces in one call to the kernel where it takes them.
async fn write(stream: &mut TcpStream, pieces: [&[u8]; 3]) -> io::Result<()> {
    let mut slices = pieces.map(IoSlice::new);
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        let written = stream.write_vectored(left).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uris(request: &str) -> String {
        opening(&Head::new(request.as_bytes()).unwrap(), "1", "y1", Some(2))
    }

    #[test]
    fn uris_are_built_as_trino_builds_them() {
        let proxied = "GET / HTTP/1.1\r\nhost: 127.0.0.1:1\r\nx-forwarded-proto: https\r\nx-forwarded-host: \
                       trino\r\nx-forwarded-port: 8443\r\nx-forwarded-prefix: /c/blue\r\n\r\n";
        let plain = "GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n";
        assert_eq!(
            uris(proxied),
            "{\"id\":\"1\",\"infoUri\":\"https://trino:8443/c/blue/ui/query.html?1\",\"nextUri\":\"https://trino:8443/c/\
             blue/v1/statement/executing/1/y1/2\","
        );
        assert_eq!(
            uris(plain),
            "{\"id\":\"1\",\"infoUri\":\"http://127.0.0.1:1/ui/query.html?1\",\"nextUri\":\"http://127.0.0.1:1/v1/\
             statement/executing/1/y1/2\","
        );
    }

    #[test]
    fn a_poll_is_known_by_its_path_and_ends_with_the_last_page() {
        let slug = Script { pages: 2, ..Script::default() }.slug();
        for (token, known) in [(0, false), (1, true), (2, true), (3, false)] {
            assert_eq!(poll_of(&format!("/v1/statement/executing/id/{slug}/{token}")).is_some(), known, "{token}");
        }
        assert!(poll_of(&format!("/c/blue/v1/statement/executing/id/{slug}/1")).is_none());
        assert!(poll_of("/v1/statement/executing/id/y/1").is_none());
    }
}
