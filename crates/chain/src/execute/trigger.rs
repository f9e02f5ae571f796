//! When an automation fires: its condition *becomes* true, and its cool-down is over.

use std::sync::Arc;

use alloy_primitives::I256;
use triad_log::VerdictKind;
use triad_statement::StreamId;

use super::Context;
use super::statements::contract_value;
use crate::error::ChainError;
use crate::state::Work;
use crate::state::records::{ATTESTED, Comparison, Condition, Registration, Watchers};

/// Evaluations after which what is owed is charged without waiting for a firing.
pub(crate) const CHARGE_AFTER: u64 = 1024;

/// The bit of a condition's kinds that admits verdicts of class `attested` of these kinds, too. Without it no party's word
/// sets a contract off.
const ATTESTED_TOO: usize = 31;

/// What happened on a stream, and (once an automation is to fire) for whom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trigger {
    pub registration: u64,
    pub stream: StreamId,
    pub leaf: u64,
    pub record: u16,
    pub time_ms: u64,
    /// `None`: it does not fit a contract's int256, so nobody is called.
    pub value: Option<I256>,
    /// The verdict's kind; 0 for a reading. With [`ATTESTED`] where validators did not come to it.
    pub kind: u8,
    pub score: u32,
    /// The model that judged; `None` for a reading.
    pub model: Option<u64>,
}

impl Trigger {
    pub fn reading(leaf: u64, record: u16, stream: StreamId, time_us: i64, value: f64) -> Trigger {
        let time_ms = contract_time(time_us);
        let value = contract_value(value);
        Trigger { registration: 0, stream, leaf, record, time_ms, value, kind: 0, score: 0, model: None }
    }

    pub fn verdict(
        leaf: u64,
        record: u16,
        stream: StreamId,
        (time_us, value): (i64, f64),
        model: u64,
        kind: VerdictKind,
        score: u32,
    ) -> Trigger {
        let kind = kind as u8;
        Trigger { kind, score, model: Some(model), ..Trigger::reading(leaf, record, stream, time_us, value) }
    }

    /// The same of a verdict of class `attested`.
    pub fn attested(self) -> Trigger {
        Trigger { kind: self.kind | ATTESTED, ..self }
    }

    fn meets(&self, condition: &Condition) -> bool {
        match (condition, self.value) {
            (Condition::Reading { op, threshold }, Some(value)) => op.holds(&value, threshold),
            (Condition::Verdict { kinds, min_score }, _) => {
                let attested = self.kind & ATTESTED != 0;
                let kind = usize::from(self.kind & !ATTESTED);
                kinds.bit(kind) && (!attested || kinds.bit(ATTESTED_TOO)) && self.score >= *min_score
            }
            _ => false,
        }
    }
}

/// Milliseconds, rounded down; contracts know no time before the epoch.
pub(crate) fn contract_time(time_us: i64) -> u64 {
    u64::try_from(time_us.div_euclid(1000)).unwrap_or(0)
}

/// Evaluates every registration that watches the stream, and notes those that fire.
pub(crate) fn evaluate(
    ctx: &Context<'_>,
    work: &mut Work,
    event: Trigger,
    fired: &mut Vec<Trigger>,
) -> Result<(), ChainError> {
    let Some(Watchers(ids)) = work.get::<Watchers>(&event.stream)? else { return Ok(()) };
    for id in Arc::clone(&ids).iter() {
        let Some(mut reg) = work.get::<Registration>(id)? else { continue };
        let concerns = matches!(reg.condition, Condition::Verdict { .. }) == event.model.is_some();
        // A late reading was not judged: it ends nothing and begins nothing unless somebody asked for just that.
        let late =
            event.model.is_some() && event.kind == VerdictKind::Late as u8 && !event.meets(&reg.condition);
        if reg.closing || reg.paused || !concerns || late {
            continue;
        }
        let before = reg.clone();
        reg.owed += 1;
        let holds = event.meets(&reg.condition);
        let cool = reg.fired_ms.is_none_or(|at| ctx.time_ms >= at.saturating_add(reg.cooldown_ms));
        // Each model has its own view of whether the condition holds: what another one says does not end it.
        let model = event.model.unwrap_or(u64::MAX);
        let held = reg.held.binary_search(&model);
        if holds && held.is_err() && cool && event.value.is_some() {
            reg.fired_ms = Some(ctx.time_ms);
            fired.push(Trigger { registration: *id, ..event });
        }
        // An edge that falls into the cool-down is not spent: it fires when the condition still holds afterwards.
        // "Any reading" has no edge: it is an event each time.
        let any = matches!(reg.condition, Condition::Reading { op: Comparison::Any, .. });
        match held {
            Err(place) if holds && cool && !any => reg.held.insert(place, model),
            Ok(place) if !holds => {
                reg.held.remove(place);
            }
            _ => {}
        }
        if reg.owed >= CHARGE_AFTER && before.owed < CHARGE_AFTER {
            fired.push(Trigger { registration: *id, kind: super::firings::CHARGE, ..event });
        }
        if reg != before {
            work.put(*id, reg);
        }
    }
    Ok(())
}
