//! A selection of Ethereum's GeneralStateTests, from the shared data where that is at hand.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use triad_evm::statetest::{Verdict, run};

/// Folders that are quick to run and together touch creation, storage, refunds, returns, logs, precompiles and refusals.
/// All of them: `triad evm statetest`.
const FOLDERS: [&str; 7] =
    ["Cancun", "Shanghai", "VMTests/vmTests", "stEIP1559", "stSStoreTest", "stRevertTest", "stEIP3607"];

fn tests() -> Option<PathBuf> {
    let root = std::env::var_os("TRIAD_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let tests = root.join("data/ethereum_state_tests/GeneralStateTests");
    if tests.is_dir() {
        return Some(tests);
    }
    let required = std::env::var_os("CI_REQUIRE_DATA").is_some_and(|value| value == "1");
    assert!(!required, "{} is no folder", tests.display());
    println!("SKIPPED: GeneralStateTests (shared data not found)");
    None
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|end| end == "json") {
            out.push(path);
        }
    }
}

#[test]
fn ethereums_own_state_tests_pass() {
    let Some(root) = tests() else { return };
    let mut all = Vec::new();
    FOLDERS.iter().for_each(|folder| files(&root.join(folder), &mut all));
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for file in all {
        for case in run(&std::fs::read_to_string(&file).unwrap()).unwrap() {
            match case.verdict {
                Verdict::Pass => passed += 1,
                Verdict::Skip(_) => skipped += 1,
                Verdict::Fail(why) => {
                    failed.push(format!("{} {} {}: {why}", case.test, case.fork, case.index))
                }
            }
        }
    }
    println!("state tests: {passed} passed, {} failed, {skipped} skipped", failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(passed > 500 && skipped < 50, "{passed} passed, {skipped} skipped");
}

#[test]
fn what_is_no_state_test_is_refused() {
    assert!(run("[]").is_err());
    assert!(run(r#"{"a": {"env": {}}}"#).is_err());
    assert!(run("{}").unwrap().is_empty());
}
