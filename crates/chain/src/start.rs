//! Where a chain begins, and how it comes back after a stop of any kind.

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, sol};
use triad_evm::{
    AUTOMATIONS, BlockContext, DEVICE_REGISTRY, EmptyApp, EmptyState, EvmBlock, Executor, GenesisAccount,
    Overlay,
};
use triad_log::{Checkpoint, EMPTY_ROOT, Height, TileWriter, VerdictKind};
use triad_models::{Input, State};

use crate::admission;
use crate::block::{Block, Body, body_hash};
use crate::error::ChainError;
use crate::execute::Rules;
use crate::genesis::{ChainSpec, parse_wei};
use crate::ledger::Tip;
use crate::state::model::ModelState;
use crate::state::records::{Bindings, Stream};
use crate::state::{BUCKETS, Tables, View};
use crate::store::Store;
use crate::store::index::{Pending, Rows, StatementRow, VerdictRow};

sol! {
    interface Registry {
        function initialize(address[] registrars, bool open) external;
    }
    interface Automation {
        function initialize(address feeRecipient, uint256 minDeposit) external;
    }
}

/// The least an automation must be funded with: what 8 firings of a small one cost.
const MIN_DEPOSIT_GAS: u64 = 1_000_000;

/// The block of height 0: the genesis accounts and the system contracts, initialised.
pub(crate) fn genesis_block(spec: &ChainSpec) -> Result<(Block, EvmBlock), ChainError> {
    let genesis = &spec.genesis;
    let mut alloc: Vec<(Address, GenesisAccount)> = Vec::new();
    for account in &genesis.accounts {
        alloc.push((account.address, GenesisAccount::funded(parse_wei(&account.balance)?)));
    }
    for (address, code) in triad_evm::system_contracts() {
        alloc.push((address, GenesisAccount::contract(code)));
    }
    let (changes, state_root) = triad_evm::genesis(&alloc)
        .map_err(|e| ChainError::Genesis(crate::GenesisError::Malformed(e.to_string())))?;
    let context = BlockContext {
        number: 0,
        timestamp: genesis.time_ms / 1000,
        gas_limit: genesis.limits.block_gas,
        base_fee: genesis.fees.base_fee,
        chain_id: genesis.chain_id,
        parent_state_root: state_root,
        ..BlockContext::default()
    };
    let base = Overlay::new(vec![Arc::new(changes.clone())], &EmptyState);
    let mut evm = Executor::new(&base, Arc::new(EmptyApp), context);
    let open = genesis.open_registration != 0;
    let recipient = spec.fee_recipient(0).unwrap_or_default();
    let deposit = U256::from(MIN_DEPOSIT_GAS) * U256::from(genesis.fees.base_fee);
    let calls = [
        (
            DEVICE_REGISTRY,
            Registry::initializeCall { registrars: genesis.registrars.clone(), open }.abi_encode(),
        ),
        (
            AUTOMATIONS,
            Automation::initializeCall { feeRecipient: recipient, minDeposit: deposit }.abi_encode(),
        ),
    ];
    for (contract, input) in calls {
        let outcome = evm.system_call(contract, input.into())?;
        if !outcome.success {
            return Err(ChainError::corrupt(format!("system contract {contract} does not initialise")));
        }
    }
    let mut evm = evm.finish()?;
    let mut all = changes;
    all.merge(std::mem::take(&mut evm.changes));
    evm.changes = all;
    let body = Body::default();
    let body_bytes = body.encode();
    let checkpoint = Checkpoint {
        genesis_hash: spec.hash,
        chain_id: genesis.chain_id,
        height: Height(0),
        epoch: 0,
        parent_digest: [0; 32],
        time_ms: genesis.time_ms,
        body_hash: body_hash(&body_bytes),
        log_size: 0,
        log_root: EMPTY_ROOT,
        app_digest: [0; 32],
        eth_block_hash: evm.hash.0,
        next_validators: None,
    };
    Ok((Block::assemble(checkpoint, body, &body_bytes), evm))
}

pub(crate) fn store_genesis(store: &Store, genesis: &Block, evm: &EvmBlock) -> Result<(), ChainError> {
    store.commit_genesis(genesis, evm)
}

/// Brings the tables, the unwritten index rows and the model states to where the last commit left them.
pub(crate) fn restore(
    store: &Store,
    rules: &Rules,
    pending: &Pending,
    height: u64,
) -> Result<Tip, ChainError> {
    let first = height.saturating_sub(BUCKETS - 1).max(1);
    for h in first..=height {
        if let Some(delta) = store.delta(h)? {
            store.state.overlay_delta(&delta)?;
        }
    }
    store.state.load_ordered()?;
    for h in first..=height {
        replay(store, rules, pending, h, height)?;
    }
    let stored = store
        .checkpoint(height)?
        .ok_or_else(|| ChainError::corrupt(format!("the checkpoint of block {height} is missing")))?;
    let eth = store
        .eth_block(height)?
        .map(|block| block.header)
        .ok_or_else(|| ChainError::corrupt(format!("Ethereum block {height} is missing")))?;
    let log = TileWriter::load(store, stored.checkpoint.log_size)
        .map_err(|e| ChainError::corrupt(format!("the log: {e}")))?;
    if log.root() != stored.checkpoint.log_root {
        return Err(ChainError::corrupt("the stored log has another root than the last checkpoint"));
    }
    Ok(Tip {
        digest: stored.checkpoint.digest(),
        eth_hash: eth.hash_slow(),
        state_root: eth.state_root,
        log,
        checkpoint: stored.checkpoint,
    })
}

