//! `triad bench ingest`: the baseline, then every case, on one machine in one run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::baseline::{self, Baseline, Verifier};
use super::case::{self, Case, Door, Model, Outcome};
use super::fleet::Fleet;
use super::machine::Machine;

/// Statements signed to find out how many will be needed.
const SAMPLE: usize = 20_000;
/// More packs of readings than this a second are not expected of any machine.
const PACKS_PER_S: usize = 60_000;
/// Statements of one pool: 4 GiB of memory at the most.
const MAX_POOL: usize = 8_000_000;

#[derive(Debug)]
pub struct Options {
    pub seconds: u64,
    pub devices: usize,
    pub doors: Vec<Door>,
    pub packs: Vec<usize>,
    pub models: Vec<Model>,
    pub connections: usize,
    pub data_dir: PathBuf,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub devices: usize,
    pub seconds: u64,
    pub baselines: Vec<Baseline>,
    pub cases: Vec<Outcome>,
}

/// Runs all cases; `done` sees the report grow.
pub fn run(options: &Options, mut done: impl FnMut(&Report)) -> anyhow::Result<Report> {
    std::fs::create_dir_all(&options.data_dir)?;
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&options.data_dir)?;
    let machine = Machine::look(dir.path())?;
    eprintln!(
        "{} cores, {} · {} with {:.0} fsyncs/s · {} devices",
        machine.cores, machine.cpu, machine.file_system, machine.fsyncs_per_s, options.devices
    );
    let fleet = Fleet::new(options.devices)?;
    let (devices, seconds) = (options.devices, options.seconds);
    let mut report = Report { machine, devices, seconds, baselines: Vec::new(), cases: Vec::new() };
    let time = Duration::from_secs(options.seconds);
    for pack in &options.packs {
        let sample = fleet.sign(*pack, SAMPLE);
        let (each, verifier) = (Duration::from_secs(1), Verifier::Node);
        let rate = baseline::rate(&fleet, &sample, 0..SAMPLE, 1024, each, verifier)? as usize;
        let rate = if *pack > 1 { rate.min(PACKS_PER_S) } else { rate };
        let count = (rate * options.seconds as usize + SAMPLE).min(MAX_POOL);
        eprintln!("signing {count} statements of {pack}");
        let pool = Arc::new(fleet.sign(*pack, count));
        let baseline = Baseline::measure(&fleet, &pool, time)?;
        let (library, node) = (baseline.library, baseline.node);
        eprintln!("baseline: {library:.0} signatures/s by the library, {node:.0} by the node's own code");
        report.baselines.push(baseline.clone());
        for model in &options.models {
            for door in &options.doors {
                eprintln!("{door:?}, packs of {pack}, model {model:?}");
                let case = Case {
                    door: *door,
                    model: *model,
                    fleet: &fleet,
                    pool: pool.clone(),
                    baseline: &baseline,
                    time,
                    connections: options.connections,
                };
                let place = dir.path().join(format!("{}", report.cases.len()));
                let outcome = case::run(&case, &place)?;
                // Room for the next one.
                std::fs::remove_dir_all(&place)?;
                report.cases.push(outcome);
                done(&report);
            }
        }
    }
    Ok(report)
}
