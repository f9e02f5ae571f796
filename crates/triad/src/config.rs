//! A node's settings: file, then environment, then flags; what comes later wins.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The settings file (TOML). Unknown keys are refused, so that a misspelt one is not silently ignored.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    pub data_dir: Option<PathBuf>,
    pub http: Option<SocketAddr>,
    pub rpc: Option<SocketAddr>,
    pub mqtt: Option<SocketAddr>,
    pub mqtt_tls: Option<SocketAddr>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub mqtt_ws: Option<SocketAddr>,
    pub heartbeat_ms: Option<u64>,
    pub disk_reserve_mib: Option<u64>,
    pub history: Option<u64>,
    pub archive: Option<bool>,
    pub snapshot_every: Option<u64>,
    pub retention: Option<String>,
    pub network: Option<NetworkConfig>,
}

/// `[network]`: the place of a node among several.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Where other nodes reach this one.
    pub listen: SocketAddr,
    /// Follow finality without voting; the key is then not a validator's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observer: bool,
    /// The other validators.
    #[serde(default)]
    pub peers: Vec<PeerConfig>,
    /// Nodes that follow, and that this one admits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observers: Vec<PeerConfig>,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// Its consensus key, 32 bytes in hex.
    pub key: String,
    pub address: SocketAddr,
    /// Its API, for `--snapshot-sync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
}

impl PeerConfig {
    pub fn key(&self) -> anyhow::Result<[u8; 32]> {
        let bytes = hex::decode(self.key.trim_start_matches("0x")).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .with_context(|| format!("the key of peer `{}` is not 32 bytes in hex: {}", self.name, self.key))
    }
}

pub fn read(path: &Path) -> anyhow::Result<FileConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not a valid configuration", path.display()))
}
