//! `triad bench`

use std::path::PathBuf;
use std::process::ExitCode;

use super::Done;
use crate::bench::case::{Door, Model};
use crate::bench::{cluster, evm, ingest, snapshot, table, worst};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Measure statements/s from door to final and stored, beside bare batch verification.
    #[command(
        after_help = "Examples:\n  triad bench ingest\n  triad bench ingest --seconds 10 --door in-process --pack 1 --model none\n\nThe directory must be on a disk file system, or fsyncs cost nothing and the figures mean nothing."
    )]
    Ingest(IngestArgs),
    /// Build the worst blocks that the limits allow and time them against a quarter of the leader timeout.
    Block(BlockArgs),
    /// Measure transfers/s through JSON-RPC, beside anvil, and on a large state.
    #[command(
        after_help = "Examples:\n  triad bench evm --anvil ./anvil\n  triad bench evm --accounts 0        (without the large state)\n\nanvil is Foundry's: npm install @foundry-rs/anvil. Without it Triad is measured alone."
    )]
    Evm(EvmArgs),
    /// Measure networks of several validators, all on this machine: statements/s final, latency, what the leader's end costs.
    #[command(after_help = "Example:\n  triad bench cluster --validators 1,4,7 --seconds 10")]
    Cluster(ClusterArgs),
    /// Measure making a snapshot of a large state, and beginning with it.
    Snapshot(SnapshotArgs),
}

#[derive(Debug, clap::Args)]
pub struct SnapshotArgs {
    /// Accounts of the state.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    accounts: u64,
    /// Statements in the log, of 200 bytes each until they are sent; 0: none.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(0..=20_000_000))]
    leaves: u32,
    /// Where the chains are made, and removed again.
    #[arg(long, default_value = ".", value_name = "DIR")]
    data_dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct EvmArgs {
    /// The anvil to compare with [default: the one on PATH].
    #[arg(long, value_name = "PATH")]
    anvil: Option<PathBuf>,
    /// Transfers of a case.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    transfers: u32,
    /// Transfers on their way at once.
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u32).range(2000..=15_000))]
    window: u32,
    /// Accounts, and holders of the token, of the large state; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    accounts: u64,
    /// Where the chains are made, and removed again.
    #[arg(long, default_value = ".", value_name = "DIR")]
    data_dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    /// Sizes of the networks, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,4,7", value_parser = clap::value_parser!(u32).range(1..=31))]
    validators: Vec<u32>,
    /// Full load for so long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    devices: u32,
    /// Statements signed before the clock starts; the load ends when they are used up.
    #[arg(long, default_value_t = 400_000)]
    statements: u32,
    /// ERC-20 transfers through one door; 0 leaves them out.
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    transfers: u32,
    /// Where the chains are made, and removed again.
    #[arg(long, default_value = ".", value_name = "DIR")]
    data_dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct IngestArgs {
    /// Full load for so long, in each case.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    #[arg(long, value_delimiter = ',', default_value = "in-process,mqtt")]
    door: Vec<Door>,
    /// Readings a statement.
    #[arg(long, value_delimiter = ',', default_value = "1,32", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pack: Vec<u32>,
    /// The model on every stream.
    #[arg(long, value_delimiter = ',', default_value = "none,range,anomaly")]
    model: Vec<Model>,
    /// Connections of the MQTT client, each with 1,024 statements in flight.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Where the chains are made, and removed again.
    #[arg(long, default_value = ".", value_name = "DIR")]
    data_dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct BlockArgs {
    /// Readings that each stream had before, so that its model has grown.
    #[arg(long, default_value_t = 40)]
    history: usize,
    /// A percentage of the limits, for a quick try.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    percent: u32,
    /// Where the chains are made, and removed again.
    #[arg(long, default_value = ".", value_name = "DIR")]
    data_dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(command: Command) -> Done {
    if cfg!(debug_assertions) {
        eprintln!("This is a debug build: its figures say nothing about speed.");
    }
    match command {
        Command::Ingest(args) => {
            let options = ingest::Options {
                seconds: args.seconds,
                devices: args.devices as usize,
                doors: args.door,
                packs: args.pack.into_iter().map(|pack| pack as usize).collect(),
                models: args.model,
                connections: args.connections as usize,
                data_dir: args.data_dir,
            };
            let report = ingest::run(&options, |so_far| {
                if let Some(case) = so_far.cases.last() {
                    eprintln!(
                        "  {:.0} statements/s, {:.0} readings/s; {} of {} found",
                        case.statements_per_s, case.readings_per_s, case.found, case.acknowledged
                    );
                }
            })?;
            if args.json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                print!("{}", table::ingest(&report));
            }
            let missing = report.cases.iter().any(|c| c.missing > 0);
            Ok(if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Command::Evm(args) => {
            let options = evm::Options {
                transfers: args.transfers as usize,
                window: args.window as usize,
                accounts: args.accounts,
                anvil: args.anvil,
                data_dir: args.data_dir,
            };
            let report = evm::run(&options)?;
            if args.json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                print!("{}", report.table());
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Cluster(args) => {
            let options = cluster::Options {
                validators: args.validators.into_iter().map(|n| n as usize).collect(),
                seconds: args.seconds,
                devices: args.devices as usize,
                statements: args.statements as usize,
                transfers: args.transfers as usize,
                data_dir: args.data_dir,
            };
            let report = cluster::run(&options)?;
            if args.json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                print!("{}", cluster::table(&report));
            }
            let missing = report.cases.iter().any(|c| c.missing > 0);
            Ok(if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Command::Snapshot(args) => {
            let options = snapshot::Options {
                accounts: args.accounts,
                leaves: args.leaves as usize,
                data_dir: args.data_dir,
            };
            let report = snapshot::run(&options)?;
            if args.json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                print!("{}", report.table());
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Block(args) => {
            let options = worst::Options {
                history: args.history,
                percent: args.percent as usize,
                data_dir: args.data_dir,
            };
            let report = worst::run(&options)?;
            if args.json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                print!("{}", report.table());
            }
            Ok(if report.pass { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
