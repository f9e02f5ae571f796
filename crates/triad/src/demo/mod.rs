//! `triad demo`: the whole of Triad in one run, on a real temperature record.
//!
//! A node, three devices with a key of each kind and a fourth that cannot sign; a warehouse that owes a depositor a
//! temperature, with the fee in escrow; seven months of a real room's readings over MQTT; a sensor that is unplugged on
//! the way. Everything goes through the doors that users have. Every figure is measured in the run.

mod agreement;
mod evidence;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use rand::RngExt as _;
use triad_chain::{Wallet, clock_ms, contracts};
use triad_models::{AnomalySpec, RangeSpec, SilenceSpec, Spec};
use triad_statement::{Algorithm, DeviceId, Sequence, SigningKey, StatementBuilder, stream_id};

use crate::client::{Api, Rpc};
use crate::node::layout::{self, Layout, NewChain};
use crate::node::{Node, NodeOptions};
use crate::publisher::{Publisher, Report};
use agreement::{Agreement, Parties, tokens};
use evidence::Evidence;

/// NAB `realKnownCause/ambient_temperature_system_failure`: hourly temperatures of an office in °F (MIT licence).
const RECORD: &str = include_str!("../../data/nab/ambient_temperature_system_failure.csv");
const WINDOWS: &str = include_str!("../../data/nab/windows.json");
const NAME: &str = "temperature";
/// A reading is expected at least this often, by block time.
const SILENCE_MS: u64 = 1500;
/// The record is unplugged after this many readings.
const UNPLUGGED_AT: usize = 3600;
/// From the opening of the agreement to the end of its claim window.
const CLAIM_MS: u64 = 30_000;
const DAY_MS: u64 = 86_400_000;

#[derive(Debug, Clone)]
pub struct Options {
    pub json: bool,
    /// Where to leave what the demo made; a temporary directory otherwise.
    pub keep: Option<PathBuf>,
}

/// What the run led to.
#[derive(Debug)]
pub struct Outcome {
    pub sent: u64,
    pub is_final: u64,
    pub replay: Report,
    pub seconds: f64,
    pub evidence: Evidence,
    pub charges: Vec<Agreement::Charged>,
    pub fee: u128,
    pub to_depositor: U256,
    pub to_warehouse: U256,
    pub audit: triad_chain::audit::Audit,
    pub disk_bytes: u64,
    pub genesis: PathBuf,
    pub receipt: PathBuf,
    pub dir: PathBuf,
}

pub fn run(options: &Options) -> anyhow::Result<bool> {
    let temporary = tempfile::Builder::new().prefix("triad-demo-").tempdir()?;
    let dir = match &options.keep {
        Some(dir) => dir.clone(),
        None => temporary.path().to_owned(),
    };
    let say = Say { json: options.json };
    let outcome =
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(play(&dir, say))?;
    let expectations = report::expectations(&outcome);
    if options.json {
        println!("{}", report::json(&outcome));
    } else {
        report::print(&outcome, options.keep.is_some());
        if options.keep.is_none() {
            // What it tells the user to look at must still be there.
            let _ = temporary.keep();
        }
    }
    for failed in &expectations {
        eprintln!("triad: demo: {failed}");
    }
    Ok(expectations.is_empty())
}

/// Tells what happens, unless a script listens.
#[derive(Debug, Clone, Copy)]
struct Say {
    json: bool,
}

impl Say {
    fn step(self, text: &str) {
        if !self.json {
            println!("· {text}");
        }
    }

    fn bar(self, len: u64) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(len);
        if let Ok(style) = ProgressStyle::with_template("  {bar:40} {pos}/{len} readings final · {per_sec}")
        {
            bar.set_style(style);
        }
        bar
    }
}

fn new_wallet() -> anyhow::Result<Wallet> {
    Wallet::from_secret(&rand::rng().random()).context("an unusable random number: run it again")
}

struct Fleet {
    room: SigningKey,
    hall: Arc<SigningKey>,
    gateway: Arc<SigningKey>,
    probe: DeviceId,
}

