//! Verdicts that somebody else than the validators came to, signed by who ran the model:
//!
//! ```text
//! [ 1, model file: bstr .size 32, [ + verdict ] ]
//! verdict = [ stream: bstr .size 32, model: uint, leaf: uint, record: uint, kind: uint, score: uint,
//!             value: float / null, reason: tstr ]
//! ```
//!
//! in deterministic CBOR, under the content type [`ATTESTED_VERDICTS`]. The model file is named by its SHA-256, so a
//! statement says for each of its verdicts which bytes came to it. Leaf and record name the reading that was judged.
//! Whether the model is bound, the signer its runner, and the reading there, is for the ledger to say.

use crate::{
    StatementError, StreamId,
    cbor::{Fault, FaultKind, Reader, Writer},
    limits::{MAX_ATTESTED_VERDICTS, MAX_REASON_BYTES, MAX_SCORE_PPM},
};
use std::sync::Arc;

/// The content type (header 3) of a statement that holds verdicts.
pub const ATTESTED_VERDICTS: &str = "application/vnd.triad.verdicts+cbor";
const VERSION: u64 = 1;
const NULL: u8 = 0xf6;

/// Verdicts of models of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Attestation {
    /// SHA-256 of the model's file.
    pub file: [u8; 32],
    /// 1 to [`crate::limits::MAX_ATTESTED_VERDICTS`] of them.
    pub verdicts: Vec<AttestedVerdict>,
}

/// What a model said of one reading.
#[derive(Clone, Debug, PartialEq)]
pub struct AttestedVerdict {
    /// The stream that the model is bound to.
    pub stream: StreamId,
    /// The model's number in the registry.
    pub model: u64,
    /// The statement leaf that was judged.
    pub leaf: u64,
    /// The reading in that statement.
    pub record: u16,
    /// The kind of verdict, by its number.
    pub kind: u8,
    /// Parts per million, at most 1,000,000.
    pub score_ppm: u32,
    /// What the model predicts, where the kind is a prediction. Finite, never −0.
    pub value: Option<f64>,
    /// Why, at most 255 bytes.
    pub reason: Arc<str>,
}

impl Attestation {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.head(4, 3).head(0, VERSION).bytes(&self.file).head(4, self.verdicts.len() as u64);
        for v in &self.verdicts {
            out.head(4, 8).bytes(&v.stream.0).head(0, v.model).head(0, v.leaf).head(0, v.record.into());
            out.head(0, v.kind.into()).head(0, v.score_ppm.into());
            match v.value {
                // Adding zero turns −0 into 0.
                Some(value) => {
                    out.float(value + 0.0);
                }
                None => out.0.push(NULL),
            }
            out.text(&v.reason);
        }
        out.0
    }

    /// Reads a payload that begins at `base` of its statement.
    pub(crate) fn parse(bytes: &[u8], base: usize) -> Result<Self, StatementError> {
        let mut reader = Reader::<true>::new(bytes, base);
        if reader.array("expected an array of three").map_err(fault)? != 3 {
            return Err(bad(base, "expected an array of three: version, model file, verdicts"));
        }
        let at = reader.offset();
        if reader.unsigned("expected the version").map_err(fault)? != VERSION {
            return Err(bad(at, "expected version 1"));
        }
        let file = hash(&mut reader, "expected the SHA-256 of the model's file, 32 bytes")?;
        let at = reader.offset();
        let count = reader.array("expected the verdicts in an array").map_err(fault)?;
        if !(1..=MAX_ATTESTED_VERDICTS).contains(&count) {
            return Err(bad(at, "expected 1 to 256 verdicts"));
        }
        let verdicts = (0..count).map(|_| AttestedVerdict::parse(&mut reader)).collect::<Result<_, _>>()?;
        reader.end().map_err(fault)?;
        Ok(Self { file, verdicts })
    }
}

impl AttestedVerdict {
    fn parse(reader: &mut Reader<'_, true>) -> Result<Self, StatementError> {
        let start = reader.offset();
        if reader.array("expected a verdict, an array of eight").map_err(fault)? != 8 {
            return Err(bad(start, "expected a verdict, an array of eight"));
        }
        let stream = StreamId(hash(reader, "expected the stream, 32 bytes")?);
        let model = reader.unsigned("expected the model's number").map_err(fault)?;
        let leaf = reader.unsigned("expected the leaf that was judged").map_err(fault)?;
        let record = bounded(reader, u16::MAX.into(), "expected the record, at most 65,535")? as u16;
        let kind = bounded(reader, u8::MAX.into(), "expected the kind of verdict, at most 255")? as u8;
        let score = bounded(reader, MAX_SCORE_PPM.into(), "expected a score of at most 1,000,000")? as u32;
        let value = value(reader)?;
        let at = reader.offset();
        let reason = reader.text("expected the reason as text").map_err(fault)?;
        if reason.len() > MAX_REASON_BYTES {
            return Err(bad(at, "the reason has more than 255 bytes"));
        }
        Ok(Self { stream, model, leaf, record, kind, score_ppm: score, value, reason: reason.into() })
    }
}

