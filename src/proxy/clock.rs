//! The time of day for lines that are written often.

use std::{cell::RefCell, fmt::Write as _};

use bytes::BytesMut;
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};

thread_local! {
    /// The second that was written last, and its text: most lines are of the same one.
    static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    /// The same of the last `date`.
    static DATE: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// Appends the time now in UTC, to the millisecond: `2026-01-31T12:30:00.250Z`.
pub(super) fn write_now(line: &mut Vec<u8>) {
    write(line, Timestamp::now());
}

fn write(line: &mut Vec<u8>, now: Timestamp) {
    // From the beginning of its second on, before 1970 too.
    let (second, millis) = (now.as_millisecond().div_euclid(1000), now.as_millisecond().rem_euclid(1000));
    LAST.with_borrow_mut(|(last, text)| {
        if *last != second || text.is_empty() {
            text.clear();
            let whole = Timestamp::from_second(second).unwrap_or_default();
            // What writes to a String does not fail.
            let _ = write!(text, "{whole:.0}");
            text.pop(); // the Z
            *last = second;
        }
        line.extend_from_slice(text.as_bytes());
    });
    let digit = |of: i64| b"0123456789"[usize::try_from(millis / of % 10).unwrap_or_default()];
    line.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b'Z']);
}

/// Appends the field `date` with the time now, to the second.
pub(super) fn write_date(head: &mut BytesMut) {
    let now = Timestamp::now();
    DATE.with_borrow_mut(|(last, line)| {
        if *last != now.as_second() || line.is_empty() {
            line.clear();
            // What writes to a String does not fail, and the year has four digits.
            let _ = write!(line, "date: ");
            let _ = DateTimePrinter::new().print_timestamp_rfc9110(&now, &mut *line);
            line.push_str("\r\n");
            *last = now.as_second();
        }
        head.extend_from_slice(line.as_bytes());
    });
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
            let mut line = Vec::new();
            write(&mut line, now.parse().expect("a time"));
            assert_eq!(String::from_utf8(line).as_deref(), Ok(expected));
        }
    }
}
