//! What the tests of this crate share: a state in memory, keys that sign, and tiny contracts.

use crate::state::{Account, NodeKey, StateChanges, StateError, StateView};
use crate::tx::RecoveredTx;
use crate::{BlockContext, EmptyApp, EvmBlock, Executor, GenesisAccount, genesis};
use alloy_consensus::transaction::Recovered;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use secp256k1::{Message, SECP256K1, SecretKey};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const CHAIN_ID: u64 = 7_777;
pub(crate) const BASE_FEE: u64 = 7;

/// A state in maps.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemState {
    pub(crate) accounts: BTreeMap<Address, Account>,
    pub(crate) storage: BTreeMap<(Address, U256), U256>,
    pub(crate) code: BTreeMap<B256, Bytes>,
    pub(crate) nodes: BTreeMap<NodeKey, Bytes>,
    pub(crate) hashes: BTreeMap<u64, B256>,
}

impl MemState {
    pub(crate) fn apply(&mut self, changes: &StateChanges) {
        for (address, account) in &changes.accounts {
            match account {
                Some(account) => drop(self.accounts.insert(*address, *account)),
                None => drop(self.accounts.remove(address)),
            }
        }
        for (key, value) in &changes.storage {
            if value.is_zero() {
                self.storage.remove(key);
            } else {
                self.storage.insert(*key, *value);
            }
        }
        self.code.extend(changes.code.iter().map(|(hash, code)| (*hash, code.clone())));
        for (key, node) in &changes.nodes {
            match node {
                Some(node) => drop(self.nodes.insert(*key, node.clone())),
                None => drop(self.nodes.remove(key)),
            }
        }
        self.hashes.extend(&changes.block_hashes);
    }

    /// The state root from nothing but accounts and slots, by alloy-trie's own builder.
    pub(crate) fn root_from_scratch(&self) -> B256 {
        let accounts = self.accounts.iter().map(|(address, account)| {
            let slots = self
                .storage
                .range((*address, U256::ZERO)..=(*address, U256::MAX))
                .map(|((_, slot), value)| (B256::from(*slot), *value));
            let account = account.trie_account();
            assert_eq!(account.storage_root, alloy_trie::root::storage_root_unhashed(slots), "{address}");
            (*address, account)
        });
        alloy_trie::root::state_root_unhashed(accounts)
    }
}

impl StateView for MemState {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(address).copied())
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        Ok(self.storage.get(&(*address, *slot)).copied().unwrap_or_default())
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.code.get(hash).cloned())
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        Ok(self.nodes.get(key).cloned())
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(self.hashes.get(&number).copied().unwrap_or_default())
    }
}

/// A secp256k1 key that signs transactions.
#[derive(Clone, Debug)]
pub(crate) struct Wallet {
    key: SecretKey,
    pub(crate) address: Address,
}

impl Wallet {
    pub(crate) fn new(seed: u64) -> Wallet {
        let key = SecretKey::from_byte_array(keccak256(seed.to_be_bytes()).0).unwrap();
        let public = key.public_key(SECP256K1).serialize_uncompressed();
        Wallet { key, address: Address::from_raw_public_key(&public[1..]) }
    }

    pub(crate) fn sign<T>(&self, tx: T) -> RecoveredTx
    where
        T: SignableTransaction<Signature>,
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let signature = self.sign_hash(tx.signature_hash());
        Recovered::new_unchecked(TxEnvelope::from(tx.into_signed(signature)), self.address)
    }

    pub(crate) fn sign_hash(&self, hash: B256) -> Signature {
        let signed = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(hash.0), &self.key);
        let (id, bytes) = signed.serialize_compact();
        Signature::from_bytes_and_parity(&bytes, i32::from(id) == 1)
    }

    pub(crate) fn call(&self, nonce: u64, to: Address, value: u64, input: impl Into<Bytes>) -> RecoveredTx {
        self.sign(TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 200_000,
            max_fee_per_gas: 1_000,
            max_priority_fee_per_gas: 2,
            to: TxKind::Call(to),
            value: U256::from(value),
            input: input.into(),
            ..TxEip1559::default()
        })
    }

    pub(crate) fn create(&self, nonce: u64, init: impl Into<Bytes>) -> RecoveredTx {
        self.sign(TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 2_000_000,
            max_fee_per_gas: 1_000,
            max_priority_fee_per_gas: 2,
            to: TxKind::Create,
            input: init.into(),
            ..TxEip1559::default()
        })
    }
}

