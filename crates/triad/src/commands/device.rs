//! `triad device`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy_primitives::{Address, B256, U256, keccak256};
use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use triad_chain::{Wallet, contracts};
use triad_statement::{DeviceId, SigningKey};

use super::key::Kind;
use super::{Done, Remote, block_on};
use crate::account::{KeystoreArgs, account};
use crate::client::{Api, Rpc};
use crate::node::layout::write_secret;
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
        after_help = "Columns: `key` (PEM file) or `alg` (a key is made and written to --keys-dir);\noptional `owner`, `metadata`. An interrupted import can be run again.\n\nExample:\n  triad device import fleet.csv --keys-dir keys --from dev:0"
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
            return import(&rpc, &payer()?, &file, &keys_dir, batch as usize, args.json).await;
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    key: Option<PathBuf>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    owner: Option<Address>,
    #[serde(default)]
    metadata: Option<String>,
}

/// Registers all rows; keys that are made here are on disk before their registration is sent.
async fn import(
    rpc: &Rpc,
    payer: &Wallet,
    file: &Path,
    keys_dir: &Path,
    batch: usize,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let mut reader =
        csv::Reader::from_path(file).with_context(|| format!("cannot read {}", file.display()))?;
    for (i, row) in reader.deserialize::<Row>().enumerate() {
        rows.push(row.with_context(|| format!("{}: row {}", file.display(), i + 2))?);
    }
    std::fs::create_dir_all(keys_dir)?;
    let chain_id = rpc.chain_id().await?;
    let bar = if as_json { ProgressBar::hidden() } else { ProgressBar::new(rows.len() as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} devices · {per_sec} · {eta} left")
    {
        bar.set_style(style);
    }
    let mut waiting = Vec::new();
    for (n, chunk) in rows.chunks(batch).enumerate() {
        let mut items = Vec::with_capacity(chunk.len());
        for (i, row) in chunk.iter().enumerate() {
            let key = row_key(row, keys_dir, n * batch + i)?;
            let metadata = row.metadata.as_deref().filter(|m| !m.is_empty()).map_or(B256::ZERO, keccak256);
            items.push(contracts::registration(
                chain_id,
                row.owner.unwrap_or(payer.address()),
                &key,
                metadata,
            ));
        }
        let (to, input) = contracts::register(items);
        waiting.push((rpc.post(payer, Some(to), input, U256::ZERO).await?, chunk.len()));
        // A few batches in flight keep blocks full; more would only wait in the pool.
        if waiting.len() >= 4 {
            let (hash, devices) = waiting.remove(0);
            rpc.wait(hash).await?;
            bar.inc(devices as u64);
        }
    }
    for (hash, devices) in waiting {
        rpc.wait(hash).await?;
        bar.inc(devices as u64);
    }
    bar.finish_and_clear();
    let seconds = bar.elapsed().as_secs_f64();
    if as_json {
        println!("{}", json!({"devices": rows.len(), "seconds": seconds}));
    } else {
        println!(
            "{} devices registered in {seconds:.1} s; keys made here are in {}",
            rows.len(),
            keys_dir.display()
        );
    }
    Ok(())
}

fn row_key(row: &Row, keys_dir: &Path, index: usize) -> anyhow::Result<SigningKey> {
    if let Some(path) = &row.key {
        return read_device_key(path);
    }
    let path = keys_dir.join(format!("device-{index:06}.pem"));
    // Made by an earlier, interrupted run.
    if path.exists() {
        return read_device_key(&path);
    }
    let kind = row.alg.as_deref().unwrap_or("ed25519");
    let kind = <Kind as clap::ValueEnum>::from_str(kind, true).map_err(|_| {
        anyhow::anyhow!("row {}: `alg` must be ed25519, p256 or secp256k1, not `{kind}`", index + 2)
    })?;
    let key = SigningKey::generate(kind.algorithm(), &mut rand::rng());
    write_secret(&path, &key.to_secret_text())?;
    Ok(key)
}
