//! `triad receipt`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::{Done, Remote, block_on};
use crate::client::Api;

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
        #[command(flatten)]
        remote: Remote,
    },
}

pub fn run(command: Command) -> Done {
    let Command::Get { leaf, out, remote } = command;
    let out = out.unwrap_or_else(|| format!("{leaf}.receipt").into());
    let bytes =
        block_on(async { Api::new(&remote.api)?.bytes(&format!("/v1/statements/{leaf}/receipt")).await })?;
    std::fs::write(&out, &bytes).with_context(|| format!("cannot write {}", out.display()))?;
    println!("{} bytes in {}", bytes.len(), out.display());
    println!("Check it: triad verify {} --genesis genesis.json", out.display());
    Ok(ExitCode::SUCCESS)
}
