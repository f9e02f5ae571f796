//! Why a transaction is not taken, in the words that tools look for.

use alloy_primitives::{Address, U256};
use triad_evm::TxDecodeError;

use super::REPLACEMENT_PERCENT;

/// Why a transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TxRefusal {
    #[error("{0}")]
    Malformed(String),
    #[error("transaction type not supported: {0}")]
    Type(String),
    #[error("oversized data: transaction size {found}, limit {limit}")]
    Oversized { found: usize, limit: usize },
    #[error("invalid sender: {0}")]
    Signature(String),
    #[error("already known")]
    Known,
    #[error("invalid chain id for signer: have {found} want {expected}")]
    ChainId { expected: u64, found: u64 },
    #[error(
        "only replay-protected (EIP-155) transactions are accepted, except those that create a contract and send nothing: \
         sign for chain id {0}"
    )]
    Unprotected(u64),
    #[error("nonce too low: next nonce {next}, tx nonce {found}")]
    NonceTooLow { next: u64, found: u64 },
    #[error("nonce too high: next nonce {next}, tx nonce {found}")]
    NonceGap { next: u64, found: u64 },
    #[error("nonce has max value")]
    NonceMax,
    #[error("max fee per gas less than block base fee: maxFeePerGas: {offered}, baseFee: {base_fee}")]
    Underpriced { offered: u128, base_fee: u64 },
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}"
    )]
    TipAboveFee { tip: u128, fee: u128 },
    #[error("replacement transaction underpriced: raise both fees by at least {REPLACEMENT_PERCENT} %")]
    ReplacementUnderpriced,
    #[error("insufficient funds for gas * price + value: {0}")]
    Funds(Box<Shortfall>),
    #[error("exceeds block gas limit: gas limit {found}, at most {limit}")]
    BlockGasLimit { found: u64, limit: u64 },
    #[error("transaction gas limit too high (cap: {limit}, tx: {found})")]
    GasLimit { found: u64, limit: u64 },
    #[error("intrinsic gas too low: gas {found}, minimum needed {want}")]
    IntrinsicGas { found: u64, want: u64 },
    #[error("insufficient gas for floor data gas cost: gas {found}, minimum needed {want}")]
    FloorGas { found: u64, want: u64 },
    #[error("max initcode size exceeded: code size {found}, limit {limit}")]
    InitCode { found: usize, limit: usize },
    #[error("set code tx must have at least one authorization tuple")]
    NoAuthorization,
    #[error("gapped-nonce tx from delegated accounts: next nonce {next}, tx nonce {found}")]
    DelegatedGap { next: u64, found: u64 },
    #[error("in-flight transaction limit reached for delegated accounts: wait for the one that is here")]
    DelegatedLimit,
    #[error("authority already reserved: {0} has transactions waiting")]
    AuthorityReserved(Address),
    #[error("txpool is full: tip more, or try again")]
    Full,
    #[error(
        "account limit exceeded: the sender's transactions take {0} slots, which is its share of the pool"
    )]
    SenderFull(usize),
    #[error("the node cannot take it now: {0}")]
    Unavailable(String),
}

/// What a sender lacks, in wei.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("balance {balance}, queued cost {queued}, tx cost {cost}, overshot {overshot}")]
pub struct Shortfall {
    pub balance: U256,
    /// What its other waiting transactions may cost.
    pub queued: U256,
    pub cost: U256,
    pub overshot: U256,
}

impl From<TxDecodeError> for TxRefusal {
    fn from(error: TxDecodeError) -> TxRefusal {
        match error {
            TxDecodeError::TooLarge(found) => TxRefusal::Oversized { found, limit: triad_evm::MAX_TX_BYTES },
            TxDecodeError::Blob => TxRefusal::Type(error.to_string()),
            TxDecodeError::BadSignature => TxRefusal::Signature(error.to_string()),
            TxDecodeError::Malformed(_) | TxDecodeError::NotCanonical => {
                TxRefusal::Malformed(error.to_string())
            }
        }
    }
}
