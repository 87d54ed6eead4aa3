//! Values of the document: durations, sizes, counts and words, each with its bounds.

use std::{fmt, time::Duration};

use serde_json::Value;

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number with a unit, from so many to so many milliseconds.
    Duration(u64, u64),
    /// Bytes, with or without a unit, from so many to so many.
    Size(u64, u64),
    /// A whole number, from one to the other.
    Count(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A time.
    Duration(Duration),
    /// A count, or bytes.
    Number(u64),
    /// A word.
    Word(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration(duration) => write!(f, "{}ms", duration.as_millis()),
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => word.fmt(f),
        }
    }
}

impl Kind {
    /// What fits, in words.
    pub fn expected(&self) -> String {
        match self {
            Self::Duration(least, most) => {
                let (least, most) = (millis_text(*least), millis_text(*most));
                format!("write a number and a unit, such as 500ms, 30s or 2m, from {least} to {most}")
            }
            Self::Size(least, most) => {
                format!(
                    "write a number of bytes, or one with KiB or MiB, from {} to {}",
                    size_text(*least),
                    size_text(*most)
                )
            }
            Self::Count(least, most) => format!("write a whole number from {least} to {most}"),
            Self::Word(words) => format!("write one of {}", words.join(", ")),
        }
    }

    /// The value as a setting.
    ///
    /// # Errors
    /// With what fits, if it does not.
    pub(super) fn read(&self, value: &Value) -> Result<Setting, String> {
        let expected = || self.expected();
        match self {
            Self::Duration(least, most) => {
                let read = value.as_str().and_then(millis);
                let read = read.ok_or_else(|| format!("{value} is no duration; {}", expected()))?;
                let fits = (*least..=*most).contains(&read);
                fits.then(|| Setting::Duration(Duration::from_millis(read)))
                    .ok_or_else(|| format!("{value} is out of bounds; {}", expected()))
            }
            Self::Size(least, most) => {
                let read = value.as_u64().or_else(|| bytes(value.as_str()?));
                read.filter(|read| (*least..=*most).contains(read)).map(Setting::Number).ok_or_else(expected)
            }
            Self::Count(least, most) => {
                let read = value.as_u64().filter(|read| (*least..=*most).contains(read));
                read.map(Setting::Number).ok_or_else(expected)
            }
            // YAML before 1.2 reads a bare `off` as false; both are meant.
            Self::Word(words) => {
                let word = if *value == Value::Bool(false) { Some("off") } else { value.as_str() };
                let known = word.filter(|word| words.contains(word));
                known.map(|word| Setting::Word(word.to_owned())).ok_or_else(expected)
            }
        }
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    Some((digits.parse().ok()?, &text[digits.len()..]))
}

fn millis(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let unit = match unit {
        "" | "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn millis_text(millis: u64) -> String {
    match millis {
        _ if millis >= 3_600_000 && millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis >= 60_000 && millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis >= 1_000 && millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

fn size_text(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1024 * 1024 => format!("{}MiB", bytes / (1024 * 1024)),
        _ if bytes >= 1024 => format!("{}KiB", bytes / 1024),
        _ => bytes.to_string(),
    }
}