/// A chain in memory, one block after another.
#[derive(Debug)]
pub(crate) struct TestChain {
    pub(crate) state: MemState,
    pub(crate) head: BlockContext,
}

impl TestChain {
    pub(crate) fn new(alloc: &[(Address, GenesisAccount)]) -> TestChain {
        let (changes, root) = genesis(alloc).unwrap();
        let mut state = MemState::default();
        state.apply(&changes);
        assert_eq!(state.root_from_scratch(), root);
        let head = BlockContext {
            number: 1,
            timestamp: 1_700_000_000,
            beneficiary: Address::repeat_byte(0xbe),
            prev_randao: B256::repeat_byte(0x5a),
            gas_limit: 300_000_000,
            base_fee: BASE_FEE,
            parent_hash: B256::repeat_byte(0x11),
            chain_id: CHAIN_ID,
            parent_state_root: root,
            ..BlockContext::default()
        };
        TestChain { state, head }
    }

    /// Executes a block, checks its state root from scratch, and makes it the head.
    pub(crate) fn block<R>(&mut self, run: impl FnOnce(&mut Executor<'_>) -> R) -> (R, EvmBlock) {
        let mut executor = Executor::new(&self.state, Arc::new(EmptyApp), self.head);
        let result = run(&mut executor);
        let block = executor.finish().unwrap();
        self.state.apply(&block.changes);
        assert_eq!(self.state.root_from_scratch(), block.header.state_root);
        self.head.number += 1;
        self.head.timestamp += 1;
        self.head.parent_hash = block.hash;
        self.head.parent_state_root = block.header.state_root;
        (result, block)
    }

    pub(crate) fn slot(&self, address: Address, slot: u64) -> U256 {
        self.state.storage(&address, &U256::from(slot)).unwrap()
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        self.state.account(&address).unwrap().unwrap_or_default().balance
    }
}

pub(crate) fn code(hex: &str) -> Bytes {
    let digits: String = hex.split_whitespace().collect();
    digits.parse().unwrap()
}

/// `transfer(to, amount)` of a token whose slots are the holders' addresses; reverts when the caller has too little.
pub(crate) fn token_code() -> Bytes {
    code(
        "602435 3354 8181 10 602f57 819003 3355 600435 81815401 8155 90600052 3360dd60206000a3 \
         6001600052 60206000f3 5b600080fd",
    )
}

/// Stores caller, value, first word of the input, gas price and origin in slots 0 to 4, and logs once.
pub(crate) fn recorder_code() -> Bytes {
    code("33600055 34600155 600035600255 3a600355 32600455 60ee60006000a1 00")
}

pub(crate) fn transfer_input(to: Address, amount: u64) -> Vec<u8> {
    let mut input = vec![0xa9, 0x05, 0x9c, 0xbb];
    input.extend_from_slice(to.into_word().as_slice());
    input.extend_from_slice(&U256::from(amount).to_be_bytes::<32>());
    input
}

/// Deploys `runtime` as it is.
pub(crate) fn deploy_code(runtime: &[u8]) -> Vec<u8> {
    let mut init = vec![0x61];
    init.extend_from_slice(&(runtime.len() as u16).to_be_bytes());
    init.extend_from_slice(&[0x80, 0x60, 0x0c, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3]);
    assert_eq!(init.len(), 12);
    init.extend_from_slice(runtime);
    init
}
