//! `triad device import`: many devices from a CSV file.
//!
//! Every row is looked at before anything is made or sent, so that a mistake in the middle costs nothing. Keys that are
//! made here are on disk before their registration is sent. An import that was interrupted anywhere can be run again:
//! what is registered already is left as it is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, U256, keccak256};
use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json};
use triad_chain::{Wallet, contracts};
use triad_statement::{Algorithm, DeviceId, SigningKey};

use super::key::Kind;
use crate::client::Rpc;
use crate::node::layout::write_secret;
use crate::signer::read_device_key;

/// Batches in flight: a few keep blocks full, more would only wait in the pool.
const IN_FLIGHT: usize = 4;
/// Mistakes that are shown at once.
const SHOWN: usize = 10;
/// What was imported, beside the keys.
const LIST: &str = "devices.csv";

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

/// Where a row's key comes from.
enum Source {
    /// A file that holds one; the path.
    Held(PathBuf, Box<SigningKey>),
    /// To be made and written there.
    Make(PathBuf, Algorithm),
}

struct Device {
    source: Source,
    owner: Address,
    metadata: B256,
}

pub async fn run(
    rpc: &Rpc,
    payer: &Wallet,
    file: &Path,
    keys_dir: &Path,
    batch: usize,
    as_json: bool,
) -> anyhow::Result<()> {
    let devices = read(file, keys_dir, payer.address())?;
    let total = devices.len();
    let chain_id = rpc.chain_id().await?;
    std::fs::create_dir_all(keys_dir).with_context(|| format!("cannot create {}", keys_dir.display()))?;
    let mut list = csv::Writer::from_path(keys_dir.join(LIST))
        .with_context(|| format!("cannot write {}", keys_dir.join(LIST).display()))?;
    list.write_record(["device_id", "key", "owner"])?;
    let bar = if as_json { ProgressBar::hidden() } else { ProgressBar::new(total as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} devices · {per_sec} · {eta} left")
    {
        bar.set_style(style);
    }
    let mut sent = std::collections::VecDeque::new();
    let mut registered = 0;
    let mut first = 0;
    let mut devices = devices.into_iter().peekable();
    while devices.peek().is_some() || !sent.is_empty() {
        let chunk: Vec<Device> = devices.by_ref().take(batch).collect();
        if !chunk.is_empty() {
            // Row 1 is the header.
            let rows = (first + 2, first + chunk.len() + 1);
            let mut items = Vec::with_capacity(chunk.len());
            for device in &chunk {
                let (path, key) = key_of(&device.source)?;
                let id = key.public().id().to_string();
                list.write_record([&id, &path.display().to_string(), &device.owner.to_string()])?;
                items.push(contracts::registration(chain_id, device.owner, &key, device.metadata));
            }
            let (to, input) = contracts::register(items);
            let hash = rpc.post(payer, Some(to), input, U256::ZERO).await.with_context(|| refused(rows))?;
            sent.push_back((hash, rows));
            first += chunk.len();
        }
        if sent.len() >= IN_FLIGHT || devices.peek().is_none() {
            let Some((hash, rows)) = sent.pop_front() else { break };
            let receipt = rpc.wait(hash).await.with_context(|| refused(rows))?;
            registered += new_devices(&receipt);
            bar.inc((rows.1 - rows.0 + 1) as u64);
        }
    }
    list.flush()?;
    bar.finish_and_clear();
    let (seconds, known) = (bar.elapsed().as_secs_f64(), total - registered.min(total));
    if as_json {
        let list = keys_dir.join(LIST);
        println!(
            "{}",
            json!({"devices": total, "registered": registered, "known_already": known, "seconds": seconds, "list": list})
        );
    } else {
        println!("{registered} devices registered in {seconds:.1} s, {known} were registered already");
        println!("Their ids and keys: {}", keys_dir.join(LIST).display());
    }
    Ok(())
}

/// The rows before this batch are registered, or on their way.
fn refused((first, last): (usize, usize)) -> String {
    format!(
        "rows {first} to {last} were not registered (an account that is no registrar may register devices for itself \
         only). The rows before them are; mend the file and run the import again"
    )
}

fn new_devices(receipt: &Value) -> usize {
    let topic = json!(keccak256("DeviceRegistered(bytes20,address,uint8,bytes,bytes32)"));
    let logs = receipt["logs"].as_array().map_or(&[][..], Vec::as_slice);
    logs.iter().filter(|log| log["topics"][0] == topic).count()
}

/// All rows, or all that is wrong with them.
fn read(file: &Path, keys_dir: &Path, payer: Address) -> anyhow::Result<Vec<Device>> {
    let mut reader =
        csv::Reader::from_path(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (mut devices, mut wrong) = (Vec::new(), Vec::new());
    let mut seen: HashMap<DeviceId, usize> = HashMap::new();
    for (index, row) in reader.deserialize::<Row>().enumerate() {
        let line = index + 2;
        let device = row.map_err(anyhow::Error::from).and_then(|row| {
            let source = source(&row, keys_dir, index)?;
            if let Source::Held(path, key) = &source
                && let Some(other) = seen.insert(key.public().id(), line)
            {
                bail!("{} holds the same key as row {other}", path.display());
            }
            let metadata = row.metadata.as_deref().filter(|m| !m.is_empty()).map_or(B256::ZERO, keccak256);
            Ok(Device { source, owner: row.owner.unwrap_or(payer), metadata })
        });
        match device {
            Ok(device) => devices.push(device),
            Err(error) => wrong.push(format!("  row {line}: {error:#}")),
        }
    }
    if !wrong.is_empty() {
        let more = wrong.len().saturating_sub(SHOWN);
        wrong.truncate(SHOWN);
        if more > 0 {
            wrong.push(format!("  and {more} more"));
        }
        bail!("nothing was registered, since {} has mistakes:\n{}", file.display(), wrong.join("\n"));
    }
    if devices.is_empty() {
        bail!("{} has no rows: a header `key` or `alg` is expected, then a row a device", file.display());
    }
    Ok(devices)
}

fn source(row: &Row, keys_dir: &Path, index: usize) -> anyhow::Result<Source> {
    if let Some(path) = &row.key {
        return Ok(Source::Held(path.clone(), Box::new(read_device_key(path)?)));
    }
    let kind = row.alg.as_deref().unwrap_or("ed25519");
    let kind = <Kind as clap::ValueEnum>::from_str(kind, true)
        .map_err(|_| anyhow::anyhow!("`alg` must be ed25519, p256 or secp256k1, not `{kind}`"))?;
    let path = keys_dir.join(format!("device-{index:06}.pem"));
    if !path.exists() {
        return Ok(Source::Make(path, kind.algorithm()));
    }
    // Made by an earlier, interrupted run.
    let key = read_device_key(&path)?;
    if key.algorithm() != kind.algorithm() {
        bail!(
            "{} was made for another kind of key: choose another --keys-dir for another file",
            path.display()
        );
    }
    Ok(Source::Held(path, Box::new(key)))
}

fn key_of(source: &Source) -> anyhow::Result<(&Path, SigningKey)> {
    match source {
        Source::Held(path, key) => Ok((path, SigningKey::clone(key))),
        Source::Make(path, algorithm) => {
            let key = SigningKey::generate(*algorithm, &mut rand::rng());
            write_secret(path, &key.to_secret_text())?;
            Ok((path, key))
        }
    }
}
