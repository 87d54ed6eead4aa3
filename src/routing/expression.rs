//! The expression of a rule: CEL, compiled once.

/// Why an expression cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ExpressionError {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Expression {}

impl Expression {
    /// Compiles `source`.
    pub(super) fn compile(source: &str) -> Result<Self, ExpressionError> {
        let message = format!("rules are not evaluated yet: {source:?}");
        Err(ExpressionError { line: 1, column: 1, message })
    }

    /// Whether it looks at the statement.
    #[expect(clippy::unused_self, reason = "none compiles yet")]
    pub(super) fn reads_sql(&self) -> bool {
        false
    }
}
