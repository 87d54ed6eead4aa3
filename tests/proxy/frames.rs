//! HTTP/2 in frames written by hand: what RFC 9113 calls malformed reaches no coordinator, and what passes into HTTP/1.1
//! stays one request.

use std::fmt::Write as _;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    gateway::{Gateway, exchange_raw},
    recorder::Recorder,
};

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Status(u16),
    /// The stream or the whole connection was broken off as an error.
    Broken,
}

struct Case {
    fields: Vec<(&'static str, String)>,
    /// The pieces of the body; none ends the stream with the fields.
    data: Option<&'static [&'static str]>,
    taken: bool,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Fields as literals without an index and without Huffman's code (RFC 7541, 6.2.2).
fn block(fields: &[(&str, String)]) -> Vec<u8> {
    let mut block = Vec::new();
    let text = |text: &str, block: &mut Vec<u8>| {
        // Seven bits hold it.
        assert!(text.len() < 127);
        block.push(u8::try_from(text.len()).unwrap());
        block.extend_from_slice(text.as_bytes());
    };
    for (name, value) in fields {
        block.push(0);
        text(name, &mut block);
        text(value, &mut block);
    }
    block
}

async fn send(gateway: &Gateway, case: &Case) -> Ending {
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &[]));
    let flags = if case.data.is_none() { END_HEADERS | END_STREAM } else { END_HEADERS };
    sent.extend(frame(1, flags, 1, &block(&case.fields)));
    let pieces = case.data.unwrap_or_default();
    for (index, piece) in pieces.iter().enumerate() {
        let last = if index + 1 == pieces.len() { END_STREAM } else { 0 };
        sent.extend(frame(0, last, 1, piece.as_bytes()));
    }
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(&sent).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(30), ending(&mut stream)).await.expect("an end of the stream")
}

async fn ending(stream: &mut TcpStream) -> Ending {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return Ending::Broken;
        }
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        if stream.read_exact(&mut payload).await.is_err() {
            return Ending::Broken;
        }
        match (head[3], payload.first()) {
            // The static table's entries for :status (RFC 7541, appendix A).
            (1, Some(0x88)) => return Ending::Status(200),
            (1, Some(0x8c)) => return Ending::Status(400),
            (1, Some(0x8d)) => return Ending::Status(404),
            (1, Some(_)) => panic!("another status: {}", payload.escape_ascii()),
            (3 | 7, _) => return Ending::Broken,
            _ => {}
        }
    }
}

fn request(method: &str, path: &str) -> Vec<(&'static str, String)> {
    [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec()
}

fn with(method: &str, path: &str, more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let mut fields = request(method, path);
    fields.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    fields
}

const POST: (&str, &str) = ("POST", "/v1/statement");
const GET: (&str, &str) = ("GET", "/c/blue/ui/");

fn lengths() -> Vec<Case> {
    let hello: Option<&'static [&'static str]> = Some(&["hel", "lo"]);
    let mut cases = Vec::new();
    for ((method, path), length, data, taken) in [
        (POST, "5", hello, true),
        (POST, "4", hello, false),
        (POST, "6", hello, false),
        (POST, "0", hello, false),
        (POST, "+5", hello, false),
        (POST, "5,5", hello, false),
        (POST, "5, 6", hello, false),
        (POST, "0x5", hello, false),
        (POST, "-5", hello, false),
        (POST, "18446744073709551621", hello, false),
        (POST, "5", None, false),
        (GET, "5", None, false),
        (("HEAD", "/c/blue/ui/"), "5", None, false),
        (("GET", "/v1/info"), "5", None, false),
        (("GET", "/v1/info"), "5", hello, true),
        (GET, "5", hello, true),
        (GET, "3", hello, false),
    ] {
        cases.push(Case { fields: with(method, path, &[("content-length", length)]), data, taken });
    }
    for (first, second) in [("5", "6"), ("6", "5"), ("5", "0"), ("0", "5"), ("5", "five"), ("5", "+5")] {
        let fields = with("POST", "/v1/statement", &[("content-length", first), ("content-length", second)]);
        cases.push(Case { fields, data: hello, taken: false });
    }
    cases.push(Case { fields: request("POST", "/v1/statement"), data: hello, taken: true });
    cases.push(Case { fields: request("GET", "/c/blue/ui/"), data: hello, taken: true });
    cases
}

