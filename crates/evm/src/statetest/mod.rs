//! Ethereum's `GeneralStateTests`, run through this crate's decoding, executor, state and trie.
//!
//! A test has a state, an environment and a transaction with several variants; for each fork and variant it tells the
//! state root and the hash of the logs afterwards, or that the transaction must be refused. Here a variant is one block:
//! the state becomes a genesis, the signed bytes are decoded and their signer recovered, an [`Executor`] takes the
//! transaction, and its header's state root is compared. Format: "State tests" in the documentation of the Ethereum
//! project's tests.

mod fixture;

use crate::app::EmptyApp;
use crate::env::{BlockContext, Fork};
use crate::executor::{Executor, TxError};
use crate::genesis::{GenesisAccount, state_of};
use crate::state::{Account, EmptyState, NodeKey, Overlay, StateError, StateView};
use crate::tx::{TxDecodeError, recover};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use fixture::{Environment, Post, Test};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How one variant of a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// What differs.
    Fail(String),
    /// Why it was not run.
    Skip(String),
}

/// One variant of a test under one fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub test: String,
    pub fork: String,
    /// Its place in the test's list for the fork.
    pub index: usize,
    pub verdict: Verdict,
}

/// A file is not a state test.
#[derive(Debug, thiserror::Error)]
#[error("not a state test: {0}")]
pub struct NotATest(#[from] serde_json::Error);

/// Runs every test in the text of a file, under every fork that it has, in order of their names.
pub fn run(text: &str) -> Result<Vec<Case>, NotATest> {
    let tests: BTreeMap<String, Test> = serde_json::from_str(text)?;
    let mut cases = Vec::new();
    for (name, test) in &tests {
        for (fork, posts) in &test.post {
            for (index, post) in posts.iter().enumerate() {
                let verdict = judge(test, fork, post);
                cases.push(Case { test: name.clone(), fork: fork.clone(), index, verdict });
            }
        }
    }
    Ok(cases)
}

fn judge(test: &Test, fork: &str, post: &Post) -> Verdict {
    let Some(fork) = fork_named(fork) else {
        return Verdict::Skip(format!(
            "the rules of {fork} are not those of any block here (Cancun and later)"
        ));
    };
    let tx = match recover(&post.txbytes) {
        Ok(tx) => Ok(tx),
        Err(TxDecodeError::Blob) => {
            return Verdict::Skip("blob transactions (EIP-4844) are not accepted".to_owned());
        }
        Err(error) => Err(error.to_string()),
    };
    let accounts = test.pre.iter().map(|(address, account)| (*address, account.to_genesis())).collect();
    match execute(&test.env, fork, accounts, tx) {
        Ok(Ended::Skipped(why)) => Verdict::Skip(why),
        Ok(Ended::At { root, logs, refused }) => {
            let (want_root, want_logs) = (post.hash, post.logs);
            match (&refused, &post.expect_exception) {
                (Some(why), None) => Verdict::Fail(format!("the transaction was refused: {why}")),
                (None, Some(wanted)) => {
                    Verdict::Fail(format!("the transaction was taken, {wanted} was expected"))
                }
                _ if root != want_root => {
                    Verdict::Fail(format!("the state root is {root}, {want_root} was expected"))
                }
                _ if logs != want_logs => {
                    Verdict::Fail(format!("the hash of the logs is {logs}, {want_logs} was expected"))
                }
                _ => Verdict::Pass,
            }
        }
        Err(error) => Verdict::Fail(error.to_string()),
    }
}

fn fork_named(name: &str) -> Option<Fork> {
    match name {
        "Cancun" => Some(Fork::Cancun),
        "Prague" => Some(Fork::Prague),
        "Osaka" => Some(Fork::Osaka),
        _ => None,
    }
}

enum Ended {
    Skipped(String),
    At { root: B256, logs: B256, refused: Option<String> },
}

fn execute(
    env: &Environment,
    fork: Fork,
    accounts: Vec<(Address, GenesisAccount)>,
    tx: Result<crate::RecoveredTx, String>,
) -> Result<Ended, StateError> {
    let bare = |account: &GenesisAccount| {
        !account.storage.is_empty() && account.code.is_empty() && account.nonce == 0
    };
    if let Some((address, _)) = accounts.iter().find(|(_, account)| bare(account)) {
        return Ok(Ended::Skipped(format!(
            "{address} begins with storage but neither code nor nonce, which no account can have (EIP-7610)"
        )));
    }
    let (changes, root) = state_of(&accounts)?;
    let state = Pre { overlay: Overlay::new(vec![Arc::new(changes)], &EmptyState) };
    let number = env.current_number.saturating_to::<u64>();
    let ctx = BlockContext {
        number,
        timestamp: env.current_timestamp.saturating_to(),
        beneficiary: env.current_coinbase,
        prev_randao: env.current_random,
        gas_limit: env.current_gas_limit.saturating_to(),
        base_fee: env.current_base_fee.saturating_to(),
        base_fee_to: None,
        parent_hash: hash_of(number.wrapping_sub(1)),
        chain_id: 1,
        parent_state_root: root,
        fork,
    };
    let mut executor = Executor::new(&state, Arc::new(EmptyApp), ctx);
    let refused = match tx {
        Err(why) => Some(why),
        Ok(tx) => match executor.transaction(&tx) {
            Ok(_) => None,
            Err(TxError::State(error)) => return Err(error),
            Err(error) => Some(error.to_string()),
        },
    };
    let block = executor.finish()?;
    let logs: Vec<_> = block.receipts.iter().flat_map(|receipt| receipt.logs.clone()).collect();
    Ok(Ended::At { root: block.header.state_root, logs: keccak256(alloy_rlp::encode(&logs)), refused })
}

/// What these tests take for the hash of a block.
fn hash_of(number: u64) -> B256 {
    keccak256(number.to_string())
}

/// The state that a test begins with.
struct Pre<'a> {
    overlay: Overlay<'a>,
}

impl fmt::Debug for Pre<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pre").finish_non_exhaustive()
    }
}

impl StateView for Pre<'_> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        self.overlay.account(address)
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        self.overlay.storage(address, slot)
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        self.overlay.code(hash)
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        self.overlay.node(key)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(hash_of(number))
    }
}
