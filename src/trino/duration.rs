//! Durations as Trino's properties write them.

use std::time::Duration;

/// Reads `5m`, `5.00m` or `300 s` as Trino does (io.airlift.units.Duration); none if it is no duration.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|character: char| character.is_ascii_alphabetic())?;
    let seconds = match &text[unit_at..] {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let number: f64 = text[..unit_at].trim_end().parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_is_a_duration() {
        for (text, seconds) in [("5m", 300), ("5.00m", 300), ("300 s", 300), ("1.5h", 5400), ("2d", 172_800)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("20ms"), Some(Duration::from_millis(20)));
        for text in ["", "5", "m", "5 min", "-5m", "1e400h", "NaNs", "5m "] {
            assert_eq!(parse_duration(text).is_some(), text == "5m ", "{text}");
        }
    }
}
