//! `triad receipt`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::{Done, Remote, block_on};
use crate::client::Api;
use crate::public_proof;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Fetch the receipt of a statement's leaf.
    #[command(
        after_help = "Example:\n  triad receipt get 17 --out 17.receipt\n  triad verify 17.receipt --genesis genesis.json"
    )]
    Get {
        /// The leaf, as the acknowledgement told it.
        leaf: u64,
        /// Where to write it [default: LEAF.receipt].
        #[arg(long)]
        out: Option<PathBuf>,
        /// Under the newest checkpoint, not the first one above the statement: for whoever verifies with --trusted-checkpoint.
        #[arg(long)]
        newest: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Fetch the receipt of a statement's leaf as TriadVerifier takes it, the contract that checks it on public chains.
    #[command(
        after_help = "The file holds the checkpoint, a quorum of the validators' signatures of it, the proofs of the statement and of\neach verdict on it, the constructor's arguments, and ready calldata. With several validators, name the nodes of\nenough of them: each gives its own signature.\n\nExample:\n  triad receipt evm 17 --also https://validator-2.example:8080 --out 17.json"
    )]
    Evm {
        /// The leaf, as the acknowledgement told it.
        leaf: u64,
        /// Where to write it [default: LEAF.evm.json].
        #[arg(long)]
        out: Option<PathBuf>,
        /// HTTP API of another validator's node, to ask for its signature.
        #[arg(long = "also", value_name = "URL")]
        also: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
}

pub fn run(command: Command) -> Done {
    match command {
        Command::Get { leaf, out, newest, remote } => get(leaf, out, newest, &remote),
        Command::Evm { leaf, out, also, remote } => {
            let out = out.unwrap_or_else(|| format!("{leaf}.evm.json").into());
            let made = block_on(public_proof::fetch(leaf, &remote.api, &also))?;
            std::fs::write(&out, serde_json::to_string_pretty(&made)? + "\n")
                .with_context(|| format!("cannot write {}", out.display()))?;
            println!("{}", out.display());
            println!(
                "Deploy contracts/artifacts/TriadVerifier.json with its constructor_arguments behind the bytecode,"
            );
            println!("then call it with what stands under calldata. More in docs/verifier.md.");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn get(leaf: u64, out: Option<PathBuf>, newest: bool, remote: &Remote) -> Done {
    let out = out.unwrap_or_else(|| format!("{leaf}.receipt").into());
    let under = if newest { "?under=newest" } else { "" };
    let path = format!("/v1/statements/{leaf}/receipt{under}");
    let bytes = block_on(async { Api::new(&remote.api)?.bytes(&path).await })?;
    std::fs::write(&out, &bytes).with_context(|| format!("cannot write {}", out.display()))?;
    println!("{} bytes in {}", bytes.len(), out.display());
    println!("Check it: triad verify {} --genesis genesis.json", out.display());
    Ok(ExitCode::SUCCESS)
}
