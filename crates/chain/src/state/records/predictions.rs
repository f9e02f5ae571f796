//! What models predicted last, each for itself; of models that validators do not run whatever they said last.

use triad_log::{Assurance, Verdict, VerdictKind};
use triad_statement::StreamId;

use super::TableId;
use crate::state::codec::{Reader, Writer};
use crate::state::table::{Place, Record};

/// The bit of a kind that says that its class is `attested`.
pub(crate) const ATTESTED: u8 = 0x80;

/// The latest prediction of one model on one stream. It outlives the binding, as verdicts do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prediction {
    pub leaf: u64,
    pub record: u16,
    pub class: Assurance,
    pub kind: VerdictKind,
    pub score: u32,
    pub time_ms: i64,
    /// × 10⁹; the smallest i128 where it does not fit.
    pub value_e9: i128,
    pub height: u64,
}

impl Prediction {
    /// What a verdict leaves here; `None` where it predicts nothing and validators came to it.
    pub(crate) fn of(verdict: &Verdict, height: u64) -> Option<Prediction> {
        let kept = verdict.kind.is_prediction() || verdict.class == Assurance::Attested;
        kept.then_some(Prediction {
            leaf: verdict.leaf.0,
            record: verdict.record,
            class: verdict.class,
            kind: verdict.kind,
            score: verdict.score.ppm(),
            time_ms: verdict.time_ms,
            value_e9: verdict.value_e9,
            height,
        })
    }
}

impl Record for Prediction {
    /// (stream, model id)
    type Key = (StreamId, u64);
    const TABLE: TableId = TableId::Predictions;
    fn write_key(key: &Self::Key, out: &mut Vec<u8>) {
        Writer(out).raw(&key.0.0).u64(key.1);
    }
    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let mut r = Reader(bytes);
        let key = (StreamId(r.array()?), r.u64()?);
        r.end()?;
        Some(key)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        let kind = self.kind as u8 | if self.class == Assurance::Attested { ATTESTED } else { 0 };
        w.u64(self.leaf).u16(self.record).u8(kind).u32(self.score).u64(self.time_ms as u64);
        w.raw(&self.value_e9.to_be_bytes()).u64(self.height);
    }
    fn decode(bytes: &[u8]) -> Option<Prediction> {
        let mut r = Reader(bytes);
        let (leaf, record, kind) = (r.u64()?, r.u16()?, r.u8()?);
        let out = Prediction {
            leaf,
            record,
            class: if kind & ATTESTED == 0 { Assurance::Consensus } else { Assurance::Attested },
            kind: VerdictKind::from_u8(kind & !ATTESTED)?,
            score: r.u32()?,
            time_ms: r.u64()? as i64,
            value_e9: i128::from_be_bytes(r.array()?),
            height: r.u64()?,
        };
        r.end()?;
        Some(out)
    }
    /// It follows from the verdict of the block that wrote it.
    fn is_derived(&self, _: Place) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_stays() {
        let row = Prediction {
            leaf: 5,
            record: 2,
            class: Assurance::Consensus,
            kind: VerdictKind::RemainingLife,
            score: 925_000,
            time_ms: -1,
            value_e9: 7_500_000_000,
            height: 9,
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        Prediction::write_key(&(StreamId([7; 32]), 1000), &mut key);
        row.encode(&mut value);
        assert_eq!(hex::encode(&key), "07".repeat(32) + "00000000000003e8");
        let fixture = "0000000000000005 0002 0f 000e1d48 ffffffffffffffff 000000000000000000000001bf08eb00 0000000000000009";
        assert_eq!(hex::encode(&value), fixture.replace(' ', ""));
        assert_eq!(
            (Prediction::read_key(&key), Prediction::decode(&value)),
            (Some((StreamId([7; 32]), 1000)), Some(row))
        );
        assert_eq!(Prediction::decode(&value[1..]), None);
        let attested = Prediction { class: Assurance::Attested, ..row };
        let mut value = Vec::new();
        attested.encode(&mut value);
        assert_eq!((value[10], Prediction::decode(&value)), (0x8f, Some(attested)));
    }
}
