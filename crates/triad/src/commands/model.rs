//! `triad model`

use std::process::ExitCode;

use alloy_primitives::U256;
use anyhow::{Context as _, bail};
use serde_json::json;
use triad_chain::contracts;
use triad_models::{AnomalySpec, RangeSpec, SilenceSpec, Spec};
use triad_statement::{DeviceId, stream_id};

use super::{Done, Remote, block_on};
use crate::account::{KeystoreArgs, account};
use crate::client::Rpc;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    keystore: KeystoreArgs,
    /// The device's owner: `dev:N`, an address in the keystore, a keystore file, or a file with 64 hex digits.
    #[arg(long, global = true, env = "TRIAD_ACCOUNT", default_value = "dev:0", value_name = "ACCOUNT")]
    from: String,
    /// Print a JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Bind a model to a device's stream; it judges readings of later blocks.
    #[command(
        after_help = "Examples:\n  triad model bind 0xDEVICE temperature range --low 2 --high 8\n  triad model bind 0xDEVICE temperature silence --interval-ms 60000\n  triad model bind 0xDEVICE temperature anomaly"
    )]
    Bind {
        device: DeviceId,
        /// The stream's name, as its readings give it.
        name: String,
        /// range, silence or anomaly
        kind: String,
        #[arg(long, allow_negative_numbers = true)]
        low: Option<f64>,
        #[arg(long, allow_negative_numbers = true)]
        high: Option<f64>,
        /// Below this is a breach at once (range).
        #[arg(long, allow_negative_numbers = true)]
        allowed_low: Option<f64>,
        /// Above this is a breach at once (range).
        #[arg(long, allow_negative_numbers = true)]
        allowed_high: Option<f64>,
        /// Longest tolerated excursion (range).
        #[arg(long)]
        max_outside_ms: Option<u64>,
        /// A reading is expected at least this often (silence).
        #[arg(long)]
        interval_ms: Option<u64>,
        /// How much later is still no silence [default: half the interval].
        #[arg(long)]
        grace_ms: Option<u64>,
    },
}

pub fn run(args: Args) -> Done {
    let Command::Bind {
        device,
        name,
        kind,
        low,
        high,
        allowed_low,
        allowed_high,
        max_outside_ms,
        interval_ms,
        grace_ms,
    } = args.command;
    let spec = match kind.as_str() {
        "range" => {
            let base =
                RangeSpec { low, high, allowed_low, allowed_high, max_outside_ms, ..RangeSpec::default() };
            Spec::Range(base)
        }
        "silence" => {
            let interval_ms = interval_ms.context("a silence model needs --interval-ms")?;
            Spec::Silence(SilenceSpec { interval_ms, grace_ms: grace_ms.unwrap_or(interval_ms / 2) })
        }
        "anomaly" => Spec::Anomaly(AnomalySpec { range: low.zip(high) }),
        other => bail!("`{other}` is no model: range, silence or anomaly"),
    };
    // The registry takes any bytes; what no model understands would bind nothing.
    Spec::decode(spec.kind(), &spec.params())?;
    let (to, input) = contracts::bind_model(device, &name, &spec);
    let receipt = block_on(async {
        Rpc::new(&args.remote.rpc)?
            .send(&account(&args.from, &args.keystore)?, Some(to), input, U256::ZERO)
            .await
    })?;
    let stream = stream_id(device, &name).to_string();
    if args.json {
        println!("{}", json!({"stream": stream, "kind": kind, "transaction": receipt["transactionHash"]}));
    } else {
        println!("{kind} judges stream {stream} (`{name}` of {device}) from the next block on");
    }
    Ok(ExitCode::SUCCESS)
}