async fn play(dir: &Path, say: Say) -> anyhow::Result<Outcome> {
    let rows = crate::commands::publish::parse_csv(RECORD.as_bytes(), "timestamp", &["value"])?;
    let rows: Vec<(i64, f64)> = rows.into_iter().map(|(time, values)| (time, values[0])).collect();
    let layout = Layout::new(dir.join("node"));
    let (owner, depositor, warehouse) = (new_wallet()?, new_wallet()?, new_wallet()?);
    let accounts = vec![owner.address(), depositor.address(), warehouse.address()];
    layout::create(
        &layout,
        &NewChain {
            name: "demo".into(),
            chain_id: 7423,
            registrars: vec![owner.address()],
            open_registration: false,
            funded: accounts,
            default_models: Vec::new(),
            base_fee_to: None,
        },
    )?;
    let mut options = NodeOptions::on_free_ports(layout.clone());
    options.heartbeat = Duration::from_millis(500);
    let node = Node::start(options).await?;
    let http = node.http.context("no HTTP door")?;
    let rpc = Rpc::new(&node.rpc.context("no JSON-RPC door")?.to_string())?;
    let mqtt = node.mqtt.addresses.tcp.context("no MQTT door")?.to_string();
    let api = Api::new(&http.to_string())?;
    say.step(&format!("a node with one validator: HTTP {http}, MQTT {mqtt}, data in {}", dir.display()));

    let fleet = register(&rpc, &owner).await?;
    say.step("three devices registered with proof of possession (Ed25519, P-256, secp256k1)");
    say.step(&format!("a fourth, {}, cannot sign: the secp256k1 gateway speaks for it", fleet.probe));
    let room = fleet.room.public().id();
    let (range_model, silence_model) = bind(&rpc, &owner, room).await?;
    say.step("models bound: USP <659> room temperature 68–77 °F (59–86 allowed), silence, anomaly");

    let parties = Parties::deploy(rpc, owner, depositor, warehouse).await?;
    let fee = tokens(1000);
    let claim_until = clock_ms() + CLAIM_MS;
    let terms = terms(&parties, room, claim_until, (range_model, silence_model), fee, &rows);
    parties.agree(terms).await?;
    say.step("a StorageAgreement: 1,000 DEMO in escrow; 10 an excursion, 50 a silence, at most 600");

    let empty_disk = disk_bytes(&layout.dir)?;
    say.step("replaying seven months of a real room over MQTT; half way the sensor is unplugged");
    let started = Instant::now();
    let bar = say.bar(rows.len() as u64);
    let (hall, gateway) = (fleet.hall.clone(), fleet.gateway.clone());
    let side = tokio::spawn(side_devices(mqtt.clone(), hall, gateway, fleet.probe, rows[..300].to_vec()));
    let mut replay = Publisher::connect(&mqtt, "demo-room", 200).await?;
    let mut paused = Duration::ZERO;
    for (n, (time, value)) in rows.iter().enumerate() {
        if n == UNPLUGGED_AT {
            let unplugged = Instant::now();
            replay.drain().await?;
            tokio::time::sleep(Duration::from_millis(SILENCE_MS + 1000)).await;
            paused = unplugged.elapsed();
        }
        let statement = StatementBuilder::new(&fleet.room, Sequence::new(0, n as u32))
            .number(NAME, Some("Far"), *value, Some(*time))
            .sign();
        replay.publish(statement.to_vec()).await?;
        bar.set_position(replay.acknowledged());
    }
    let replay = replay.finish().await?;
    let seconds = (started.elapsed() - paused).as_secs_f64();
    bar.finish_and_clear();
    let side = side.await??;
    let sent = rows.len() as u64 + side;
    let stream = stream_id(room, NAME);
    let mut is_final = 0;
    for stream in [stream, stream_id(fleet.hall.public().id(), NAME), stream_id(fleet.probe, NAME)] {
        is_final += evidence::readings(&api, stream).await?.len() as u64;
    }

    let left = claim_until.saturating_sub(clock_ms());
    say.step(&format!(
        "{sent} readings sent, {is_final} final; the claim window closes in {} s",
        left / 1000
    ));
    tokio::time::sleep(Duration::from_millis(left + 2000)).await;
    parties.settle().await?;
    let charges = parties.charges().await?;
    let to_depositor = parties.balance(parties.depositor.address()).await?;
    let to_warehouse = parties.balance(parties.warehouse.address()).await?;

    let spec = node.reader.spec().clone();
    let receipt = dir.join("worst.receipt");
    let evidence = evidence::gather(&api, stream, &rows, WINDOWS, &spec.anchor, &receipt).await?;
    node.stop().await?;
    let disk = disk_bytes(&layout.dir)?.saturating_sub(empty_disk);
    say.step("the node is stopped; re-executing the whole chain from genesis");
    let scratch = tempfile::tempdir_in(dir)?;
    let (chain, snapshots) = (layout.chain(), layout.snapshots());
    let audit = tokio::task::spawn_blocking(move || {
        triad_chain::audit::run(&chain, &snapshots, spec, scratch.path(), |_| {})
    });
    let audit = audit.await?.context("the audit failed")?;
    Ok(Outcome {
        sent,
        is_final,
        replay,
        seconds,
        evidence,
        charges,
        fee,
        to_depositor,
        to_warehouse,
        audit,
        disk_bytes: disk,
        genesis: layout.genesis(),
        receipt,
        dir: layout.dir,
    })
}

