//! What generator and coordinator need of HTTP/1.1 (RFC 9112): the end of a head, its fields, and the chunked coding.
//! Written for speed and for the messages that occur here, not for hostile ones.

/// The most bytes of a head that are waited for.
pub const MAX_HEAD: usize = 16 * 1024;

/// Where the head ends, its empty line included; none while that is still to come.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The head of a message.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    text: &'a str,
}

impl<'a> Head<'a> {
    /// The head in `bytes`, which end with its empty line; none if it is no text.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { text: std::str::from_utf8(bytes).ok()? })
    }

    /// The three words of the first line.
    pub fn start(&self) -> Option<(&'a str, &'a str, &'a str)> {
        let mut words = self.text.split("\r\n").next()?.splitn(3, ' ');
        Some((words.next()?, words.next()?, words.next().unwrap_or_default()))
    }

    /// The first field of that name, whatever its case.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.text.split("\r\n").skip(1).find_map(|line| {
            // The name alone is compared before anything is split: most lines are another field.
            let end = name.len();
            let is_it = line.as_bytes().get(end) == Some(&b':') && line.get(..end)?.eq_ignore_ascii_case(name);
            is_it.then(|| line[end + 1..].trim())
        })
    }

    /// How long the body is, unless it comes in chunks or there is none.
    pub fn content_length(&self) -> Option<u64> {
        self.field("content-length")?.parse().ok()
    }

    pub fn is_chunked(&self) -> bool {
        self.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    }
}

/// The chunked coding, undone as bytes come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the line that tells a chunk's size.
    Size {
        size: u64,
        extension: bool,
    },
    /// In a chunk, with so many bytes to come.
    Data(u64),
    /// In the line end after a chunk.
    AfterData,
    /// In the lines after the last chunk; how many bytes the line has.
    Trailer {
        line: u32,
    },
    Ended,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { size: 0, extension: false }
    }
}

/// Bytes that are no chunks.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunked coding is broken")]
pub struct Broken;

impl Chunks {
    /// Whether the body is complete.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Takes in the next bytes, and hands what of them is content to `content`. Returns how many belong to the body:
    /// all, unless it ends before.
    ///
    /// # Errors
    /// When they are no chunks.
    pub fn take(&mut self, bytes: &[u8], mut content: impl FnMut(&[u8])) -> Result<usize, Broken> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Ended {
            if let State::Data(left) = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                content(&bytes[at..at + here]);
                at += here;
                let left = left - here as u64;
                self.state = if left == 0 { State::AfterData } else { State::Data(left) };
                continue;
            }
            self.state = self.state.after(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }
}

impl State {
    /// The state after one byte outside a chunk's data.
    fn after(self, byte: u8) -> Result<Self, Broken> {
        Ok(match (self, byte) {
            (Self::Size { size: 0, .. }, b'\n') => Self::Trailer { line: 0 },
            (Self::Size { size, .. }, b'\n') => Self::Data(size),
            (Self::Size { size, extension }, b'\r') => Self::Size { size, extension },
            (Self::Size { size, .. }, b';') | (Self::Size { size, extension: true }, _) => {
                Self::Size { size, extension: true }
            }
            (Self::Size { size, extension: false }, digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(Broken)?;
                let size = size.checked_mul(16).ok_or(Broken)? + u64::from(digit);
                Self::Size { size, extension: false }
            }
            (Self::AfterData, b'\r') => Self::AfterData,
            (Self::AfterData, b'\n') => Self::default(),
            (Self::Trailer { line: 0 }, b'\n') => Self::Ended,
            (Self::Trailer { line }, b'\r') => Self::Trailer { line },
            (Self::Trailer { .. }, b'\n') => Self::Trailer { line: 0 },
            (Self::Trailer { line }, _) => Self::Trailer { line: line + 1 },
            (Self::AfterData | Self::Data(_) | Self::Ended, _) => return Err(Broken),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"5\r\nhello\r\n00A;x=1\r\n, 10 bytes\r\n0\r\nTrailer: 1\r\n\r\nnext";
    const CONTENT: &[u8] = b"hello, 10 bytes";

    #[test]
    fn chunks_are_undone_wherever_the_bytes_are_cut() {
        for cut in 0..CHUNKED.len() {
            let mut chunks = Chunks::default();
            let mut content = Vec::new();
            let mut taken = 0;
            for part in [&CHUNKED[..cut], &CHUNKED[cut..]] {
                taken += chunks.take(part, |bytes| content.extend_from_slice(bytes)).unwrap();
            }
            assert!(chunks.ended(), "cut at {cut}");
            assert_eq!(content, CONTENT, "cut at {cut}");
            assert_eq!(&CHUNKED[taken..], b"next", "cut at {cut}");
        }
    }

    #[test]
    fn a_body_without_its_last_chunk_has_not_ended() {
        let mut chunks = Chunks::default();
        assert_eq!(chunks.take(b"5\r\nhello\r\n0\r\n", |_| {}), Ok(13));
        assert!(!chunks.ended());
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for bytes in [&b"hello"[..], b"1\r\nabc", b"fffffffffffffffff\r\n"] {
            assert_eq!(Chunks::default().take(bytes, |_| {}), Err(Broken));
        }
    }

    #[test]
    fn fields_are_found_whatever_their_case() {
        let bytes = b"GET /a HTTP/1.1\r\nHost: x:1\r\nX-Forwarded-Host:y\r\nCONTENT-LENGTH: 12 \r\n\r\nbody";
        let head = Head::new(&bytes[..head_end(bytes).unwrap()]).unwrap();
        assert_eq!(head.start(), Some(("GET", "/a", "HTTP/1.1")));
        assert_eq!(head.field("host"), Some("x:1"));
        assert_eq!(head.field("x-forwarded-host"), Some("y"));
        assert_eq!(head.content_length(), Some(12));
        assert_eq!(head.field("x-forwarded"), None);
        assert!(!head.is_chunked());
    }

    #[test]
    fn a_head_without_its_empty_line_has_no_end() {
        assert_eq!(head_end(b"HTTP/1.1 200 OK\r\nA: b\r\n"), None);
        assert_eq!(head_end(b"HTTP/1.1 200 OK\r\n\r\nx"), Some(19));
    }
}
