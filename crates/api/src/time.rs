//! Times on this door: RFC 3339 in UTC with microseconds, and the plain number beside it.

use jiff::Timestamp;

/// Microseconds since the epoch; `None` outside of the years 0 to 9999, which RFC 3339 cannot say.
pub(crate) fn rfc3339(microseconds: i64) -> Option<String> {
    let time = Timestamp::from_microsecond(microseconds).ok()?;
    let text = format!("{time:.6}");
    text.starts_with(|c: char| c.is_ascii_digit()).then_some(text)
}

/// Milliseconds since the epoch, likewise.
pub fn rfc3339_ms(milliseconds: u64) -> Option<String> {
    rfc3339(i64::try_from(milliseconds).ok()?.checked_mul(1000)?)
}

/// An RFC 3339 time or whole milliseconds since the epoch, as microseconds.
pub(crate) fn parse(text: &str) -> Result<i64, &'static str> {
    const EXPECTED: &str =
        "expected an RFC 3339 time such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970";
    if let Ok(milliseconds) = text.parse::<i64>() {
        return milliseconds.checked_mul(1000).ok_or("the time is out of range");
    }
    // A plus sign that was not percent-encoded arrives as a space.
    let text = text.replace(' ', "+");
    text.parse::<Timestamp>().map(Timestamp::as_microsecond).map_err(|_| EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_700_000_000_123_456, "2023-11-14T22:13:20.123456Z"),
        ] {
            assert_eq!(rfc3339(us).as_deref(), Some(text));
            assert_eq!(parse(text), Ok(us));
        }
        assert_eq!(parse("1700000000123"), Ok(1_700_000_000_123_000));
        assert_eq!(parse("-1"), Ok(-1000));
        assert_eq!(parse("2023-11-14T23:13:20 01:00"), Ok(1_700_000_000_000_000));
        assert_eq!(rfc3339_ms(1_700_000_000_000).as_deref(), Some("2023-11-14T22:13:20.000000Z"));
    }

    #[test]
    fn what_has_no_text_has_none() {
        for us in [i64::MIN, i64::MAX, 253_402_300_799_999_999, -253_402_300_799_999_999] {
            assert_eq!(rfc3339(us), None);
        }
        assert_eq!(rfc3339_ms(u64::MAX), None);
        for text in ["", "yesterday", "2023-11-14", "2023-11-14T22:13:20", "9223372036854775807", "1.5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
