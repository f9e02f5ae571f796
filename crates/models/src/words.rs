//! Numbers and durations as people read them. Only exact formatting from `core`, so the same text everywhere.

/// A reason longer than this would not fit into a verdict.
pub(crate) const MAX_REASON_BYTES: usize = 255;

/// A value with about five significant digits, without trailing zeros: `71.23`, `0.00042`, `1.5e300`.
pub(crate) fn value(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e9).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = [10_000.0, 1_000.0, 100.0, 10.0, 1.0, 0.1, 0.01, 0.001]
        .iter()
        .position(|&step| magnitude >= step)
        .unwrap_or(8);
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// A duration in its two largest units: `45 s`, `3 h 20 min`, `21 days`.
pub(crate) fn duration(ms: u64) -> String {
    const UNITS: [(u64, &str); 5] =
        [(86_400_000, "days"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let at = UNITS.iter().position(|&(size, _)| ms >= size).unwrap_or(4);
    let (size, name) = UNITS[at];
    let whole = ms / size;
    let name = if name == "days" && whole == 1 { "day" } else { name };
    // A long time needs no small units: after ten days the hours say nothing.
    if at < 3 && !(at == 0 && whole >= 10) {
        let (small, small_name) = UNITS[at + 1];
        let rest = ms % size / small;
        if rest > 0 {
            return format!("{whole} {name} {rest} {small_name}");
        }
    }
    format!("{whole} {name}")
}

/// Cuts a reason to what a verdict holds, at a character boundary.
pub(crate) fn fit(mut reason: String) -> String {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_short() {
        let texts =
            [71.226_78, 0.0, -4.5, 1e300, 123_456.7, 0.000_42, 99_999.9, 5e-320, 1000.0, 0.05, 999_999_999.9]
                .map(super::value);
        assert_eq!(
            texts,
            [
                "71.227",
                "0",
                "-4.5",
                "1.000e300",
                "123457",
                "0.00042",
                "100000",
                "5.000e-320",
                "1000",
                "0.05",
                "1000000000"
            ]
        );
    }

    #[test]
    fn durations_have_two_units() {
        let texts = [0, 45_000, 61_000, 12_000_000, 90_000_000, 21 * 86_400_000 + 3_600_000, 86_400_000]
            .map(super::duration);
        assert_eq!(texts, ["0 ms", "45 s", "1 min 1 s", "3 h 20 min", "1 day 1 h", "21 days", "1 day"]);
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        assert_eq!(super::fit("°".repeat(200)).len(), 254);
    }
}
