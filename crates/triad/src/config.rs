//! A node's settings: file, then environment, then flags; what comes later wins.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

/// The settings file (TOML). Unknown keys are refused, so that a misspelt one is not silently ignored.
#[derive(Debug, Clone, Default, Deserialize)]
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
}

pub fn read(path: &Path) -> anyhow::Result<FileConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not a valid configuration", path.display()))
}
