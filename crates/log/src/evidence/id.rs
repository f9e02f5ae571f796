//! What a record of evidence is called.

use std::fmt;
use std::str::FromStr;

/// What contradicts what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EvidenceKind {
    /// Two votes to notarise.
    Notarizes = 1,
    /// Two votes to finalise.
    Finalizes = 2,
    /// A vote to give the view up, and one to finalise in it.
    NullifyFinalize = 3,
}

impl EvidenceKind {
    /// By its number.
    pub fn from_number(number: u64) -> Option<EvidenceKind> {
        [Self::Notarizes, Self::Finalizes, Self::NullifyFinalize].into_iter().find(|k| *k as u64 == number)
    }
}

/// Names one conflict: a node keeps one record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceId {
    /// Ed25519 key of the validator.
    pub validator: [u8; 32],
    /// Consensus epoch.
    pub epoch: u64,
    /// Consensus view.
    pub view: u64,
    /// What contradicts what.
    pub kind: EvidenceKind,
}

/// `<key in hex>-<epoch>-<view>-<kind>`, which is also the name of its file.
impl fmt::Display for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", hex::encode(self.validator), self.epoch, self.view, self.kind as u8)
    }
}

/// Text that is no id of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected <64 hex digits of the validator's key>-<epoch>-<view>-<kind, 1 to 3>")]
pub struct BadEvidenceId;

impl FromStr for EvidenceId {
    type Err = BadEvidenceId;

    fn from_str(text: &str) -> Result<EvidenceId, BadEvidenceId> {
        let parse = || {
            let mut parts = text.split('-');
            let validator = hex::decode(parts.next()?).ok()?.try_into().ok()?;
            let mut number = || parts.next()?.parse::<u64>().ok();
            let (epoch, view, kind) = (number()?, number()?, EvidenceKind::from_number(number()?)?);
            Some(EvidenceId { validator, epoch, view, kind })
        };
        // Only what is written: no signs, no leading zeros, no upper case.
        parse().filter(|id| id.to_string() == text).ok_or(BadEvidenceId)
    }
}
