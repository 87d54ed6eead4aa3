//! For coordinators that do not build their URIs from forwarded headers: the URIs in their pages are led back through
//! the gateway while the pages stream by. Nothing else of a page is changed, and no row of it is looked at.

use bytes::{Bytes, BytesMut};

/// The longest URI that is looked at; Trino's have some hundred characters.
const MAX_URI: usize = 8 * 1024;

/// The longest name of a member that matters here is `partialCancelUri`.
const MAX_NAME: usize = 32;

/// What the URIs of a coordinator become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lead {
    /// Scheme and authority of the coordinator's own URIs: `http://10.0.0.1:8080`. Others are left alone, those of
    /// segments in an object store for one.
    pub from: String,
    /// What stands in their place: `https://trino.example.com/c/blue`.
    pub to: String,
}

impl Lead {
    /// `uri` as it leads through the gateway; none if it is no URI of the coordinator's.
    pub(super) fn led(&self, uri: &str) -> Option<String> {
        let path = uri.strip_prefix(&self.from).filter(|path| path.is_empty() || path.starts_with('/'))?;
        Some(format!("{}{path}", self.to))
    }
}

/// Reads a page of results as far as its rows, and replaces the coordinator's URIs in it.
///
/// They stand in members of the outermost object, before `data`, or, for spooled results, in `data.segments`
/// (io.trino.client.QueryResults and io.trino.client.spooling.Segment, Trino 476).
#[derive(Debug)]
pub(super) struct Rewriter {
    lead: Lead,
    /// The open objects and arrays around the place that is read.
    open: Vec<Open>,
    text: Text,
    /// The rows have begun, or this is no JSON: the rest passes.
    done: bool,
}

#[derive(Debug)]
enum Open {
    Object {
        /// The member whose value is read; cut off where it cannot matter any more.
        name: Vec<u8>,
        /// Whether the next string is a value.
        at_value: bool,
    },
    Array,
}

/// The string that is read.
#[derive(Debug)]
enum Text {
    Outside,
    Name {
        escaped: bool,
    },
    /// A URI: held back until its end.
    Uri {
        held: Vec<u8>,
        escaped: bool,
    },
    Other {
        escaped: bool,
    },
}

impl Rewriter {
    pub(super) fn new(lead: Lead) -> Self {
        Self { lead, open: Vec::new(), text: Text::Outside, done: false }
    }

    /// The next piece as it goes on to the client. What could be the beginning of a URI comes with a later piece.
    pub(super) fn feed(&mut self, piece: &Bytes) -> Bytes {
        if self.done {
            return piece.clone();
        }
        let mut out = BytesMut::with_capacity(piece.len() + 256);
        for (at, &byte) in piece.iter().enumerate() {
            if self.done {
                out.extend_from_slice(&piece[at..]);
                break;
            }
            self.read(byte, &mut out);
        }
        out.freeze()
    }

    /// What was held back when the page ended in the middle of a URI.
    pub(super) fn finish(&mut self) -> Bytes {
        match std::mem::replace(&mut self.text, Text::Outside) {
            Text::Uri { held, .. } => Bytes::from(held),
            _ => Bytes::new(),
        }
    }

    fn read(&mut self, byte: u8, out: &mut BytesMut) {
        match &mut self.text {
            Text::Outside => self.read_outside(byte, out),
            Text::Name { escaped } => {
                out.extend_from_slice(&[byte]);
                if ends(byte, escaped) {
                    self.text = Text::Outside;
                } else if let Some(Open::Object { name, .. }) = self.open.last_mut()
                    && name.len() < MAX_NAME
                {
                    name.push(byte);
                }
            }
            Text::Other { escaped } => {
                out.extend_from_slice(&[byte]);
                if ends(byte, escaped) {
                    self.text = Text::Outside;
                }
            }
            Text::Uri { held, escaped } => {
                if ends(byte, escaped) {
                    let uri = std::str::from_utf8(held).ok().and_then(|uri| self.lead.led(uri));
                    out.extend_from_slice(uri.as_deref().map_or(held.as_slice(), str::as_bytes));
                    out.extend_from_slice(&[byte]);
                    self.text = Text::Outside;
                    return;
                }
                held.push(byte);
                if held.len() >= MAX_URI {
                    out.extend_from_slice(held);
                    let escaped = *escaped;
                    self.text = Text::Other { escaped };
                }
            }
        }
    }

    fn read_outside(&mut self, byte: u8, out: &mut BytesMut) {
        out.extend_from_slice(&[byte]);
        match byte {
            b'"' => self.text = self.begin_text(),
            b'{' => self.open.push(Open::Object { name: Vec::new(), at_value: false }),
            // The rows: an array where spooled results have an object.
            b'[' if self.path() == ["data"] => self.done = true,
            b'[' => self.open.push(Open::Array),
            b'}' | b']' => {
                self.open.pop();
                self.done = self.open.is_empty();
            }
            b':' | b',' => {
                if let Some(Open::Object { name, at_value }) = self.open.last_mut() {
                    *at_value = byte == b':';
                    if byte == b',' {
                        name.clear();
                    }
                }
            }
            // Whoever nests deeper than this answers no query.
            _ => self.done = self.open.len() > 64 || (self.open.is_empty() && !byte.is_ascii_whitespace()),
        }
    }

