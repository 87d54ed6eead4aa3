//! A query's id, as the coordinator makes it.

use std::{fmt, str::FromStr};

/// The most characters of an id; Trino's have 27 (`20250805_101112_00003_abcde`).
const MAX: usize = 47;

/// The id of a query: 1 to 47 letters, digits and `_` (io.trino.spi.QueryId, Trino 476, allows lower case alone). It is
/// no secret, unlike the slug beside it in the URIs of its pages. Small, and copied rather than shared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueryId {
    length: u8,
    text: [u8; MAX],
}

/// The text is no [`QueryId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a query's id is 1 to {MAX} letters, digits and '_'")]
pub struct InvalidQueryId;

impl QueryId {
    /// The last part of the id, which a coordinator chooses at random when it starts and gives to all of its queries
    /// (io.trino.execution.QueryIdGenerator, Trino 476); empty if the id has none.
    pub fn coordinator(&self) -> &str {
        self.as_str().rsplit_once('_').map_or("", |(_, coordinator)| coordinator)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).expect("letters, digits and '_' are UTF-8")
    }
}

impl FromStr for QueryId {
    type Err = InvalidQueryId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let length = u8::try_from(id.len()).map_err(|_| InvalidQueryId)?;
        if !plain || id.is_empty() || id.len() > MAX {
            return Err(InvalidQueryId);
        }
        let mut text = [0; MAX];
        text[..id.len()].copy_from_slice(id.as_bytes());
        Ok(Self { length, text })
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueryId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_trino_makes_and_nothing_that_could_break_a_log() {
        let id: QueryId = "20250805_101112_00003_abcde".parse().unwrap();
        assert_eq!(id.as_str(), "20250805_101112_00003_abcde");
        assert_eq!(id.coordinator(), "abcde");
        assert_eq!("a".parse::<QueryId>().unwrap().coordinator(), "");
        assert_eq!("a".parse::<QueryId>().unwrap().to_string(), "a");
        assert_ne!("a".parse::<QueryId>(), "b".parse());
        for text in ["", "a b", "a\n", "a%0a", "ä", &"a".repeat(48), &"a".repeat(300)] {
            assert_eq!(text.parse::<QueryId>(), Err(InvalidQueryId), "{text}");
        }
    }
}