fn bad(offset: usize, what: &'static str) -> StatementError {
    StatementError::BadVerdicts { offset, what }
}

fn hash(reader: &mut Reader<'_, true>, what: &'static str) -> Result<[u8; 32], StatementError> {
    let at = reader.offset();
    reader.bytes(what).map_err(fault)?.try_into().map_err(|_| bad(at, what))
}

fn bounded(reader: &mut Reader<'_, true>, most: u64, what: &'static str) -> Result<u64, StatementError> {
    let at = reader.offset();
    let value = reader.unsigned(what).map_err(fault)?;
    if value <= most { Ok(value) } else { Err(bad(at, what)) }
}

/// A float in its shortest form, or null.
fn value(reader: &mut Reader<'_, true>) -> Result<Option<f64>, StatementError> {
    const WHAT: &str = "expected the value, a finite float other than -0, or null";
    let at = reader.offset();
    match reader.peek() {
        Some(NULL) => {
            reader.head().map_err(fault)?;
            Ok(None)
        }
        // The three widths of floats.
        Some(0xf9..=0xfb) => {
            let value = reader.number(WHAT).map_err(fault)?.to_f64();
            let good = value.is_finite() && value.to_bits() != (-0.0f64).to_bits();
            if good { Ok(Some(value)) } else { Err(bad(at, WHAT)) }
        }
        _ => Err(bad(at, WHAT)),
    }
}

/// Of what breaks CBOR inside the payload.
fn fault(Fault { offset, what, kind }: Fault) -> StatementError {
    match kind {
        FaultKind::NonDeterministic => StatementError::NonDeterministic { offset, what },
        FaultKind::Malformed | FaultKind::Unexpected => bad(offset, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attestation() -> Attestation {
        let verdict = |leaf, value| AttestedVerdict {
            stream: StreamId([9; 32]),
            model: 1000,
            leaf,
            record: 3,
            kind: 16,
            score_ppm: 925_000,
            value,
            reason: "probability 0.925".into(),
        };
        Attestation { file: [7; 32], verdicts: vec![verdict(5, Some(0.925)), verdict(70_000, None)] }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let bytes = attestation().encode();
        assert_eq!(Attestation::parse(&bytes, 0), Ok(attestation()));
        for cut in 0..bytes.len() {
            assert!(Attestation::parse(&bytes[..cut], 0).is_err(), "{cut}");
        }
        assert!(Attestation::parse(&[&bytes[..], &[0]].concat(), 0).is_err());
    }

    #[test]
    fn every_bound_is_kept() {
        let with = |change: &dyn Fn(&mut Attestation)| {
            let mut made = attestation();
            change(&mut made);
            Attestation::parse(&made.encode(), 0)
        };
        assert!(with(&|a| a.verdicts.clear()).is_err());
        assert!(with(&|a| a.verdicts = vec![a.verdicts[1].clone(); MAX_ATTESTED_VERDICTS]).is_ok());
        assert!(with(&|a| a.verdicts = vec![a.verdicts[1].clone(); MAX_ATTESTED_VERDICTS + 1]).is_err());
        assert!(with(&|a| a.verdicts[0].score_ppm = MAX_SCORE_PPM + 1).is_err());
        assert!(with(&|a| a.verdicts[0].value = Some(f64::NAN)).is_err());
        assert!(with(&|a| a.verdicts[0].value = Some(f64::INFINITY)).is_err());
        assert!(with(&|a| a.verdicts[0].reason = "x".repeat(256).into()).is_err());
        assert_eq!(with(&|a| a.verdicts[0].value = Some(-0.0)), with(&|a| a.verdicts[0].value = Some(0.0)));
        // A value as an integer, and one longer than needed.
        let at = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|w| w == what).unwrap();
        let bytes = attestation().encode();
        let long = [&[0xfb][..], &0.925f64.to_be_bytes()].concat();
        let place = at(&bytes, &long);
        let replaced = |new: &[u8]| [&bytes[..place], new, &bytes[place + long.len()..]].concat();
        assert!(Attestation::parse(&replaced(&[0x01]), 0).is_err());
        assert!(matches!(
            Attestation::parse(&replaced(&[0xfa, 0x3f, 0x00, 0x00, 0x00]), 0),
            Err(StatementError::NonDeterministic { .. })
        ));
        assert!(Attestation::parse(&replaced(&[0xf9, 0x80, 0x00]), 0).is_err(), "-0");
    }
}
