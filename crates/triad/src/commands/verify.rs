//! `triad verify`

use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::B256;
use anyhow::Context as _;
use triad_log::{Receipt, TrustAnchor};

use super::Done;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0: everything was proved. 1: it was not, and the reason is printed.\nNo node and no network are used."
)]
pub struct Args {
    /// The receipt file.
    receipt: PathBuf,
    /// The chain's genesis file.
    #[arg(long)]
    genesis: PathBuf,
    /// The digest of an epoch's last checkpoint, written down when it was new (`triad network validators`): the receipt must go
    /// through it. Guards against keys of former validators that were stolen later; such a receipt is refused.
    #[arg(long, value_name = "DIGEST")]
    trusted_checkpoint: Option<B256>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Done {
    let read =
        |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let genesis = String::from_utf8(read(&args.genesis)?).context("the genesis file is not UTF-8")?;
    let anchor = TrustAnchor::from_genesis_json(&genesis)?;
    let verified = Receipt::decode(&read(&args.receipt)?).map_err(|e| e.to_string()).and_then(|receipt| {
        let verified = match &args.trusted_checkpoint {
            None => receipt.verify(&anchor),
            Some(trusted) => receipt.verify_trusting(&anchor, &trusted.0),
        };
        verified.map_err(|e| e.to_string())
    });
    match verified {
        Ok(report) => {
            if args.json {
                let mut out = serde_json::to_value(&report)?;
                out["verified"] = true.into();
                println!("{out}");
            } else {
                println!("{report}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            if args.json {
                println!("{}", serde_json::json!({"verified": false, "reason": why}));
            } else {
                println!("NOT PROVED: {why}");
            }
            Ok(ExitCode::FAILURE)
        }
    }
}
