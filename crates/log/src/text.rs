//! Times, numbers and foreign text as a report shows them.

/// Microseconds since 1970 as RFC 3339 in UTC, with as many digits of the second as it needs.
pub(crate) fn utc(microseconds: i64) -> String {
    let (seconds, fraction) = (microseconds.div_euclid(1_000_000), microseconds.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let fraction = match fraction {
        0 => String::new(),
        _ if fraction % 1000 == 0 => format!(".{:03}", fraction / 1000),
        _ => format!(".{fraction:06}"),
    };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Milliseconds since 1970, likewise.
pub(crate) fn utc_ms(milliseconds: u64) -> String {
    utc(i64::try_from(milliseconds).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// Days since 1970 to year, month, day of the proleptic Gregorian calendar: Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // since 0000-03-01
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153; // March is 0
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The shortest decimal that reads back as this number, with an exponent where plain digits would be many.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-5..1e16).contains(&size) { value.to_string() } else { format!("{value:e}") }
}

/// Text that somebody else wrote, safe to print on a terminal: control and direction-changing characters are escaped.
pub(crate) fn foreign(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .flat_map(|c| if harmful(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

/// Lowercase hex after 0x.
pub(crate) fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_404_966_000_000_000, "2014-07-10T04:20:00Z"),
            (951_782_400_500_000, "2000-02-29T00:00:00.500Z"),
            (253_402_300_799_000_001, "9999-12-31T23:59:59.000001Z"),
            (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(utc(us), text);
        }
        assert_eq!(utc_ms(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        for extreme in [i64::MIN, i64::MAX] {
            assert!(utc(extreme).ends_with('Z'));
        }
    }

    #[test]
    fn numbers_and_foreign_text_are_fit_to_print() {
        for (value, text) in
            [(21.7, "21.7"), (0.0, "0"), (1e300, "1e300"), (-2.5e-9, "-2.5e-9"), (68.0, "68")]
        {
            assert_eq!(number(value), text);
        }
        assert_eq!(foreign("a\u{1b}[2Jö\n\u{202e}b"), "a\\u{1b}[2Jö\\n\\u{202e}b");
    }
}
