//! Times as tables write them.

/// Microseconds since the epoch of `YYYY-MM-DD`, `YYYY-MM-DD HH:MM[:SS[.ffffff]]` (also with `T`; `Z` or an offset at
/// the end is honoured, none means as if UTC), or a number of seconds since the epoch.
pub(crate) fn microseconds(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.abs() < 1e12).then_some((seconds * 1e6) as i64);
    }
    let date = text.get(..10)?;
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    let rest = text.get(10..)?.trim_start_matches(['T', ' ']);
    if rest.is_empty() {
        return days.checked_mul(86_400_000_000);
    }
    let (clock, offset_min) = offset(rest)?;
    let mut parts = clock.split(':');
    let hour: i64 = parts.next()?.parse().ok()?;
    let minute: i64 = parts.next()?.parse().ok()?;
    let second: f64 = parts.next().map_or(Some(0.0), |part| part.parse().ok())?;
    if !(0..=24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..61.0).contains(&second) {
        return None;
    }
    let minutes = (days * 24 + hour) * 60 + minute - offset_min;
    Some(minutes * 60_000_000 + (second * 1e6) as i64)
}

/// The clock without its offset, and the offset in minutes.
fn offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let sign = if text.as_bytes()[at] == b'-' { -1 } else { 1 };
    let digits: String = text[at + 1..].chars().filter(char::is_ascii_digit).collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).map_or(Some(0), |part| part.parse().ok())?;
    Some((&text[..at], sign * (hours * 60 + minutes)))
}

/// Hinnant's days-from-civil.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// Hinnant's civil-from-days: year, month, day.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day_of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day_of_year - (153 * march + 2) / 5 + 1)
}

/// `YYYY-MM-DD HH:MM` of microseconds since the epoch, UTC.
pub(crate) fn date_and_time(time_us: i64) -> String {
    let minutes = time_us.div_euclid(60_000_000);
    let (year, month, day) = civil_from_days(minutes.div_euclid(1_440));
    let (hour, minute) = (minutes.rem_euclid(1_440) / 60, minutes.rem_euclid(60));
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

#[cfg(test)]
mod tests {
    use super::{date_and_time, microseconds};

    #[test]
    fn dates_come_back() {
        for text in [
            "1969-12-31 23:59",
            "1970-01-01 00:00",
            "2000-02-29 12:30",
            "2100-03-01 00:01",
            "2024-12-31 06:00",
        ] {
            assert_eq!(microseconds(text).map(date_and_time).as_deref(), Some(text));
        }
    }

    #[test]
    fn times_are_read_as_tables_write_them() {
        assert_eq!(microseconds("1970-01-02"), Some(86_400_000_000));
        assert_eq!(microseconds("2000-03-01 00:00:00"), Some(951_868_800_000_000));
        assert_eq!(microseconds("2000-03-01T00:00:00.5Z"), Some(951_868_800_500_000));
        assert_eq!(microseconds("2000-03-01T01:00:00+01:00"), Some(951_868_800_000_000));
        assert_eq!(microseconds("951868800"), Some(951_868_800_000_000));
        assert_eq!(microseconds("2000-13-01"), None);
        assert_eq!(microseconds("yesterday"), None);
        assert_eq!(microseconds("2000-03-0é"), None);
    }
}
