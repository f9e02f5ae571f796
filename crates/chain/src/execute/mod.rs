//! The state transition: a pure function of (parent state, block).
//!
//! ```text
//! deadlines → statements (leaf, readings → models → verdicts, automations triggered) → one verdict leaf
//!           → firings → transactions → registry events followed → delta, application digest, checkpoint
//! ```
//!
//! No clock, no randomness, no map order: whatever is iterated towards a hash is sorted first.

mod app;
mod attest;
mod firings;
mod follow;
mod rows;
mod statements;
mod trigger;
mod validators;
mod work;

use std::sync::Arc;

use alloy_primitives::B256;
use triad_evm::{
    BlockContext, EvmBlock, Executor, Fork, LogAt, RecoveredTx, StateChanges, StateView, TxError,
};
use triad_log::{Checkpoint, Height, Tile, TileWriter, Verdict, VerdictLeaf, verdict_tree};
use triad_models::Spec;

use crate::admission::Verified;
use crate::block::{Block, Body, body_hash};
use crate::error::{BlockError, ChainError, Refusal};
use crate::genesis::{ATTESTED_MODELS_RULE, ChainSpec, LEARNED_MODELS_RULE, Limits, WINDOWED_MODELS_RULE};
use crate::model_files::ModelFiles;
use crate::state::records::{Reign, Scheduled};
use crate::state::{Place, Tables, View, Work, app_digest};

use app::Own;
pub(crate) use app::{BlockApp, History, contract_prediction, contract_reading, contract_verdict};
pub(crate) use attest::check as check_attestation;
pub(crate) use firings::{CLOSE, FiringCounts};
pub use follow::SYSTEM_CONTRACTS;
use statements::Stage;
pub(crate) use statements::{BLOCK_FULL, ReadingRow};
pub(crate) use validators::{epoch_after, holds, reign};

/// What every part of one block's execution needs to know.
pub(crate) struct Context<'a> {
    pub height: u64,
    pub time_ms: u64,
    pub limits: &'a Limits,
    pub base_fee: u64,
    pub evaluation_gas: u64,
    pub defaults: &'a [Arc<Spec>],
    pub epoch: u64,
    /// The epoch as the parent's state has it.
    pub reign: &'a Reign,
    /// Whether the chain has the `ValidatorSet` contract.
    pub validator_set: bool,
    /// Whether forecasts and ensembles of trees may be bound and judge.
    pub learned: bool,
    /// Whether models of rows that may remember earlier rows may be bound, besides.
    pub windowed: bool,
    /// Whether models that validators do not run may be bound, and verdicts of their runners stand.
    pub attested: bool,
    pub files: &'a ModelFiles,
    /// The EVM's state after the parent.
    pub evm: &'a dyn StateView,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    /// The block is invalid.
    #[error(transparent)]
    Invalid(BlockError),
    /// This node is broken: nothing is said about the block.
    #[error(transparent)]
    Broken(ChainError),
}

/// The parent of the block to execute, and how to read its state.
#[derive(Clone)]
pub(crate) struct Parent {
    pub checkpoint: Checkpoint,
    pub digest: [u8; 32],
    pub eth_hash: B256,
    pub state_root: B256,
    pub log: TileWriter,
    pub view: View,
    pub history: Arc<dyn History>,
}

/// What goes into a block.
pub(crate) struct Input {
    pub proposer: u32,
    pub time_ms: u64,
    pub statements: Vec<Arc<Verified>>,
    pub transactions: Vec<Arc<RecoveredTx>>,
}

/// What was left out while a block was built, by index into the input.
#[derive(Default)]
pub(crate) struct Rejected {
    pub statements: Vec<(usize, Refusal)>,
    pub transactions: Vec<(usize, TxError)>,
}

/// An executed block with everything that its commit stores.
pub(crate) struct Executed {
    pub block: Block,
    pub tables: Arc<Tables>,
    /// The part of the delta that is stored.
    pub kept: Vec<u8>,
    /// Its `changes` are in `evm_changes`.
    pub evm: EvmBlock,
    pub evm_changes: Arc<StateChanges>,
    /// The log after this block, and the tiles that it changed.
    pub log: TileWriter,
    pub tiles: Vec<Tile>,
    pub first_leaf: u64,
    pub statements: Vec<Arc<Verified>>,
    pub readings: Vec<ReadingRow>,
    pub verdicts: Vec<Verdict>,
    pub firings: FiringCounts,
    pub rejected: Rejected,
}

