//! `triad`: signed readings, judged by consensus, acted on by contracts, provable offline.

mod account;
mod bench;
mod client;
mod commands;
mod config;
mod demo;
mod network;
mod public_proof;
mod publisher;
mod signer;
mod snapshot_sync;
mod timestamp;

use clap::{Parser, Subcommand};
use triad_node as node;

/// What a verifier allocates, the ledger frees: on another thread, millions of times a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Signed readings, judged by consensus, acted on by contracts, provable offline.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Begin with `triad demo`, then `triad node --dev` and examples/device.py."
)]
struct Cli {
    /// What to log, as `level` or `target=level,…`.
    #[arg(long, global = true, env = "TRIAD_LOG", default_value = "warn", value_name = "FILTER")]
    log: String,
    /// Log lines as JSON objects.
    #[arg(long, global = true, env = "TRIAD_LOG_JSON")]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See all of it in a minute: devices, judgement, money, proof.
    Demo(commands::demo::Args),
    /// Create keys and genesis of a new chain with one validator.
    Init(commands::init::Args),
    /// Run a node.
    Node(commands::node::Args),
    /// Make, run and watch a network of several nodes.
    #[command(subcommand)]
    Network(commands::network::Command),
    /// Make and show device keys.
    #[command(subcommand)]
    Key(commands::key::Command),
    /// Register and manage devices.
    Device(commands::device::Args),
    /// Bind models to streams.
    Model(commands::model::Args),
    /// List, train, take over and show models, score files, run public benchmarks.
    #[command(subcommand)]
    Models(commands::models::Command),
    /// Replay a CSV file as a signed device.
    Publish(commands::publish::Args),
    /// Fetch receipts.
    #[command(subcommand)]
    Receipt(commands::receipt::Command),
    /// Check a receipt offline, with nothing but the genesis file.
    Verify(commands::verify::Args),
    /// Re-execute a stored chain and reproduce every root and verdict.
    Audit(commands::audit::Args),
    /// Check this program's EVM against Ethereum's own tests.
    #[command(subcommand)]
    Evm(commands::evm::Command),
    /// Accounts: create and import, hold and send, sign.
    Wallet(commands::wallet::Args),
    /// Measure this program on this machine.
    #[command(subcommand)]
    Bench(commands::bench::Command),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_new(&cli.log)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if cli.log_json {
        log.json().init()
    } else {
        log.init()
    }
    let done = match cli.command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Init(args) => commands::init::run(&args),
        Command::Node(args) => commands::node::run(args),
        Command::Network(command) => commands::network::run(command),
        Command::Key(command) => commands::key::run(&command),
        Command::Device(args) => commands::device::run(args),
        Command::Model(args) => commands::model::run(args),
        Command::Models(command) => commands::models::run(command),
        Command::Publish(args) => commands::publish::run(args),
        Command::Receipt(command) => commands::receipt::run(command),
        Command::Verify(args) => commands::verify::run(&args),
        Command::Audit(args) => commands::audit::run(&args),
        Command::Evm(command) => commands::evm::run(command),
        Command::Wallet(args) => commands::wallet::run(args),
        Command::Bench(command) => commands::bench::run(command),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("triad: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
