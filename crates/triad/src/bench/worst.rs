//! `triad bench block`: the worst blocks that the limits of genesis allow, against a quarter of the leader timeout.
//!
//! Two ledgers hold the same chain. One builds the block, as a leader does (its door verified the signatures before);
//! the other one, freshly opened so that nothing is cached, checks it as a validator that sees everything for the first
//! time: signatures, execution, commitments. Every stream has a grown model state.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256};
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use serde::Serialize;
use triad_chain::{Block, Judgement, Ledger, Reader, Submitter, TxRequest, Wallet, contracts};
use triad_evm::bindings::IAutomations::Condition;
use triad_models::{ForecastSpec, Spec, Tells};
use triad_statement::{Sequence, StatementBuilder};

use super::case::{CHAIN_ID, new_chain, registered, registrations, transaction};
use super::fleet::Fleet;
use super::machine::{Machine, cores};
use crate::commands::init::anomaly_model;
use crate::node::layout::{self, Layout, NewChain, dev_wallets};

/// Devices, and streams of each: as many as genesis lets one open.
const DEVICES: usize = 256;
const STREAMS: usize = 256;
/// Readings of one statement.
const PACK: usize = 256;
/// Gas of a transaction that burns; two fill a block.
const BURN_GAS: u64 = 15_000_000;
const FIRING_GAS: u64 = 1_000_000;
const FIRINGS: usize = 10;
/// As many models as a stream takes.
const FORECASTS: usize = 8;

/// JUMPDEST PUSH0 JUMP: arithmetic until the gas is gone.
const LOOP: &[u8] = &[0x5b, 0x5f, 0x56];
/// Until 30,000 gas are left: a new storage slot.
const STORE: &[u8] = &[0x5b, 0x5a, 0x5a, 0x55, 0x62, 0x00, 0x75, 0x30, 0x5a, 0x11, 0x5f, 0x57, 0x00];
/// Until 30,000 gas are left: a storage slot read for the first time.
const READ: &[u8] = &[0x5b, 0x5a, 0x54, 0x50, 0x62, 0x00, 0x75, 0x30, 0x5a, 0x11, 0x5f, 0x57, 0x00];

#[derive(Debug)]
pub struct Options {
    pub history: usize,
    pub percent: usize,
    pub data_dir: PathBuf,
}

#[derive(Debug, Clone, Serialize)]
pub struct Shape {
    pub name: &'static str,
    pub statements: usize,
    pub readings: usize,
    pub transactions: usize,
    pub firings: usize,
    pub gas: u64,
    pub block_bytes: usize,
    pub propose_ms: f64,
    pub check_ms: f64,
    /// The slower of both over the budget.
    pub of_budget: f64,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub percent: usize,
    pub history: usize,
    /// A quarter of the leader timeout of a cluster, and of one validator.
    pub budget_ms: f64,
    pub solo_budget_ms: f64,
    pub shapes: Vec<Shape>,
    pub pass: bool,
}

/// Two ledgers with one chain.
struct Pair {
    leader: Ledger,
    submitter: Submitter,
    reader: Reader,
    /// Closed in order to be opened cold.
    validator: Option<Ledger>,
    layout: Layout,
    place: PathBuf,
    wallet: Wallet,
    nonce: u64,
    runtime: tokio::runtime::Runtime,
}

impl Pair {
    fn open(place: PathBuf) -> anyhow::Result<Pair> {
        let layout = Layout::new(place.join("leader"));
        let wallet = dev_wallets().swap_remove(0);
        let new = NewChain { default_models: vec![anomaly_model()], ..new_chain(&wallet) };
        let spec = layout::create(&layout, &new)?;
        let leader = Ledger::open(&layout.chain(), spec)?;
        let submitter = Submitter::start(leader.clone(), cores())?;
        let reader = Reader::new(leader.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Pair { leader, submitter, reader, validator: None, layout, place, wallet, nonce: 0, runtime })
    }

    fn validator(&mut self) -> anyhow::Result<&Ledger> {
        if self.validator.is_none() {
            self.validator = Some(Ledger::open(&self.place.join("validator"), self.layout.spec()?)?);
        }
        self.validator.as_ref().context("just opened")
    }

