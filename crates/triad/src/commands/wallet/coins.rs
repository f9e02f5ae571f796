//! Coins and tokens: what accounts hold, and sending it.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use anyhow::ensure;
use serde_json::{Value, json};
use triad_wallet::Amount;

use super::Args;
use super::token::{self, Token};
use crate::client::Rpc;

#[derive(Debug, clap::Args)]
pub struct Balance {
    /// Whose [default: --from, else every account of the keystore].
    accounts: Vec<Address>,
    /// Of this token, instead of coins.
    #[arg(long, value_name = "ADDRESS")]
    token: Option<Address>,
    /// In wei, or the token's smallest unit.
    #[arg(long)]
    wei: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  triad wallet send 0xRECIPIENT 1.5\n  triad wallet send 0xRECIPIENT 1500000000000000000 --wei\n  triad wallet send 0xRECIPIENT 20 --token 0xTOKEN --from 0xACCOUNT"
)]
pub struct Send {
    /// The recipient.
    to: Address,
    /// How much, as people write it: 1.5
    amount: String,
    /// A token instead of coins.
    #[arg(long, value_name = "ADDRESS")]
    token: Option<Address>,
    /// The amount is in wei, or the token's smallest unit.
    #[arg(long)]
    wei: bool,
    /// Refuse any other chain than this.
    #[arg(long, env = "TRIAD_CHAIN_ID", value_name = "ID")]
    chain_id: Option<u64>,
}

pub async fn balance(args: &Args, balance: &Balance) -> anyhow::Result<Value> {
    let rpc = args.rpc()?;
    let accounts = match (&balance.accounts[..], args.dev.is_some() || args.from.is_some()) {
        ([], true) => vec![args.address()?],
        ([], false) => args.keystore.directory()?.list()?.iter().map(|entry| entry.address).collect(),
        (named, _) => named.to_vec(),
    };
    ensure!(!accounts.is_empty(), "name an account, or make one with `triad wallet create`");
    let (symbol, decimals) = match balance.token {
        Some(token) => {
            (token::symbol(&rpc, token).await?, token::ask(&rpc, token, Token::decimalsCall {}).await?)
        }
        None => ("coins".into(), Amount::COIN),
    };
    let mut rows = Vec::new();
    for account in accounts {
        let units = holdings(&rpc, balance.token, account).await?;
        let shown = if balance.wei { units.to_string() } else { Amount { units, decimals }.to_string() };
        rows.push(json!({"address": account.to_string(), "amount": shown, "of": symbol}));
    }
    Ok(rows.into())
}

pub async fn send(args: &Args, send: &Send) -> anyhow::Result<Value> {
    let rpc = args.rpc()?;
    let chain_id = rpc.chain_id().await?;
    let expected = send.chain_id.unwrap_or(chain_id);
    ensure!(
        expected == chain_id,
        "this node is of chain {chain_id}, not {expected}: nothing was sent; is --rpc right?"
    );
    ensure!(!send.to.is_zero(), "the recipient is the zero address: what it gets is lost");
    let amount = token::amount(&rpc, send.token, &send.amount, send.wei).await?;
    // Checked before the password is asked for.
    let from = args.address()?;
    let held = holdings(&rpc, send.token, from).await?;
    ensure!(
        held >= amount.units,
        "{from} holds {}, which is less than {amount}: nothing was sent",
        Amount { units: held, ..amount }
    );
    let wallet = args.wallet()?;
    let (to, input, value) = match send.token {
        Some(token) => {
            let call = Token::transferCall { to: send.to, amount: amount.units };
            (token, call.abi_encode(), U256::ZERO)
        }
        None => (send.to, Vec::new(), amount.units),
    };
    let receipt = rpc.send(&wallet, Some(to), input, value).await?;
    let number = |name: &str| {
        receipt[name].as_str().and_then(|n| U256::from_str_radix(n.trim_start_matches("0x"), 16).ok())
    };
    let fee = number("gasUsed").zip(number("effectiveGasPrice")).map(|(gas, price)| gas * price);
    Ok(json!({
        "from": from.to_string(),
        "to": send.to.to_string(),
        "amount": amount.to_string(),
        "token": send.token.map(|token| token.to_string()),
        "chain_id": chain_id,
        "transaction": receipt["transactionHash"],
        "block": number("blockNumber").map(|n| n.to::<u64>()),
        "fee": fee.map(|units| Amount { units, decimals: Amount::COIN }.to_string()),
    }))
}

async fn holdings(rpc: &Rpc, token: Option<Address>, account: Address) -> anyhow::Result<U256> {
    match token {
        Some(token) => token::balance(rpc, token, account).await,
        None => rpc.balance(account).await,
    }
}
