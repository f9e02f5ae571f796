//! A disk that fills up under load: the node says so and what to do, loses nothing acknowledged, and goes on once there is
//! room. On a small tmpfs in a mount namespace of its own; where the system allows none, SKIPPED is printed.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::*;
use serde_json::Value;
use tokio::runtime::Runtime;

/// The file system's size.
const SIZE_MIB: u64 = 400;
/// How soon a node must notice, or go on.
const PATIENCE: Duration = Duration::from_secs(20);

/// A shell in a namespace where a small file system is mounted at `disk`; it ends all that it started.
struct Place {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    scratch: PathBuf,
    disk: PathBuf,
    runs: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        // The namespace of processes dies with its first one.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

impl Place {
    /// `None` where no namespace may be made.
    fn new(scratch: &Path) -> Option<Place> {
        let disk = scratch.join("disk");
        std::fs::create_dir(&disk).unwrap();
        let isolate = ["--mount", "--pid", "--fork", "--kill-child"];
        for user in [&["--user", "--map-root-user"][..], &[]] {
            let shell = Command::new("unshare")
                .args(user)
                .args(isolate)
                .args(["sh", "-s"])
                .env_remove("RUST_BACKTRACE")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut shell) = shell else { return None };
            let (input, output) = (shell.stdin.take()?, BufReader::new(shell.stdout.take()?));
            let mut place =
                Place { shell, input, output, scratch: scratch.to_owned(), disk: disk.clone(), runs: 0 };
            let mount =
                format!("mount -t tmpfs -o size={SIZE_MIB}m tmpfs '{}' && echo mounted", disk.display());
            if place.say(&mount).as_deref() == Some("mounted") {
                return Some(place);
            }
        }
        None
    }

    /// Runs a command that prints one line.
    fn say(&mut self, command: &str) -> Option<String> {
        writeln!(self.input, "{command}").ok()?;
        let mut line = String::new();
        self.output.read_line(&mut line).ok()?;
        (!line.is_empty()).then(|| line.trim().to_owned())
    }

    /// Leaves so much free, for as long as `ballast` stays.
    fn leave(&mut self, kib: u64) {
        let disk = self.disk.display().to_string();
        let free = self.say(&format!("df -k --output=avail '{disk}' | tail -1")).unwrap();
        let ballast = free.parse::<u64>().unwrap().saturating_sub(kib);
        let said = self.say(&format!("head -c {ballast}K /dev/zero >> '{disk}/ballast'; echo filled"));
        assert_eq!(said.as_deref(), Some("filled"));
    }

    fn make_room(&mut self) {
        let disk = self.disk.display().to_string();
        assert_eq!(self.say(&format!("rm -f '{disk}/ballast'; echo made")).as_deref(), Some("made"));
    }

