//! Automations act: debit, call, refund. The list is fixed before the first call, so nothing that a target does can
//! add to it; a target's own registration is debited before the call, so nothing it does can undo its price.

use alloy_primitives::{Bytes, I256, U256};
use alloy_sol_types::SolCall;
use triad_evm::bindings::{IAutomations, ITriadTarget};
use triad_evm::{AUTOMATIONS, Executor, Firing};

use super::trigger::Trigger;
use super::{Context, ExecError};
use crate::error::ChainError;
use crate::state::Work;
use crate::state::records::{Queued, Registration, Watchers};

/// `kind` of a queue entry that charges for evaluations, and of one that closes a registration.
pub(crate) const CHARGE: u8 = 254;
pub(crate) const CLOSE: u8 = 255;
/// What an entry takes from the automation share of the block's gas besides its target's gas limit.
const ENTRY_GAS: u64 = 60_000;

/// What automations did in one block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FiringCounts {
    pub fired: u64,
    pub reverted: u64,
    /// Firings that found no place in the bounded queue. The event can still be settled with its proof.
    pub dropped: u64,
    /// Registrations that could not pay and sleep now.
    pub paused: u64,
}

type Key = (u64, u32, u64);

/// Runs what waits and what is new, as far as the automation share goes; queues the rest.
pub(crate) fn run(
    ctx: &Context<'_>,
    work: &mut Work,
    evm: &mut Executor<'_>,
    triggers: Vec<Trigger>,
) -> Result<FiringCounts, ExecError> {
    let mut counts = FiringCounts::default();
    let room = ctx.limits.firing_queue as usize;
    let waiting = work.queued(room);
    let mut free = room.saturating_sub(waiting.len());
    let mut list: Vec<(Key, Queued, bool)> = waiting.into_iter().map(|(k, q)| (k, q, true)).collect();
    for (ordinal, t) in triggers.iter().enumerate() {
        if free == 0 {
            counts.dropped += 1;
            continue;
        }
        free -= 1;
        let value = t.value.unwrap_or(I256::ZERO);
        let queued = Queued { stream: t.stream, leaf: t.leaf, time_ms: t.time_ms, value, kind: t.kind };
        list.push(((ctx.height, ordinal as u32, t.registration), queued, false));
    }
    let mut budget = ctx.limits.automation_gas;
    let mut ordinal = 0u64;
    let mut blocked = false;
    for (key, entry, stored) in list {
        let Some(reg) = work.get::<Registration>(&key.2)? else {
            if stored {
                work.remove::<Queued>(key);
            }
            continue;
        };
        let gas = ENTRY_GAS + if entry.kind >= CHARGE { 0 } else { reg.gas_limit };
        // In order: what does not fit makes everything behind it wait too.
        if blocked || gas > budget {
            blocked = true;
            if !stored {
                work.put(key, entry);
            }
            continue;
        }
        budget -= gas;
        if stored {
            work.remove::<Queued>(key);
        }
        match entry.kind {
            CHARGE => charge(ctx, work, evm, key.2, reg, &mut counts)?,
            CLOSE => close(ctx, work, evm, key.2, &reg)?,
            _ => fire(ctx, work, evm, key.2, reg, &entry, &mut ordinal, &mut counts)?,
        }
    }
    Ok(counts)
}

fn wei(ctx: &Context<'_>, gas: u64) -> U256 {
    U256::from(gas) * U256::from(ctx.base_fee)
}

fn owed(ctx: &Context<'_>, reg: &Registration) -> U256 {
    wei(ctx, reg.owed.saturating_mul(ctx.evaluation_gas))
}

/// Takes `amount` from the prepaid balance; `false` when it is not there.
fn debit(evm: &mut Executor<'_>, id: u64, amount: U256) -> Result<bool, ExecError> {
    let input: Bytes = IAutomations::debitCall { id, amount }.abi_encode().into();
    let outcome = evm.system_call(AUTOMATIONS, input).map_err(ChainError::from)?;
    let paid = IAutomations::debitCall::abi_decode_returns(&outcome.output);
    Ok(outcome.success && paid.is_ok_and(|paid| paid.ok))
}

fn charge(
    ctx: &Context<'_>,
    work: &mut Work,
    evm: &mut Executor<'_>,
    id: u64,
    mut reg: Registration,
    counts: &mut FiringCounts,
) -> Result<(), ExecError> {
    if reg.closing {
        return Ok(());
    }
    if debit(evm, id, owed(ctx, &reg))? {
        reg.owed = 0;
    } else {
        reg.paused = true;
        counts.paused += 1;
    }
    work.put(id, reg);
    Ok(())
}

fn close(
    ctx: &Context<'_>,
    work: &mut Work,
    evm: &mut Executor<'_>,
    id: u64,
    reg: &Registration,
) -> Result<(), ExecError> {
    let input: Bytes = IAutomations::closeCall { id, owed: owed(ctx, reg) }.abi_encode().into();
    evm.system_call(AUTOMATIONS, input).map_err(ChainError::from)?;
    work.remove::<Registration>(id);
    if let Some(Watchers(ids)) = work.get::<Watchers>(&reg.stream)? {
        let left: Vec<u64> = ids.iter().copied().filter(|other| *other != id).collect();
        if left.is_empty() {
            work.remove::<Watchers>(reg.stream);
        } else {
            work.put(reg.stream, Watchers(left.into()));
        }
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn fire(
    ctx: &Context<'_>,
    work: &mut Work,
    evm: &mut Executor<'_>,
    id: u64,
    mut reg: Registration,
    entry: &Queued,
    ordinal: &mut u64,
    counts: &mut FiringCounts,
) -> Result<(), ExecError> {
    if reg.closing || reg.paused {
        return Ok(());
    }
    if !debit(evm, id, wei(ctx, reg.gas_limit) + owed(ctx, &reg))? {
        reg.paused = true;
        counts.paused += 1;
        work.put(id, reg);
        return Ok(());
    }
    reg.owed = 0;
    let call = ITriadTarget::onTriadCall {
        registrationId: id,
        owner: reg.owner,
        stream: entry.stream.0.into(),
        leafIndex: entry.leaf,
        timeMs: entry.time_ms,
        value: entry.value,
        kind: entry.kind,
    };
    let firing = Firing {
        height: ctx.height,
        ordinal: *ordinal,
        registration: id,
        gas: reg.gas_limit,
        to: reg.target,
        input: call.abi_encode().into(),
    };
    *ordinal += 1;
    let outcome = evm.firing(&firing).map_err(ChainError::from)?;
    counts.fired += 1;
    counts.reverted += u64::from(!outcome.success);
    let unused = reg.gas_limit.saturating_sub(outcome.gas_used);
    if unused > 0 {
        let input: Bytes = IAutomations::refundCall { id, amount: wei(ctx, unused) }.abi_encode().into();
        evm.system_call(AUTOMATIONS, input).map_err(ChainError::from)?;
    }
    work.put(id, reg);
    Ok(())
}
