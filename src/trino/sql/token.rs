//! Trino's lexical rules: words, quoted names, literals, symbols; comments and white space are dropped.
//!
//! Follows the lexer rules of `SqlBase.g4` (trino-grammar 476). It looks at bytes as they come and keeps a few tokens
//! ahead at most, so its memory does not grow with the statement.

use std::collections::VecDeque;

use super::error::Error;

/// What a token is. Literals are not told apart: no decision stands on what they say, but for [`Kind::String`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or an unquoted name.
    Word,
    /// A name in double quotes, which are part of the token's text.
    Quoted,
    /// A text in single quotes, which are part of the token's text.
    String,
    Number,
    /// One byte of ASCII punctuation. Operators of several bytes come as several symbols.
    Symbol(u8),
    End,
    /// Something that no statement of Trino contains; whoever consumes it gets the error.
    Bad(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Bytes before it.
    pub at: usize,
}

impl Token<'_> {
    /// Whether it is this keyword, which is given in upper case.
    pub fn is(self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    pub fn is_any(self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    pub fn is_symbol(self, symbol: u8) -> bool {
        self.kind == Kind::Symbol(symbol)
    }

    /// Whether a name may stand here: a quoted one, or a word that is not reserved.
    pub fn is_name(self) -> bool {
        match self.kind {
            Kind::Quoted => true,
            Kind::Word => !is_reserved(self.text),
            _ => false,
        }
    }

    /// The name as Trino compares it: without quotes, in lower case, whether quoted or not (`QualifiedName`).
    pub fn name(self) -> String {
        match self.kind {
            Kind::Quoted => self.unquoted().to_lowercase(),
            _ => self.text.to_ascii_lowercase(),
        }
    }

    /// The text between the quotes, with doubled quotes made single.
    pub fn unquoted(self) -> String {
        let quote = &self.text[..1];
        let inner = &self.text[1..self.text.len() - 1];
        inner.replace(&quote.repeat(2), quote)
    }
}

/// The keywords that Trino 476 takes for no name (`SqlBase.g4` but for its rule `nonReserved`), sorted. TRIM and JSON_VALUE
/// are among them; LIMIT, OFFSET, FETCH, WINDOW and LATERAL are not.
const RESERVED: &[&str] = &[
    "ALTER",
    "AND",
    "AS",
    "AUTO",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CONSTRAINT",
    "CREATE",
    "CROSS",
    "CUBE",
    "CURRENT_CATALOG",
    "CURRENT_DATE",
    "CURRENT_PATH",
    "CURRENT_ROLE",
    "CURRENT_SCHEMA",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "DEALLOCATE",
    "DELETE",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXISTS",
    "EXTRACT",
    "FALSE",
    "FOR",
    "FROM",
    "FULL",
    "GROUP",
    "GROUPING",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "JSON_ARRAY",
    "JSON_EXISTS",
    "JSON_OBJECT",
    "JSON_QUERY",
    "JSON_TABLE",
    "JSON_VALUE",
    "LEFT",
    "LIKE",
    "LISTAGG",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "NATURAL",
    "NORMALIZE",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "PREPARE",
    "RECURSIVE",
    "RIGHT",
    "ROLLUP",
    "SELECT",
    "SKIP",
    "TABLE",
    "THEN",
    "TRIM",
    "TRUE",
    "UESCAPE",
    "UNION",
    "UNNEST",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// The longest of [`RESERVED`].
const LONGEST_RESERVED: usize = 17;

fn is_reserved(word: &str) -> bool {
    word.len() <= LONGEST_RESERVED && RESERVED.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

/// A statement's tokens, of which any few may be looked at before they are taken.
pub(super) struct Tokens<'a> {
    sql: &'a str,
    /// Bytes that were made into tokens.
    read: usize,
    ahead: VecDeque<Token<'a>>,
}

impl<'a> Tokens<'a> {
    pub fn new(sql: &'a str) -> Self {
        Self { sql, read: 0, ahead: VecDeque::new() }
    }

    /// The token that [`Tokens::next`] will return after `skipped` others.
    pub fn peek(&mut self, skipped: usize) -> Token<'a> {
        while self.ahead.len() <= skipped {
            let token = self.lex();
            self.ahead.push_back(token);
        }
        self.ahead[skipped]
    }

    /// The next token; [`Kind::End`] again and again at the end.
    pub fn next(&mut self) -> Result<Token<'a>, Error> {
        let token = self.ahead.pop_front().unwrap_or_else(|| self.lex());
        match token.kind {
            Kind::Bad(what) => Err(Error::Characters { what, at: token.at }),
            _ => Ok(token),
        }
    }

    /// Takes the next token if it is this keyword, and says whether it was.
    pub fn take(&mut self, keyword: &str) -> Result<bool, Error> {
        let is_it = self.peek(0).is(keyword);
        if is_it {
            self.next()?;
        }
        Ok(is_it)
    }

    fn lex(&mut self) -> Token<'a> {
        let unclosed_comment = self.skip_blank();
        let at = self.read;
        let rest = &self.sql.as_bytes()[at..];
        let (kind, length) = match rest.first() {
            _ if unclosed_comment => (Kind::Bad("an unclosed comment"), rest.len()),
            None => (Kind::End, 0),
            Some(b'\'') => quoted(rest, Kind::String),
            Some(b'"') => quoted(rest, Kind::Quoted),
            Some(b'$') if rest.starts_with(b"$$") => dollars(rest),
            Some(b'0'..=b'9') => number(rest),
            Some(b'.') if rest.get(1).is_some_and(u8::is_ascii_digit) => number(rest),
            Some(byte) if is_word_byte(*byte) => (Kind::Word, run(rest, is_word_byte)),
            Some(byte) if byte.is_ascii_punctuation() && !b"`#@\\~".contains(byte) => (Kind::Symbol(*byte), 1),
            Some(b'@') => (Kind::Symbol(b'@'), 1),
            Some(_) => (Kind::Bad("a character that only quotes may hold"), rest.len()),
        };
        self.read += length;
        Token { kind, text: &self.sql[at..self.read], at }
    }

    /// Skips white space and comments, which do not nest in Trino. Says whether a comment has no end.
    fn skip_blank(&mut self) -> bool {
        loop {
            let rest = &self.sql.as_bytes()[self.read..];
            self.read += match rest {
                [b' ' | b'\t' | b'\r' | b'\n', ..] => run(rest, |byte| b" \t\r\n".contains(&byte)),
                [b'-', b'-', ..] => run(rest, |byte| byte != b'\n' && byte != b'\r'),
                [b'/', b'*', ..] => match self.sql[self.read + 2..].find("*/") {
                    Some(length) => length + 4,
                    None => return true,
                },
                _ => return false,
            };
        }
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// How many bytes from the first on are such.
fn run(bytes: &[u8], such: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !such(*byte)).unwrap_or(bytes.len())
}