fn fields() -> Vec<Case> {
    let refused = |fields| Case { fields, data: None, taken: false };
    let mut cases = vec![Case { fields: request("GET", "/c/blue/ui/"), data: None, taken: true }];
    for more in [
        ("connection", "keep-alive"),
        ("connection", "x-trino-user"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("Content-Length", "0"),
        ("X-Upper", "a"),
        ("x-Upper", "a"),
        ("x y", "a"),
        ("x:y", "a"),
        ("", "a"),
        ("x\r\ny", "a"),
        ("x\0", "a"),
        ("x-value", "a\r\nX-Trino-User: b"),
        ("x-value", "a\nb"),
        ("x-value", "a\rb"),
        ("x-value", "a\0b"),
        ("x-value", "a\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
        ("host", "b"),
        ("host", "a\r\n"),
        (":path", "/c/blue/ui/other"),
        (":method", "POST"),
        (":authority", "b"),
        (":scheme", "https"),
        (":status", "200"),
        (":unknown", "a"),
        (":protocol", "websocket"),
    ] {
        cases.push(refused(with("GET", "/c/blue/ui/", &[more])));
    }
    for missing in [":method", ":scheme", ":path"] {
        let mut fields = request("GET", "/c/blue/ui/");
        fields.retain(|(name, _)| *name != missing);
        cases.push(refused(fields));
    }
    let mut late = request("GET", "/c/blue/ui/");
    late.insert(2, ("x-early", "a".to_owned()));
    cases.push(refused(late));
    cases
}

fn targets() -> Vec<Case> {
    let refused = |fields| Case { fields, data: None, taken: false };
    let mut cases = Vec::new();
    for path in [
        "",
        "*",
        "c/blue/ui/",
        "/c/blue/ui/ HTTP/1.1\r\nHost: b\r\n\r\nGET /smuggled",
        "/c/blue/ui/\r\n",
        "/c/blue/ui/\n",
        "/c/blue/ui/ x",
        "/c/blue/ui/\0",
        "/c/blue/ui/\t",
        "/c/blue/ui/\u{7f}",
        "/c/blue/ui/\u{1}",
        "//c/blue/ui/",
        "http://a/c/blue/ui/",
        "/c/blue/ui/../v1/task",
        "/c/blue/v1/task",
        "/c/blue/ui/%0d%0a",
        "?a",
    ] {
        cases.push(refused(request("GET", path)));
    }
    for method in ["G T", "GET\r\n", "GET /smuggled HTTP/1.1\r\nX: ", "", "G\0T"] {
        cases.push(refused(request(method, "/c/blue/ui/")));
    }
    for authority in ["a b", "a\r\nX: y", "u@a", "a/b", "a:b", "a:99999", "a\0"] {
        let mut fields = request("GET", "/c/blue/ui/");
        authority.clone_into(&mut fields[2].1);
        cases.push(refused(fields));
    }
    for scheme in ["http\r\n", "ht tp", "\0"] {
        let mut fields = request("GET", "/c/blue/ui/");
        scheme.clone_into(&mut fields[1].1);
        cases.push(refused(fields));
    }
    // A tunnel to somewhere (RFC 9113, 8.5): nobody is connected to anything here.
    for authority in ["127.0.0.1:22", "blue:8080", "a"] {
        let fields = [(":method", "CONNECT"), (":authority", authority)].map(|(name, value)| (name, value.to_owned()));
        cases.push(refused(fields.to_vec()));
        let mut whole = request("CONNECT", "/c/blue/ui/");
        authority.clone_into(&mut whole[2].1);
        cases.push(refused(whole));
    }
    cases
}

async fn hold(cases: Vec<Case>) {
    let recorder = Recorder::start().await;
    let gateway = Gateway::before(&[("blue", &recorder.url())]).await;
    let (mut wrong, mut expected) = (String::new(), 0);
    for case in cases {
        let ending = send(&gateway, &case).await;
        expected += usize::from(case.taken);
        let as_meant = (ending == Ending::Status(200)) == case.taken;
        // Whoever comes next on the coordinator's connection is heard as they spoke.
        let next = b"POST /v1/statement HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8\r\n\r\nSELECT 1";
        let answer = exchange_raw(gateway.address, next).await;
        expected += 1;
        let seen = recorder.whole();
        let last_is_next =
            seen.last().is_some_and(|last| last.line() == "POST /v1/statement HTTP/1.1" && last.body == b"SELECT 1");
        let well = answer.starts_with(b"HTTP/1.1 200 OK\r\n") && last_is_next && recorder.faults().is_empty();
        let smuggled = seen.iter().any(|request| request.head.contains("smuggled"));
        if !as_meant || !well || smuggled || seen.len() != expected {
            writeln!(wrong, "{ending:?}, {} of {expected} seen: {:?}", seen.len(), case.fields).unwrap();
            expected = seen.len();
        }
    }
    assert!(wrong.is_empty(), "{wrong}{:?}", recorder.faults());
}

#[tokio::test]
async fn a_length_that_is_not_that_of_the_data_is_refused() {
    hold(lengths()).await;
}

#[tokio::test]
async fn fields_that_http_2_forbids_are_refused() {
    hold(fields()).await;
}

#[tokio::test]
async fn targets_and_methods_that_would_be_more_than_one_line_are_refused() {
    hold(targets()).await;
}
