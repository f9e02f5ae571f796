//! The call object that Ethereum tools send.

use super::CallError;
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::context::TxEnv;
use revm::context_interface::either::Either;

/// A call to try.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRequest {
    pub from: Address,
    /// `None` to create a contract.
    pub to: Option<Address>,
    pub input: Bytes,
    pub value: U256,
    /// Gas limit; at most [`super::CALL_GAS_CAP`].
    pub gas: Option<u64>,
    /// Wei per gas that the call appears to pay at most; nothing when absent. What it names, `from` must hold.
    pub gas_price: Option<u128>,
    /// The most of it that is a tip; absent where the price is one number (before EIP-1559).
    pub tip: Option<u128>,
    pub access_list: AccessList,
    pub authorization_list: Vec<SignedAuthorization>,
    /// The chain that it is meant for; any when absent.
    pub chain_id: Option<u64>,
}

impl TryFrom<TransactionRequest> for CallRequest {
    type Error = CallError;

    fn try_from(tx: TransactionRequest) -> Result<Self, CallError> {
        let invalid = |why: &str| CallError::Invalid(why.to_owned());
        if tx.blob_versioned_hashes.is_some() || tx.max_fee_per_blob_gas.is_some() {
            return Err(invalid("blob transactions (EIP-4844) are not accepted: this chain stores no blobs"));
        }
        if tx.gas_price.is_some() && (tx.max_fee_per_gas.is_some() || tx.max_priority_fee_per_gas.is_some()) {
            return Err(invalid("`gasPrice` is given beside `maxFeePerGas` or `maxPriorityFeePerGas`"));
        }
        let gas_price = tx.gas_price.or(tx.max_fee_per_gas).filter(|price| *price > 0);
        let tip = tx.max_priority_fee_per_gas.or(tx.max_fee_per_gas.map(|_| 0));
        let input = tx
            .input
            .try_into_unique_input()
            .map_err(|_| invalid("`input` and `data` are both given and differ"))?;
        Ok(CallRequest {
            from: tx.from.unwrap_or_default(),
            to: tx.to.and_then(|to| to.to().copied()),
            input: input.unwrap_or_default(),
            value: tx.value.unwrap_or_default(),
            gas: tx.gas,
            gas_price,
            tip,
            access_list: tx.access_list.unwrap_or_default(),
            authorization_list: tx.authorization_list.unwrap_or_default(),
            chain_id: tx.chain_id,
        })
    }
}

impl CallRequest {
    pub(crate) fn price(&self) -> u128 {
        self.gas_price.unwrap_or(0)
    }

    pub(crate) fn pays_nothing(&self) -> bool {
        self.price() == 0 && self.tip.unwrap_or(0) == 0
    }

    pub(crate) fn env(&self, gas_limit: u64, chain_id: u64) -> Result<TxEnv, CallError> {
        if let Some(other) = self.chain_id.filter(|id| *id != chain_id) {
            return Err(CallError::Invalid(format!("the call is for chain {other}, this is {chain_id}")));
        }
        let tx_type = match () {
            () if !self.authorization_list.is_empty() => 4,
            () if self.tip.is_some() => 2,
            () => u8::from(!self.access_list.0.is_empty()),
        };
        Ok(TxEnv {
            tx_type,
            caller: self.from,
            gas_limit,
            gas_price: self.price(),
            gas_priority_fee: self.tip,
            kind: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value,
            data: self.input.clone(),
            access_list: self.access_list.clone(),
            authorization_list: self.authorization_list.iter().cloned().map(Either::Left).collect(),
            chain_id: Some(chain_id),
            ..TxEnv::default()
        })
    }
}
