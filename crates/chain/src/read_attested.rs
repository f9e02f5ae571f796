//! Reading what concerns models that validators do not run: what awaits their runners, and who said what.

use triad_log::{Assurance, Verdict};
use triad_statement::{DeviceId, Statement, StreamId};

use crate::error::ChainError;
use crate::read::Reader;
use crate::state::records::*;

/// Who came to a verdict of class `attested`, by which file, on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attested {
    /// The device that signed the verdict.
    pub runner: DeviceId,
    /// SHA-256 of the model's file.
    pub file: [u8; 32],
    /// The statement leaf that was judged.
    pub leaf: u64,
    /// The reading in it.
    pub record: u16,
}

impl Attested {
    /// What the statement of a verdict's leaf says of it; `None` where validators came to it.
    pub fn of(verdict: &Verdict, statement: &Statement) -> Option<Attested> {
        let attestation = statement.attestation()?;
        let signed = attestation.verdicts.get(usize::from(verdict.record))?;
        let (runner, file) = (statement.signer(), attestation.file);
        Some(Attested { runner, file, leaf: signed.leaf, record: signed.record })
    }
}

impl Reader {
    /// The readings on which a model that validators do not run may still speak, the oldest first; `None` where the stream has no such
    /// model.
    pub fn awaiting(&self, stream: &StreamId, model: u64) -> Result<Option<Vec<LatestReading>>, ChainError> {
        let state = &self.ledger.0.store.state;
        let bindings = state.bindings.get(stream)?.unwrap_or_default();
        let bound = bindings.0.iter().find(|bound| bound.model == model);
        let Some(bound) = bound.filter(|bound| bound.spec.class() == Assurance::Attested) else {
            return Ok(None);
        };
        let awaiting = state.awaiting.get(stream)?.unwrap_or_default();
        let mut readings: Vec<LatestReading> = Vec::new();
        for number in awaiting.oldest().max(awaiting.last(model) + 1)..=awaiting.newest {
            let Some(row) = state.awaited.get(&(*stream, slot(number)))? else { continue };
            let height = row.height.0;
            // A commit may write over what is read here: what is not in order is newer and comes again.
            let in_order = readings.last().is_none_or(|before| before.leaf < row.leaf);
            if height > bound.since && in_order {
                let (leaf, record, time_us, value) = (row.leaf, row.record, row.time_us, row.value);
                readings.push(LatestReading { leaf, record, time_us, value, height });
            }
        }
        Ok(Some(readings))
    }

    /// Who came to a verdict of class `attested`; `None` for other verdicts, and where the statement is not kept any more.
    pub fn attested(&self, verdict: &Verdict) -> Result<Option<Attested>, ChainError> {
        if verdict.class != Assurance::Attested {
            return Ok(None);
        }
        match self.statement(verdict.leaf.0) {
            Ok(stored) => Ok(stored.and_then(|stored| Attested::of(verdict, &stored.statement))),
            Err(ChainError::NotKept { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