impl Executed {
    pub fn log_at(&self) -> LogAt {
        let c = &self.block.checkpoint;
        LogAt { height: c.height.0, size: c.log_size, root: c.log_root }
    }
}

/// Whether items that do not fit the state are left out (building) or make the block invalid (checking).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Build,
    Check,
}

/// What does not change from block to block.
pub(crate) struct Rules {
    pub spec: ChainSpec,
    pub defaults: Vec<Arc<Spec>>,
    /// A cache, which no outcome depends on.
    pub files: ModelFiles,
}

impl Rules {
    pub fn new(spec: ChainSpec) -> Rules {
        let defaults = spec.default_models.iter().cloned().map(Arc::new).collect();
        Rules { spec, defaults, files: ModelFiles::default() }
    }
}

pub(crate) fn execute(
    rules: &Rules,
    parent: &Parent,
    evm_state: &dyn StateView,
    input: Input,
    mode: Mode,
) -> Result<Executed, ExecError> {
    let genesis = &rules.spec.genesis;
    let height = parent.checkpoint.height.0 + 1;
    validators::check_rules(&parent.view, height)?;
    let epoch = epoch_after(&parent.checkpoint);
    let reign = validators::reign(&parent.view, &rules.spec, epoch)?;
    let scheduled = parent.view.get::<Scheduled>(&0).map_err(ExecError::Broken)?;
    let rule = |name| holds(&rules.spec, scheduled.as_ref(), name, height);
    let learned = rule(LEARNED_MODELS_RULE);
    let ctx = Context {
        height,
        time_ms: input.time_ms,
        limits: &genesis.limits,
        base_fee: genesis.fees.base_fee,
        evaluation_gas: genesis.fees.evaluation_gas,
        defaults: &rules.defaults,
        epoch,
        reign: &reign,
        validator_set: rules.spec.has_validator_set(),
        learned,
        windowed: learned && rule(WINDOWED_MODELS_RULE),
        attested: rule(ATTESTED_MODELS_RULE),
        files: &rules.files,
        evm: evm_state,
    };
    let proposer = reign.validators.get(input.proposer as usize);
    let beneficiary = proposer.ok_or(BlockError::Proposer(input.proposer))?.fee_recipient;
    if input.time_ms <= parent.checkpoint.time_ms {
        return Err(BlockError::Parent("its time is not later").into());
    }

    let mut work = Work::new(parent.view.clone());
    let mut rejected = Rejected::default();
    let first_leaf = parent.checkpoint.log_size;
    let mut stage = Stage::new(&ctx, &mut work, first_leaf);
    stage.deadlines()?;
    for (index, statement) in input.statements.iter().enumerate() {
        match (stage.admit(statement)?, mode) {
            (Ok(()), _) => {}
            (Err(refusal), Mode::Build) => rejected.statements.push((index, refusal)),
            (Err(why), Mode::Check) => return Err(BlockError::Statement { index, why }.into()),
        }
    }
    let mut outcome = stage.finish();

    let verdict_leaf = VerdictLeaf {
        height: Height(height),
        time_ms: ctx.time_ms,
        count: outcome.verdicts.len() as u64,
        root: verdict_tree(&outcome.verdicts).root(),
    };
    outcome.leaves.push(verdict_leaf.hash());
    let mut grown = parent.log.clone();
    let tiles = grown.append(&outcome.leaves);

    let own = Arc::new(Own {
        latest: std::mem::take(&mut work.tables.latest),
        predictions: (ctx.learned || ctx.attested).then(|| std::mem::take(&mut work.tables.predictions)),
    });
    let log = LogAt { height, size: grown.size(), root: grown.root() };
    let app = Arc::new(BlockApp::new(own.clone(), parent.view.clone(), parent.history.clone(), log));
    let block_context = BlockContext {
        number: height,
        timestamp: ctx.time_ms / 1000,
        beneficiary,
        prev_randao: parent.digest.into(),
        gas_limit: genesis.limits.block_gas,
        base_fee: ctx.base_fee,
        base_fee_to: genesis.fees.base_fee_recipient(beneficiary),
        parent_hash: parent.eth_hash,
        chain_id: genesis.chain_id,
        parent_state_root: parent.state_root,
        fork: Fork::default(),
    };
    let mut evm = Executor::new(evm_state, app.clone(), block_context);
    let firings = firings::run(&ctx, &mut work, &mut evm, std::mem::take(&mut outcome.triggers))?;
    evm.reserve(input.transactions.len());
    let mut transactions = Vec::with_capacity(input.transactions.len());
    let mut bytes = 0u64;
    for (index, tx) in input.transactions.iter().enumerate() {
        let raw = triad_evm::TriadTx::Ethereum(RecoveredTx::clone(tx)).encoded_2718();
        if bytes + raw.len() as u64 > genesis.limits.block_bytes {
            match mode {
                Mode::Build => break,
                Mode::Check => return Err(BlockError::Limit("the size of the transactions").into()),
            }
        }
        match (evm.transaction(tx), mode) {
            (Ok(_), _) => {
                bytes += raw.len() as u64;
                transactions.push(raw.into());
            }
            (Err(TxError::State(error)), _) => return Err(ExecError::Broken(error.into())),
            (Err(error), Mode::Build) => rejected.transactions.push((index, error)),
            (Err(error), Mode::Check) => {
                return Err(BlockError::Transaction { index, why: error.to_string() }.into());
            }
        }
    }
    let mut evm = evm.finish().map_err(ChainError::from)?;
    let evm_changes = Arc::new(std::mem::take(&mut evm.changes));
    if let Some(error) = app.take_error() {
        return Err(error.into());
    }
    drop(app);
    let own = Arc::try_unwrap(own).unwrap_or_else(|shared| (*shared).clone());
    work.tables.latest = own.latest;
    work.tables.predictions = own.predictions.unwrap_or_default();
    follow::events(&ctx, &mut work, &evm)?;
    let next_validators = validators::hand_over(&ctx, &mut work)?;

    let delta = work.tables.delta();
    let statements: Vec<_> = outcome.accepted.iter().map(|v| v.statement.bytes().clone()).collect();
    let body = Body { proposer: input.proposer, statements, transactions };
    let body_bytes = body.encode();
    let checkpoint = Checkpoint {
        genesis_hash: rules.spec.hash,
        chain_id: genesis.chain_id,
        height: Height(height),
        epoch,
        parent_digest: parent.digest,
        time_ms: ctx.time_ms,
        body_hash: body_hash(&body_bytes),
        log_size: log.size,
        log_root: log.root,
        app_digest: app_digest(&parent.checkpoint.app_digest, &delta),
        eth_block_hash: evm.hash.0,
        next_validators,
    };
    Ok(Executed {
        block: Block::assemble(checkpoint, body, &body_bytes),
        kept: work.tables.kept(Place { height, first_leaf }),
        tables: Arc::new(work.tables),
        evm,
        evm_changes,
        log: grown,
        tiles,
        first_leaf,
        statements: outcome.accepted,
        readings: outcome.readings,
        verdicts: outcome.verdicts,
        firings,
        rejected,
    })
}

