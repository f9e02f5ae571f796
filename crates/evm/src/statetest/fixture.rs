//! The files as they are written. Only what is used is read.

use crate::genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
pub(super) struct Test {
    pub env: Environment,
    pub pre: BTreeMap<Address, PreAccount>,
    /// By fork.
    pub post: BTreeMap<String, Vec<Post>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Environment {
    pub current_number: U256,
    pub current_timestamp: U256,
    pub current_coinbase: Address,
    pub current_gas_limit: U256,
    pub current_base_fee: U256,
    pub current_random: B256,
}

#[derive(Debug, Deserialize)]
pub(super) struct PreAccount {
    balance: U256,
    nonce: U256,
    code: Bytes,
    storage: BTreeMap<U256, U256>,
}

impl PreAccount {
    pub fn to_genesis(&self) -> GenesisAccount {
        GenesisAccount {
            balance: self.balance,
            nonce: self.nonce.saturating_to(),
            code: self.code.clone(),
            storage: self.storage.clone(),
        }
    }
}

/// One variant of the transaction and what comes of it.
#[derive(Debug, Deserialize)]
pub(super) struct Post {
    /// State root.
    pub hash: B256,
    /// keccak256 of the RLP of the logs.
    pub logs: B256,
    /// The signed transaction.
    pub txbytes: Bytes,
    /// Why the transaction must be refused.
    #[serde(rename = "expectException")]
    pub expect_exception: Option<String>,
}
