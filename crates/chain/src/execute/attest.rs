//! Verdicts of models that validators do not run: whether they may stand, and what follows from them.
//!
//! A runner signs them as a statement of its own (`triad_statement::Attestation`). Each must be by the model's runner, of the
//! file that is bound, on a reading that the state still awaits a verdict on, and newer than what the model judged before; else the
//! statement is refused as a whole, with the reason. What is accepted becomes a verdict of class `attested` of the *runner's*
//! statement: its leaf, and the place in it. So the receipt of that statement shows who said it, of which file, on which
//! reading, and that the chain took it.

use triad_log::{Assurance, Height, LeafIndex, Reason, Score, Verdict, VerdictKind, value_e9};
use triad_models::Spec;
use triad_statement::{AttestedVerdict, Statement, StreamId};

use super::statements::{Stage, is_watched};
use super::trigger::{Trigger, evaluate};
use crate::admission::{Checked, Lookup};
use crate::error::{ChainError, Refusal, RefusalClass};
use crate::genesis::ATTESTED_MODELS_RULE;
use crate::state::records::{Awaited, Awaiting, Bindings, LatestReading, Prediction, slot};

/// A verdict that may stand.
pub(crate) struct Told {
    stream: StreamId,
    model: u64,
    kind: VerdictKind,
    score_ppm: u32,
    /// What was predicted, or else what was read.
    value: f64,
    reason: String,
    judged: Awaited,
    number: u64,
}

/// The verdicts of a statement, none where it holds readings; the same at the door and in a block. `known` says whether the chain
/// takes such statements.
pub(crate) fn check(state: &impl Lookup, known: bool, statement: &Statement) -> Checked<Vec<Told>> {
    let Some(attestation) = statement.attestation() else { return Ok(Ok(Vec::new())) };
    let refuse = |class, code, why: String| Ok(Err(Refusal::new(class, code, why)));
    if !known {
        let why = format!(
            "this chain takes no verdicts of others: its validators have to schedule rule `{ATTESTED_MODELS_RULE}`"
        );
        return refuse(RefusalClass::Malformed, "unknown-content-type", why);
    }
    if statement.on_behalf() {
        let why = "verdicts are those of their signer: leave the sub claim out";
        return refuse(RefusalClass::Malformed, "bad-subject", why.into());
    }
    let mut told: Vec<Told> = Vec::with_capacity(attestation.verdicts.len());
    for (place, verdict) in attestation.verdicts.iter().enumerate() {
        match one(state, statement, verdict, &told)? {
            Ok(one) => told.push(one),
            Err(why) => {
                let message = format!("verdict {place}: {}", why.message);
                return refuse(why.class, why.code, message);
            }
        }
    }
    Ok(Ok(told))
}

fn one(
    state: &impl Lookup,
    statement: &Statement,
    verdict: &AttestedVerdict,
    before: &[Told],
) -> Checked<Told> {
    let refuse = |class, code, why: String| Ok(Err(Refusal::new(class, code, why)));
    let AttestedVerdict { stream, model, leaf, record, .. } = *verdict;
    let bindings = state.row::<Bindings>(&stream)?.unwrap_or_default();
    let Some(binding) = bindings.0.iter().find(|binding| binding.model == model) else {
        let why = format!("model {model} is not bound to stream {stream}");
        return refuse(RefusalClass::Conflict, "no-such-model", why);
    };
    let Spec::Onnx(spec) = binding.spec.as_ref() else {
        let why = format!("model {model} is run by every validator: nobody else speaks for it");
        return refuse(RefusalClass::NotAuthorized, "not-the-runner", why);
    };
    let signer = statement.signer();
    if spec.runner != signer.0 {
        let why = format!("model {model} is run by device 0x{}, not by {signer}", hex::encode(spec.runner));
        return refuse(RefusalClass::NotAuthorized, "not-the-runner", why);
    }
    let file = statement.attestation().map(|attestation| attestation.file);
    if file != Some(spec.file) {
        let why = format!("model {model} is the file with SHA-256 {}, not this one", hex::encode(spec.file));
        return refuse(RefusalClass::Conflict, "wrong-file", why);
    }
    let kind = VerdictKind::from_u8(verdict.kind);
    let Some(kind) = kind.filter(|kind| spec.admits(*kind, verdict.value.is_some())) else {
        let what = if verdict.value.is_some() { "with a value" } else { "without one" };
        let why = format!("model {model} tells {}: no kind {} {what}", spec.tells.name(), verdict.kind);
        return refuse(RefusalClass::Malformed, "wrong-kind", why);
    };
    let awaiting = state.row::<Awaiting>(&stream)?.unwrap_or_default();
    let found = find(state, &stream, &awaiting, leaf)?;
    let found = found.filter(|(_, row)| row.record == record && row.height.0 > binding.since);
    let Some((number, judged)) = found else {
        let why = format!(
            "no verdict is awaited on record {record} of leaf {leaf}: it is not the newest reading that the leaf brought the \
             stream, was there before the model, or is not among the newest 256 statements any more"
        );
        return refuse(RefusalClass::Conflict, "nothing-to-judge", why);
    };
    let own = before.iter().rev().find(|told| (told.stream, told.model) == (stream, model));
    if number <= own.map_or_else(|| awaiting.last(model), |told| told.number) {
        let why = format!("model {model} has judged leaf {leaf} or a later one of its stream already");
        return refuse(RefusalClass::Conflict, "already-judged", why);
    }
    let (value, reason) = (verdict.value.unwrap_or(judged.value), verdict.reason.to_string());
    let score_ppm = verdict.score_ppm;
    Ok(Ok(Told { stream, model, kind, score_ppm, value, reason, judged, number }))
}

