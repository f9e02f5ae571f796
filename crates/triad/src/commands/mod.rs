//! The commands.

pub mod audit;
pub mod bench;
pub mod demo;
pub mod device;
pub mod evm;
pub mod import;
pub mod init;
pub mod key;
pub mod model;
pub mod models;
pub mod network;
pub mod node;
pub mod publish;
pub mod receipt;
pub mod stopped;
pub mod verify;
pub mod wallet;

use std::process::ExitCode;

/// What a command ends with.
pub type Done = anyhow::Result<ExitCode>;

/// Runs a command's future on a runtime of its own.
pub fn block_on<T>(future: impl std::future::Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future)
}

/// Which node to talk to.
#[derive(Debug, Clone, clap::Args)]
pub struct Remote {
    /// The node's HTTP API.
    #[arg(
        long,
        global = true,
        env = "TRIAD_API",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub api: String,
    /// The node's Ethereum JSON-RPC.
    #[arg(
        long,
        global = true,
        env = "TRIAD_RPC",
        default_value = "http://127.0.0.1:8545",
        value_name = "URL"
    )]
    pub rpc: String,
}
