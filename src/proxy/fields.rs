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
        let mut headers = HeaderMap::new();
        for line in self.0.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r")) {
            let colon = line.iter().position(|byte| *byte == b':').expect("a field");
            let (name, value) = (&line[..colon], &line[colon + 2..]);
            let name = HeaderName::from_bytes(name).expect("a name");
            headers.append(name, HeaderValue::from_bytes(value).expect("a value"));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was_whatever_its_bytes() {
        let value = HeaderValue::from_bytes(b"a\x84\xff: b ").expect("a value");
        let said = HeaderMap::from_iter([(HeaderName::from_static("x-a"), value)]);
        assert_eq!(Fields::of(&said).to_map(), said);
    }
}