/// Derives again what a commit leaves in RAM: index rows of buckets not flushed since, and model states.
fn replay(store: &Store, rules: &Rules, pending: &Pending, height: u64, tip: u64) -> Result<(), ChainError> {
    let missing = |what: &str| ChainError::corrupt(format!("{what} of block {height} is missing"));
    let block = store.block(height)?.ok_or_else(|| missing("the body"))?;
    let time_ms = block.checkpoint.time_ms;
    let view = View { state: store.state.clone(), layers: Vec::new() };
    // The block's last leaf is that of its verdicts.
    let first_leaf = block.checkpoint.log_size - 1 - block.body.statements.len() as u64;
    let mut rows = Rows::default();
    let mut changed = Tables::default();
    let verdicts = store.verdicts(height)?;
    let number = |stream: &triad_statement::StreamId| {
        Ok::<_, ChainError>(view.get::<Stream>(stream)?.map(|s| s.number))
    };
    for (ordinal, verdict) in verdicts.iter().enumerate() {
        if let Some(stream) = number(&verdict.stream)? {
            rows.verdicts.push(VerdictRow { stream, height, ordinal: ordinal as u32 });
        }
        if verdict.kind == VerdictKind::Silent {
            step(&view, rules, &mut changed, &verdict.stream, height, Some(verdict.model), |spec, state| {
                state.on_deadline(spec, time_ms);
            })?;
        }
    }
    for (i, bytes) in block.body.statements.iter().enumerate() {
        let statement = triad_statement::Statement::parse(bytes.clone())
            .map_err(|e| ChainError::corrupt(format!("a statement of block {height} does not parse: {e}")))?;
        let leaf = first_leaf + i as u64;
        let mut id = [0; 16];
        id.copy_from_slice(&statement.id().0[..16]);
        let (signer, sequence) = (statement.signer(), statement.sequence().0);
        rows.statements.push(StatementRow { signer, number: sequence, leaf, id });
        for r in admission::readings(&statement, time_ms) {
            let Some(stream) = number(&r.reading.stream)? else { continue };
            let (time_us, value, record) = (r.time_us, r.value, r.record);
            rows.readings.push(crate::execute::ReadingRow { stream, time_us, value, leaf, record });
            let input = Input { time_us, value, block_time_ms: time_ms };
            step(&view, rules, &mut changed, &r.reading.stream, height, None, |spec, state| {
                state.step(spec, input);
            })?;
        }
    }
    // A bucket's last flush wrote what came up to it.
    let flushed_at = |bucket: u64| tip.checked_sub((tip + BUCKETS - bucket) % BUCKETS);
    pending.add(&rows, |bucket| flushed_at(bucket).is_none_or(|flushed| height > flushed));
    store.state.models.absorb(&changed.models);
    Ok(())
}

/// Steps the models of a stream that have not seen this block yet.
fn step(
    view: &View,
    rules: &Rules,
    changed: &mut Tables,
    stream: &triad_statement::StreamId,
    height: u64,
    only: Option<u64>,
    mut apply: impl FnMut(&triad_models::Spec, &mut State),
) -> Result<(), ChainError> {
    let bound = view.get::<Bindings>(stream)?.unwrap_or_default();
    let defaults = rules.defaults.iter().enumerate().map(|(i, spec)| (i as u64, 0, spec));
    let all = defaults.chain(bound.0.iter().map(|b| (b.model, b.since, &b.spec)));
    for (model, _, spec) in
        all.filter(|(model, since, _)| *since < height && only.is_none_or(|o| o == *model))
    {
        let key = (*stream, model);
        let fresh = changed.models.get(&key).cloned().flatten();
        let in_block = fresh.is_some();
        let stored = match fresh {
            Some(state) => Some(state),
            None => view.get::<ModelState>(&key)?,
        };
        if !in_block && stored.as_ref().is_some_and(|s| s.height >= height) {
            continue;
        }
        let mut state = match stored {
            None => State::new(spec),
            Some(stored) => stored
                .open(spec)
                .ok_or_else(|| ChainError::corrupt("a model's stored state does not decode"))?,
        };
        apply(spec, &mut state);
        changed.models.insert(key, Some(ModelState::live(height, state)));
    }
    Ok(())
}
