//! What is asked of a token contract.

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, sol};
use anyhow::{Context as _, bail};
use triad_wallet::Amount;

use crate::client::Rpc;

sol! {
    interface Token {
        function symbol() external view returns (string);
        function decimals() external view returns (uint8);
        function balanceOf(address account) external view returns (uint256);
        function transfer(address to, uint256 amount) external returns (bool);
        function nonces(address owner) external view returns (uint256);
        /// ERC-5267.
        function eip712Domain() external view returns (bytes1 fields, string name, string version, uint256 chainId, address verifyingContract, bytes32 salt, uint256[] extensions);
    }
}

/// Calls a view of a token.
pub async fn ask<C: SolCall>(rpc: &Rpc, token: Address, call: C) -> anyhow::Result<C::Return> {
    let answer = rpc.view(token, &call.abi_encode()).await?;
    if answer.is_empty() {
        bail!("there is no token contract at {token} on this chain");
    }
    C::abi_decode_returns(&answer)
        .with_context(|| format!("{token} does not answer {} as a token does", C::SIGNATURE))
}

/// An amount that people wrote, of coins or of a token, in its smallest unit.
pub async fn amount(rpc: &Rpc, token: Option<Address>, text: &str, units: bool) -> anyhow::Result<Amount> {
    let decimals = match token {
        Some(token) => ask(rpc, token, Token::decimalsCall {}).await?,
        None => Amount::COIN,
    };
    Ok(Amount { decimals, ..Amount::parse(text, if units { 0 } else { decimals })? })
}

pub async fn balance(rpc: &Rpc, token: Address, account: Address) -> anyhow::Result<U256> {
    ask(rpc, token, Token::balanceOfCall { account }).await
}

pub async fn symbol(rpc: &Rpc, token: Address) -> anyhow::Result<String> {
    ask(rpc, token, Token::symbolCall {}).await
}