async fn register(rpc: &Rpc, owner: &Wallet) -> anyhow::Result<Fleet> {
    let mut rng = rand::rng();
    let room = SigningKey::generate(Algorithm::EdDsa, &mut rng);
    let hall = SigningKey::generate(Algorithm::Es256, &mut rng);
    let gateway = SigningKey::generate(Algorithm::Es256k, &mut rng);
    let chain_id = rpc.chain_id().await?;
    let batch = [&room, &hall, &gateway]
        .map(|key| contracts::registration(chain_id, owner.address(), key, B256::ZERO))
        .to_vec();
    let (to, input) = contracts::register(batch);
    rpc.send(owner, Some(to), input, U256::ZERO).await?;
    let (probe, (to, input)) = contracts::register_unsigned(owner.address(), B256::ZERO, B256::ZERO);
    rpc.send(owner, Some(to), input, U256::ZERO).await?;
    let (to, input) = contracts::set_speaker(probe, gateway.public().id(), true);
    rpc.send(owner, Some(to), input, U256::ZERO).await?;
    Ok(Fleet { room, hall: Arc::new(hall), gateway: Arc::new(gateway), probe })
}

/// Binds the three models to the room's stream; returns the ids of range and silence.
async fn bind(rpc: &Rpc, owner: &Wallet, device: DeviceId) -> anyhow::Result<(u64, u64)> {
    let specs = [
        Spec::Range(RangeSpec {
            low: Some(68.0),
            high: Some(77.0),
            allowed_low: Some(59.0),
            allowed_high: Some(86.0),
            max_outside_ms: Some(DAY_MS),
            ..RangeSpec::default()
        }),
        Spec::Silence(SilenceSpec { interval_ms: SILENCE_MS, grace_ms: 0 }),
        Spec::Anomaly(AnomalySpec { range: None }),
    ];
    let mut ids = Vec::new();
    for spec in &specs {
        let (to, input) = contracts::bind_model(device, NAME, spec);
        let receipt = rpc.send(owner, Some(to), input, U256::ZERO).await?;
        let topic = receipt["logs"][0]["topics"][1].as_str().context("no model id")?;
        ids.push(u64::from_str_radix(topic.trim_start_matches("0x"), 16)?);
    }
    Ok((ids[0], ids[1]))
}

fn terms(
    parties: &Parties,
    device: DeviceId,
    claim_until: u64,
    (range_model, silence_model): (u64, u64),
    fee: u128,
    rows: &[(i64, f64)],
) -> Agreement::Terms {
    use triad_log::VerdictKind::{Duration, High, Low};
    Agreement::Terms {
        token: parties.token,
        warehouse: parties.warehouse.address(),
        device: device.0.into(),
        name: NAME.into(),
        // The device's clock: the record is years old, and the agreement says how much lag it accepts.
        clock: 0,
        maxLagMs: 20 * 365 * DAY_MS,
        start: (rows[0].0 / 1000) as u64,
        end: claim_until,
        acceptBy: claim_until,
        claimUntil: claim_until,
        excursionKinds: [Low, High, Duration].iter().map(|k| 1u16 << *k as u8).sum(),
        // The range model gives a breach, not a tolerated excursion, the full score.
        minScore: 1_000_000,
        coolDownMs: DAY_MS,
        rangeModel: range_model,
        silenceModel: silence_model,
        fee,
        excursionPenalty: tokens(10),
        silencePenalty: tokens(50),
        penaltyCap: tokens(600),
    }
}

/// The other devices send the record's first readings, 16 a statement; the gateway for the probe that cannot sign.
async fn side_devices(
    mqtt: String,
    hall: Arc<SigningKey>,
    gateway: Arc<SigningKey>,
    probe: DeviceId,
    rows: Vec<(i64, f64)>,
) -> anyhow::Result<u64> {
    let mut sent = 0;
    for (key, origin) in [(&hall, None), (&gateway, Some(probe))] {
        let mut publisher = Publisher::connect(&mqtt, &format!("demo-{}", key.public().id()), 20).await?;
        for (n, pack) in rows.chunks(16).enumerate() {
            let mut statement = StatementBuilder::new(key, Sequence::new(0, n as u32));
            if let Some(origin) = origin {
                statement = statement.on_behalf_of(origin);
            }
            for (time, value) in pack {
                statement = statement.number(NAME, Some("Far"), *value, Some(*time));
                sent += 1;
            }
            publisher.publish(statement.sign().to_vec()).await?;
        }
        publisher.finish().await?;
    }
    Ok(sent)
}

/// Bytes that a directory's files really take on disk.
fn disk_bytes(dir: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        total += if meta.is_dir() { disk_bytes(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(total)
}
