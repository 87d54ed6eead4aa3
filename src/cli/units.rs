//! Values of flags with units and parts: durations, sizes, listeners. Each refusal says what to write.

use std::{net::SocketAddr, time::Duration};

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mend = || format!("{text:?} is no duration: write a number and a unit, as 500ms, 5s or 2m");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| mend())?;
    duration.try_into().map_err(|_| mend())
}

pub(super) fn parse_listener(text: &str) -> Result<(String, SocketAddr), String> {
    let mend = || format!("{text:?} is no listener: write a name, '=' and an address, as bi=0.0.0.0:8081");
    let (name, address) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(mend)?;
    Ok((name.to_owned(), address.parse().map_err(|_| mend())?))
}

pub(super) fn parse_header_size(text: &str) -> Result<u32, String> {
    let size = parse_size(text)?;
    let fits = u32::try_from(size).ok().filter(|size| (8 * 1024..=2 * 1024 * 1024).contains(size));
    fits.ok_or_else(|| format!("{text:?} must be from 8KiB to 2MiB"))
}

pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let mend = || format!("{text:?} is no size: write a number of bytes, or one with KiB, MiB or GiB");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: usize = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "GiB" => 1024 * 1024 * 1024,
        _ => return Err(mend()),
    };
    digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(parse_duration("5").is_err());
        assert!(parse_duration("-5s").is_err());
        assert_eq!(parse_size("1MiB"), Ok(1024 * 1024));
        assert_eq!(parse_size("0"), Ok(0));
        assert!(parse_size("1MB").is_err());
        assert!(parse_size("MiB").is_err());
    }
}