/// A token between two quotes; a doubled quote stands for one.
fn quoted(rest: &[u8], kind: Kind) -> (Kind, usize) {
    let quote = rest[0];
    let mut length = 1;
    loop {
        length += run(&rest[length..], |byte| byte != quote);
        match rest.get(length..length + 2) {
            Some([_, next]) if *next == quote => length += 2,
            _ if length == rest.len() => return (Kind::Bad("unclosed quotes"), length),
            _ => return (kind, length + 1),
        }
    }
}

/// The source of a Python function between `$$`, which newer versions take.
fn dollars(rest: &[u8]) -> (Kind, usize) {
    match rest[2..].windows(2).position(|pair| pair == b"$$") {
        Some(length) => (Kind::String, length + 4),
        None => (Kind::Bad("unclosed quotes"), rest.len()),
    }
}

/// As in Trino the longest match counts: `1.FROM` is a number and a keyword, `1e5` a number, `1abc` a name that Trino
/// refuses.
fn number(rest: &[u8]) -> (Kind, usize) {
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    let mut length = run(rest, is_digit);
    if rest.get(length) == Some(&b'.') {
        length += 1 + run(&rest[length + 1..], is_digit);
    }
    if let Some(b'e' | b'E') = rest.get(length) {
        let sign = usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
        let digits = run(&rest[length + 1 + sign..], |byte| byte.is_ascii_digit());
        length += if digits > 0 { 1 + sign + digits } else { 0 };
    }
    let word = run(rest, is_word_byte);
    let other_base = word > 2 && matches!(rest[1], b'x' | b'X' | b'o' | b'O' | b'b' | b'B') && rest[0] == b'0';
    if word > length && !other_base {
        return (Kind::Bad("a name that begins with a digit"), rest.len());
    }
    (Kind::Number, length.max(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        let mut tokens = Tokens::new(sql);
        std::iter::from_fn(|| tokens.next().ok().filter(|token| token.kind != Kind::End)).map(|t| t.text).collect()
    }

    #[test]
    fn comments_and_white_space_are_no_tokens() {
        assert_eq!(texts("a -- b\nc /* d /* e */ f\t--"), ["a", "c", "f"]);
        assert_eq!(texts("--\r\na"), ["a"]);
    }

    #[test]
    fn quotes_hold_anything() {
        assert_eq!(
            texts("'it''s -- no' \"a\"\"b\" U&'x' $$ 'py' $$"),
            ["'it''s -- no'", "\"a\"\"b\"", "U", "&", "'x'", "$$ 'py' $$"]
        );
        assert_eq!(Tokens::new("\"A\"\"ß\"").peek(0).name(), "a\"ß");
    }

    #[test]
    fn numbers_end_where_they_end_in_trino() {
        assert_eq!(
            texts("1.FROM .5FROM 1e5 1.5E-3 0xFF 1_000 1.e"),
            ["1.", "FROM", ".5", "FROM", "1e5", "1.5E-3", "0xFF", "1_000", "1.", "e"]
        );
    }

    #[test]
    fn what_trino_refuses_is_an_error_where_it_is_consumed() {
        for sql in ["'a", "\"a", "/* a", "1abc", "`a`", "ä", "\u{a0}", "a\0", "$$ a"] {
            let mut tokens = Tokens::new(sql);
            let error = std::iter::repeat_with(|| tokens.next()).take(3).find_map(Result::err);
            assert!(matches!(error, Some(Error::Characters { .. })), "{sql:?}");
        }
    }

    #[test]
    fn reserved_words_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted());
        assert_eq!(RESERVED.iter().map(|word| word.len()).max(), Some(LONGEST_RESERVED));
        assert!(Tokens::new("limit").peek(0).is_name() && !Tokens::new("where").peek(0).is_name());
        assert!(Tokens::new("\"where\"").peek(0).is_name());
    }
}
