//! A chain's only validator whose data was restored from a copy, or whose journal is gone, does not vote until its operator
//! accepts what that means; then the chain goes on from its newest block.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::*;
use tokio::runtime::Runtime;

const ACCEPT: &str = "--accept-journal-loss";

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Acknowledges readings; their leaves.
fn send(runtime: &Runtime, node: &Node, numbers: std::ops::Range<u32>) -> Vec<u64> {
    let client = reqwest::Client::new();
    let mut leaves = Vec::new();
    for n in numbers {
        let answer = runtime.block_on(post(&client, &node.http, reading(n))).unwrap();
        leaves.push(answer["leaf"].as_u64().unwrap_or_else(|| panic!("{answer}")));
    }
    leaves
}

/// What it says when it does not start.
fn refusal(data: &Path) -> String {
    let ended = Command::new(TRIAD).args(node_args(data)).stdin(Stdio::null()).output().unwrap();
    assert!(!ended.status.success());
    String::from_utf8(ended.stderr).unwrap()
}

#[test]
fn a_restored_copy_goes_on_only_when_its_operator_accepts_what_that_means() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    let runtime = runtime();
    let node = start(&data);
    register(dir.path(), &node.http, &node.rpc);
    let kept = send(&runtime, &node, 1..6);
    drop(node);
    copy(&data, &backup);
    // What the copy does not know.
    let node = start(&data);
    send(&runtime, &node, 6..9);
    drop(node);

    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    let said = refusal(&data);
    assert!(said.contains("is a copy") && said.contains(ACCEPT), "{said}");
    let node = start_with(&data, &[ACCEPT]);
    for (n, leaf) in (1..6).zip(&kept) {
        check(&runtime, &node.http, n, *leaf);
    }
    // What was lost is taken again.
    let again = send(&runtime, &node, 6..12);
    assert!(again[0] > *kept.last().unwrap(), "{again:?} after {kept:?}");
    drop(node);
    assert!(data.join("journal-lost-1/consensus").is_dir(), "what was left of it is kept");

    // From then on as ever: no flag, and a flag too many does nothing.
    drop(start(&data));
    let node = start_with(&data, &[ACCEPT]);
    send(&runtime, &node, 12..14);
    drop(node);
    assert!(!data.join("journal-lost-2").exists());

    // No journal at all.
    std::fs::remove_dir_all(data.join("consensus")).unwrap();
    let said = refusal(&data);
    assert!(said.contains("nothing is there") && said.contains(ACCEPT), "{said}");
    let node = start_with(&data, &[ACCEPT]);
    send(&runtime, &node, 14..16);
    drop(node);
    let node = start(&data);
    send(&runtime, &node, 16..17);
    drop(node);
    let audit = audit(&data);
    assert_eq!(audit["ok"], true, "{audit}");
}
