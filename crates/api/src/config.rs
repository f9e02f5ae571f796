//! What the operator decides about the HTTP door, and the bounds on what clients may use.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use triad_chain::{Reader, Submitter};

use crate::evidence::HeldEvidence;

/// Says whether the node can do its work now; the text says why not.
pub type ReadyCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;
/// Metrics that are not in the registry, as OpenMetrics or Prometheus text.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// Where to listen and within which bounds.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Port 0 asks for a free port.
    pub address: SocketAddr,
    /// Host and port under which the world knows this node, for DID documents; otherwise the request's `Host`.
    pub public_host: Option<String>,
    /// The node is not ready when its last block is older than this. Must exceed the heartbeat of the chain.
    pub max_commit_age: Option<Duration>,
    pub limits: Limits,
}

impl Default for ApiConfig {
    /// Loopback, port 8080.
    fn default() -> Self {
        ApiConfig {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_host: None,
            max_commit_age: None,
            limits: Limits::default(),
        }
    }
}

/// Every bound of the door.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; past it a client hears 503 at once.
    pub max_connections: usize,
    /// For a request's head, and for the next request on a connection that is kept open.
    pub header_timeout: Duration,
    /// For a request's body, from its head to its last byte.
    pub body_timeout: Duration,
    /// A connection without a byte in either direction for so long is cut: half-open ones, clients that never read.
    /// Longer than `body_timeout` and `finality_timeout`.
    pub idle_timeout: Duration,
    /// For a read, waiting for its turn included.
    pub read_timeout: Duration,
    /// From a statement's arrival to its finality.
    pub finality_timeout: Duration,
    /// For requests in flight when the door closes.
    pub drain_timeout: Duration,
    /// Bytes of a body with one statement.
    pub statement_bytes: usize,
    /// Bytes of a body with many.
    pub batch_bytes: usize,
    /// Statements in one body.
    pub batch_statements: usize,
    /// Bytes of all bodies that are being read or whose statements wait, in KiB.
    pub body_memory_kib: usize,
    /// Reads at a time; more wait.
    pub concurrent_reads: usize,
    /// Rows of a page when the client does not say.
    pub default_page: usize,
    /// The most rows of a page that a client may ask for.
    pub max_page: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            read_timeout: Duration::from_secs(10),
            finality_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            statement_bytes: triad_statement::limits::MAX_STATEMENT_BYTES,
            batch_bytes: 1 << 20,
            batch_statements: 8192,
            body_memory_kib: 64 * 1024,
            concurrent_reads: 16,
            default_page: 1000,
            max_page: triad_chain::MAX_PAGE,
        }
    }
}

/// The other nodes as this one sees them.
pub type NetworkView = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// Another node that keeps more of the past than this one: its name, and where its API listens.
pub type Elsewhere = Arc<dyn Fn() -> Option<(String, String)> + Send + Sync>;

/// The evidence of double votes that the node holds.
pub type EvidenceView = Arc<dyn Fn() -> HeldEvidence + Send + Sync>;

/// The node behind the door.
#[derive(Clone)]
pub struct Backend {
    pub reader: Reader,
    pub submitter: Submitter,
    /// What the rest of the node counts; the door adds its own counts when `/metrics` is read.
    pub registry: Arc<Registry>,
    /// Metrics of parts that keep a registry of another kind.
    pub extra_metrics: Option<MetricsText>,
    /// Asked by `/readyz`.
    pub ready: Option<ReadyCheck>,
    /// What `GET /v1/network` says.
    pub network: Option<NetworkView>,
    /// What `GET /v1/network/evidence` says.
    pub evidence: Option<EvidenceView>,
    /// Named where this node no longer keeps what is asked for.
    pub elsewhere: Option<Elsewhere>,
    /// Served under `/rpc`, with this door's connection limits and metrics.
    pub rpc: Option<axum::Router>,
}

impl Backend {
    pub fn new(reader: Reader, submitter: Submitter, registry: Arc<Registry>) -> Backend {
        Backend {
            reader,
            submitter,
            registry,
            extra_metrics: None,
            ready: None,
            network: None,
            evidence: None,
            elsewhere: None,
            rpc: None,
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("reader", &self.reader).finish_non_exhaustive()
    }
}
