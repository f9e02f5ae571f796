//! `triad models register`

use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::{Address, U256};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use triad_chain::Wallet;
use triad_chain::model_files::{CHUNK_BYTES, chunk_creations, file_creation};
use triad_models::MAX_CHAIN_MODEL_BYTES;
use triad_training::Trained;

use super::super::{Done, Remote, block_on};
use super::catalogue::print_file;
use super::on_chain::fetch;
use crate::account::{KeystoreArgs, account};
use crate::client::Rpc;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file must be of a kind that a chain can run: trees, life, failures or network (`triad models train`, `import`). It is checked before anything is paid, and read back \
        afterwards. Its bytes become the code of contracts: whoever has the chain has the model.\n\n\
        Example:\n  triad models register --file pumps.tmdl --from dev:0\n  triad model bind 0xDEVICE vibration trees --at 0xADDRESS"
)]
pub struct Args {
    /// The model's file.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    keystore: KeystoreArgs,
    /// Who pays: `dev:N`, an address in the keystore, a keystore file, or a file with 64 hex digits.
    #[arg(long, env = "TRIAD_ACCOUNT", default_value = "dev:0", value_name = "ACCOUNT")]
    from: String,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Done {
    let model = Trained::read(&args.file)?;
    model.on_chain().with_context(|| {
        let (path, kind) = (args.file.display(), model.kind());
        format!("{path} holds a model of the kind {kind}; a chain takes trees, life, failures or network")
    })??;
    let file = model.bytes();
    ensure!(
        file.len() <= MAX_CHAIN_MODEL_BYTES,
        "{} has {} bytes; a chain takes at most {MAX_CHAIN_MODEL_BYTES}",
        args.file.display(),
        file.len()
    );
    let wallet = account(&args.from, &args.keystore)?;
    let rpc = Rpc::new(&args.remote.rpc)?;
    let (at, gas) = block_on(deploy(&rpc, &wallet, file, args.json))?;
    let mut out = model.describe();
    out["at"] = json!(at);
    out["gas"] = json!(gas);
    if args.json {
        println!("{out}");
    } else {
        print_file(&out);
        println!("at            {at}");
        println!("gas           {gas}");
        println!("Bind it:      triad model bind 0xDEVICE STREAM {} --at {at}", model.kind());
    }
    Ok(ExitCode::SUCCESS)
}

/// Deploys a file, reads it back, and returns where it is and the gas it took.
async fn deploy(rpc: &Rpc, wallet: &Wallet, file: &[u8], quiet: bool) -> anyhow::Result<(Address, u64)> {
    let creations = chunk_creations(file);
    let (mut chunks, mut gas) = (Vec::new(), 0);
    let count = creations.len();
    for (at, creation) in creations.into_iter().enumerate() {
        if !quiet {
            eprintln!("part {} of {count}, at most {CHUNK_BYTES} bytes each", at + 1);
        }
        let (address, used) = created(&rpc.send(wallet, None, creation, U256::ZERO).await?)?;
        chunks.push(address);
        gas += used;
    }
    let (at, used) = created(&rpc.send(wallet, None, file_creation(&chunks), U256::ZERO).await?)?;
    ensure!(fetch(rpc, at).await? == file, "what the chain has at {at} is not the file");
    Ok((at, gas + used))
}

fn created(receipt: &Value) -> anyhow::Result<(Address, u64)> {
    let address = receipt["contractAddress"].as_str().and_then(|text| text.parse().ok());
    let gas = receipt["gasUsed"]
        .as_str()
        .and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    address.zip(gas).context("the receipt names no contract")
}
