//! A backend that records what reaches it, byte for byte, and splits it into requests by RFC 9112 and by nothing laxer.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A request of a client that reached the backend whole; health checks are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Request line and fields, each line ended by CRLF, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Recorded {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The values of a field, in their order.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }
}

#[derive(Default)]
struct Record {
    whole: Vec<Recorded>,
    /// What is no request by the RFC.
    faults: Vec<String>,
}

pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    record: Arc<Mutex<Record>>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Mutex::new(Record::default()));
        let of_connections = record.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, of_connections.clone()));
            }
        });
        Self { address, record }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn whole(&self) -> Vec<Recorded> {
        self.record.lock().unwrap().whole.clone()
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.record.lock().unwrap().faults.clone()
    }
}

async fn serve(mut stream: TcpStream, record: Arc<Mutex<Record>>) {
    let mut read = Vec::new();
    loop {
        match split(&read) {
            Ok(Some((request, length))) => {
                read.drain(..length);
                let of_client = !request.values("x-forwarded-for").is_empty();
                let body = if of_client { "ok" } else { r#"{"starting":false}"# };
                let is_head = request.head.starts_with("HEAD ");
                if of_client {
                    record.lock().unwrap().whole.push(request);
                }
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let answer = if is_head { answer } else { answer + body };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Ok(None) => match stream.read_buf(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
            Err(fault) => {
                record.lock().unwrap().faults.push(format!("{fault}: {}", read.escape_ascii()));
                return;
            }
        }
    }
}

/// The first request in `read` and its length; none while it is not whole.
fn split(read: &[u8]) -> Result<Option<(Recorded, usize)>, &'static str> {
    let Some(end) = position(read, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&read[..end + 2]).map_err(|_| "a head that is no text")?.to_owned();
    let bare = head.replace("\r\n", "");
    if bare.contains(['\r', '\n', '\0']) {
        return Err("a bare CR, LF or NUL in a head");
    }
    let mut lines = head.lines();
    let line: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    if line.len() != 3 || line[2] != "HTTP/1.1" || line[0].is_empty() || line[1].is_empty() {
        return Err("a bad request line");
    }
    for field in lines {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let name = field.split_once(':').map(|(name, _)| name).unwrap_or_default();
        if name.is_empty() || !name.bytes().all(token) {
            return Err("a bad field");
        }
    }
    let start = end + 4;
    let (body, length) = match (&fields(&head, "transfer-encoding")[..], &fields(&head, "content-length")[..]) {
        ([], []) => (Vec::new(), 0),
        ([], [length]) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length: usize = length.parse().map_err(|_| "a bad length")?;
            let Some(body) = read.get(start..start + length) else { return Ok(None) };
            (body.to_vec(), length)
        }
        (["chunked"], []) => match chunks(&read[start..])? {
            Some(found) => found,
            None => return Ok(None),
        },
        _ => return Err("ambiguous framing"),
    };
    Ok(Some((Recorded { head, body }, start + length)))
}

/// The data of chunks up to the last one, without trailers, and their length.
fn chunks(mut read: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let (all, mut data) = (read.len(), Vec::new());
    loop {
        let Some(end) = position(read, b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&read[..end]).ok().filter(|size| !size.starts_with('+'));
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).ok_or("a bad chunk size")?;
        read = &read[end + 2..];
        let Some(chunk) = read.get(..size + 2) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk without its end, or with trailers");
        }
        data.extend_from_slice(&chunk[..size]);
        read = &read[size + 2..];
        if size == 0 {
            return Ok(Some((data, all - read.len())));
        }
    }
}

fn fields<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

fn position(read: &[u8], what: &[u8]) -> Option<usize> {
    read.windows(what.len()).position(|window| window == what)
}
