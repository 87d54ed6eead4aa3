//! Bodies as a coordinator sends them: what is the same in each answer to a script is made once, framed and compressed,
//! so that serving it costs a copy into the socket. Shapes, sizes and framing are those of Trino 476: short answers
//! with a `Content-Length`, results in chunks of 32 KiB.

use std::{
    collections::HashMap,
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use crate::script::Script;

/// The statistics that Trino 476 sends with a query that is queued.
const QUEUED: &str = r#""stats":{"state":"QUEUED","queued":true,"scheduled":false,"nodes":0,"totalSplits":0,"queuedSplits":0,"runningSplits":0,"completedSplits":0,"planningTimeMillis":0,"analysisTimeMillis":0,"cpuTimeMillis":0,"wallTimeMillis":0,"queuedTimeMillis":0,"elapsedTimeMillis":0,"finishingTimeMillis":0,"physicalInputTimeMillis":0,"processedRows":0,"processedBytes":0,"physicalInputBytes":0,"physicalWrittenBytes":0,"internalNetworkInputBytes":0,"peakMemoryBytes":0,"spilledBytes":0},"warnings":[]}"#;

/// And with one that runs.
const RUNNING: &str = r#""stats":{"state":"RUNNING","queued":false,"scheduled":true,"progressPercentage":50.0,"runningPercentage":0.0,"nodes":1,"totalSplits":1,"queuedSplits":0,"runningSplits":0,"completedSplits":1,"planningTimeMillis":309,"analysisTimeMillis":58,"cpuTimeMillis":6,"wallTimeMillis":10,"queuedTimeMillis":17,"elapsedTimeMillis":960,"finishingTimeMillis":42,"physicalInputTimeMillis":0,"processedRows":0,"processedBytes":0,"physicalInputBytes":0,"physicalWrittenBytes":0,"internalNetworkInputBytes":0,"peakMemoryBytes":132,"spilledBytes":0},"warnings":[]}"#;

const COLUMNS: &str = r#""columns":[{"name":"row","type":"varchar","typeSignature":{"rawType":"varchar","arguments":[{"kind":"LONG","value":2147483647}]}}],"data":["#;

/// Bytes of one row but the last, the comma behind it included.
const ROW: usize = 120;

/// What is the same in each page of a script, as it is sent.
#[derive(Debug)]
pub struct Page {
    /// The rows, repeated as often as the script says. In chunks, it begins with the line of the first chunk's size.
    pub unit: Bytes,
    /// The length of that line, which a page's first unit leaves out: its first chunk begins with the page's opening.
    pub size_line: usize,
    /// What of the first chunk is rows.
    first_chunk: usize,
    /// The end of the body, with the last chunk.
    pub closing: Bytes,
    /// The body's length after the opening, without framing.
    length: u64,
}

impl Page {
    /// The page of `script`.
    pub fn new(script: &Script) -> Self {
        let plain = rows(if script.gzip { script.bytes * 4 / 3 } else { script.bytes });
        let closing = format!("[\"end\"]],{RUNNING}");
        let (unit, closing) = if script.gzip {
            (compressed(&plain, Compression::default()), compressed(closing.as_bytes(), Compression::default()))
        } else {
            (plain, closing.into_bytes())
        };
        let length = unit.len() as u64 * u64::from(script.repeat) + closing.len() as u64;
        let first_chunk = script.chunk.min(unit.len());
        let (unit, size_line, closing) = if script.chunk == 0 {
            (unit, 0, closing)
        } else {
            let mut last = chunked(&closing, script.chunk);
            last.extend_from_slice(b"0\r\n\r\n");
            (chunked(&unit, script.chunk), format!("{first_chunk:x}\r\n").len(), last)
        };
        Self { unit: unit.into(), size_line, first_chunk, closing: closing.into(), length }
    }

    /// Writes the head of the answer and the beginning of its body: what is of this answer alone. The page's unit
    /// without its size line follows.
    pub fn open(&self, answer: &mut Vec<u8>, script: &Script, opening: &str, fields: &str) {
        let opening = format!("{opening}{COLUMNS}");
        let opening =
            if script.gzip { compressed(opening.as_bytes(), Compression::none()) } else { opening.into_bytes() };
        head(answer, script.gzip, fields);
        // Writing to a Vec cannot fail.
        if script.chunk == 0 {
            let _ = write!(answer, "Content-Length: {}\r\n\r\n", opening.len() as u64 + self.length);
        } else {
            let first = opening.len() + self.first_chunk;
            let _ = write!(answer, "Transfer-Encoding: chunked\r\n\r\n{first:x}\r\n");
        }
        answer.extend_from_slice(&opening);
    }
}

/// Writes the answer to a new statement.
pub fn registered(answer: &mut Vec<u8>, opening: &str) {
    head(answer, false, "");
    let length = opening.len() + QUEUED.len();
    let _ = write!(answer, "Content-Length: {length}\r\n\r\n{opening}{QUEUED}");
}

/// Writes a short answer of another kind.
pub fn plain(answer: &mut Vec<u8>, status: &str, body: &str) {
    let length = body.len();
    let _ =
        write!(answer, "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
}

/// The fields that Trino 476 sends, as it writes them.
fn head(answer: &mut Vec<u8>, gzip: bool, fields: &str) {
    let encoding = if gzip { "Content-Encoding: gzip\r\n" } else { "" };
    let _ = write!(
        answer,
        "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 11:13:35 GMT\r\nVary: Accept-Encoding\r\nContent-Type: \
         application/json\r\nX-Content-Type-Options: nosniff\r\n{encoding}{fields}"
    );
}

/// Rows of letters and digits with `bytes` in all, each with a comma behind it. Always the same ones.
fn rows(bytes: usize) -> Vec<u8> {
    const FRAME: usize = "[\"\"],".len();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[(state >> 58) as usize]
    };
    let mut rows = Vec::with_capacity(bytes);
    while rows.len() < bytes {
        let left = bytes - rows.len();
        // The last one takes what is left, so that no row is shorter than its frame.
        let row = if left < 2 * ROW { left.max(FRAME) } else { ROW };
        rows.extend_from_slice(b"[\"");
        rows.extend((0..row - FRAME).map(|_| letter()));
        rows.extend_from_slice(b"\"],");
    }
    rows
}

/// One member of a gzip file (RFC 1952): members one after the other are a file again.
fn compressed(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len()), level);
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("writing to a Vec does not fail")
}

