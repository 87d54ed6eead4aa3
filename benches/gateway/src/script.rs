//! What a statement asks of the scripted coordinator. It travels in the statement's text, and from then on in the slug
//! of each URI, so that the coordinator keeps nothing between requests.

use std::{fmt, str::FromStr, time::Duration};

/// The answer that a statement wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Script {
    /// How many polls lead to the end.
    pub pages: u32,
    /// Bytes of rows in a unit; of a compressed one, about what it has on the wire.
    pub bytes: usize,
    /// How often the unit of rows stands in each page.
    pub repeat: u32,
    pub gzip: bool,
    /// The size of chunks, or 0 for a body with a `Content-Length`.
    pub chunk: usize,
    /// How long each poll is held before it is answered.
    pub hold: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Self { pages: 1, bytes: 200, repeat: 1, gzip: false, chunk: 0, hold: Duration::ZERO }
    }
}

/// A script that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a script: {0:?}")]
pub struct Error(String);

impl Script {
    /// The statement that asks for it.
    pub fn statement(&self) -> String {
        format!("SELECT * FROM rows -- {self}")
    }

    /// The script in a statement.
    ///
    /// # Errors
    /// When the comment is missing or holds something else.
    pub fn of_statement(statement: &str) -> Result<Self, Error> {
        let (_, words) = statement.split_once("-- ").ok_or_else(|| Error(statement.to_owned()))?;
        words.parse()
    }

    /// The script as a segment of a path.
    pub fn slug(&self) -> String {
        let Self { pages, bytes, repeat, gzip, chunk, hold } = *self;
        format!("y{pages}-{bytes}-{repeat}-{}-{chunk}-{}", u8::from(gzip), hold.as_millis())
    }

    /// The script of such a segment.
    pub fn of_slug(slug: &str) -> Option<Self> {
        let mut numbers = slug.strip_prefix('y')?.split('-').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let script = Self {
            pages: u32::try_from(next()?).ok()?,
            bytes: usize::try_from(next()?).ok()?,
            repeat: u32::try_from(next()?).ok()?,
            gzip: next()? != 0,
            chunk: usize::try_from(next()?).ok()?,
            hold: Duration::from_millis(next()?),
        };
        numbers.next().is_none().then_some(script)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pages, bytes, repeat, gzip, chunk, hold } = *self;
        let gzip = u8::from(gzip);
        let hold = hold.as_millis();
        write!(f, "pages={pages} bytes={bytes} repeat={repeat} gzip={gzip} chunk={chunk} hold={hold}")
    }
}

impl FromStr for Script {
    type Err = Error;

    fn from_str(words: &str) -> Result<Self, Error> {
        let mut script = Self::default();
        for word in words.split_whitespace() {
            let wrong = || Error(word.to_owned());
            let (key, value) = word.split_once('=').ok_or_else(wrong)?;
            let number: u32 = value.parse().map_err(|_| wrong())?;
            match key {
                "pages" => script.pages = number,
                "bytes" => script.bytes = number as usize,
                "repeat" => script.repeat = number,
                "gzip" => script.gzip = number != 0,
                "chunk" => script.chunk = number as usize,
                "hold" => script.hold = Duration::from_millis(number.into()),
                _ => return Err(wrong()),
            }
        }
        Ok(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: Script =
        Script { pages: 4, bytes: 200, repeat: 3, gzip: true, chunk: 32768, hold: Duration::from_millis(1500) };

    #[test]
    fn a_statement_and_a_slug_carry_the_whole_script() {
        assert_eq!(Script::of_statement(&SCRIPT.statement()), Ok(SCRIPT));
        assert_eq!(Script::of_slug(&SCRIPT.slug()), Some(SCRIPT));
    }

    #[test]
    fn what_a_statement_leaves_out_is_the_default() {
        let script = Script::of_statement("SELECT 1 -- pages=4 bytes=100").unwrap();
        assert_eq!(script, Script { pages: 4, bytes: 100, ..Script::default() });
    }

    #[test]
    fn what_is_no_script_is_refused() {
        for statement in ["SELECT 1", "SELECT 1 -- pages", "SELECT 1 -- pages=x", "SELECT 1 -- page=1"] {
            assert!(Script::of_statement(statement).is_err(), "{statement}");
        }
        for slug in ["", "y", "y1-2-3-0-5", "y1-2-3-0-5-6-7", "1-2-3-0-5-6", "y1-2-3-0-5-x"] {
            assert_eq!(Script::of_slug(slug), None, "{slug}");
        }
    }
}
