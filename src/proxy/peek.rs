//! A look at the head of a page of results as it flows by: the query's id, and whether a `nextUri` follows. The bytes
//! themselves pass untouched, in whatever encoding.

use flate2::{Decompress, FlushDecompress};
use http::{HeaderMap, header::CONTENT_ENCODING};

use crate::trino::QueryId;

/// The most bytes of a head that are looked at. The URIs in it have some hundred characters each.
const MAX_HEAD: usize = 16 * 1024;

/// What a page's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageHead {
    pub query: QueryId,
    /// Whether the client is told to come again.
    pub goes_on: bool,
}

/// Looks at a page piece by piece, until it knows.
#[derive(Debug)]
pub(super) struct Peek {
    encoding: Encoding,
    /// What has come of the head, decoded, while it was not enough.
    head: Vec<u8>,
    done: bool,
}

#[derive(Debug)]
enum Encoding {
    Identity,
    Gzip(Box<Gzip>),
}

#[derive(Debug)]
struct Gzip {
    inflate: Decompress,
    /// The input that came before the deflated data begins, while that is not known.
    header: Vec<u8>,
    begun: bool,
}

impl Peek {
    /// A look at a body with these headers; none if it is in an encoding that is not known here.
    pub(super) fn new(headers: &HeaderMap) -> Option<Self> {
        let encoding = match headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
            None | Some(b"identity") => Encoding::Identity,
            Some(b"gzip") => {
                let inflate = Decompress::new(false);
                Encoding::Gzip(Box::new(Gzip { inflate, header: Vec::new(), begun: false }))
            }
            Some(_) => return None,
        };
        Some(Self { encoding, head: Vec::new(), done: false })
    }

    /// Takes in the next piece; returns what the head says, once, as soon as that is known.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Option<PageHead> {
        if self.done {
            return None;
        }
        let scanned = match &mut self.encoding {
            // Most pages come in one piece: nothing is copied then.
            Encoding::Identity if self.head.is_empty() => {
                let scanned = scan(piece);
                if matches!(scanned, Scan::More) {
                    self.head.extend_from_slice(&piece[..piece.len().min(MAX_HEAD)]);
                }
                scanned
            }
            Encoding::Identity => {
                let room = MAX_HEAD.saturating_sub(self.head.len());
                self.head.extend_from_slice(&piece[..piece.len().min(room)]);
                scan(&self.head)
            }
            Encoding::Gzip(gzip) => match gzip.inflate(piece, &mut self.head) {
                Some(()) => scan(&self.head),
                None => Scan::Strange,
            },
        };
        match scanned {
            Scan::Known(head) => {
                self.done = true;
                Some(head)
            }
            Scan::More if self.head.len() < MAX_HEAD => None,
            Scan::More | Scan::Strange => {
                self.done = true;
                None
            }
        }
    }
}

impl Gzip {
    /// Inflates `piece` behind `head`, as far as that may grow; none if it is no gzip.
    fn inflate(&mut self, piece: &[u8], head: &mut Vec<u8>) -> Option<()> {
        if self.begun {
            return self.inflate_deflated(piece, head);
        }
        self.header.extend_from_slice(piece);
        let length = match gzip_header(&self.header) {
            GzipHeader::Length(length) => length,
            GzipHeader::More => return Some(()),
            GzipHeader::Strange => return None,
        };
        self.begun = true;
        let input = std::mem::take(&mut self.header);
        self.inflate_deflated(&input[length..], head)
    }

    fn inflate_deflated(&mut self, input: &[u8], head: &mut Vec<u8>) -> Option<()> {
        head.reserve(MAX_HEAD - head.len().min(MAX_HEAD));
        self.inflate.decompress_vec(input, head, FlushDecompress::Sync).ok()?;
        Some(())
    }
}

enum GzipHeader {
    Length(usize),
    /// It is cut off.
    More,
    /// This is none, or one that no server writes around an answer.
    Strange,
}

/// The header of gzip (RFC 1952, section 2.3).
fn gzip_header(input: &[u8]) -> GzipHeader {
    const FIXED: usize = 10;
    if !input.starts_with(&[0x1f, 0x8b, 8][..input.len().min(3)]) || input.len() > MAX_HEAD {
        return GzipHeader::Strange;
    }
    match input.get(3) {
        None => GzipHeader::More,
        // Names, comments and extra fields.
        Some(flags) if flags & 0b1_1110 != 0 => GzipHeader::Strange,
        Some(_) if input.len() < FIXED => GzipHeader::More,
        Some(_) => GzipHeader::Length(FIXED),
    }
}

enum Scan {
    Known(PageHead),
    /// The head is cut off.
    More,
    /// This is no page of results.
    Strange,
}

