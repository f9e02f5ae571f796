//! The transactions of a case, signed and written as JSON-RPC batches before any clock starts.
//!
//! Triad and anvil get the very same bytes: one chain id, one token address, senders whose nonces begin at zero.

use std::collections::HashMap;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolCall, sol};
use bytes::Bytes;
use triad_chain::{TxRequest, Wallet};

use crate::bench::case::CHAIN_ID;
use crate::bench::machine::cores;

sol! {
    interface Token {
        function mint(address to, uint256 amount) external;
        function transfer(address to, uint256 amount) external returns (bool);
        function balanceOf(address account) external view returns (uint256);
    }
}

/// Accounts that send.
pub const SENDERS: usize = 50;
/// Calls in a JSON-RPC batch.
pub const BATCH: usize = 500;
const PLAIN_GAS: u64 = 21_000;
const TOKEN_GAS: u64 = 80_000;
/// Wei per gas: enough for anvil, whose base fee rises while its blocks are full.
const MAX_FEE: u128 = 100_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Plain,
    Erc20,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Plain => "plain transfers",
            Kind::Erc20 => "ERC-20 transfers",
        }
    }
}

/// One JSON-RPC batch.
#[derive(Debug)]
pub struct Batch {
    pub body: Bytes,
    /// Indices of its transactions in [`Work::hashes`].
    pub indices: Vec<u32>,
}

/// A case's transactions.
#[derive(Debug)]
pub struct Work {
    pub kind: Kind,
    pub hashes: Vec<B256>,
    pub places: HashMap<B256, u32>,
    /// Those of each connection, in the order in which they must be sent. A sender belongs to one connection.
    pub connections: Vec<Vec<Batch>>,
}

pub fn senders() -> Vec<Wallet> {
    let secret = |n: usize| keccak256(format!("triad bench sender {n}")).0;
    (0..SENDERS).filter_map(|n| Wallet::from_secret(&secret(n))).collect()
}

/// Who is paid: keccak256 of the index, as a contract can compute it too.
pub fn recipient(index: u64) -> Address {
    Address::from_slice(&keccak256(U256::from(index).to_be_bytes::<32>())[12..])
}

/// The token that `deployer` creates first.
pub fn token_of(deployer: &Wallet) -> Address {
    deployer.address().create(0)
}

pub fn sign(
    wallet: &Wallet,
    nonce: u64,
    to: Option<Address>,
    input: Vec<u8>,
    value: U256,
    gas: u64,
) -> Vec<u8> {
    let request =
        TxRequest { to, value, input: input.into(), nonce, gas_limit: gas, max_fee_per_gas: MAX_FEE };
    wallet.transaction(CHAIN_ID, request)
}

/// A transfer of one wei, or of the token's least unit.
pub fn transfer(kind: Kind, token: Address, wallet: &Wallet, nonce: u64, to: Address) -> Vec<u8> {
    match kind {
        Kind::Plain => sign(wallet, nonce, Some(to), Vec::new(), U256::from(1), PLAIN_GAS),
        Kind::Erc20 => {
            let input = Token::transferCall { to, amount: U256::from(1) }.abi_encode();
            sign(wallet, nonce, Some(token), input, U256::ZERO, TOKEN_GAS)
        }
    }
}

/// `count` transfers, each sender's from `nonce` on, to recipients spread evenly over the first `recipients`.
pub fn transfers(
    kind: Kind,
    token: Address,
    count: usize,
    nonce: u64,
    recipients: u64,
    connections: usize,
) -> Work {
    let wallets = senders();
    let one = |index: usize| {
        // A multiplicative step: neighbours in time are no neighbours in the trie, and none is paid twice in a row.
        let to = recipient((index as u64).wrapping_mul(2_654_435_761) % recipients);
        let (wallet, nonce) = (&wallets[index % SENDERS], nonce + (index / SENDERS) as u64);
        transfer(kind, token, wallet, nonce, to)
    };
    let raw: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let share = count.div_ceil(cores());
        let parts: Vec<_> = (0..cores())
            .map(|part| {
                let range = (part * share).min(count)..((part + 1) * share).min(count);
                scope.spawn(move || range.map(one).collect::<Vec<_>>())
            })
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let hashes: Vec<B256> = raw.iter().map(keccak256).collect();
    let places = hashes.iter().enumerate().map(|(index, hash)| (*hash, index as u32)).collect();
    let of_connection = |connection: usize| {
        let indices: Vec<u32> =
            (0..count).filter(|i| (i % SENDERS) % connections == connection).map(|i| i as u32).collect();
        indices.chunks(BATCH).map(|chunk| batch(chunk, &raw)).collect()
    };
    let connections = (0..connections).map(of_connection).collect();
    Work { kind, hashes, places, connections }
}

fn batch(indices: &[u32], raw: &[Vec<u8>]) -> Batch {
    let calls: Vec<String> = indices.iter().map(|i| call(*i, &raw[*i as usize])).collect();
    Batch { body: format!("[{}]", calls.join(",")).into(), indices: indices.to_vec() }
}

/// `eth_sendRawTransaction`.
pub fn call(id: u32, raw: &[u8]) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_sendRawTransaction","params":["0x{}"]}}"#,
        hex::encode(raw)
    )
}
