//! Durations as specs write them: a number and a unit.

use std::time::Duration;

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration: write a number and a unit, such as 90s, 10m or 1h")]
pub struct InvalidDuration(pub String);

/// A field that is no duration; admission lets none such pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("spec.{field}: {fault}")]
pub struct InvalidField {
    /// Its path below `spec`.
    pub field: &'static str,
    /// What is wrong.
    pub fault: InvalidDuration,
}

/// Reads the duration in `field`; `default` where it is left out.
///
/// # Errors
/// When it is none; the message names the field.
pub fn duration_field(field: &'static str, text: Option<&str>, default: Duration) -> Result<Duration, InvalidField> {
    text.map_or(Ok(default), parse_duration).map_err(|fault| InvalidField { field, fault })
}

/// Reads `90s`, `10m` or `1h`.
///
/// # Errors
/// For anything else; the message says what to write.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration(text.to_owned());
    let seconds_per_unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        _ => return Err(invalid()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| invalid())?;
    number.checked_mul(seconds_per_unit).map(Duration::from_secs).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_is_a_duration() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("10m", 600), ("1h", 3600)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "s", "10", "1d", "-1s", "1.5h", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
