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

#[cfg(test)]
mod tests {
    use super::microseconds;

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