    /// Starts a node; its addresses, or `None` when it ended before it had any.
    fn node(&mut self, reserve_mib: u64) -> Option<(String, String)> {
        self.runs += 1;
        let args: Vec<String> = node_args(&self.disk.join("data")).iter().map(|a| format!("'{a}'")).collect();
        let (out, err) = (self.file("out"), self.file("err"));
        let command = format!(
            "{TRIAD} {} --disk-reserve-mib {reserve_mib} > '{}' 2> '{}' & echo $!",
            args.join(" "),
            out.display(),
            err.display()
        );
        self.say(&command).unwrap();
        let since = Instant::now();
        loop {
            let text = std::fs::read_to_string(&out).unwrap_or_default();
            if text.ends_with('\n') {
                let (http, rpc, _) = addresses(text.lines().next().unwrap());
                return Some((http, rpc));
            }
            if !self.runs_still() {
                return None;
            }
            assert!(since.elapsed() < PATIENCE, "the node neither starts nor ends: {}", self.errors());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.scratch.join(format!("{kind}-{}", self.runs))
    }

    fn runs_still(&mut self) -> bool {
        self.say("kill -0 $! 2>/dev/null && echo yes || echo no").as_deref() == Some("yes")
    }

    /// Waits for the node's own end; its exit code.
    fn ended(&mut self) -> i32 {
        let since = Instant::now();
        while self.runs_still() {
            assert!(since.elapsed() < PATIENCE, "the node goes on without room: {}", self.errors());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.say("wait $!; echo $?").unwrap().parse().unwrap()
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.file("err")).unwrap_or_default()
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ready(runtime: &Runtime, http: &str) -> (u16, Value) {
    runtime.block_on(async {
        match reqwest::get(format!("{http}/readyz")).await {
            Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or_default()),
            Err(_) => (0, Value::Null),
        }
    })
}

fn height(runtime: &Runtime, http: &str) -> u64 {
    runtime.block_on(status(http)).and_then(|s| s["height"].as_u64()).unwrap_or(0)
}

/// The words that an operator needs.
fn assert_told(errors: &str) {
    assert!(errors.contains("full") && errors.contains("room"), "what happened and what to do: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn a_full_disk_is_said_and_nothing_acknowledged_is_lost() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(mut place) = Place::new(scratch.path()) else {
        println!("SKIPPED: no mount namespace may be made here, so there is no small disk to fill");
        return;
    };
    let mut seed = seed(0xF011);
    let runtime = runtime();
    let acknowledged = Acknowledged::default();

    // Nearly full: read-only, and back by itself.
    let (http, rpc) = place.node(64).expect("an empty disk has room");
    register(scratch.path(), &http, &rpc);
    let load = Load::start(&runtime, &http, 0, &acknowledged);
    wait("the load runs", || acknowledged.lock().unwrap().len() > 50);
    place.leave(40 << 10);
    wait("/readyz says no", || ready(&runtime, &http).0 == 503);
    let mut first = load.end(&runtime);
    let said = ready(&runtime, &http).1;
    assert!(said["detail"].as_str().unwrap().contains("nearly full"), "{said}");
    let client = reqwest::Client::new();
    let refused = runtime.block_on(post(&client, &http, reading(first))).unwrap();
    assert_eq!((refused["code"].as_str(), refused["status"].as_u64()), (Some("read-only"), Some(503)));
    check_all(&runtime, &http, &acknowledged);
    assert_told(&place.errors());
    place.make_room();
    wait("/readyz says yes", || ready(&runtime, &http).0 == 200);
    let taken = runtime.block_on(post(&client, &http, reading(first))).unwrap();
    assert!(taken["leaf"].is_u64(), "{taken}");
    first += 1;

    // Full, noticed by the watch: it ends.
    let load = Load::start(&runtime, &http, first, &acknowledged);
    std::thread::sleep(Duration::from_millis(300));
    place.leave(8 << 10);
    assert_eq!(place.ended(), 70);
    first = load.end(&runtime);
    assert_told(&place.errors());
    assert!(place.node(64).is_none(), "it does not start without room");
    assert_ne!(place.ended(), 0);
    assert_told(&place.errors());
    place.make_room();

    // Full in the middle of writes, with nobody watching.
    for round in 0..4 {
        let (http, _) = place.node(0).expect("there is room again");
        let before = height(&runtime, &http);
        wait("blocks by itself", || height(&runtime, &http) > before + 1);
        check_all(&runtime, &http, &acknowledged);
        let load = Load::start(&runtime, &http, first, &acknowledged);
        std::thread::sleep(Duration::from_millis(200 + next(&mut seed) % 300));
        place.leave(next(&mut seed) % 3000);
        let code = place.ended();
        first = load.end(&runtime);
        assert_ne!(code, 0, "round {round}");
        assert_told(&place.errors());
        println!("round {round}: exit {code}: {}", place.errors().trim());
        // With hardly any room left it ends with the same words, or works; it never hangs.
        if round == 0 && place.node(0).is_none() {
            assert_ne!(place.ended(), 0);
            assert_told(&place.errors());
        } else if round == 0 {
            assert_eq!(place.say("kill -9 $!; wait $!; echo dead").as_deref(), Some("dead"));
        }
        place.make_room();
    }
    let (http, _) = place.node(64).expect("there is room again");
    let all = check_all(&runtime, &http, &acknowledged);
    let taken = runtime.block_on(post(&client, &http, reading(first))).unwrap();
    assert!(taken["leaf"].is_u64(), "{taken}");
    assert_eq!(place.say("kill -9 $!; wait $!; echo dead").as_deref(), Some("dead"));
    let audit = format!("{TRIAD} audit --json --data-dir '{}'", place.disk.join("data").display());
    let audit = place.say(&audit).unwrap();
    assert!(audit.contains("\"ok\":true"), "{audit}");
    println!("{all} acknowledged, all there; audit: {audit}");
}
