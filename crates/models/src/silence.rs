//! Silence: a sensor that should speak every so often and does not.
//!
//! Only block time counts, since the absence of a reading has no reading time. After a reading in a block of time `t`
//! the deadline is `t + interval + grace`. The first block at or past it says `silent`, once; the next reading, however
//! much later, says `resumed` and for how long the stream was gone. Nothing is expected before the first reading.

use triad_log::VerdictKind;

use crate::codec::{Reader, Writer};
use crate::error::{SpecError, StateError};
use crate::params::{Param, Params, encode};
use crate::state::{FULL, Input, Judgement};
use crate::words;

/// A hundred years: longer is a mistake, and sums stay far from overflow.
const LONGEST_MS: u64 = 3_155_760_000_000;

/// Parameters of the silence model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilenceSpec {
    /// A reading is expected at least this often, in milliseconds of block time.
    pub interval_ms: u64,
    /// How much later than expected is still no silence. Default: half the interval.
    pub grace_ms: u64,
}

impl SilenceSpec {
    pub(crate) fn read(mut params: Params) -> Result<Self, SpecError> {
        let interval_ms =
            params.milliseconds("interval_ms", 1, LONGEST_MS)?.ok_or(SpecError::Missing("interval_ms"))?;
        let grace_ms = params.milliseconds("grace_ms", 0, LONGEST_MS)?.unwrap_or(interval_ms / 2);
        params.end()?;
        Ok(Self { interval_ms, grace_ms })
    }

    pub(crate) fn params(&self) -> Vec<u8> {
        let grace = (self.grace_ms != self.interval_ms / 2).then_some(Param::Integer(self.grace_ms));
        encode(&[("interval_ms", Some(Param::Integer(self.interval_ms))), ("grace_ms", grace)])
    }
}

/// What is remembered of one stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SilenceState {
    /// The block time of the latest reading.
    last_block_ms: Option<u64>,
    /// `silent` was said and no reading came since.
    silent: bool,
}

impl SilenceState {
    pub(crate) fn step(&mut self, spec: &SilenceSpec, input: Input) -> Judgement {
        let due = self.due_ms(spec);
        let last = self.last_block_ms.replace(input.block_time_ms);
        // A block that is past the deadline and brings the reading may not have asked `on_deadline` first.
        let gone = self.silent || due.is_some_and(|due| input.block_time_ms > due);
        self.silent = false;
        match last {
            Some(last) if gone => {
                let gone = words::duration(input.block_time_ms.saturating_sub(last));
                let expected = words::duration(spec.interval_ms);
                let reason = format!("back after {gone} without a reading, one is expected every {expected}");
                Judgement::new(VerdictKind::Resumed, 0, reason)
            }
            _ => Judgement::normal(),
        }
    }

    fn due_ms(&self, spec: &SilenceSpec) -> Option<u64> {
        let wait = spec.interval_ms.saturating_add(spec.grace_ms);
        self.last_block_ms.map(|last| last.saturating_add(wait))
    }

    pub(crate) fn deadline_ms(&self, spec: &SilenceSpec) -> Option<u64> {
        if self.silent { None } else { self.due_ms(spec) }
    }

    pub(crate) fn on_deadline(&mut self, spec: &SilenceSpec, block_time_ms: u64) -> Option<Judgement> {
        if block_time_ms < self.deadline_ms(spec)? {
            return None;
        }
        self.silent = true;
        let gone = words::duration(block_time_ms.saturating_sub(self.last_block_ms?));
        let expected = words::duration(spec.interval_ms);
        let reason = format!("no reading for {gone}, one is expected every {expected}");
        Some(Judgement::new(VerdictKind::Silent, FULL, reason))
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u64(self.last_block_ms.unwrap_or_default());
        writer.u8(u8::from(self.silent));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Self { last_block_ms: Some(reader.u64()?), silent: reader.flag()? })
    }
}
