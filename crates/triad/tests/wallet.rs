//! `triad wallet` as a process: accounts are made, brought in and used, and secrets come from files and variables only.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const TRIAD: &str = env!("CARGO_BIN_EXE_triad");
/// The example of web3.js' documentation.
const SECRET: &str = "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
const ADDRESS: &str = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23";

fn wallet(dir: &Path, password: Option<&str>, args: &[&str]) -> Output {
    let mut command = Command::new(TRIAD);
    command.args(["wallet", "--json", "--keystore"]).arg(dir.join("keystore")).args(args);
    command.env_remove("TRIAD_PASSWORD").env_remove("TRIAD_ACCOUNT").stdin(Stdio::null());
    if let Some(password) = password {
        command.env("TRIAD_PASSWORD", password);
    }
    command.output().unwrap()
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn accounts_are_brought_in_and_sign() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, words) = (dir.path().join("secret.hex"), dir.path().join("words.txt"));
    std::fs::write(&secret, SECRET).unwrap();
    let file = secret.to_str().unwrap();
    let imported = answer(&wallet(dir.path(), Some("good"), &["import", "key", file]));
    assert_eq!(imported["address"], ADDRESS);
    assert!(refusal(&wallet(dir.path(), Some("good"), &["import", "key", file])).contains("already"));
    assert_eq!(answer(&wallet(dir.path(), None, &["list"]))[0]["address"], ADDRESS);
    let signed = answer(&wallet(dir.path(), Some("good"), &["sign-message", "Some data"]));
    assert!(signed["signature"].as_str().unwrap().starts_with("0xb91467e570a6466aa9e9876cbcd013baba02900b"));
    assert!(refusal(&wallet(dir.path(), Some("bad"), &["sign-message", "x"])).contains("wrong password"));

    std::fs::write(
        &words,
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
    )
    .unwrap();
    let phrase = ["import", "phrase", words.to_str().unwrap()];
    let second = answer(&wallet(dir.path(), Some("good"), &phrase));
    assert_eq!(second["address"], "0x9858EfFD232B4033E47d90003D41EC34EcaEda94");
    // With two accounts one must be named.
    assert!(refusal(&wallet(dir.path(), Some("good"), &["sign-message", "x"])).contains("--from"));
    // Another keystore takes the file of this one.
    let other = tempfile::tempdir().unwrap();
    let moved = second["file"].as_str().unwrap();
    let third = answer(&wallet(other.path(), Some("good"), &["import", "keystore", moved]));
    assert_eq!(third["address"], second["address"]);
}

#[test]
fn what_would_be_a_mistake_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refusal(&wallet(dir.path(), Some(""), &["create"])).contains("empty"));
    assert!(refusal(&wallet(dir.path(), None, &["create"])).contains("TRIAD_PASSWORD"));
    assert!(!dir.path().join("keystore").exists());
    let secret = dir.path().join("secret.hex");
    std::fs::write(&secret, "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
    let import = ["import", "key", secret.to_str().unwrap()];
    assert!(refusal(&wallet(dir.path(), Some("good"), &import)).contains("development account"));
    // Used by name they work, loudly.
    let signed = wallet(dir.path(), None, &["--dev", "9", "sign-message", "x"]);
    assert!(String::from_utf8_lossy(&signed.stderr).contains("WARNING"));
    assert_eq!(answer(&signed)["address"], "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720");
    assert!(!wallet(dir.path(), None, &["--dev", "10", "sign-message", "x"]).status.success());
}

#[test]
fn a_permit_needs_no_node_when_all_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (spender, token) =
        ("0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x5FbDB2315678afecb367f032d93F642f64180aa3");
    let mut args =
        vec!["--dev", "0", "permit", spender, "1.5", "--token", token, "--decimals", "6", "--nonce", "0"];
    args.extend([
        "--token-name",
        "Voucher",
        "--token-version",
        "1",
        "--chain-id",
        "7423",
        "--deadline",
        "1900000000",
    ]);
    args.extend(["--rpc", "http://127.0.0.1:1"]);
    let permit = answer(&wallet(dir.path(), None, &args));
    assert_eq!((&permit["value"], &permit["nonce"]), (&"1500000".into(), &"0".into()));
    assert!(permit["calldata"].as_str().unwrap().starts_with("0xd505accf"));
    // Without the nonce a node is asked, and there is none.
    args.retain(|arg| *arg != "--nonce" && *arg != "0" || *arg == "--dev");
    args.insert(1, "0");
    assert!(refusal(&wallet(dir.path(), None, &args)).contains("no node answers"));
}
