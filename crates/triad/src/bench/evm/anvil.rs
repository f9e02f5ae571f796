//! Anvil, as fast as it was found to be: no automatic mining, a block whenever the last one is done.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::bench::case::CHAIN_ID;
use crate::client::Rpc;

/// Between two blocks that are mined by hand.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Anvil {
    child: Child,
    pub url: String,
    pub version: String,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Dead already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one that was named, else the one on PATH.
pub fn find(named: Option<&Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || std::env::split_paths(&path).map(|dir| dir.join("anvil")).find(|file| file.is_file());
    named.map(Path::to_owned).or_else(found)
}

impl Anvil {
    pub async fn start(program: &Path) -> anyhow::Result<Anvil> {
        let version = Command::new(program).arg("--version").output();
        let version = version.with_context(|| format!("{} does not run", program.display()))?.stdout;
        let version = String::from_utf8_lossy(&version).lines().next().unwrap_or_default().to_owned();
        // Free now, and most likely still in a moment.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(program)
            .args(["--no-mining", "--quiet", "--no-cors", "--order", "fifo", "--block-base-fee-per-gas", "0"])
            .args([
                "--gas-limit",
                "30000000",
                "--chain-id",
                &CHAIN_ID.to_string(),
                "--port",
                &port.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let anvil = Anvil { child, url: format!("http://127.0.0.1:{port}"), version };
        let (rpc, started) = (Rpc::new(&anvil.url)?, Instant::now());
        while rpc.chain_id().await.is_err() {
            ensure!(started.elapsed() < Duration::from_secs(30), "anvil does not answer after 30 s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(anvil)
    }

    /// Mines for ever.
    pub async fn mine(url: String) -> anyhow::Result<()> {
        let rpc = Rpc::new(&url)?;
        loop {
            rpc.call("evm_mine", json!([])).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }
}
