//! Why a statement is not understood. The texts never repeat the statement, for they may reach logs and clients.

/// Why a statement is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("the statement is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("the statement nests deeper than {limit} levels at byte {at}")]
    TooDeep { limit: usize, at: usize },
    #[error("the statement has {what} at byte {at}")]
    Characters { what: &'static str, at: usize },
    #[error("the statement is not what Trino's grammar has at byte {at}")]
    Unexpected { at: usize },
    #[error("the statement ends too early")]
    Ended,
    #[error("the prepared statement is not known to the request")]
    NotPrepared,
    #[error("the prepared statement is compressed, and cannot be read")]
    Packed,
    #[error("a prepared statement executes another one")]
    Nested,
}
