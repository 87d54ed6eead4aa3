//! A line of the access log: one JSON object, written as it stands. A serializer would look at each character of each
//! name, which costs a request more than all that the line says (docs/performance.md).

use super::clock;

/// How a member of the object begins, behind another one.
macro_rules! member {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use member;

/// A line that is being written.
pub(super) struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    /// Begins a line with the time, and the id of the request.
    pub(super) fn begin(text: &'a mut Vec<u8>, id: u64) -> Self {
        text.extend_from_slice(b"{\"time\":\"");
        clock::write_now(text);
        text.extend_from_slice(b"\",\"request\":\"");
        let mut digits = [0; 16];
        hex::encode_to_slice(id.to_be_bytes(), &mut digits).expect("eight bytes are sixteen digits");
        text.extend_from_slice(&digits);
        text.push(b'"');
        Self(text)
    }

    /// Adds a member whose text JSON would not write otherwise.
    pub(super) fn word(&mut self, member: &'static str, word: &str) {
        self.0.extend_from_slice(member.as_bytes());
        self.0.push(b'"');
        self.0.extend_from_slice(word.as_bytes());
        self.0.push(b'"');
    }

    /// Adds a member if there is a text for it.
    pub(super) fn text(&mut self, member: &'static str, text: Option<&str>) {
        let Some(text) = text else { return };
        if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@')) {
            self.word(member, text);
        } else {
            self.0.extend_from_slice(member.as_bytes());
            serde_json::to_writer(&mut *self.0, text).expect("a text is JSON");
        }
    }

    /// Adds a member if there is a number for it.
    pub(super) fn number(&mut self, member: &'static str, number: Option<u64>) {
        let Some(number) = number else { return };
        self.0.extend_from_slice(member.as_bytes());
        serde_json::to_writer(&mut *self.0, &number).expect("a number is JSON");
    }

    /// Ends the line.
    pub(super) fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_whatever_is_in_it() {
        let mut text = Vec::new();
        let mut line = Line::begin(&mut text, 0x0123_4567_89ab_cdef);
        line.word(member!("kind"), "poll");
        line.text(member!("cluster"), Some("blue-1"));
        line.text(member!("user"), Some("a \"b\"\n\\ü"));
        line.text(member!("rule"), None);
        line.number(member!("status"), Some(200));
        line.number(member!("first_byte_ms"), None);
        line.end();
        assert_eq!(text.pop(), Some(b'\n'));
        let object: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert!(object["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        let rest = serde_json::json!({
            "time": object["time"], "request": "0123456789abcdef", "kind": "poll", "cluster": "blue-1",
            "user": "a \"b\"\n\\ü", "status": 200,
        });
        assert_eq!(object, rest);
    }
}