    fn begin_text(&self) -> Text {
        match self.open.last() {
            Some(Open::Object { at_value: false, .. }) => Text::Name { escaped: false },
            Some(Open::Object { .. }) if self.is_uri() => Text::Uri { held: Vec::new(), escaped: false },
            _ => Text::Other { escaped: false },
        }
    }

    fn is_uri(&self) -> bool {
        let path = self.path();
        matches!(path[..], ["infoUri" | "partialCancelUri" | "nextUri"] | ["data", "segments", "uri" | "ackUri"])
    }

    /// The names of the members that lead to the place that is read.
    fn path(&self) -> Vec<&str> {
        let names = self.open.iter().filter_map(|open| match open {
            Open::Object { name, .. } => Some(std::str::from_utf8(name).unwrap_or_default()),
            Open::Array => None,
        });
        names.collect()
    }
}

/// Whether `byte` ends the string in which it stands.
fn ends(byte: u8, escaped: &mut bool) -> bool {
    let ends = byte == b'"' && !*escaped;
    *escaped = byte == b'\\' && !*escaped;
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead() -> Lead {
        Lead { from: "http://10.0.0.1:8080".to_owned(), to: "https://trino.example.com/c/blue".to_owned() }
    }

    fn rewritten(page: &str, size: usize) -> String {
        let mut rewriter = Rewriter::new(lead());
        let mut out = Vec::new();
        for piece in page.as_bytes().chunks(size) {
            out.extend_from_slice(&rewriter.feed(&Bytes::copy_from_slice(piece)));
        }
        out.extend_from_slice(&rewriter.finish());
        String::from_utf8(out).unwrap()
    }

    fn becomes(page: &str, expected: &str) {
        for size in [1, 2, 7, 64, page.len()] {
            assert_eq!(rewritten(page, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn the_uris_of_a_page_lead_through_the_gateway_and_its_rows_stay() {
        becomes(
            r#"{"id":"q","infoUri":"http://10.0.0.1:8080/ui/query.html?q","partialCancelUri":"http://10.0.0.1:8080/v1/statement/executing/partialCancel/q/0/y/1","nextUri":"http://10.0.0.1:8080/v1/statement/executing/q/y/1","columns":[{"name":"nextUri","type":"varchar"}],"data":[["http://10.0.0.1:8080/x",12345678901234567890.5],[{"nextUri":"http://10.0.0.1:8080/x"}]],"nextUri":"http://10.0.0.1:8080/late"}"#,
            r#"{"id":"q","infoUri":"https://trino.example.com/c/blue/ui/query.html?q","partialCancelUri":"https://trino.example.com/c/blue/v1/statement/executing/partialCancel/q/0/y/1","nextUri":"https://trino.example.com/c/blue/v1/statement/executing/q/y/1","columns":[{"name":"nextUri","type":"varchar"}],"data":[["http://10.0.0.1:8080/x",12345678901234567890.5],[{"nextUri":"http://10.0.0.1:8080/x"}]],"nextUri":"http://10.0.0.1:8080/late"}"#,
        );
    }

    #[test]
    fn segments_at_the_coordinator_are_led_and_those_in_a_store_are_not() {
        becomes(
            r#"{"id":"q","columns":[{"name":"a"}], "data" : {"encoding":"json","metadata":{"uri":"http://10.0.0.1:8080/m"},"segments":[{"type":"spooled","uri":"http://10.0.0.1:8080/v1/spooled/download/x","ackUri":"http://10.0.0.1:8080/v1/spooled/ack/x","headers":{"uri":["http://10.0.0.1:8080/h"]}},{"type":"spooled","uri":"https://s3.example.com/b?sig=1","ackUri":"http://10.0.0.1:8080/v1/spooled/ack/y"},{"type":"inline","data":"W1sxXV0="}]},"stats":{"nextUri":"http://10.0.0.1:8080/no"}}"#,
            r#"{"id":"q","columns":[{"name":"a"}], "data" : {"encoding":"json","metadata":{"uri":"http://10.0.0.1:8080/m"},"segments":[{"type":"spooled","uri":"https://trino.example.com/c/blue/v1/spooled/download/x","ackUri":"https://trino.example.com/c/blue/v1/spooled/ack/x","headers":{"uri":["http://10.0.0.1:8080/h"]}},{"type":"spooled","uri":"https://s3.example.com/b?sig=1","ackUri":"https://trino.example.com/c/blue/v1/spooled/ack/y"},{"type":"inline","data":"W1sxXV0="}]},"stats":{"nextUri":"http://10.0.0.1:8080/no"}}"#,
        );
    }

    #[test]
    fn what_is_not_the_coordinators_or_no_page_stays_as_it_is() {
        let long = format!(r#"{{"id":"q","nextUri":"http://10.0.0.1:8080/{}"}}"#, "x".repeat(9000));
        for same in [
            r#"{"nextUri":"http://10.0.0.1:80801/x"}"#,
            r#"{"nextUri":"http://10.0.0.1:8080.evil/x"}"#,
            r#"{"nextUri":null,"a":"\"nextUri\":\"http://10.0.0.1:8080/x"}"#,
            r#"{"n\"extUri":"http://10.0.0.1:8080/x"}"#,
            r#"{"nextUri":"http://10.0.0.1:8080/cut"#,
            r#"["http://10.0.0.1:8080/x"]"#,
            "<html>\"nextUri\":\"http://10.0.0.1:8080/x\"",
            "}{]",
            "",
            &long,
        ] {
            for size in [1, 5, 10_000] {
                assert_eq!(rewritten(same, size), *same);
            }
        }
    }
}
