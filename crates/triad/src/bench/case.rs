//! One case: a fresh node, a door, a model on every stream, a light load, then a full one, then a restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use anyhow::{Context as _, ensure};
use serde::Serialize;
use triad_chain::{DefaultModel, Reader, TxRequest, Wallet, contracts};
use triad_models::{RangeSpec, Spec};

use super::baseline::{Baseline, Beside};
use super::fleet::{Fleet, Pool};
use super::load::{Plan, Run, on_client_thread};
use super::machine::{disk_bytes, resident_bytes};
use super::{count, cpu, local, mqtt};
use crate::commands::init::anomaly_model;
use crate::node::layout::{self, Layout, NewChain, dev_wallets};
use crate::node::{Node, NodeOptions};

pub const CHAIN_ID: u64 = 7423;
/// Registrations a transaction, and the gas it may use.
const REGISTRATIONS: usize = 200;
const REGISTRATION_GAS: u64 = 14_900_000;
/// Time between two statements under light load.
const LIGHT_PACE: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    InProcess,
    Mqtt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    None,
    Range,
    Anomaly,
}

impl Model {
    /// What the genesis of a chain with this model on every stream says.
    fn defaults(self) -> Vec<DefaultModel> {
        match self {
            Model::None => Vec::new(),
            Model::Anomaly => vec![anomaly_model()],
            Model::Range => {
                let limits = RangeSpec {
                    low: Some(2.0),
                    high: Some(8.0),
                    max_outside_ms: Some(600_000),
                    ..RangeSpec::default()
                };
                let spec = Spec::Range(limits);
                vec![DefaultModel { kind: spec.kind().into(), params: spec.params().into() }]
            }
        }
    }
}

/// What a case is made of.
#[derive(Debug)]
pub struct Case<'a> {
    pub door: Door,
    pub model: Model,
    pub fleet: &'a Fleet,
    pub pool: Arc<Pool>,
    pub baseline: &'a Baseline,
    pub time: Duration,
    pub connections: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub door: Door,
    pub model: Model,
    pub pack: usize,
    pub seconds: f64,
    pub sent: usize,
    pub acknowledged: usize,
    /// Acknowledged and found after the restart.
    pub found: usize,
    pub missing: usize,
    pub refused: BTreeMap<String, u64>,
    pub statements_per_s: f64,
    pub readings_per_s: f64,
    /// Bare verification right before and after the full load, the mean of both.
    pub bare: Beside,
    pub full_ms_p50: f64,
    pub full_ms_p99: f64,
    pub light_ms_p50: f64,
    pub light_ms_p99: f64,
    /// Seconds of CPU under the full load, by group of threads; `total` is the process.
    pub cpu_s: cpu::Seconds,
    pub resident_bytes: u64,
    /// The pre-signed statements, which the resident memory holds too.
    pub presigned_bytes: u64,
    pub blocks: u64,
    pub verdicts: u64,
    pub disk_bytes: u64,
    pub disk_bytes_per_reading: f64,
    pub disk_per_statement_byte: f64,
    pub recount_s: f64,
}

/// A chain on which this account pays for everything and anybody may register; no model judges.
pub fn new_chain(payer: &Wallet) -> NewChain {
    NewChain {
        name: "bench".into(),
        chain_id: CHAIN_ID,
        registrars: vec![payer.address()],
        open_registration: true,
        funded: vec![payer.address()],
        default_models: Vec::new(),
        base_fee_to: None,
    }
}

