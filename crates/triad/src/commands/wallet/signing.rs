//! Signing messages and typed data. No node is needed.

use std::path::PathBuf;

use alloy_primitives::{B256, U256, hex::encode_prefixed};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use triad_wallet::sign;

use super::Args;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  triad wallet sign-message 'I am the owner of dock 4'")]
pub struct Message {
    /// The message.
    text: String,
    /// The message is bytes, written in hexadecimal after 0x.
    #[arg(long)]
    hex: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  triad wallet sign-typed-data order.json --chain-id 7423")]
pub struct TypedDataFile {
    /// As eth_signTypedData_v4 takes it: types, primaryType, domain, message.
    file: PathBuf,
    /// Refuse typed data of any other chain than this.
    #[arg(long, env = "TRIAD_CHAIN_ID", value_name = "ID")]
    chain_id: Option<u64>,
}

pub fn message(args: &Args, message: &Message) -> anyhow::Result<Value> {
    let bytes = match message.hex {
        true => {
            hex::decode(message.text.trim_start_matches("0x")).context("--hex takes hexadecimal digits")?
        }
        false => message.text.clone().into_bytes(),
    };
    signed(args, sign::message_hash(&bytes))
}

pub fn typed_data(args: &Args, file: &TypedDataFile) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(&file.file)
        .with_context(|| format!("cannot read {}", file.file.display()))?;
    let digest = sign::typed_data_hash(&text)?;
    if let Some(expected) = file.chain_id {
        let found = sign::typed_data_chain(&text);
        let named = found.map_or("no chain".into(), |id| format!("chain {id}"));
        ensure!(
            found == Some(U256::from(expected)),
            "the typed data is for {named}, not {expected}: not signed"
        );
    }
    signed(args, digest)
}

fn signed(args: &Args, digest: B256) -> anyhow::Result<Value> {
    let wallet = args.wallet()?;
    let signature = wallet.sign_hash(&digest);
    Ok(json!({
        "address": wallet.address().to_string(),
        "digest": digest,
        "signature": encode_prefixed(signature.as_bytes()),
    }))
}
