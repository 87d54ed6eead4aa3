//! The bearer token that opens the admin server's status. Kept in a file, never in a log and never in a message.

use std::path::PathBuf;

use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

/// The most bytes that are read of a token's file.
const MAX_TOKEN: usize = 4096;

/// A bearer token in a file; read each time, so that a rotated Secret takes effect by itself.
#[derive(Clone, Debug)]
pub struct Token {
    file: PathBuf,
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The token is the one in the file.
    Granted,
    /// There is a token, and the request has another one or none.
    Denied,
    /// There is no token, hence nothing to open.
    NoToken,
}

impl Token {
    /// A token in `file`; space around it is ignored. While the file is absent or empty, no request passes.
    pub fn in_file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into() }
    }

    /// Judges the `Authorization` header of a request.
    pub(super) async fn judge(&self, headers: &HeaderMap) -> Verdict {
        let expected = match tokio::fs::read(&self.file).await {
            Ok(bytes) if bytes.len() <= MAX_TOKEN => bytes,
            _ => return Verdict::NoToken,
        };
        let expected = expected.trim_ascii();
        if expected.is_empty() {
            return Verdict::NoToken;
        }
        let given = headers.get(header::AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
        let granted = bearer(given).is_some_and(|given| same(given, expected));
        if granted { Verdict::Granted } else { Verdict::Denied }
    }
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Compares in a time that tells nothing of where two tokens differ, nor of their lengths: by their hashes, to the end.
fn same(given: &[u8], expected: &[u8]) -> bool {
    let (given, expected) = (Sha256::digest(given), Sha256::digest(expected));
    let difference = given.iter().zip(expected.iter()).fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_of_the_bearer_scheme_counts() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b""), None);
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"ab", b"abc"));
        assert!(!same(b"abd", b"abc"));
    }
}
