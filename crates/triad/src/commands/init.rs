//! `triad init`

use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::Address;
use serde_json::json;
use triad_chain::{BaseFeeTo, DefaultModel};
use triad_models::Spec;

use super::Done;
use crate::node::layout::{self, Layout, NewChain};

/// What a new chain is like.
#[derive(Debug, Clone, clap::Args)]
pub struct ChainArgs {
    /// EIP-155 chain id.
    #[arg(long, default_value_t = 7423)]
    chain_id: u64,
    /// A name for people.
    #[arg(long, default_value = "triad")]
    name: String,
    /// Accounts that may register devices.
    #[arg(long = "registrar", value_name = "ADDRESS")]
    registrars: Vec<Address>,
    /// Let anybody register devices that they own.
    #[arg(long)]
    open_registration: bool,
    /// Accounts that begin with a million coins.
    #[arg(long = "fund", value_name = "ADDRESS")]
    funded: Vec<Address>,
    /// Who receives the base fee that transactions pay: `burn`, `proposer`, or an address [default: burn]. Tips go to the
    /// proposer.
    #[arg(long, value_name = "WHO")]
    base_fee_to: Option<BaseFeeTo>,
    /// Judge every stream with the anomaly detector.
    #[arg(long)]
    anomaly: bool,
}

impl ChainArgs {
    pub fn to_new(&self) -> NewChain {
        NewChain {
            name: self.name.clone(),
            chain_id: self.chain_id,
            registrars: self.registrars.clone(),
            open_registration: self.open_registration,
            funded: self.funded.clone(),
            default_models: if self.anomaly { vec![anomaly_model()] } else { Vec::new() },
            base_fee_to: self.base_fee_to,
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  triad init --data-dir ./plant --registrar 0xYourAddress --fund 0xYourAddress\n  triad node --data-dir ./plant"
)]
pub struct Args {
    /// Where keys, genesis and the chain will live.
    #[arg(long, env = "TRIAD_DATA_DIR", default_value = "triad-data")]
    data_dir: PathBuf,
    #[command(flatten)]
    chain: ChainArgs,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Done {
    let layout = Layout::new(&args.data_dir);
    let spec = layout::create(&layout, &args.chain.to_new())?;
    let hash = format!("0x{}", hex::encode(spec.hash));
    if args.json {
        println!(
            "{}",
            json!({"genesis_hash": hash, "genesis": layout.genesis(), "chain_id": args.chain.chain_id})
        );
    } else {
        println!("Created a chain with one validator in {}", args.data_dir.display());
        println!("  genesis  {}  (public: whoever verifies receipts needs it)", layout.genesis().display());
        println!("  hash     {hash}");
        println!("  keys     {}  (secret)", layout.validator().display());
        println!("Start it:  triad node --data-dir {}", args.data_dir.display());
    }
    Ok(ExitCode::SUCCESS)
}

pub fn anomaly_model() -> DefaultModel {
    let spec = Spec::Anomaly(triad_models::AnomalySpec { range: None });
    DefaultModel { kind: spec.kind().into(), params: spec.params().into() }
}

/// The chain of `--dev`: open registration, the well-known accounts funded, anomalies detected on every stream.
pub fn dev_chain() -> NewChain {
    let accounts: Vec<Address> = layout::dev_wallets().iter().map(|w| w.address()).collect();
    NewChain {
        name: "dev".into(),
        chain_id: 7423,
        registrars: accounts[..1].to_vec(),
        open_registration: true,
        funded: accounts,
        default_models: vec![anomaly_model()],
        base_fee_to: None,
    }
}
