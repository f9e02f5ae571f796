//! Why a reading is an anomaly, in a sentence.

use super::Finding;
use crate::state::Input;
use crate::words;

pub(super) fn sentence(finding: Finding, input: Input, first_us: i64) -> String {
    let value = words::value(input.value);
    let seen_us = input.time_us.saturating_sub(first_us).max(0) as u64;
    let seen = words::duration(seen_us / 1_000);
    match finding {
        Finding::Above(part) => format!("{value} is {} above anything seen in {seen}", far(part)),
        Finding::Below(part) => format!("{value} is {} below anything seen in {seen}", far(part)),
        Finding::Course(usual) if seen_us >= 86_400_000_000 => format!(
            "of late farther from its daily course than ever in {seen}: {value} where {} is usual at this time",
            words::value(usual)
        ),
        Finding::Course(usual) => {
            format!(
                "of late farther from its course than ever in {seen}: {value}, not {}",
                words::value(usual)
            )
        }
        Finding::Still => format!("moves less than ever in {seen}, as if stuck near {value}"),
        Finding::Level { now, usual } => format!(
            "its mean of late, {}, is farther from the usual {} than ever in {seen}",
            words::value(now),
            words::value(usual)
        ),
    }
}

/// A distance as a part of the range seen.
fn far(part: f64) -> String {
    if part > 10.0 {
        "many times the usual range".into()
    } else {
        format!("{:.0} % of the usual range", part * 100.0)
    }
}
