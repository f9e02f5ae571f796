//! Building a block.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::Address;
use triad_evm::StateView as _;
use triad_statement::StatementId;

use super::Ledger;
use crate::admission::Verified;
use crate::block::Block;
use crate::error::{ChainError, Refusal};
use crate::execute::{ExecError, Executed, Input, Mode, Rejected, execute};

impl Ledger {
    /// Builds a block on `parent`, or `None` while there is nothing to put into it. `must`: an empty one, at once.
    pub fn propose(&self, parent: &[u8; 32], proposer: u32, must: bool) -> Result<Option<Block>, ChainError> {
        let Some(open) = self.parent(parent) else { return Ok(None) };
        let time_ms = self.now_ms().max(open.parent.checkpoint.time_ms + 1);
        let (mut statements, mut transactions) = (Vec::new(), Vec::new());
        if !must {
            let ancestors: Vec<[u8; 32]> = open.ancestors.iter().map(|e| e.block.digest).collect();
            let limits = &self.0.rules.spec.genesis.limits;
            statements = self.0.pool.statements(&ancestors, limits);
            transactions = self.0.pool.transactions(&ancestors, limits);
            let due = self.0.store.state.deadlines.first_key().is_some_and(|(at, ..)| at <= time_ms);
            let waiting = self.0.store.state.queue.len() > 0;
            // Due deadlines and waiting firings may already have been dealt with in an unfinalised ancestor; an
            // empty block then costs little and happens at most once.
            let own_turn = open.ancestors.is_empty() && (due || waiting);
            if statements.is_empty() && transactions.is_empty() && !own_turn {
                return Ok(None);
            }
        }
        let offered = statements.clone();
        let offered_txs = transactions.clone();
        let input = Input { proposer, time_ms, statements, transactions };
        let state = open.state(&self.0.store);
        let started = Instant::now();
        let executed = execute(&self.0.rules, &open.parent, &state, input, Mode::Build);
        if self.is_past(&open) {
            return Ok(None);
        }
        let mut executed = match executed {
            Ok(executed) => {
                self.0.metrics.executed(&executed, started.elapsed());
                executed
            }
            Err(ExecError::Broken(error)) => return Err(error),
            Err(ExecError::Invalid(why)) => {
                return Err(ChainError::Block { height: open.parent.checkpoint.height.0 + 1, why });
            }
        };
        let parent_height = open.parent.checkpoint.height.0;
        let final_height = self.height();
        let settle = |verified: &Verified, refusal: &Refusal| match refusal.code {
            // Sent twice, and the first one became final between the door and here: it is the very statement held.
            "equivocation" | "too-old" => {
                crate::submit::held(self, &verified.statement, refusal.code == "too-old")
            }
            _ => Err(refusal.clone()),
        };
        not_twice(&mut executed.rejected, &offered, &open.ancestors);
        let rejected = &executed.rejected;
        let account = |address: &Address| {
            let found = self.committed().state(&self.0.store).account(address);
            found.map(Option::unwrap_or_default).ok()
        };
        let pool = &self.0.pool;
        pool.rejected(&offered, &offered_txs, rejected, parent_height, final_height, settle, account);
        let empty = executed.statements.is_empty() && executed.block.body.transactions.is_empty();
        if empty && !must && !(offered.is_empty() && offered_txs.is_empty()) {
            return Ok(None);
        }
        let block = executed.block.clone();
        self.0.pool.proposed(&executed.statements, &block);
        self.insert(executed);
        Ok(Some(block))
    }
}

/// A statement whose number is used because an unfinalised ancestor holds that very statement was not refused: it will be
/// final with the ancestor, or get another try without it.
fn not_twice(rejected: &mut Rejected, offered: &[Arc<Verified>], ancestors: &[Arc<Executed>]) {
    let used = |refusal: &Refusal| matches!(refusal.code, "equivocation" | "too-old");
    if ancestors.is_empty() || !rejected.statements.iter().any(|(_, refusal)| used(refusal)) {
        return;
    }
    let held: HashSet<StatementId> = ancestors
        .iter()
        .flat_map(|executed| executed.statements.iter().map(|verified| verified.statement.id()))
        .collect();
    rejected
        .statements
        .retain(|(index, refusal)| !used(refusal) || !held.contains(&offered[*index].statement.id()));
}
