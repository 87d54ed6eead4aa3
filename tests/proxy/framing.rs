//! Requests whose end two readers could see at different places: none makes the proxy send a coordinator anything but
//! one request for each that it answers, and where in doubt it answers 400 and closes.

use std::{fmt::Write as _, time::Duration};

use warren::proxy::Settings;

use crate::{
    gateway::{Gateway, exchange_raw, settings, table},
    recorder::{Recorded, Recorder},
};

/// What an attacker hopes to see at the coordinator as a request of its own.
const SMUGGLED: &str = "GET /c/blue/ui/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// What must become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is answered 400, and the connection closes.
    Refused,
    /// It is taken.
    Taken,
}

#[derive(Clone, Debug)]
struct Case {
    request: Vec<u8>,
    fate: Fate,
    /// The body that the coordinator must see, if it sees the request.
    body: Vec<u8>,
}

impl Case {
    fn new(request: impl Into<Vec<u8>>, fate: Fate, body: impl Into<Vec<u8>>) -> Self {
        Self { request: request.into(), fate, body: body.into() }
    }
}

/// A proxy that does not wait for long for what does not come: the end of a request that is cut off.
fn impatient() -> Settings {
    let soon = Duration::from_secs(2);
    Settings { header_timeout: soon, statement_timeout: soon, response_timeout: soon, ..settings() }
}

/// Holds what comes of each case to its fate. Several lanes, each with a gateway and a backend of its own.
async fn hold(cases: Vec<Case>) {
    const LANES: usize = 8;
    let (total, mut lanes) = (cases.len(), vec![Vec::new(); LANES]);
    for (index, case) in cases.into_iter().enumerate() {
        lanes[index % LANES].push(case);
    }
    let wrong = futures::future::join_all(lanes.into_iter().map(hold_lane)).await.concat();
    assert!(wrong.is_empty(), "{} of {total}:\n{wrong}", wrong.lines().count());
}

async fn hold_lane(cases: Vec<Case>) -> String {
    let recorder = Recorder::start().await;
    let table = table(&[("blue", &recorder.url())]);
    let gateway = Gateway::with(impatient(), Some(table)).await;
    gateway.healthy("blue").await;
    let mut wrong = String::new();
    for case in cases {
        let before = recorder.whole().len();
        let answer = exchange_raw(gateway.address, &case.request).await;
        let answer = String::from_utf8_lossy(&answer);
        let seen = recorder.whole().split_off(before);
        let faults = recorder.faults();
        if let Some(fault) = fault(&case, &answer, &seen).or((!faults.is_empty()).then_some("no request by the RFC")) {
            let first = answer.lines().next().unwrap_or("closed without an answer");
            writeln!(wrong, "{fault} ({first}), {} seen: {}", seen.len(), case.request.escape_ascii()).unwrap();
        }
    }
    wrong
}

/// What is wrong with what came of a case.
fn fault(case: &Case, answer: &str, seen: &[Recorded]) -> Option<&'static str> {
    let answered = answer.matches("200 OK\r\n").count();
    if seen.iter().any(|request| request.line().contains("smuggled")) {
        return Some("smuggled");
    }
    if seen.len() != answered {
        return Some("requests at the coordinator that were not answered");
    }
    if seen.iter().any(|request| request.body != case.body) {
        return Some("another body");
    }
    let refused = answer.starts_with("HTTP/1.1 400 ");
    match case.fate {
        Fate::Refused => (!refused).then_some("not refused"),
        Fate::Taken => (answered != 1).then_some("not taken"),
    }
}

/// A `POST` with these lines after its `Host`.
fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /v1/statement HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}").into_bytes()
}

