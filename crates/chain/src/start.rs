//! Where a chain begins.

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, sol};
use triad_evm::bindings::IValidatorSet;
use triad_evm::{
    AUTOMATIONS, BlockContext, DEVICE_REGISTRY, EmptyApp, EmptyState, EvmBlock, Executor, GenesisAccount,
    Overlay, VALIDATOR_SET,
};
use triad_log::{Checkpoint, EMPTY_ROOT, Height};

use crate::block::{Block, Body, body_hash};
use crate::error::ChainError;
use crate::genesis::{ChainSpec, parse_wei};
use crate::state::records::{Member, Reign};
use crate::store::Store;

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
    if spec.has_validator_set() {
        alloc.push((VALIDATOR_SET, GenesisAccount::contract(triad_evm::validator_set_code())));
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
    // What automations pay is kept by their contract for one account.
    let first = spec.fee_recipient(0).unwrap_or_default();
    let recipient = genesis.fees.base_fee_recipient(first).unwrap_or(first);
    let deposit = U256::from(MIN_DEPOSIT_GAS) * U256::from(genesis.fees.base_fee);
    let mut calls = vec![
        (
            DEVICE_REGISTRY,
            Registry::initializeCall { registrars: genesis.registrars.clone(), open }.abi_encode(),
        ),
        (
            AUTOMATIONS,
            Automation::initializeCall { feeRecipient: recipient, minDeposit: deposit }.abi_encode(),
        ),
    ];
    if spec.has_validator_set() {
        let member = |m: &Member| IValidatorSet::Validator {
            consensusKey: m.consensus_key.into(),
            checkpointAddress: m.checkpoint_address,
            feeRecipient: m.fee_recipient,
            name: m.name.clone(),
            network: m.network.clone(),
        };
        let call = IValidatorSet::initializeCall {
            validators_: Reign::genesis(spec).validators.iter().map(member).collect(),
            genesisHash_: spec.hash.into(),
        };
        calls.push((VALIDATOR_SET, call.abi_encode()));
    }
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