/// Executes a block that somebody else built and compares everything it commits to.
pub(crate) fn check(
    rules: &Rules,
    parent: &Parent,
    evm_state: &dyn StateView,
    block: &Block,
    statements: Vec<Arc<Verified>>,
    transactions: Vec<Arc<RecoveredTx>>,
) -> Result<Executed, ExecError> {
    let c = &block.checkpoint;
    if c.parent_digest != parent.digest || c.height.0 != parent.checkpoint.height.0 + 1 {
        return Err(BlockError::Parent("its parent or height").into());
    }
    let input = Input { proposer: block.body.proposer, time_ms: c.time_ms, statements, transactions };
    let executed = execute(rules, parent, evm_state, input, Mode::Check)?;
    if executed.block.digest != block.digest {
        return Err(BlockError::Outcome(difference(c, &executed.block.checkpoint)).into());
    }
    Ok(executed)
}

fn difference(theirs: &Checkpoint, ours: &Checkpoint) -> &'static str {
    match () {
        () if theirs.genesis_hash != ours.genesis_hash => "the genesis hash",
        () if theirs.log_root != ours.log_root || theirs.log_size != ours.log_size => "the log root",
        () if theirs.app_digest != ours.app_digest => "the application digest",
        () if theirs.eth_block_hash != ours.eth_block_hash => "the Ethereum block hash",
        () if theirs.body_hash != ours.body_hash => "the body hash",
        () => "the checkpoint",
    }
}
