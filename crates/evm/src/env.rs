//! The rules and the surroundings of a block's execution.

use crate::app::AppView;
use crate::db::BlockDb;
use crate::precompiles;
use alloy_evm::precompiles::PrecompilesMap;
use alloy_primitives::{Address, B256, U256, address};
use revm::context::{BlockEnv, CfgEnv, Context, Evm, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, MainBuilder, MainContext};
use revm::interpreter::interpreter::EthInterpreter;
use revm::primitives::hardfork::SpecId;
use std::sync::Arc;

/// Who calls the system contracts in the node's name.
pub const SYSTEM_CALLER: Address = address!("0xfffffffffffffffffffffffffffffffffffffffe");
/// Who calls the targets of automations. Nobody holds a key to it and it never pays for anything.
pub const FIRING_CALLER: Address = address!("0x0000000000000000000000000000000000030001");
/// The registry of devices.
pub const DEVICE_REGISTRY: Address = address!("0x0000000000000000000000000000000000020001");
/// The registry of model bindings.
pub const MODEL_REGISTRY: Address = address!("0x0000000000000000000000000000000000020002");
/// The registry of automations.
pub const AUTOMATIONS: Address = address!("0x0000000000000000000000000000000000020003");
/// The validators and how they change.
pub const VALIDATOR_SET: Address = address!("0x0000000000000000000000000000000000020004");
/// The gas that a system call may use. It counts toward no block limit.
pub const SYSTEM_CALL_GAS: u64 = 30_000_000;

/// Rules that a block can be executed by. They begin with Cancun: from then on no account vanishes in a later
/// transaction than that which made it (EIP-6780), which the state of a block relies on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fork {
    Cancun,
    Prague,
    /// Mainnet's newest, by which a chain runs.
    #[default]
    Osaka,
}

impl Fork {
    pub(crate) fn spec(self) -> SpecId {
        match self {
            Fork::Cancun => SpecId::CANCUN,
            Fork::Prague => SpecId::PRAGUE,
            Fork::Osaka => SpecId::OSAKA,
        }
    }
}

/// What a block's execution depends on besides its parent's state and its operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockContext {
    pub number: u64,
    /// Whole seconds since the epoch.
    pub timestamp: u64,
    /// Who receives the transactions' tips.
    pub beneficiary: Address,
    pub prev_randao: B256,
    pub gas_limit: u64,
    /// Wei per gas, fixed by genesis: it never adjusts.
    pub base_fee: u64,
    /// Who receives what the block's transactions pay of it, at the end of the block; `None`: it is burnt.
    pub base_fee_to: Option<Address>,
    pub parent_hash: B256,
    pub chain_id: u64,
    pub parent_state_root: B256,
    pub fork: Fork,
}

pub(crate) type EvmContext<'a> = Context<BlockEnv, TxEnv, CfgEnv, BlockDb<'a>>;
pub(crate) type BlockEvm<'a, I = ()> = Evm<
    EvmContext<'a>,
    I,
    EthInstructions<EthInterpreter, EvmContext<'a>>,
    PrecompilesMap,
    EthFrame<EthInterpreter>,
>;

pub(crate) fn build<'a, I>(
    db: BlockDb<'a>,
    app: Arc<dyn AppView>,
    ctx: &BlockContext,
    inspector: I,
) -> BlockEvm<'a, I> {
    let block = BlockEnv {
        number: U256::from(ctx.number),
        beneficiary: ctx.beneficiary,
        timestamp: U256::from(ctx.timestamp),
        gas_limit: ctx.gas_limit,
        basefee: ctx.base_fee,
        difficulty: U256::ZERO,
        prevrandao: Some(ctx.prev_randao),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
        slot_num: 0,
    };
    let cfg = CfgEnv::new_with_spec(ctx.fork.spec()).with_chain_id(ctx.chain_id);
    Context::mainnet()
        .with_cfg(cfg)
        .with_block(block)
        .with_db(db)
        .build_mainnet_with_inspector(inspector)
        .with_precompiles(precompiles::with_application(app, ctx.fork))
}
