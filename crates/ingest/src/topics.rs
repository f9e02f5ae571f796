//! Topics: where statements go in, where events come out, and which filters match them.
//!
//! | topic | direction | payload |
//! | --- | --- | --- |
//! | `triad/v1/statements` | client → node | one COSE_Sign1 statement |
//! | `triad/v1/devices/{id}/receipts` | node → client | JSON, one a final statement |
//! | `triad/v1/devices/{id}/verdicts` | node → client | JSON, one a verdict |
//! | `triad/v1/devices/{id}/errors` | node → client | JSON, one a refused statement |
//!
//! `{id}` is `0x` and 40 lowercase hex digits. Filters may use `+` for a level and `#` at the end.

use std::fmt::Write as _;

/// The one topic that clients publish to.
pub const STATEMENTS: &str = "triad/v1/statements";

/// The device level of an `errors` topic when the refused bytes name no device.
pub(crate) const UNKNOWN_DEVICE: &str = "unknown";

/// A set of event kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const RECEIPTS: Self = Self(1);
    pub(crate) const VERDICTS: Self = Self(2);
    pub(crate) const ERRORS: Self = Self(4);
    pub(crate) const ALL: Self = Self(7);

    pub(crate) fn contains(self, kind: Self) -> bool {
        self.0 & kind.0 == kind.0 && kind.0 != 0
    }

    /// The last level of the topic of a single kind; also its metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RECEIPTS => "receipts",
            Self::VERDICTS => "verdicts",
            Self::ERRORS => "errors",
            _ => "several",
        }
    }
}

/// Whose events a filter asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Everyone,
    Device([u8; 20]),
    Unknown,
}

/// What a topic filter means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter {
    pub who: Who,
    pub kinds: Kinds,
}

/// Why a filter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterError {
    /// It is no filter, or can never match a topic that this node publishes.
    Invalid,
    /// `$share/...`.
    Shared,
}

impl Filter {
    pub(crate) fn parse(filter: &str) -> Result<Self, FilterError> {
        if filter.starts_with("$share/") {
            return Err(FilterError::Shared);
        }
        let mut who = Who::Everyone;
        let mut kinds = Kinds::ALL;
        let mut levels = filter.split('/');
        for position in 0..5 {
            let level = levels.next().ok_or(FilterError::Invalid)?;
            if level == "#" {
                return if levels.next().is_none() {
                    Ok(Self { who, kinds })
                } else {
                    Err(FilterError::Invalid)
                };
            }
            if level == "+" {
                continue;
            }
            match position {
                0 if level == "triad" => {}
                1 if level == "v1" => {}
                2 if level == "devices" => {}
                3 if level == UNKNOWN_DEVICE => who = Who::Unknown,
                3 => who = Who::Device(parse_id(level).ok_or(FilterError::Invalid)?),
                4 => {
                    kinds = [Kinds::RECEIPTS, Kinds::VERDICTS, Kinds::ERRORS]
                        .into_iter()
                        .find(|kind| kind.name() == level)
                        .ok_or(FilterError::Invalid)?;
                }
                _ => return Err(FilterError::Invalid),
            }
        }
        match (levels.next(), levels.next()) {
            // "a/b/#" also matches "a/b" itself (MQTT 4.7.1.2).
            (None, _) | (Some("#"), None) => Ok(Self { who, kinds }),
            _ => Err(FilterError::Invalid),
        }
    }

    pub(crate) fn matches(&self, who: Who, kind: Kinds) -> bool {
        self.kinds.contains(kind) && (self.who == Who::Everyone || self.who == who)
    }
}

fn parse_id(level: &str) -> Option<[u8; 20]> {
    let digits = level.strip_prefix("0x")?;
    if digits.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut id = [0; 20];
    hex::decode_to_slice(digits, &mut id).ok()?;
    Some(id)
}

/// `triad/v1/devices/{who}/{kind}`.
pub(crate) fn event_topic(who: Who, kind: Kinds) -> String {
    let mut topic = String::with_capacity(70);
    topic.push_str("triad/v1/devices/");
    match who {
        Who::Device(id) => push_hex(&mut topic, &id),
        Who::Unknown | Who::Everyone => topic.push_str(UNKNOWN_DEVICE),
    }
    topic.push('/');
    topic.push_str(kind.name());
    topic
}

/// Appends `0x` and lowercase hex.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    text.push_str("0x");
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0x0101010101010101010101010101010101010101";

    #[test]
    fn filters_mean_what_they_say() {
        let parse = |text: &str| Filter::parse(&text.replace("ID", ID)).map(|f| (f.who, f.kinds));
        let device = Who::Device([1; 20]);
        assert_eq!(parse("triad/v1/devices/ID/receipts"), Ok((device, Kinds::RECEIPTS)));
        assert_eq!(parse("triad/v1/devices/ID/receipts/#"), Ok((device, Kinds::RECEIPTS)));
        assert_eq!(parse("triad/v1/devices/ID/+"), Ok((device, Kinds::ALL)));
        assert_eq!(parse("triad/v1/devices/ID/#"), Ok((device, Kinds::ALL)));
        assert_eq!(parse("triad/v1/devices/+/verdicts"), Ok((Who::Everyone, Kinds::VERDICTS)));
        assert_eq!(parse("triad/v1/devices/unknown/errors"), Ok((Who::Unknown, Kinds::ERRORS)));
        for all in ["#", "triad/#", "triad/v1/#", "triad/v1/devices/#", "+/+/+/#", "+/+/+/+/+"] {
            assert_eq!(parse(all), Ok((Who::Everyone, Kinds::ALL)), "{all}");
        }
    }

    #[test]
    fn filters_that_can_never_match_are_refused() {
        for bad in [
            "",
            "+",
            "triad",
            "triad/v1",
            "triad/v1/statements",
            "triad/v2/#",
            "triad/v1/devices/ID",
            "triad/v1/devices/ID/receipts/x",
            "triad/v1/devices/#/receipts",
            "triad/v1/devices/ID/re#",
            "triad/v1/devices/0x01/receipts",
            "triad/v1/devices/0xAA01010101010101010101010101010101010101/receipts",
            "/triad/v1/devices/ID/receipts",
            "$SYS/#",
        ] {
            assert_eq!(Filter::parse(&bad.replace("ID", ID)), Err(FilterError::Invalid), "{bad}");
        }
        assert_eq!(Filter::parse("$share/group/#"), Err(FilterError::Shared));
    }

    #[test]
    fn topics_match_their_filters() {
        let who = Who::Device([1; 20]);
        let topic = event_topic(who, Kinds::ERRORS);
        assert_eq!(topic, format!("triad/v1/devices/{ID}/errors"));
        assert!(Filter::parse(&topic).unwrap().matches(who, Kinds::ERRORS));
        assert!(!Filter::parse(&topic).unwrap().matches(who, Kinds::RECEIPTS));
        assert!(!Filter::parse(&topic).unwrap().matches(Who::Device([2; 20]), Kinds::ERRORS));
    }
}
