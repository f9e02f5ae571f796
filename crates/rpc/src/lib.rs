//! Ethereum JSON-RPC, so that contracts are deployed and called with the tools that people already have.
//!
//! HTTP and WebSocket on one port, batches included. It reads the last final state through the chain's [`Reader`] and
//! hands transactions to its [`Submitter`]. It promises that what it shows is final (the tags `latest`, `safe`,
//! `finalized` and `pending` are the same block), that errors are those Ethereum tools expect, and that a call cannot
//! outgrow its gas and its time. State is that of every block which the ledger keeps; an older one is refused with the
//! reason.

mod bounds;
mod errors;
mod logs;
mod methods;
mod params;
mod shapes;

use std::net::SocketAddr;
use std::time::Duration;

use alloy_primitives::Address;
pub use jsonrpsee::server::ServerHandle;
use jsonrpsee::server::{BatchRequestConfig, Server, ServerConfig};
use tower_http::cors::CorsLayer;
use triad_chain::{Reader, Submitter};

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
    /// How long `eth_sendRawTransactionSync` waits.
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

/// Opens the door. `accounts` are shown by `eth_accounts`; the node never signs for them.
pub async fn serve(
    config: RpcConfig,
    reader: Reader,
    submitter: Submitter,
    accounts: Vec<Address>,
) -> Result<(SocketAddr, ServerHandle), RpcError> {
    let error = |source| RpcError::Bind { address: config.addr, source };
    let limits = ServerConfig::builder()
        .max_request_body_size(config.max_request)
        .max_response_body_size(config.max_response)
        .max_connections(config.max_connections)
        .set_batch_request_config(BatchRequestConfig::Limit(config.max_batch))
        .build();
    let server = Server::builder()
        .set_config(limits)
        .set_http_middleware(tower::ServiceBuilder::new().layer(CorsLayer::permissive()))
        .build(config.addr)
        .await
        .map_err(error)?;
    let address = server.local_addr().map_err(error)?;
    let module = methods::module(methods::Context { config, reader, submitter, accounts })
        .map_err(|e| RpcError::Methods(e.to_string()))?;
    Ok((address, server.start(module)))
}