fn chunked(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut framed = Vec::with_capacity(bytes.len() + bytes.len() / size.max(1) * 8 + 8);
    for chunk in bytes.chunks(size) {
        let _ = write!(framed, "{:x}\r\n", chunk.len());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed
}

/// The pages that were asked for so far.
#[derive(Debug, Default)]
pub struct Pages {
    made: Mutex<HashMap<Script, Arc<Page>>>,
}

impl Pages {
    /// The page of `script`, made when it is asked for first.
    pub fn of(&self, script: &Script) -> Arc<Page> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(*script).or_insert_with(|| Arc::new(Page::new(script))).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::MultiGzDecoder;

    use super::*;
    use crate::message::{Chunks, Head, head_end};

    const OPENING: &str = r#"{"id":"1","nextUri":"http://x/1","#;

    /// The body of a page as a client sees it, undone of chunks and compression.
    fn body(script: &Script) -> Vec<u8> {
        let page = Page::new(script);
        let mut sent = Vec::new();
        page.open(&mut sent, script, OPENING, "");
        sent.extend_from_slice(&page.unit[page.size_line..]);
        for _ in 1..script.repeat {
            sent.extend_from_slice(&page.unit);
        }
        sent.extend_from_slice(&page.closing);
        let (head, sent) = sent.split_at(head_end(&sent).unwrap());
        let head = Head::new(head).unwrap();
        let mut content = Vec::new();
        if head.is_chunked() {
            let mut chunks = Chunks::default();
            assert_eq!(chunks.take(sent, |bytes| content.extend_from_slice(bytes)), Ok(sent.len()));
            assert!(chunks.ended());
        } else {
            assert_eq!(head.content_length(), Some(sent.len() as u64));
            content.extend_from_slice(sent);
        }
        assert_eq!(head.field("content-encoding"), script.gzip.then_some("gzip"));
        if !script.gzip {
            return content;
        }
        let mut plain = Vec::new();
        MultiGzDecoder::new(&*content).read_to_end(&mut plain).unwrap();
        plain
    }

    #[test]
    fn a_page_is_the_same_json_however_it_is_framed() {
        let script = Script { bytes: 100_000, repeat: 3, ..Script::default() };
        let expected = body(&script);
        let json: serde_json::Value = serde_json::from_slice(&expected).unwrap();
        assert_eq!(json["nextUri"], "http://x/1");
        assert_eq!(json["data"].as_array().unwrap().len(), 3 * (100_000 / ROW) + 1);
        for chunk in [1000, 32_768, 1_000_000] {
            assert_eq!(body(&Script { chunk, ..script }), expected);
        }
        let gzip = Script { gzip: true, bytes: 75_000, ..script };
        for chunk in [0, 32_768] {
            assert_eq!(body(&Script { chunk, ..gzip }), expected);
        }
    }

    #[test]
    fn rows_have_as_many_bytes_as_were_asked_for() {
        for bytes in [5, 200, 1 << 20] {
            assert_eq!(rows(bytes).len(), bytes);
        }
    }

    #[test]
    fn the_opening_of_a_compressed_page_can_be_read_as_it_is() {
        let script = Script { gzip: true, ..Script::default() };
        let mut sent = Vec::new();
        Page::new(&script).open(&mut sent, &script, OPENING, "");
        assert!(sent.windows(OPENING.len()).any(|bytes| bytes == OPENING.as_bytes()));
    }

    #[test]
    fn the_answer_to_a_statement_is_json() {
        let mut sent = Vec::new();
        registered(&mut sent, OPENING);
        let body = &sent[head_end(&sent).unwrap()..];
        let json: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(json["stats"]["state"], "QUEUED");
    }
}
