//! A whole network as processes of this machine.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::files::CONFIG;

/// How long a node may take to say where it listens.
const START: Duration = Duration::from_secs(60);
/// How long one may take to stop in good order.
const STOP: Duration = Duration::from_secs(15);

/// A node of the network as a child process. It ends when this handle goes: its standard input ends then.
#[derive(Debug)]
pub struct LocalNode {
    pub dir: PathBuf,
    pub http: String,
    /// JSON-RPC.
    pub rpc: String,
    pub mqtt: Option<SocketAddr>,
    child: Child,
}

impl LocalNode {
    /// Starts the node of this directory and waits until it says where it listens. What it logs goes to `node.log`.
    pub fn start(dir: &Path) -> anyhow::Result<LocalNode> {
        let path = dir.join("node.log");
        let output = File::options().create(true).append(true).open(&path);
        let output = output.with_context(|| format!("cannot write {}", path.display()))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["node", "--json", "--until-stdin-ends", "--config"])
            .arg(dir.join(CONFIG))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            .spawn()?;
        let stdout = child.stdout.take().context("a child without its standard output")?;
        let (said, line) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut first = String::new();
            // Whoever waits sees an empty line when the child has ended.
            let _ = BufReader::new(stdout).read_line(&mut first);
            let _ = said.send(first);
        });
        let line = line.recv_timeout(START).unwrap_or_default();
        let mut node =
            LocalNode { dir: dir.to_owned(), http: String::new(), rpc: String::new(), mqtt: None, child };
        let addresses: Value = serde_json::from_str(&line).unwrap_or_default();
        match addresses["http"].as_str() {
            Some(http) => {
                node.http = format!("http://{http}");
                node.rpc = format!("http://{}", addresses["rpc"].as_str().unwrap_or_default());
                node.mqtt = addresses["mqtt"].as_str().and_then(|a| a.parse().ok());
            }
            None => {
                node.stop();
                bail!("{} did not start: {}", dir.display(), last_words(&path));
            }
        }
        Ok(node)
    }

    /// Whether it ended by itself, and how.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) {
        // Gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop, without waiting.
    pub fn ask_to_stop(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Asks it to stop and waits; ends it where it does not.
    pub fn stop(&mut self) {
        self.ask_to_stop();
        let since = Instant::now();
        while since.elapsed() < STOP {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The end of a log, for an error message.
fn last_words(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    match lines.is_empty() {
        true => format!("it says nothing (see {})", path.display()),
        false => lines.into_iter().rev().collect::<Vec<_>>().join(" / "),
    }
}
