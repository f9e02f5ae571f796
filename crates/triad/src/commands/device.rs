//! `triad device`

use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::{Address, B256, U256, keccak256};
use anyhow::bail;
use rand::RngExt as _;
use serde_json::{Value, json};
use triad_chain::contracts;
use triad_statement::DeviceId;

use super::{Done, Remote, block_on, import};
use crate::account::{KeystoreArgs, account};
use crate::client::{Api, Rpc};
use crate::signer::read_device_key;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    keystore: KeystoreArgs,
    /// Print a JSON object.
    #[arg(long, global = true)]
    json: bool,
    /// The account that pays and signs: `dev:N`, an address in the keystore, a keystore file, or a file with 64 hex digits.
    #[arg(long, global = true, env = "TRIAD_ACCOUNT", default_value = "dev:0", value_name = "ACCOUNT")]
    from: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Register one device.
    #[command(
        after_help = "Examples:\n  triad device register --key sensor.pem --from dev:0\n  triad device register --unsigned --from dev:0   (a sensor that cannot sign)"
    )]
    Register {
        /// The device's secret key; it proves possession and stays here.
        #[arg(long)]
        key: Option<PathBuf>,
        /// The device cannot sign; another one will speak for it.
        #[arg(long, conflicts_with = "key")]
        unsigned: bool,
        /// The owner [default: the paying account].
        #[arg(long)]
        owner: Option<Address>,
        /// Text whose Keccak-256 becomes the metadata hash.
        #[arg(long, default_value = "")]
        metadata: String,
    },
    /// Register many from a CSV file, in batches, with a proof of possession each.
    #[command(
        after_help = "Columns: `key` (PEM file) or `alg` (a key is made and written to --keys-dir);\noptional `owner`, `metadata`. All rows are checked before any is\nregistered. An interrupted import can be run again. Ids are listed in KEYS_DIR/devices.csv.\n\nExample:\n  triad device import fleet.csv --keys-dir keys --from dev:0"
    )]
    Import {
        file: PathBuf,
        /// Where keys made here are written, one PEM a device.
        #[arg(long, default_value = "keys")]
        keys_dir: PathBuf,
        /// Devices a transaction.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200))]
        batch: u32,
    },
    /// Show one device.
    Show { id: DeviceId },
    /// List devices.
    List {
        /// The id to begin behind.
        #[arg(long)]
        after: Option<String>,
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Suspend a device: its statements are refused until it is activated again.
    Suspend { id: DeviceId },
    /// Lift a suspension.
    Activate { id: DeviceId },
    /// Revoke a device for ever.
    Revoke { id: DeviceId },
    /// Replace a device's key; its id stays.
    Rotate {
        id: DeviceId,
        /// The new secret key.
        #[arg(long)]
        key: PathBuf,
    },
    /// Raise a device's epoch, for one that lost its counter.
    Epoch { id: DeviceId, epoch: u32 },
    /// Let one device sign readings of another.
    Speaker {
        /// The device that is spoken for.
        origin: DeviceId,
        /// The device that signs.
        signer: DeviceId,
        /// Withdraw the permission.
        #[arg(long)]
        revoke: bool,
    },
    /// Change the unit of a stream.
    Unit { id: DeviceId, name: String, unit: String },
}

pub fn run(args: Args) -> Done {
    block_on(dispatch(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn dispatch(args: Args) -> anyhow::Result<()> {
    let (api, rpc) = (Api::new(&args.remote.api)?, Rpc::new(&args.remote.rpc)?);
    let payer = || account(&args.from, &args.keystore);
    let send = async |call: contracts::Call| rpc.send(&payer()?, Some(call.0), call.1, U256::ZERO).await;
    let done = match args.command {
        Command::Show { id } => return print(&api.get(&format!("/v1/devices/{id}")).await?, true),
        Command::List { after, limit } => {
            let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
            return print(&api.get(&format!("/v1/devices?limit={limit}{after}")).await?, args.json);
        }
        Command::Register { key, unsigned, owner, metadata } => {
            let wallet = payer()?;
            let owner = owner.unwrap_or(wallet.address());
            let metadata = if metadata.is_empty() { B256::ZERO } else { keccak256(&metadata) };
            let (id, call) = match (key, unsigned) {
                (Some(path), _) => {
                    let key = read_device_key(&path)?;
                    let item = contracts::registration(rpc.chain_id().await?, owner, &key, metadata);
                    (key.public().id(), contracts::register(vec![item]))
                }
                (None, true) => contracts::register_unsigned(
                    owner,
                    B256::from(rand::rng().random::<[u8; 32]>()),
                    metadata,
                ),
                (None, false) => bail!("name the device's key with --key, or say --unsigned"),
            };
            send(call).await?;
            json!({"device_id": id.to_string(), "owner": owner})
        }
        Command::Import { file, keys_dir, batch } => {
            return import::run(&rpc, &payer()?, &file, &keys_dir, batch as usize, args.json).await;
        }
        Command::Suspend { id } => changed(send(contracts::suspend(id)).await?, id),
        Command::Activate { id } => changed(send(contracts::activate(id)).await?, id),
        Command::Revoke { id } => changed(send(contracts::revoke(id)).await?, id),
        Command::Rotate { id, key } => {
            let call = contracts::rotate(rpc.chain_id().await?, id, &read_device_key(&key)?);
            changed(send(call).await?, id)
        }
        Command::Epoch { id, epoch } => changed(send(contracts::raise_epoch(id, epoch)).await?, id),
        Command::Speaker { origin, signer, revoke } => {
            changed(send(contracts::set_speaker(origin, signer, !revoke)).await?, origin)
        }
        Command::Unit { id, name, unit } => changed(send(contracts::set_unit(id, &name, &unit)).await?, id),
    };
    print(&done, args.json)
}

fn changed(receipt: Value, id: DeviceId) -> Value {
    json!({"device_id": id.to_string(), "transaction": receipt["transactionHash"], "block": receipt["blockNumber"]})
}

fn print(value: &Value, compact: bool) -> anyhow::Result<()> {
    match value.as_object().filter(|_| !compact) {
        Some(fields) if fields.values().all(|v| !v.is_array() && !v.is_object()) => {
            for (name, value) in fields {
                println!("{name:12} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
        _ => println!("{}", serde_json::to_string_pretty(value)?),
    }
    Ok(())
}