pub fn run(case: &Case<'_>, dir: &Path) -> anyhow::Result<Outcome> {
    let layout = Layout::new(dir);
    let wallet = dev_wallets().swap_remove(0);
    let new = NewChain { default_models: case.model.defaults(), ..new_chain(&wallet) };
    layout::create(&layout, &new)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("doors").build()?;
    let node = runtime.block_on(Node::start(NodeOptions::on_free_ports(layout.clone())))?;
    for raw in registrations(&wallet, case.fleet) {
        node.submitter.transaction(&raw)?;
    }
    wait_for(Duration::from_secs(300), || Ok(registered(&node.reader, case.fleet)?))?;
    let empty_disk = disk_bytes(dir);

    let light_time = (case.time / 4).min(Duration::from_secs(5));
    let mut light = load(case, &node, Plan { from: 0, time: light_time, pace: Some(LIGHT_PACE) })?;
    let beside = || Beside::measure(case.baseline, case.fleet, &case.pool, case.time / 10);
    let before = beside()?;
    let mut full = load(case, &node, Plan { from: light.next, time: case.time, pace: None })?;
    let resident = resident_bytes();
    let bare = before.between(beside()?);
    runtime.block_on(node.stop())?;
    runtime.shutdown_timeout(Duration::from_secs(10));

    let counted = Instant::now();
    let found = count::count(&layout, case.fleet, full.next)?;
    let disk = disk_bytes(dir).saturating_sub(empty_disk);
    let kept = |run: &Run| run.acknowledged.iter().filter(|i| found.seen[**i as usize]).count();
    let (kept_light, kept_full) = (kept(&light), kept(&full));
    let acknowledged = light.acknowledged.len() + full.acknowledged.len();
    let per_s = kept_full as f64 / full.seconds();
    Ok(Outcome {
        door: case.door,
        model: case.model,
        pack: case.pool.pack,
        seconds: full.seconds(),
        sent: full.next,
        acknowledged,
        found: kept_light + kept_full,
        missing: acknowledged - kept_light - kept_full,
        statements_per_s: per_s,
        readings_per_s: per_s * case.pool.pack as f64,
        bare,
        full_ms_p50: full.percentile(50),
        full_ms_p99: full.percentile(99),
        light_ms_p50: light.percentile(50),
        light_ms_p99: light.percentile(99),
        refused: full.refused,
        cpu_s: full.cpu,
        resident_bytes: resident,
        presigned_bytes: case.pool.bytes(),
        blocks: found.blocks,
        verdicts: found.verdicts,
        disk_bytes: disk,
        disk_bytes_per_reading: disk as f64 / found.readings.max(1) as f64,
        disk_per_statement_byte: disk as f64 / found.statement_bytes.max(1) as f64,
        recount_s: counted.elapsed().as_secs_f64(),
    })
}

fn load(case: &Case<'_>, node: &Node, plan: Plan) -> anyhow::Result<Run> {
    let pool = case.pool.clone();
    match case.door {
        Door::InProcess => {
            let submitter = node.submitter.clone();
            on_client_thread(move || local::run(submitter, pool, plan))
        }
        Door::Mqtt => {
            let address = node.mqtt.addresses.tcp.context("the MQTT door is not open")?;
            let connections = if plan.pace.is_some() { 1 } else { case.connections };
            on_client_thread(move || mqtt::run(address, connections, pool, plan))
        }
    }
}

/// The transactions that register a fleet.
pub fn registrations(wallet: &Wallet, fleet: &Fleet) -> Vec<Vec<u8>> {
    let owner = wallet.address();
    let call = |keys: &[triad_statement::SigningKey]| {
        let items = keys.iter().map(|key| contracts::registration(CHAIN_ID, owner, key, B256::ZERO));
        contracts::register(items.collect())
    };
    let batches = fleet.keys.chunks(REGISTRATIONS).enumerate();
    batches
        .map(|(nonce, keys)| transaction(wallet, nonce as u64, call(keys), REGISTRATION_GAS, U256::ZERO))
        .collect()
}

pub fn transaction(
    wallet: &Wallet,
    nonce: u64,
    (to, input): contracts::Call,
    gas_limit: u64,
    value: U256,
) -> Vec<u8> {
    let (to, input) = (Some(to), input.into());
    wallet.transaction(
        CHAIN_ID,
        TxRequest { to, value, input, nonce, gas_limit, max_fee_per_gas: 2_000_000_000 },
    )
}

/// Whether the whole fleet is registered: devices are, in order.
pub fn registered(reader: &Reader, fleet: &Fleet) -> Result<bool, triad_chain::ChainError> {
    match fleet.public.last() {
        Some(key) => Ok(reader.device(&key.id())?.is_some()),
        None => Ok(true),
    }
}

fn wait_for(at_most: Duration, mut done: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let started = Instant::now();
    while !done()? {
        ensure!(started.elapsed() < at_most, "the devices are not registered after {at_most:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
