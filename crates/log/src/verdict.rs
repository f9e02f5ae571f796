//! What a model said about a reading.
//!
//! Fixed width and big-endian, so that a contract or a script needs no CBOR to read one:
//!
//! ```text
//! 0   u8    version = 1
//! 1   u64   leaf      index of the statement leaf (for a silence: of the stream's last statement)
//! 9   u16   record    index of the reading within the statement
//! 11  32 B  stream
//! 43  u64   model
//! 51  u8    class     0 consensus, 1 attested
//! 52  u8    kind      see VerdictKind
//! 53  u32   score     parts per million, at most 1,000,000
//! 57  i64   time_ms   of the reading (for a silence: when it was noticed), milliseconds since 1970
//! 65  i128  value     the reading's, or of a prediction what is predicted, × 10⁹, half to even; the smallest i128 where
//!                     that does not fit
//! 81  UTF-8 reason    to the end, at most 255 bytes
//! ```
//!
//! The verdicts of a block, ordered by (leaf, record, model), are the leaves of an RFC 9162 tree of their own. Since
//! they are ordered, a stretch of them with its two neighbours shows that it holds *all* verdicts on a statement.

use triad_statement::StreamId;

use crate::fixed::DOES_NOT_FIT;
use crate::format::FormatError;
use crate::hash::{Hash, leaf_hash};
use crate::ids::{LeafIndex, Score};
use crate::kind::{Assurance, VerdictKind};
use crate::memory::MemoryTree;

const WHAT: &str = "verdict";
const VERSION: u8 = 1;
/// Bytes of a verdict without its reason.
pub const VERDICT_HEAD: usize = 81;

/// Why a model judged as it did: at most 255 bytes of text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Reason(String);

impl Reason {
    /// Most bytes a reason has.
    pub const MAX: usize = 255;

    /// Cuts what is too long, at the end of a character.
    pub fn new(text: impl Into<String>) -> Reason {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(Self::MAX));
        Reason(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Reason {
        Reason::new(text)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Reason {
        Reason::new(text)
    }
}

/// One verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The statement leaf it is about.
    pub leaf: LeafIndex,
    /// Which reading of the statement.
    pub record: u16,
    /// Which stream.
    pub stream: StreamId,
    /// Which model, as the registry numbers them.
    pub model: u64,
    /// On whose word.
    pub class: Assurance,
    /// What it found.
    pub kind: VerdictKind,
    /// How strongly.
    pub score: Score,
    /// The reading's time; for a silence, when it was noticed. Milliseconds since 1970.
    pub time_ms: i64,
    /// The reading's value × 10⁹ (of a prediction what is predicted: [`VerdictKind::is_prediction`]), or [`DOES_NOT_FIT`].
    pub value_e9: i128,
    /// Why.
    pub reason: Reason,
}

impl Verdict {
    /// What the verdicts of a block are ordered by.
    pub fn order(&self) -> (LeafIndex, u16, u64) {
        (self.leaf, self.record, self.model)
    }

    /// The value × 10⁹; None where it did not fit.
    pub fn value(&self) -> Option<i128> {
        (self.value_e9 != DOES_NOT_FIT).then_some(self.value_e9)
    }

    /// The byte format above.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(VERDICT_HEAD + self.reason.0.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.leaf.0.to_be_bytes());
        bytes.extend_from_slice(&self.record.to_be_bytes());
        bytes.extend_from_slice(&self.stream.0);
        bytes.extend_from_slice(&self.model.to_be_bytes());
        bytes.push(self.class.as_u8());
        bytes.push(self.kind.as_u8());
        bytes.extend_from_slice(&self.score.ppm().to_be_bytes());
        bytes.extend_from_slice(&self.time_ms.to_be_bytes());
        bytes.extend_from_slice(&self.value_e9.to_be_bytes());
        bytes.extend_from_slice(self.reason.0.as_bytes());
        bytes
    }

    /// Strict: only what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Verdict, FormatError> {
        let length = || FormatError::Length { what: WHAT, expected: "81 to 336", found: bytes.len() };
        if bytes.len() > VERDICT_HEAD + Reason::MAX {
            return Err(length());
        }
        let mut rest = bytes;
        let version = u8::from_be_bytes(take(&mut rest).ok_or_else(length)?);
        if version != VERSION {
            return Err(FormatError::Version { what: WHAT, found: version.into() });
        }
        let leaf = take(&mut rest).ok_or_else(length)?;
        let record = take(&mut rest).ok_or_else(length)?;
        let stream = take(&mut rest).ok_or_else(length)?;
        let model = take(&mut rest).ok_or_else(length)?;
        let [class, kind] = take(&mut rest).ok_or_else(length)?;
        let score = u32::from_be_bytes(take(&mut rest).ok_or_else(length)?);
        let time_ms = take(&mut rest).ok_or_else(length)?;
        let value_e9 = take(&mut rest).ok_or_else(length)?;
        let field =
            |field, expected, found: String| FormatError::Field { what: WHAT, field, expected, found };
        let reason = str::from_utf8(rest).map_err(|_| field("reason", "UTF-8", hex::encode(rest)))?;
        Ok(Verdict {
            leaf: LeafIndex(u64::from_be_bytes(leaf)),
            record: u16::from_be_bytes(record),
            stream: StreamId(stream),
            model: u64::from_be_bytes(model),
            class: Assurance::from_u8(class).ok_or_else(|| field("class", "0 or 1", class.to_string()))?,
            kind: VerdictKind::from_u8(kind).ok_or_else(|| field("kind", "0 to 17", kind.to_string()))?,
            score: Score::from_ppm(score)
                .ok_or_else(|| field("score", "at most 1000000", score.to_string()))?,
            time_ms: i64::from_be_bytes(time_ms),
            value_e9: i128::from_be_bytes(value_e9),
            reason: Reason::new(reason),
        })
    }

    /// What the block's verdict tree holds for it.
    pub fn hash(&self) -> Hash {
        leaf_hash(&self.encode())
    }
}

/// The tree of a block's verdicts, which must be in order.
pub fn verdict_tree(verdicts: &[Verdict]) -> MemoryTree {
    assert!(verdicts.is_sorted_by_key(Verdict::order), "verdicts ordered by (leaf, record, model)");
    verdicts.iter().map(Verdict::hash).collect()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}