fn bytes(request: &str) -> Vec<u8> {
    // `\u{80}` to `\u{ff}` stand for single bytes here: what is sent need not be text.
    request.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect()
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn lengths_and_codings() -> Vec<Case> {
    let names = [
        "Transfer-Encoding: ",
        "transfer-encoding:",
        "TRANSFER-ENCODING:\t",
        "Transfer-Encoding : ",
        "Transfer-Encoding\t: ",
        " Transfer-Encoding: ",
        "Transfer-Encoding\0: ",
        "Transfer-Encoding:: ",
        "X: y\rTransfer-Encoding: ",
        "X: y\r\rTransfer-Encoding: ",
        "Transfer\r\n-Encoding: ",
        "X: y\r\n Transfer-Encoding: ",
        "X: y\r\n\tTransfer-Encoding: ",
        "Transfer-Encoding\r\n: ",
        "\x0bTransfer-Encoding: ",
        "Transfer Encoding: ",
    ];
    let values = [
        "chunked",
        "Chunked",
        "CHUNKED",
        "chunked \t",
        "\x0bchunked",
        "chunked\x0b",
        "\x0cchunked",
        "chunked\0",
        "\0chunked",
        "\"chunked\"",
        "'chunked'",
        "chunked;q=1",
        "chunked ;a",
        "chunked, identity",
        "identity, chunked",
        "gzip, chunked",
        "chunked, chunked",
        "chunked,chunked",
        ",chunked",
        "chunked,",
        ", chunked ,",
        "xchunked",
        "chunkedx",
        "x-chunked",
        "chunk",
        "identity",
        "gzip",
        "",
        ",",
        "\u{85}chunked",
        "\u{a0}chunked",
        "\u{c2}\u{a0}chunked",
        "chu nked",
        "chu\tnked",
        "chunked\r\n\t",
        "\r\n chunked",
        "chunked\r\n , identity",
        "identity\r\n ,chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "identity\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\rX: y",
        "chunked\r\r",
        "\r chunked",
    ];
    let payload = format!("0\r\n\r\n{SMUGGLED}");
    let length = payload.len();
    let mut cases = Vec::new();
    for name in names {
        for value in values {
            for order in 0..3 {
                let (coding, length) = (format!("{name}{value}\r\n"), format!("Content-Length: {length}\r\n"));
                let lines = match order {
                    0 => format!("{coding}{length}"),
                    1 => format!("{length}{coding}"),
                    _ => format!("{length}{coding}{length}"),
                };
                let mut request = bytes(&format!("POST /v1/statement HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
                request.extend_from_slice(payload.as_bytes());
                // The RFC would let a server read a valid coding alone, if it closes then (6.3, 3).
                cases.push(Case::new(request, Fate::Refused, ""));
            }
        }
    }
    // Without a length: what is no chunked coding is refused, as its end cannot be told.
    for value in values {
        let plain = value.trim_matches([' ', '\t']).eq_ignore_ascii_case("chunked");
        let fate = if plain { Fate::Taken } else { Fate::Refused };
        let request =
            format!("Connection: close\r\nTransfer-Encoding: {value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n{SMUGGLED}");
        cases.push(Case::new(bytes(&format!("POST /v1/statement HTTP/1.1\r\nHost: a\r\n{request}")), fate, "hello"));
    }
    // The chunk holds the second request: whoever goes by the length finds it.
    let chunked = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    for length in ["0", "2", "4", "5", "1000"] {
        for lines in [
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        ] {
            cases.push(Case::new(post(&lines, &chunked), Fate::Refused, SMUGGLED));
        }
    }
    cases
}

fn lengths() -> Vec<Case> {
    let right = SMUGGLED.len();
    let bad = [
        format!("+{right}"),
        format!("-{right}"),
        format!("0x{right:x}"),
        format!("{right},{right}"),
        format!("{right}, {right}"),
        format!("{right};{right}"),
        format!("{right}.0"),
        format!("{right}e0"),
        format!("{right} {right}"),
        format!("{right}\0"),
        format!("{right}\x0b"),
        format!("\x0c{right}"),
        format!("\"{right}\""),
        "\u{d9}\u{a5}".to_owned(),
        "18446744073709551616".to_owned(),
        "-0".to_owned(),
        "99999999999999999999999".to_owned(),
        String::new(),
        "five".to_owned(),
        format!("{right},"),
        format!(",{right}"),
        format!("{right}\r\n ,{right}"),
        format!("\r\n {right}"),
        format!("{right}_0"),
        format!("0b{right:b}"),
        format!("{right}l"),
        format!("{right}\u{a0}"),
        "NaN".to_owned(),
        "1e1".to_owned(),
    ];
    let good = [format!("{right}"), format!(" {right}\t"), format!("0{right}"), format!("{right:020}")];
    let names = ["Content-Length: ", "content-length:", "CONTENT-LENGTH:\t"];
    let bad_names = [
        "Content-Length : ",
        "Content-Length\t: ",
        " Content-Length: ",
        "Content-Length\0: ",
        "Content-Length:: ",
        "X: y\r\n Content-Length: ",
    ];
    let mut cases = Vec::new();
    let mut add = |lines: &str, fate| {
        let mut request = bytes(&format!("POST /v1/statement HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n"));
        request.extend_from_slice(SMUGGLED.as_bytes());
        cases.push(Case::new(request, fate, SMUGGLED));
    };
    for name in names {
        for good in &good {
            add(&format!("{name}{good}\r\n"), Fate::Taken);
            for bad in &bad {
                add(&format!("{name}{good}\r\nContent-Length: {bad}\r\n"), Fate::Refused);
                add(&format!("{name}{bad}\r\nContent-Length: {good}\r\n"), Fate::Refused);
            }
        }
        for bad in &bad {
            add(&format!("{name}{bad}\r\n"), Fate::Refused);
        }
        // The RFC would let a recipient take a length that is repeated (6.3, 5).
        add(&format!("{name}{right}\r\ncontent-length: {right}\r\n"), Fate::Refused);
        for other in [0, 1, right - 1, right + 1] {
            add(&format!("{name}{right}\r\nContent-Length: {other}\r\n"), Fate::Refused);
            add(&format!("{name}{other}\r\nContent-Length: {right}\r\n"), Fate::Refused);
        }
    }
    for name in bad_names {
        add(&format!("{name}{right}\r\n"), Fate::Refused);
        add(&format!("{name}{right}\r\nContent-Length: {right}\r\n"), Fate::Refused);
    }
    cases
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn chunk_cases() -> Vec<Case> {
    let sizes = [
        ("5", true),
        ("05", true),
        ("0000000005", true),
        ("5;a", true),
        ("5;a=b", true),
        ("5;a=\"b\"", true),
        ("5 ", true),
        ("5\t", true),
        ("5 ;a", true),
        ("5; a=b", true),
        ("+5", false),
        ("-5", false),
        ("0x5", false),
        (" 5", false),
        ("5\n", false),
        ("5\r", false),
        ("5;a\rb", false),
        ("5;a\nb", false),
        ("5;a\n", false),
        ("", false),
        (";a", false),
        ("g", false),
        ("5g", false),
        ("5,5", false),
        ("5 5", false),
        ("5h", false),
        ("5\0", false),
        ("5_", false),
        ("ffffffffffffffff5", false),
        ("10000000000000005", false),
        ("\u{d9}\u{a5}", false),
        ("5.", false),
        ("'5'", false),
        ("\r\n5", false),
    ];
    let ends = [
        ("\r\n", true),
        ("\n", false),
        ("\r", false),
        ("", false),
        ("xx", false),
        ("\n\r", false),
        ("\0\r\n", false),
        ("\r\r\n", false),
    ];
    let lasts = [
        ("0\r\n\r\n", true),
        ("00\r\n\r\n", true),
        ("0;a\r\n\r\n", true),
        ("0\r\nX-A: b\r\n\r\n", true),
        ("0\n\n", false),
        ("0\r\n\n", false),
        ("0\r\n\rX", false),
        ("-0\r\n\r\n", false),
        ("0x0\r\n\r\n", false),
        ("0\r\nX A: b\r\n\r\n", false),
        ("0\r\n: b\r\n\r\n", false),
        ("0\r\nX-A : b\r\n\r\n", false),
        ("0\n\r\n", false),
        ("0\r\nX-A: b\0\r\n\r\n", false),
        ("0\r\n X-A: b\r\n\r\n", false),
    ];
    let mut cases = Vec::new();
    for (size, legal_size) in sizes {
        for (end, legal_end) in ends {
            for (last, legal_last) in lasts {
                let head =
                    "POST /v1/statement HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
                let request = bytes(&format!("{head}{size}\r\nhello{end}{last}{SMUGGLED}"));
                let fate = if legal_size && legal_end && legal_last { Fate::Taken } else { Fate::Refused };
                cases.push(Case::new(request, fate, "hello"));
            }
        }
    }
    cases
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn heads() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |request: &str, fate| cases.push(Case::new(bytes(request), fate, ""));
    let rest = "Host: a\r\nConnection: close\r\n";
    for control in (0..=0x20).chain([0x7f]).map(char::from) {
        // A tab or a space may stand around a value, and inside it; LF alone ends no line (RFC 9112, 2.2, would let it).
        let inside = if matches!(control, '\t' | ' ') { Fate::Taken } else { Fate::Refused };
        add(&format!("GET /c/blue/ui/ HTTP/1.1\r\n{rest}X-A: b{control}c\r\n\r\n"), inside);
        add(&format!("GET /c/blue/ui/ HTTP/1.1\r\n{rest}X-A: {control}b\r\n\r\n"), inside);
        add(&format!("GET /c/blue/ui/ HTTP/1.1\r\n{rest}X-A: b{control}\r\n\r\n"), inside);
        add(&format!("GET /c/blue/ui/ HTTP/1.1\r\n{rest}X-{control}A: b\r\n\r\n"), Fate::Refused);
        add(&format!("GET /c/blue/ui/ HTTP/1.1\r\n{rest}X-A{control}: b\r\n\r\n"), Fate::Refused);
        add(&format!("GET /c/blue/ui/ HTTP/1.1\r\n{control}X-A: b\r\n{rest}\r\n"), Fate::Refused);
        add(&format!("GET /c/blue/{control}ui/ HTTP/1.1\r\n{rest}\r\n"), Fate::Refused);
        add(&format!("G{control}ET /c/blue/ui/ HTTP/1.1\r\n{rest}\r\n"), Fate::Refused);
        add(&format!("GET /c/blue/ui/ HTTP/1.1{control}\r\n{rest}\r\n"), Fate::Refused);
    }
    for line in [
        "GET /c/blue/ui/",
        "GET /c/blue/ui/ ",
        "GET /c/blue/ui/ HTTP/0.9",
        "GET /c/blue/ui/ HTTP/1.2",
        "GET /c/blue/ui/ HTTP/2.0",
        "GET /c/blue/ui/ HTTP/2",
        "GET /c/blue/ui/ HTTP/3.0",
        "GET /c/blue/ui/ HTTP/1.10",
        "GET /c/blue/ui/ HTTP/11",
        "GET /c/blue/ui/ HTTP/01.1",
        "GET /c/blue/ui/ http/1.1",
        "GET /c/blue/ui/ HTTX/1.1",
        "GET /c/blue/ui/ HTTP/1,1",
        "GET /c/blue/ui/ HTTP/1.",
        "GET /c/blue/ui/ HTTP/",
        "GET /c/blue/ui/ HTTP/+1.1",
        "GET\t/c/blue/ui/ HTTP/1.1",
        "GET  /c/blue/ui/ HTTP/1.1",
        "GET /c/blue/ui/  HTTP/1.1",
        "GET /c/blue/ui/\tHTTP/1.1",
        "GET /c/blue/ui/ x HTTP/1.1",
        " GET /c/blue/ui/ HTTP/1.1",
        "GET c/blue/ui/ HTTP/1.1",
        "/c/blue/ui/ HTTP/1.1",
        "G(T /c/blue/ui/ HTTP/1.1",
        "GET: /c/blue/ui/ HTTP/1.1",
        "\"GET\" /c/blue/ui/ HTTP/1.1",
        "GET HTTP/1.1",
        "GET /c/blue/ui/<a> HTTP/1.1",
    ] {
        add(&format!("{line}\r\n{rest}\r\n"), Fate::Refused);
    }
    // RFC 9112, 3.2: without a Host, with several, or with one that is none, a request is answered 400.
    for hosts in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nX: y\r\nhost: b\r\n",
        "Host: a b\r\n",
        "Host: a, b\r\n",
        "Host: a/b\r\n",
        "Host: http://a\r\n",
        "Host: a:b\r\n",
        "Host: a:99999\r\n",
        "Host: [::1\r\n",
        "Host: a\r\n b\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
        "Host: a\\b\r\n",
        "Host: <a>\r\n",
        "Host: \u{e4}\r\n",
    ] {
        add(&format!("GET /c/blue/ui/ HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"), Fate::Refused);
        add(&format!("GET /c/blue/ui/ HTTP/1.1\r\nConnection: close\r\n{hosts}\r\n"), Fate::Refused);
    }
    for version in ["1.0", "1.1"] {
        add(&format!("GET /c/blue/ui/ HTTP/{version}\r\n{rest}\r\n"), Fate::Taken);
    }
    // HTTP/1.0 knows no codings (RFC 9112, 6.1).
    add(&format!("POST /v1/statement HTTP/1.0\r\n{rest}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), Fate::Refused);
    cases
}

#[tokio::test]
async fn lengths_beside_codings_in_whatever_spelling_end_the_connection() {
    let cases = lengths_and_codings();
    assert_eq!(cases.len(), 2166);
    hold(cases).await;
}

#[tokio::test]
async fn lengths_that_are_no_numbers_or_differ_are_refused() {
    let cases = lengths();
    assert_eq!(cases.len(), 834);
    hold(cases).await;
}

#[tokio::test]
async fn chunks_that_are_not_by_the_rfc_are_refused() {
    let cases = chunk_cases();
    assert_eq!(cases.len(), 34 * 8 * 15);
    hold(cases).await;
}

#[tokio::test]
async fn heads_that_are_not_by_the_rfc_are_refused() {
    hold(heads()).await;
}

/// The requests that reach the coordinator after each other on its connections, by what the proxy was asked.
async fn reach(requests: &[&str]) -> Vec<String> {
    let recorder = Recorder::start().await;
    let gateway = Gateway::before(&[("blue", &recorder.url())]).await;
    for request in requests {
        let answer = exchange_raw(gateway.address, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{request:?}: {}", answer.escape_ascii());
    }
    assert!(recorder.faults().is_empty(), "{:?}", recorder.faults());
    let whole = recorder.whole();
    whole.iter().map(|request| format!("{} {}", request.line(), request.body.escape_ascii())).collect()
}

#[tokio::test]
async fn a_body_that_is_not_passed_on_is_not_announced_and_takes_nothing_of_the_next_request() {
    let length = SMUGGLED.len();
    let next = "POST /v1/statement HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8\r\n\r\nSELECT 1";
    let expected = |first: &str| [format!("{first} "), "POST /v1/statement HTTP/1.1 SELECT 1".to_owned()];
    for (target, passed) in
        [("/v1/info", "/v1/info"), ("/oauth2/callback?code=a&state=blue.b", "/oauth2/callback?code=a&state=b")]
    {
        for framing in [
            format!("Content-Length: {length}\r\n\r\n{SMUGGLED}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
            "Content-Length: 0\r\n\r\n".to_owned(),
        ] {
            let first = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}");
            assert_eq!(reach(&[&first, next]).await, expected(&format!("GET {passed} HTTP/1.1")));
        }
    }
}

#[tokio::test]
async fn bodies_where_hardly_anyone_sends_one_pass_whole_or_not_at_all() {
    let next = "POST /v1/statement HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8\r\n\r\nSELECT 1";
    for method in ["GET", "HEAD", "DELETE"] {
        let target = "/c/blue/v1/statement/executing/20250805_101112_00003_abcde/y0slug/0";
        for framing in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
            let first = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}");
            let seen = reach(&[&first, next]).await;
            assert_eq!(seen.len(), 2, "{seen:?}");
            let line = format!("{method} {} HTTP/1.1 ", target.strip_prefix("/c/blue").unwrap());
            let body = seen[0].strip_prefix(&line).unwrap();
            assert!(matches!(body, "" | "hello"), "{seen:?}");
            assert_eq!(seen[1], "POST /v1/statement HTTP/1.1 SELECT 1");
        }
    }
}

#[tokio::test]
async fn what_must_not_come_as_a_header_does_not_come_as_a_trailer() {
    let recorder = Recorder::start().await;
    let gateway = Gateway::before(&[("blue", &recorder.url())]).await;
    let fields = "X-Trino-Internal-Bearer: a\r\nX-Forwarded-Prefix: /evil\r\nX-Any: b\r\n";
    let request = post(
        "Connection: close\r\nTrailer: X-Trino-Internal-Bearer, X-Forwarded-Prefix, X-Any\r\nTransfer-Encoding: chunked\r\n",
        &format!("5\r\nhello\r\n0\r\n{fields}\r\n"),
    );
    let answer = exchange_raw(gateway.address, &request).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
    // The recorder takes trailers for a fault.
    assert!(recorder.faults().is_empty(), "{:?}", recorder.faults());
    assert_eq!(recorder.whole()[0].body, b"hello");
}