/// The statement of that leaf and its number, by bisection: leaves rise with numbers.
fn find(
    state: &impl Lookup,
    stream: &StreamId,
    awaiting: &Awaiting,
    leaf: u64,
) -> Result<Option<(u64, Awaited)>, ChainError> {
    let (mut low, mut high) = (awaiting.oldest(), awaiting.newest);
    while low <= high {
        let middle = low + (high - low) / 2;
        // At a door the model may be unbound meanwhile.
        let Some(row) = state.row::<Awaited>(&(*stream, slot(middle)))? else { return Ok(None) };
        match row.leaf.cmp(&leaf) {
            std::cmp::Ordering::Equal => return Ok(Some((middle, row))),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle - 1,
        }
    }
    Ok(None)
}

impl Stage<'_> {
    /// Notes that runners may judge a stream's newest reading.
    pub(super) fn await_verdicts(
        &mut self,
        stream: StreamId,
        reading: &LatestReading,
    ) -> Result<(), ChainError> {
        let mut awaiting = self.work.get::<Awaiting>(&stream)?.unwrap_or_default();
        let (leaf, record, time_us, value) = (reading.leaf, reading.record, reading.time_us, reading.value);
        // Several models of a stream await the same.
        let newest = match awaiting.newest {
            0 => None,
            newest => self.work.get::<Awaited>(&(stream, slot(newest)))?,
        };
        if newest.is_some_and(|newest| newest.leaf >= leaf) {
            return Ok(());
        }
        awaiting.newest += 1;
        let row = Awaited { leaf, record, time_us, value, height: Height(self.ctx.height) };
        self.work.put((stream, slot(awaiting.newest)), row);
        self.work.put(stream, awaiting);
        Ok(())
    }

    /// Takes the verdicts of the statement at this leaf in.
    pub(super) fn attested(&mut self, leaf: u64, told: Vec<Told>) -> Result<(), ChainError> {
        for (record, told) in (0..).zip(told) {
            let Told { stream, model, kind, score_ppm, value, reason, judged, number } = told;
            let mut awaiting = self.work.get::<Awaiting>(&stream)?.unwrap_or_default();
            awaiting.judged(model, number);
            self.work.put(stream, awaiting);
            if is_watched(self.work, &stream)? {
                let at = (judged.time_us, value);
                let event = Trigger::verdict(leaf, record, stream, at, model, kind, score_ppm).attested();
                evaluate(self.ctx, self.work, event, &mut self.out.triggers)?;
            }
            let verdict = Verdict {
                leaf: LeafIndex(leaf),
                record,
                stream,
                model,
                class: Assurance::Attested,
                kind,
                score: Score::saturating_from_ppm(score_ppm),
                time_ms: judged.time_us.div_euclid(1000),
                value_e9: value_e9(value).unwrap_or(triad_log::DOES_NOT_FIT),
                reason: Reason::new(reason),
            };
            if let Some(prediction) = Prediction::of(&verdict, self.ctx.height) {
                self.work.put((stream, model), prediction);
            }
            self.out.verdicts.push(verdict);
        }
        Ok(())
    }
}