    /// One block of what waits: the block, and the milliseconds of building and checking it.
    fn advance(&mut self) -> anyhow::Result<(Block, f64, f64)> {
        let (_, tip) = self.reader.tip();
        let started = Instant::now();
        let block = self.leader.propose(&tip, 0, false)?.context("there is nothing to put into a block")?;
        let propose_ms = started.elapsed().as_secs_f64() * 1e3;
        let validator = self.validator()?.clone();
        let started = Instant::now();
        let judgement = validator.check(&block.bytes, Some(0))?;
        let check_ms = started.elapsed().as_secs_f64() * 1e3;
        ensure!(judgement == Judgement::Valid, "the second ledger says {judgement:?}");
        self.leader.finalize(&block.bytes, None)?;
        validator.finalize(&block.bytes, None)?;
        Ok((block, propose_ms, check_ms))
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        while self.reader.waiting() != (0, 0) {
            self.advance()?;
        }
        Ok(())
    }

    /// Hands statements in and waits until all of them were verified.
    fn submit(&mut self, statements: Vec<Bytes>) -> anyhow::Result<()> {
        let (count, before) = (statements.len(), self.reader.waiting().0);
        let submitter = self.submitter.clone();
        let mut answers = self.runtime.block_on(async move {
            let mut answers = Vec::with_capacity(count);
            for statement in statements {
                answers.push(submitter.submit(statement).await);
            }
            answers
        });
        while self.reader.waiting().0 < before + count {
            for answer in &mut answers {
                if let Ok(Err(refusal)) = answer.try_recv() {
                    anyhow::bail!("a statement is refused: {}: {refusal:?}", refusal.code);
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn post(&mut self, call: contracts::Call, gas: u64, value: U256) -> anyhow::Result<()> {
        let raw = transaction(&self.wallet, self.nonce, call, gas, value);
        self.submitter.transaction(&raw)?;
        self.nonce += 1;
        Ok(())
    }

    fn deploy(&mut self, runtime: &[u8]) -> anyhow::Result<Address> {
        let length = runtime.len() as u8;
        let mut code = vec![0x60, length, 0x60, 12, 0x60, 0, 0x39, 0x60, length, 0x60, 0, 0xf3];
        code.extend_from_slice(runtime);
        let request = TxRequest {
            to: None,
            value: U256::ZERO,
            input: code.into(),
            nonce: self.nonce,
            gas_limit: 200_000,
            max_fee_per_gas: 2_000_000_000,
        };
        self.submitter.transaction(&self.wallet.transaction(CHAIN_ID, request))?;
        let address = self.wallet.address().create(self.nonce);
        self.nonce += 1;
        self.drain()?;
        Ok(address)
    }

    /// Builds what waits into one block and checks it with a ledger that has nothing cached.
    fn measure(&mut self, name: &'static str, budget_ms: f64) -> anyhow::Result<Shape> {
        self.validator = None;
        self.validator()?;
        let (block, propose_ms, check_ms) = self.advance()?;
        let eth = self.reader.eth_block(block.height())?.context("the block is not stored")?;
        let mut readings = 0;
        for statement in &block.body.statements {
            readings += triad_statement::Statement::parse(statement.clone())?.records().len();
        }
        let shape = Shape {
            name,
            statements: block.body.statements.len(),
            readings,
            transactions: block.body.transactions.len(),
            firings: eth.transactions.len() - block.body.transactions.len(),
            gas: eth.header.gas_used,
            block_bytes: block.bytes.len(),
            propose_ms,
            check_ms,
            of_budget: propose_ms.max(check_ms) / budget_ms,
        };
        eprintln!("{name}: built in {propose_ms:.0} ms, checked in {check_ms:.0} ms");
        self.drain()?;
        Ok(shape)
    }
}

fn stream(n: usize) -> String {
    format!("{n:02x}")
}

/// Statements with readings of many streams, or many readings of one.
struct Maker<'a> {
    fleet: &'a Fleet,
    number: u32,
}

impl Maker<'_> {
    fn next(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// A statement of each of the first devices, with a reading of each of its streams.
    fn cold(&mut self, devices: usize) -> Vec<Bytes> {
        let number = self.next();
        let pack = |key| {
            let mut pack = StatementBuilder::new(key, Sequence::new(0, number));
            for n in 0..STREAMS {
                pack = pack.number(&stream(n), None, 20.0 + f64::from(number * 7 % 13) + n as f64, None);
            }
            pack.sign()
        };
        self.fleet.keys.iter().take(devices).map(pack).collect()
    }

    /// Statements of one reading, each of another stream.
    fn singles(&mut self, count: usize) -> Vec<Bytes> {
        let keys = &self.fleet.keys;
        let mut number = 0;
        let single = |n: usize| {
            let (device, at) = (n % keys.len(), n / keys.len());
            if device == 0 {
                number = self.number + 1 + at as u32;
            }
            let value = 20.0 + (at % 11) as f64;
            StatementBuilder::new(&keys[device], Sequence::new(0, number))
                .number(&stream(at), None, value, None)
                .sign()
        };
        let statements = (0..count).map(single).collect();
        self.number += count.div_ceil(keys.len()) as u32;
        statements
    }

    /// Statements of many readings of one stream, a millisecond apart in the last half minute.
    fn warm(&mut self, count: usize) -> Vec<Bytes> {
        let keys = &self.fleet.keys;
        let now_us = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as i64);
        let number = self.number;
        let warm = |n: usize| {
            let (device, at) = (n % keys.len(), n / keys.len());
            let mut pack = StatementBuilder::new(&keys[device], Sequence::new(0, number + 1 + at as u32));
            for n in 0..PACK {
                let time = now_us + (at * PACK + n) as i64 * 1000;
                pack = pack.number(&stream(0), None, 20.0 + (n % 11) as f64, Some(time));
            }
            pack.sign()
        };
        let statements = (0..count).map(warm).collect();
        self.number += count.div_ceil(keys.len()) as u32;
        statements
    }
}

pub fn run(options: &Options) -> anyhow::Result<Report> {
    std::fs::create_dir_all(&options.data_dir)?;
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&options.data_dir)?;
    let machine = Machine::look(dir.path())?;
    let quarter = |n| {
        let timeouts = triad_consensus::Timeouts::for_validators(n, Duration::from_secs(5));
        timeouts.leader.as_secs_f64() * 250.0
    };
    let (budget_ms, solo_budget_ms) = (quarter(4), quarter(1));
    let part = |n: usize| (n * options.percent / 100).max(1);
    let fleet = Fleet::new(part(DEVICES))?;
    let mut pair = Pair::open(dir.path().to_owned())?;
    for raw in registrations(&pair.wallet, &fleet) {
        pair.submitter.transaction(&raw)?;
        pair.nonce += 1;
    }
    pair.drain()?;
    ensure!(registered(&pair.reader, &fleet)?, "the devices are not registered");

    let mut maker = Maker { fleet: &fleet, number: 0 };
    for round in 1..=options.history {
        eprint!("\rhistory {round} of {}", options.history);
        pair.submit(maker.cold(fleet.keys.len()))?;
        pair.drain()?;
    }
    eprintln!();

    let limits = pair.reader.spec().genesis.limits.clone();
    let (runs, readings) = (limits.block_runs as usize, limits.block_readings as usize);
    let mut shapes = Vec::new();
    pair.submit(maker.singles(part(limits.block_statements as usize)))?;
    shapes.push(pair.measure("single statements on cold streams", budget_ms)?);
    pair.submit(maker.cold(part(runs / STREAMS)))?;
    shapes.push(pair.measure("packs of readings on cold streams", budget_ms)?);
    pair.submit(maker.warm(part(readings / PACK)))?;
    shapes.push(pair.measure("packs of readings of one stream", budget_ms)?);
    for (name, code) in
        [("gas: arithmetic", LOOP), ("gas: new storage", STORE), ("gas: cold storage reads", READ)]
    {
        // One contract a transaction, so that neither finds the other's slots.
        let targets = [pair.deploy(code)?, pair.deploy(code)?];
        for target in targets {
            pair.post((target, Vec::new()), BURN_GAS, U256::ZERO)?;
        }
        shapes.push(pair.measure(name, budget_ms)?);
    }

    let watcher = pair.deploy(STORE)?;
    for n in 0..FIRINGS {
        let condition = Condition {
            device: fleet.public[n % fleet.public.len()].id().0.into(),
            name: stream(n),
            source: 0,
            op: 0,
            threshold: Default::default(),
            kinds: U256::ZERO,
            minScore: 0,
        };
        let deposit = U256::from(10u64).pow(U256::from(18));
        pair.post(contracts::automation(condition, watcher, FIRING_GAS, 0), 1_000_000, deposit)?;
    }
    pair.drain()?;
    let targets = [pair.deploy(STORE)?, pair.deploy(STORE)?];
    // Five eighths of the bytes for singles, which cost most a byte, the rest of the runs on cold streams, the rest of the
    // readings in long runs.
    let singles = (limits.block_bytes as usize * 5 / 8 / 125).min(runs);
    let cold = (runs - singles) / STREAMS;
    let mut mixed = maker.singles(part(singles));
    mixed.extend(maker.cold(part(cold)));
    mixed.extend(maker.warm(part((readings - singles - cold * STREAMS) / PACK)));
    pair.submit(mixed)?;
    for target in targets {
        // Two thirds of the block: the rest is the automations'.
        pair.post((target, Vec::new()), BURN_GAS * 2 / 3, U256::ZERO)?;
    }
    shapes.push(pair.measure("singles, packs, firings and new storage", budget_ms)?);
    shapes.extend(forecasts(&mut pair, &mut maker, budget_ms)?);
    let pass = shapes.iter().all(|s| s.of_budget <= 1.0);
    let (percent, history) = (options.percent, options.history);
    Ok(Report { machine, percent, history, budget_ms, solo_budget_ms, shapes, pass })
}

/// Forecasts of the largest kind, as many as a stream takes, and so many readings that the work of models fills the block.
fn forecasts(pair: &mut Pair, maker: &mut Maker<'_>, budget_ms: f64) -> anyhow::Result<Vec<Shape>> {
    let (interval_ms, tells) = (1, Tells::Value);
    let spec = ForecastSpec { interval_ms, season: 168, horizon: 24, low: None, high: None, tells };
    let fleet = maker.fleet;
    for key in &fleet.public {
        for _ in 0..FORECASTS {
            let call = contracts::bind_model(key.id(), &stream(0), &Spec::Forecast(spec.clone()));
            pair.post(call, 500_000, U256::ZERO)?;
        }
        pair.drain()?;
    }
    let devices = fleet.keys.len();
    // Two packs a device, so that every forecast has learnt enough to speak.
    pair.submit(maker.warm(2 * devices))?;
    pair.drain()?;
    // A pack is 8 x (60 + 256 x 40) units of 250,000.
    pair.submit(maker.warm(3.min(devices)))?;
    let warm = pair.measure("forecasts: packs of one stream", budget_ms)?;
    // A reading of each device is 8 x (60 + 40) units.
    pair.submit(maker.singles(devices))?;
    Ok(vec![warm, pair.measure("forecasts: single readings", budget_ms)?])
}

impl Report {
    pub fn table(&self) -> String {
        let m = &self.machine;
        let mut out = format!(
            "{} cores, {}; {}; {} % of the limits; {} readings of history a stream\n\n\
             | block | statements | readings | transactions | firings | gas | bytes | build ms | check ms | of {:.0} ms |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            m.cores, m.cpu, m.file_system, self.percent, self.history, self.budget_ms
        );
        for s in &self.shapes {
            out += &format!(
                "| {} | {} | {} | {} | {} | {} | {} | {:.0} | {:.0} | {:.2} |\n",
                s.name,
                s.statements,
                s.readings,
                s.transactions,
                s.firings,
                s.gas,
                s.block_bytes,
                s.propose_ms,
                s.check_ms,
                s.of_budget
            );
        }
        let verdict = if self.pass { "pass" } else { "NOT within the budget" };
        out += &format!(
            "\n{verdict}: a quarter of a cluster's leader timeout is {:.0} ms; one validator alone has {:.0} ms\n",
            self.budget_ms, self.solo_budget_ms
        );
        out
    }
}
