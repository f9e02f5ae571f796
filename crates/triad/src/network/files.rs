//! The files of a network.
//!
//! ```text
//! DIR/genesis.json             public; everybody who joins or verifies receipts needs it
//! DIR/node-0/genesis.json      a data directory a node
//!            validator.json    its secret keys, made here; never leaves its machine
//!            node.toml         its configuration: `triad node --config DIR/node-0/node.toml`
//! ```

use std::collections::VecDeque;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use triad_chain::{ChainSpec, Validator};

use crate::config::{FileConfig, NetworkConfig, PeerConfig};
use crate::node::layout::{Layout, NewChain, ValidatorKeys, place};

pub const CONFIG: &str = "node.toml";
/// Loopback ports of a node: HTTP, JSON-RPC, MQTT, other nodes.
const PORTS: usize = 4;
/// An idle network makes an empty block this often, milliseconds.
const HEARTBEAT_MS: u64 = 2000;

/// Directories of a network's nodes, in order.
pub fn node_dirs(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(|n| n.strip_prefix("node-"))
            .and_then(|n| n.parse().ok());
        if let Some(number) = number.filter(|_| path.join(CONFIG).exists()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Free ports of this machine's loopback, all held until all are known.
pub fn free_ports(n: usize) -> anyhow::Result<VecDeque<SocketAddr>> {
    let listeners: Vec<TcpListener> = (0..n)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<Result<_, _>>()
        .context("no free port")?;
    listeners.iter().map(|l| l.local_addr().context("a port without an address")).collect()
}

/// Keys, genesis and a configuration for each of `n` validators on this machine.
pub fn create(dir: &Path, n: usize, new: &NewChain) -> anyhow::Result<ChainSpec> {
    if n == 0 || n > 100 {
        bail!("a network has 1 to 100 validators, not {n}");
    }
    if dir.join("genesis.json").exists() {
        bail!("{} holds a network already; choose another directory", dir.display());
    }
    let keys = (0..n).map(|_| ValidatorKeys::generate()).collect::<anyhow::Result<Vec<_>>>()?;
    let name = |i: usize| format!("validator-{i}");
    let entries = keys
        .iter()
        .enumerate()
        .map(|(i, keys)| keys.entry(&name(i), new.chain_id))
        .collect::<anyhow::Result<Vec<Validator>>>()?;
    let spec = new.spec(entries.clone())?;
    let mut ports = free_ports(n * PORTS)?;
    let mut port = || ports.pop_front().context("too few ports");
    let listens = (0..n).map(|_| port()).collect::<anyhow::Result<Vec<SocketAddr>>>()?;
    let doors = (0..n).map(|_| port()).collect::<anyhow::Result<Vec<SocketAddr>>>()?;
    let peers: Vec<PeerConfig> = entries
        .iter()
        .zip(listens.iter().zip(&doors))
        .map(|(entry, (address, http))| PeerConfig {
            name: entry.name.clone(),
            key: hex::encode(&entry.consensus_key),
            address: *address,
            http: Some(*http),
        })
        .collect();
    for (i, keys) in keys.iter().enumerate() {
        let layout = Layout::new(dir.join(format!("node-{i}")));
        place(&layout, keys, &spec)?;
        let others = peers.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, p)| p.clone()).collect();
        let network =
            NetworkConfig { listen: listens[i], observer: false, peers: others, observers: Vec::new() };
        let config = FileConfig {
            http: Some(doors[i]),
            rpc: Some(port()?),
            mqtt: Some(port()?),
            heartbeat_ms: Some(HEARTBEAT_MS),
            network: Some(network),
            ..FileConfig::default()
        };
        write_config(&layout.dir.join(CONFIG), &config)?;
    }
    fs::write(dir.join("genesis.json"), spec.to_json())
        .with_context(|| format!("cannot write into {}", dir.display()))?;
    Ok(spec)
}

pub fn write_config(path: &Path, config: &FileConfig) -> anyhow::Result<()> {
    let text = format!(
        "# A node of a network. Settings are the long flags of `triad node` with _ for -.\n\
         # Start it: triad node --config {}\n\n{}",
        path.file_name().and_then(|n| n.to_str()).unwrap_or(CONFIG),
        toml::to_string_pretty(config)?
    );
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_all_others_and_only_its_own_secret() {
        let dir = tempfile::tempdir().unwrap();
        let new = NewChain {
            name: "test".into(),
            chain_id: 1,
            registrars: Vec::new(),
            open_registration: true,
            funded: Vec::new(),
            default_models: Vec::new(),
            base_fee_to: None,
        };
        let spec = create(dir.path(), 4, &new).unwrap();
        assert!(create(dir.path(), 4, &new).is_err(), "nothing is overwritten");
        let dirs = node_dirs(dir.path()).unwrap();
        assert_eq!(dirs.len(), 4);
        let mut own = Vec::new();
        for dir in &dirs {
            let layout = Layout::new(dir);
            assert_eq!(layout.spec().unwrap().hash, spec.hash);
            let keys = ValidatorKeys::load(&layout.validator()).unwrap();
            keys.check(&[triad_chain::Reign::genesis(&spec)]).unwrap();
            let key = triad_consensus::public_key(&keys.consensus().unwrap());
            let config = crate::config::read(&dir.join(CONFIG)).unwrap();
            let network = config.network.unwrap();
            assert_eq!(network.peers.len(), 3);
            assert!(network.peers.iter().all(|p| p.key().unwrap() != key));
            own.push((key, network.listen));
        }
        for dir in &dirs {
            let peers = crate::config::read(&dir.join(CONFIG)).unwrap().network.unwrap().peers;
            assert!(peers.iter().all(|p| own.contains(&(p.key().unwrap(), p.address))));
        }
    }
}
