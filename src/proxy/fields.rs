//! The header fields of a request to a coordinator, as they are written: no map of them is made and changed for each request.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

/// Field lines, each with its end. How the body ends is not among them: whoever writes the body says that.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<u8>);

impl Fields {
    /// None, with room for what most requests have.
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(1024))
    }

    /// All of `headers`.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut fields = Self::new();
        for (name, value) in headers {
            fields.add(name, value);
        }
        fields
    }

    /// One more, behind the others.
    pub(super) fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        if name == CONTENT_LENGTH || name == TRANSFER_ENCODING {
            return;
        }
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            self.0.extend_from_slice(part);
        }
    }

    /// As they go over the wire.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As who reads them will see them.
    #[cfg(any(test, fuzzing))]
    pub(super) fn to_map(&self) -> HeaderMap {
        let text = std::str::from_utf8(&self.0).expect("tests write text");
        let line = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a field");
            (name.parse::<HeaderName>().expect("a name"), value.parse::<HeaderValue>().expect("a value"))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in text.split_terminator("\r\n").map(line) {
            headers.append(name, value);
        }
        headers
    }
}
