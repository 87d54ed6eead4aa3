//! The time of day for lines that are written often.

use std::{cell::RefCell, fmt::Write as _};

use jiff::Timestamp;

thread_local! {
    /// The second that was written last, and its text: most lines are of the same one.
    static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// The time now in UTC, to the millisecond: `2026-01-31T12:30:00.250Z`.
pub(super) fn now() -> String {
    text(Timestamp::now())
}

fn text(now: Timestamp) -> String {
    // From the beginning of its second on, before 1970 too.
    let (second, nanos) =
        (now.as_nanosecond().div_euclid(1_000_000_000), now.as_nanosecond().rem_euclid(1_000_000_000));
    let second = i64::try_from(second).unwrap_or_default();
    LAST.with_borrow_mut(|(last, text)| {
        if *last != second || text.is_empty() {
            text.clear();
            let whole = Timestamp::from_second(second).unwrap_or_default();
            // What writes to a String does not fail.
            let _ = write!(text, "{whole:.0}");
            text.pop(); // the Z
            *last = second;
        }
        let mut line = String::with_capacity(text.len() + 5);
        line.push_str(text);
        let _ = write!(line, ".{:03}Z", nanos / 1_000_000);
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_it_is_known() {
        for (now, expected) in [
            ("2026-01-31T12:30:00.2501Z", "2026-01-31T12:30:00.250Z"),
            ("2026-01-31T12:30:00.999999Z", "2026-01-31T12:30:00.999Z"),
            ("2026-01-31T12:30:01Z", "2026-01-31T12:30:01.000Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
        ] {
            assert_eq!(text(now.parse().expect("a time")), expected);
        }
    }
}
