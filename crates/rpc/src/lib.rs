//! Ethereum JSON-RPC, so that contracts are deployed and called with the tools that people already have.
//!
//! HTTP and WebSocket on one port, batches included, and as a service that another door may put under a path of its own.
//! It reads final state through the chain's [`Reader`] and hands transactions to its [`Submitter`]. It promises that what
//! it shows is final (the tags `latest`, `safe`, `finalized` and `pending` are the same block), that errors are those
//! Ethereum tools expect, that a call cannot outgrow its gas and its time, that a subscriber hears of everything once and never before it can be queried, and that no
//! client takes more than a bounded share of memory. State is that of every block which the ledger keeps; an older one is
//! refused with the reason. It signs nothing.

mod bounds;
mod errors;
mod feed;
mod fees;
mod filters;
mod logs;
mod methods;
mod params;
mod places;
mod readings;
mod server;
mod shapes;
mod subscribe;

use std::net::SocketAddr;
use std::time::Duration;

pub use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse, ServerHandle};
pub use server::{Rpc, RpcService};

/// Where the door is and what it bears.
#[derive(Debug, Clone)]
pub struct RpcConfig {
    /// Port 0 asks for a free port.
    pub addr: SocketAddr,
    /// Bytes of a request, batches included.
    pub max_request: u32,
    pub max_response: u32,
    /// Calls in a batch.
    pub max_batch: u32,
    pub max_connections: u32,
    /// Subscriptions of one connection.
    pub max_subscriptions: u32,
    /// The longest that `eth_sendRawTransactionSync` waits.
    pub sync_timeout: Duration,
}

impl Default for RpcConfig {
    /// Loopback, port 8545.
    fn default() -> Self {
        RpcConfig {
            addr: SocketAddr::from(([127, 0, 0, 1], 8545)),
            max_request: 5 << 20,
            max_response: 64 << 20,
            max_batch: 1000,
            max_connections: 1000,
            max_subscriptions: 256,
            sync_timeout: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    #[error(
        "cannot listen on {address} for JSON-RPC: {source}; choose another address, or stop what uses it"
    )]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("JSON-RPC: {0}")]
    Methods(String),
}
