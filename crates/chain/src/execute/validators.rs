//! Who decides the block that is executed, who decides the next one, and whether this program knows the rules of both.

use std::sync::Arc;

use triad_evm::{Log, bindings::IValidatorSet};

use super::{Context, follow::decode};
use crate::error::ChainError;
use crate::genesis::{ChainSpec, KNOWN_RULES};
use crate::state::records::{Member, Reign, Scheduled};
use crate::state::{View, Work};

/// The epoch of a block whose parent is this: an epoch's last checkpoint names the validators that follow.
pub(crate) fn epoch_after(parent: &triad_log::Checkpoint) -> u64 {
    parent.epoch + u64::from(parent.next_validators.is_some())
}

/// An epoch as a state has it.
pub(crate) fn reign(view: &View, spec: &ChainSpec, epoch: u64) -> Result<Reign, ChainError> {
    match view.get::<Reign>(&epoch)? {
        Some(reign) => Ok(reign),
        None if epoch == 0 => Ok(Reign::genesis(spec)),
        None => Err(ChainError::corrupt(format!("the validators of epoch {epoch} are missing"))),
    }
}

/// Whether a rule holds in the block at a height: genesis names it, or the validators scheduled it. `scheduled` is what
/// that block's parent, or a later one, has.
pub(crate) fn holds(spec: &ChainSpec, scheduled: Option<&Scheduled>, rule: &str, height: u64) -> bool {
    let reached = |(name, from): &(String, u64)| name == rule && height >= *from;
    spec.has_rule(rule) || scheduled.is_some_and(|scheduled| scheduled.0.iter().any(reached))
}

/// Refuses to execute a block under a rule that this program does not know.
pub(crate) fn check_rules(view: &View, height: u64) -> Result<(), ChainError> {
    let Some(scheduled) = view.get::<Scheduled>(&0)? else { return Ok(()) };
    match scheduled.0.iter().find(|(name, from)| height >= *from && !KNOWN_RULES.contains(&name.as_str())) {
        None => Ok(()),
        Some((name, from)) => Err(ChainError::UnknownRule { name: name.clone(), height: *from }),
    }
}

/// Follows a log of the `ValidatorSet` contract.
pub(crate) fn follow(ctx: &Context<'_>, work: &mut Work, log: &Log) -> Result<(), ChainError> {
    let mut change = |apply: &mut dyn FnMut(&mut Reign)| {
        let mut reign = match work.get::<Reign>(&ctx.epoch)? {
            Some(reign) => reign,
            None => ctx.reign.clone(),
        };
        apply(&mut reign);
        work.put(ctx.epoch, reign);
        Ok::<(), ChainError>(())
    };
    if let Some(e) = decode::<IValidatorSet::ValidatorAdded>(log) {
        let member = Member {
            consensus_key: e.consensusKey.0,
            checkpoint_address: e.checkpointAddress,
            fee_recipient: e.feeRecipient,
            name: e.name,
            network: e.network,
        };
        change(&mut |reign| reign.add(member.clone()))
    } else if let Some(e) = decode::<IValidatorSet::ValidatorRemoved>(log) {
        change(&mut |reign| reign.remove(&e.consensusKey.0))
    } else if let Some(e) = decode::<IValidatorSet::EpochEnds>(log) {
        change(&mut |reign| reign.last = Some(e.lastBlock))
    } else if let Some(e) = decode::<IValidatorSet::RuleScheduled>(log) {
        let mut rules = Vec::clone(&work.get::<Scheduled>(&0)?.unwrap_or_default().0);
        rules.push((e.rule, e.height));
        work.put(0, Scheduled(Arc::new(rules)));
        Ok(())
    } else {
        Ok(())
    }
}

/// Ends the epoch if this block is its last: the hash of the set that follows.
pub(crate) fn hand_over(ctx: &Context<'_>, work: &mut Work) -> Result<Option<[u8; 32]>, ChainError> {
    // A block of this epoch decided its end, so there is a row.
    let Some(reign) = work.get::<Reign>(&ctx.epoch)?.filter(|reign| reign.last == Some(ctx.height)) else {
        return Ok(None);
    };
    let set = reign.next_set().map_err(|e| ChainError::corrupt(format!("the next validators: {e}")))?;
    let next = Reign { first: ctx.height + 1, last: None, validators: reign.next.clone(), next: reign.next };
    work.put(ctx.epoch + 1, next);
    Ok(Some(set.hash()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::{LEARNED_MODELS_RULE, Rule};
    use crate::testing::genesis;

    #[test]
    fn a_rule_holds_from_genesis_or_from_the_height_that_it_was_scheduled_for()
    -> Result<(), crate::GenesisError> {
        let (mut old, rule) = (genesis(Vec::new()), LEARNED_MODELS_RULE);
        let scheduled = Scheduled(Arc::new(vec![("other".into(), 1), (rule.into(), 70)]));
        let spec = ChainSpec::new(old.clone())?;
        assert!(!holds(&spec, None, rule, 100));
        assert_eq!([69, 70].map(|height| holds(&spec, Some(&scheduled), rule, height)), [false, true]);
        old.rules.push(Rule { name: rule.into(), height: 0 });
        assert!(holds(&ChainSpec::new(old)?, None, rule, 1));
        Ok(())
    }
}
