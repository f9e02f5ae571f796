//! A network of processes, made and run with the binary.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;

use super::{TRIAD, addresses, get};

pub struct Network {
    pub dir: PathBuf,
    pub nodes: Vec<Member>,
}

pub struct Member {
    pub data: PathBuf,
    pub http: String,
    pub rpc: String,
    pub mqtt: String,
    child: Option<Child>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Member {
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    pub fn start_with(&mut self, args: &[&str]) {
        assert!(self.child.is_none(), "it runs");
        let mut child = self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.child = Some(child);
        (self.http, self.rpc, self.mqtt) = addresses(&line);
    }

    /// The node as a process, not started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(TRIAD);
        command.args(["node", "--json", "--until-stdin-ends", "--config"]).arg(self.data.join("node.toml"));
        command.args(args).stderr(Stdio::inherit());
        command
    }

    /// Puts settings before those that its configuration has.
    pub fn set(&self, settings: &str) {
        let path = self.data.join("node.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{settings}\n{config}")).unwrap();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Dead already is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP or SIGCONT: the process stands still, its connections stay, or it goes on.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Bytes of memory that it takes now.
    pub fn resident(&self) -> u64 {
        let id = self.child.as_ref().expect("it runs").id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
    }

    /// In good order.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success(), "{} stops in good order", self.data.display());
    }

    pub fn runs(&self) -> bool {
        self.child.is_some()
    }
}

impl Network {
    /// Makes `n` validators.
    pub fn new(dir: &Path, n: usize) -> Network {
        let dir = dir.join("net");
        let made = Command::new(TRIAD)
            .args(["network", "new", "--dev", "--validators", &n.to_string(), "--out"])
            .arg(&dir)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let member = |i| Member {
            data: dir.join(format!("node-{i}")),
            http: String::new(),
            rpc: String::new(),
            mqtt: String::new(),
            child: None,
        };
        let nodes: Vec<Member> = (0..n).map(member).collect();
        Network { dir, nodes }
    }

    pub fn start(&mut self) {
        for node in &mut self.nodes {
            node.start();
        }
    }

    /// One more node, which follows without voting and which all others admit.
    pub fn add_observer(&mut self) {
        let said = self.join("observer");
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        let at = lines.iter().position(|line| *line == "[[network.observers]]").unwrap();
        let section = lines[at..at + 3].join("\n");
        for node in &self.nodes[..self.nodes.len() - 1] {
            let path = node.data.join("node.toml");
            let config = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, format!("{config}\n{section}\n")).unwrap();
        }
    }

    /// The public entry of a node that is to become a validator, and where others will reach it. It is not started, and nobody
    /// admits it yet.
    pub fn add_candidate(&mut self, name: &str) -> (PathBuf, String) {
        let entry = self.dir.join(format!("{name}.json"));
        let made = Command::new(TRIAD)
            .args(["network", "key", "--name", name, "--data-dir"])
            .arg(self.dir.join(name))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::write(&entry, &made.stdout).unwrap();
        self.join(name);
        let config = std::fs::read_to_string(self.dir.join(name).join("node.toml")).unwrap();
        let config: toml::Table = config.parse().unwrap();
        (entry, config["network"]["listen"].as_str().unwrap().to_owned())
    }

    /// Writes the configuration of one node more, which knows where all validators are; what the command said.
    fn join(&mut self, name: &str) -> String {
        let data = self.dir.join(name);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // Each first validator's key, in genesis, and where it listens.
        let genesis = std::fs::read(self.dir.join("genesis.json")).unwrap();
        let genesis: Value = serde_json::from_slice(&genesis).unwrap();
        let peer = |(i, validator): (usize, &Value)| {
            let key = validator["consensus_key"].as_str().unwrap().trim_start_matches("0x").to_owned();
            let config = std::fs::read_to_string(self.dir.join(format!("node-{i}/node.toml"))).unwrap();
            let config: toml::Table = config.parse().unwrap();
            (key, config["network"]["listen"].as_str().unwrap().to_owned())
        };
        let peers: Vec<(String, String)> =
            genesis["validators"].as_array().unwrap().iter().enumerate().map(peer).collect();
        let mut join = Command::new(TRIAD);
        join.args(["network", "join", "--listen", &free.to_string(), "--genesis"]);
        join.arg(self.dir.join("genesis.json")).arg("--data-dir").arg(&data);
        for (key, address) in &peers {
            join.args(["--peer", &format!("{key}={address}")]);
        }
        let done = join.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let said = String::from_utf8(done.stdout).unwrap();
        let (http, rpc, mqtt) = Default::default();
        let member = Member { data, http, rpc, mqtt, child: None };
        member.set("http = \"127.0.0.1:0\"\nrpc = \"127.0.0.1:0\"\nmqtt = \"127.0.0.1:0\"\n");
        self.nodes.push(member);
        said
    }

    /// Waits until every node that runs says that it is ready.
    pub fn ready(&self, runtime: &Runtime, within: Duration) {
        let since = Instant::now();
        for node in self.nodes.iter().filter(|n| n.runs()) {
            loop {
                let answer = runtime.block_on(get(format!("{}/readyz", node.http)));
                if answer.as_ref().is_some_and(|a| a["status"] == "ready") {
                    break;
                }
                assert!(since.elapsed() < within, "{} is not ready: {answer:?}", node.data.display());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Stops all in good order; each data directory re-executes to its roots and has so many statements at least.
    pub fn stop_and_audit(&mut self, statements: usize) {
        for node in &mut self.nodes {
            node.stop();
        }
        for node in &self.nodes {
            let audit = super::audit(&node.data);
            assert_eq!(audit["ok"], true, "{audit}");
            assert!(audit["statements"].as_u64().unwrap() >= statements as u64, "{audit}");
        }
    }

    pub fn height(&self, runtime: &Runtime, node: usize) -> u64 {
        let status = runtime.block_on(get(format!("{}/v1/status", self.nodes[node].http)));
        status.and_then(|s| s["height"].as_u64()).unwrap_or(0)
    }

    /// Waits until every node that runs has a block of at least this height; what they say of it.
    pub fn checkpoints(&self, runtime: &Runtime, height: u64, within: Duration) -> Vec<Value> {
        let since = Instant::now();
        let of = |node: &Member| loop {
            let found = runtime.block_on(get(format!("{}/v1/checkpoints/{height}", node.http)));
            if let Some(found) = found.filter(|f| f["log_root"].is_string() || f["checkpoint"].is_object()) {
                return found;
            }
            assert!(since.elapsed() < within, "{} has no block {height}", node.data.display());
            std::thread::sleep(Duration::from_millis(50));
        };
        self.nodes.iter().filter(|node| node.runs()).map(of).collect()
    }
}

pub fn triad(args: &[&str]) -> String {
    let done = Command::new(TRIAD).args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Proposes, lets these nodes approve, and sends.
pub fn pass(net: &Network, what: &[&str], approve: &[usize], api: &str) {
    let file = net.dir.join("change.json");
    let file = file.to_str().unwrap();
    triad(&[&["network", "change", "--api", api, "--out", file], what].concat());
    for node in approve {
        triad(&["network", "approve", file, "--data-dir", net.nodes[*node].data.to_str().unwrap()]);
    }
    let said = triad(&["network", "submit", file, "--api", api]);
    assert!(said.contains("Effective after block"), "{said}");
}

pub fn wait_for(what: &str, within: Duration, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < within, "{what} did not happen within {within:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