/// Reads the members of the outermost object up to the first that is none of the URIs: Trino writes `id`, `infoUri`,
/// `partialCancelUri` and `nextUri` before anything else (io.trino.client.QueryResults, Trino 476).
fn scan(text: &[u8]) -> Scan {
    let mut rest = text.trim_ascii_start();
    let mut query = None;
    let mut first = true;
    let known =
        |query: Option<QueryId>, goes_on| query.map_or(Scan::Strange, |query| Scan::Known(PageHead { query, goes_on }));
    loop {
        match (rest.split_first(), first) {
            (None, _) => return Scan::More,
            (Some((b'{', behind)), true) | (Some((b',', behind)), false) => rest = behind.trim_ascii_start(),
            (Some((b'}', _)), false) => return known(query, false),
            _ => return Scan::Strange,
        }
        first = false;
        let Some((name, behind)) = string(rest) else { return cut_off(rest) };
        let Some((b':', behind)) = behind.trim_ascii_start().split_first() else { return Scan::More };
        rest = behind.trim_ascii_start();
        match name {
            b"nextUri" if rest.starts_with(b"n") => {}
            b"nextUri" => return known(query, true),
            b"id" | b"infoUri" | b"partialCancelUri" => {}
            _ => return known(query, false),
        }
        let Some((value, behind)) = string_or_null(rest) else { return cut_off(rest) };
        if name == b"id" {
            query = std::str::from_utf8(value).ok().and_then(|id| id.parse().ok());
        }
        rest = behind.trim_ascii_start();
    }
}

fn cut_off(rest: &[u8]) -> Scan {
    if rest.is_empty() || rest[0] == b'"' || b"null".starts_with(rest) { Scan::More } else { Scan::Strange }
}

fn string_or_null(text: &[u8]) -> Option<(&[u8], &[u8])> {
    match text.strip_prefix(b"null") {
        Some(behind) => Some((b"", behind)),
        None => string(text),
    }
}

/// The inside of the string that `text` begins with, as it is written, and what stands behind it.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let mut from = 0;
    loop {
        let end = from + memchr::memchr2(b'"', b'\\', inside.get(from..)?)?;
        if inside[end] == b'"' {
            return Some((&inside[..end], &inside[end + 1..]));
        }
        // What a backslash stands before is part of the string.
        from = end + 2;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const ID: &str = "20250805_101112_00003_abcde";

    /// As Trino 476 answers a poll, shortened.
    const PAGE: &str = r#"{"id":"20250805_101112_00003_abcde","infoUri":"http://a:8080/ui/query.html?20250805_101112_00003_abcde","partialCancelUri":"http://a:8080/c/blue/v1/statement/executing/partialCancel/x/0/y/0","nextUri":"http://a:8080/c/blue/v1/statement/executing/x/y/1","columns":[{"name":"nextUri"}],"data":[["nextUri"]],"stats":{"state":"RUNNING"}}"#;
    const LAST: &str = r#"{"id":"20250805_101112_00003_abcde","infoUri":"http://a:8080/ui/query.html?20250805_101112_00003_abcde","stats":{"state":"FINISHED"},"nextUri":"no"}"#;

    fn fed(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>, encoding: Option<&'static str>) -> Vec<(String, bool)> {
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static(encoding));
        }
        let mut peek = Peek::new(&headers).unwrap();
        let heads = pieces.into_iter().filter_map(|piece| peek.feed(piece.as_ref()));
        heads.map(|head| (head.query.to_string(), head.goes_on)).collect()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn a_page_with_a_next_uri_goes_on_and_one_without_is_the_last() {
        for (page, goes_on) in [(PAGE, true), (LAST, false)] {
            assert_eq!(fed([page], None), [(ID.to_owned(), goes_on)]);
            assert_eq!(fed([gzip(page)], Some("gzip")), [(ID.to_owned(), goes_on)]);
        }
        assert_eq!(fed([r#" { "id" : "a" , "nextUri" : null } "#], None), [("a".to_owned(), false)]);
        assert_eq!(fed([r#"{"id":"a"}"#], None), [("a".to_owned(), false)]);
    }

    #[test]
    fn it_does_not_matter_how_a_page_is_cut() {
        for (page, goes_on) in [(PAGE, true), (LAST, false)] {
            let expected = [(ID.to_owned(), goes_on)];
            assert_eq!(fed(page.as_bytes().chunks(1), None), expected);
            assert_eq!(fed(page.as_bytes().chunks(7), None), expected);
            assert_eq!(fed(gzip(page).chunks(1), Some("gzip")), expected);
            assert_eq!(fed(gzip(page).chunks(11), Some("gzip")), expected);
        }
    }

    #[test]
    fn what_is_no_page_says_nothing() {
        let long = format!(r#"{{"id":"{}","nextUri":"x"}}"#, "a".repeat(20_000));
        for text in ["", "[]", "null", "<html>", r#"{"id":7}"#, r#"{"id":"a b"}"#, r#"{"stats":{}}"#, "{]", &long] {
            assert_eq!(fed([text], None), [], "{text}");
            assert_eq!(fed(text.as_bytes().chunks(3), None), [], "{text}");
        }
        assert_eq!(fed(["no gzip at all"], Some("gzip")), []);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static("br"));
        assert!(Peek::new(&headers).is_none());
    }
}
