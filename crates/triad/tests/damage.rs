//! A data directory with bytes changed: the node and the audit refuse it in words that say what to do, or they work and
//! are right. Never a wrong answer, a hang, or a library's panic message. (The store's own files, far more of them, are
//! tried in `triad-chain`.)

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::*;

/// Damaged copies of each kind of file.
const ROUNDS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);

/// Path, contents without the trailing zeros (a journal's unwritten rest), length.
type Files = Vec<(PathBuf, Vec<u8>, u64)>;

fn files(dir: &Path) -> Files {
    let mut out = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let mut bytes = fs::read(&path).unwrap();
                let length = bytes.len() as u64;
                bytes.truncate(bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1));
                out.push((path.strip_prefix(dir).unwrap().to_owned(), bytes, length));
            }
        }
    }
    out.sort();
    out
}

fn write(dir: &Path, files: &Files) {
    for (path, bytes, length) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(*length).unwrap();
    }
}

/// A command's output, ended if it does not end.
fn finished(mut command: Command, place: &str) -> (Option<i32>, String, String) {
    let mut child =
        command.env_remove("RUST_BACKTRACE").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let since = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if since.elapsed() > PATIENCE {
            child.kill().unwrap();
            let mut err = String::new();
            child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            panic!("{place}: it hangs: {err}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Says what is wrong and what to do, in our words.
fn assert_told(place: &str, code: Option<i32>, errors: &str) {
    assert!(code.is_some_and(|code| code != 0), "{place}: exit {code:?}: {errors}");
    assert!(!errors.contains("panicked at") && !errors.contains("RUST_BACKTRACE"), "{place}: {errors}");
    let advice = ["backup", "copy", "restore", "genesis"];
    assert!(advice.iter().any(|word| errors.contains(word)), "{place}: not told what to do: {errors}");
}

fn audit_is_told(data: &Path, place: &str) -> Option<i32> {
    let mut audit = Command::new(TRIAD);
    audit.args(["audit", "--json", "--data-dir"]).arg(data);
    let (code, out, errors) = finished(audit, place);
    if code == Some(0) {
        assert!(out.contains("\"ok\":true"), "{place}: {out}");
    } else {
        assert_told(&format!("audit, {place}"), code, &format!("{errors}{out}"));
    }
    code
}

/// Starts a node on a damaged copy. True: it refused.
fn node_refuses(data: &Path, place: &str, truth: &[(u32, u64)], runtime: &tokio::runtime::Runtime) -> bool {
    let mut child = Command::new(TRIAD)
        .args(node_args(data))
        .env_remove("RUST_BACKTRACE")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (lines, line) = std::sync::mpsc::channel();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        let mut line = String::new();
        // An empty line says that it ended.
        let _ = out.read_line(&mut line);
        let _ = lines.send(line);
    });
    let line = line.recv_timeout(PATIENCE);
    if let Ok(line) = line.as_ref().map(String::as_str)
        && !line.is_empty()
    {
        let (http, rpc, _) = addresses(line);
        let node = Node { child, http, rpc };
        return serves_or_ends(node, place, truth, runtime);
    }
    let hangs = line.is_err();
    if hangs {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!hangs, "{place}: it neither starts nor ends: {errors}");
    assert_told(place, output.status.code(), &errors);
    true
}

/// A node that has started must be right, and must take statements, or end with words. True: it ended.
fn serves_or_ends(
    mut node: Node,
    place: &str,
    truth: &[(u32, u64)],
    runtime: &tokio::runtime::Runtime,
) -> bool {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let mut missing = 0;
    for (n, leaf) in truth {
        let found = runtime.block_on(get(format!("{}/v1/statements/{leaf}", node.http)));
        match found.as_ref().and_then(|f| f["sequence"]["number"].as_u64()) {
            Some(number) => assert_eq!(number, u64::from(*n), "{place}: a wrong answer"),
            None => missing += 1,
        }
    }
    let since = Instant::now();
    loop {
        let taken = runtime.block_on(post(&client, &node.http, reading(100_000)));
        if taken.as_ref().is_some_and(|t| t["leaf"].is_u64()) {
            assert_eq!(missing, 0, "{place}: acknowledged statements are not found");
            return false;
        }
        if node.child.try_wait().unwrap().is_some() {
            let mut errors = String::new();
            node.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            assert_told(place, node.child.wait().unwrap().code(), &errors);
            return true;
        }
        assert!(since.elapsed() < PATIENCE, "{place}: it runs, takes nothing and does not end: {taken:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn group(path: &Path) -> &'static str {
    let path = path.to_str().unwrap();
    match path {
        "genesis.json" => "genesis",
        "validator.json" => "keys",
        "validator" => "binding",
        _ if path.starts_with("chain/") => "store",
        _ if path.starts_with("consensus/simplex") => "votes",
        _ if path.starts_with("consensus/archive") => "archive",
        _ if path.starts_with("consensus/") => "marshal",
        _ => "",
    }
}

#[test]
fn a_damaged_directory_is_refused_with_words_or_works_and_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut seed = seed(0xBAD_F11E);
    let runtime = runtime();
    let acknowledged = Acknowledged::default();
    let mut node = start(&data);
    register(dir.path(), &node.http, &node.rpc);
    let load = Load::start(&runtime, &node.http, 0, &acknowledged);
    while acknowledged.lock().unwrap().len() < 200 {
        std::thread::sleep(Duration::from_millis(10));
    }
    load.end(&runtime);
    // Not in order: the journals are as a crash leaves them.
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    let truth: Vec<(u32, u64)> = acknowledged.lock().unwrap().iter().step_by(9).copied().collect();
    let all = files(&data);
    let (mut refused, mut failed) = (0, 0);
    let groups = ["genesis", "keys", "binding", "store", "votes", "archive", "marshal"];
    for kind in groups {
        let members: Vec<usize> =
            (0..all.len()).filter(|i| group(&all[*i].0) == kind && !all[*i].1.is_empty()).collect();
        assert!(!members.is_empty(), "no files of {kind}");
        for round in 0..ROUNDS {
            let which = members[next(&mut seed) as usize % members.len()];
            let mut copy = all.clone();
            let (path, bytes, length) = &mut copy[which];
            let at = next(&mut seed) as usize % bytes.len();
            let flip = 1 + (next(&mut seed) % 255) as u8;
            let place = match round {
                // Cut short, as a file system that lost its tail leaves it.
                3 => {
                    bytes.truncate(at);
                    *length = at as u64;
                    format!("{}: cut at byte {at}", path.display())
                }
                _ => {
                    bytes[at] ^= flip;
                    format!("{}: byte {at} of {} ^ {flip:#04x}", path.display(), bytes.len())
                }
            };
            let scratch = tempfile::tempdir().unwrap();
            write(scratch.path(), &copy);
            let tried = catch_unwind(AssertUnwindSafe(|| {
                let code = audit_is_told(scratch.path(), &place);
                let said = node_refuses(scratch.path(), &place, &truth, &runtime);
                println!("{place}: audit {code:?}, node {}", if said { "refused" } else { "right" });
                said
            }));
            match tried {
                Ok(said) => refused += usize::from(said),
                // All that is wrong is shown at once.
                Err(_) => failed += 1,
            }
        }
    }
    assert_eq!(failed, 0, "see above");
    assert!(refused >= ROUNDS, "{refused} of {} refused", ROUNDS * groups.len());
}
