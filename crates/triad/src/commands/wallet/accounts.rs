//! Accounts at rest: create, import, list.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rand::RngExt as _;
use serde_json::{Value, json};
use triad_chain::Wallet;
use triad_wallet::{Cost, phrase};

use super::Args;
use crate::account::{ask, secret_key};
use crate::node::layout::dev_wallets;

#[derive(Debug, clap::Args)]
pub struct Create {
    /// From a fresh recovery phrase of 12 words, which is shown once: write it down.
    #[arg(long)]
    phrase: bool,
}

#[derive(Debug, clap::Subcommand)]
pub enum Import {
    /// A secret key, 64 hex digits.
    Key {
        /// A file that holds it [default: ask].
        file: Option<PathBuf>,
    },
    /// An account of a recovery phrase (BIP-39).
    Phrase {
        /// A file that holds the words [default: ask].
        file: Option<PathBuf>,
        /// Which account: the last step of m/44'/60'/0'/0/INDEX.
        #[arg(long, default_value_t = 0)]
        index: u32,
        /// Another derivation path.
        #[arg(long, conflicts_with = "index")]
        path: Option<String>,
        /// A file that holds the BIP-39 passphrase, if the phrase has one.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// A keystore file (Web3 Secret Storage 3), as geth and others write it; its password stays.
    Keystore { file: PathBuf },
}

pub fn create(args: &Args, create: &Create) -> anyhow::Result<Value> {
    let password = args.keystore.new_password()?;
    if !create.phrase {
        let wallet = Wallet::from_secret(&rand::rng().random())
            .context("the random number is no secp256k1 secret: try again")?;
        return add(args, &wallet, &password);
    }
    let words = phrase::generate();
    let mut shown = add(args, &phrase::account(&words, "", 0)?, &password)?;
    shown["phrase"] = words.into();
    Ok(shown)
}

pub fn import(args: &Args, import: &Import) -> anyhow::Result<Value> {
    let wallet = match import {
        Import::Key { file } => {
            let text = secret_text(file.as_deref(), "Secret key: ")?;
            secret_key(&text)
                .context("a secret key has 64 hex digits, and is below the order of secp256k1")?
        }
        Import::Phrase { file, index, path, passphrase_file } => {
            let words = secret_text(file.as_deref(), "Recovery phrase: ")?;
            let passphrase = match passphrase_file {
                Some(file) => read_secret(file)?.trim_end_matches(['\r', '\n']).to_owned(),
                None => String::new(),
            };
            match path {
                Some(path) => phrase::at_path(&words, &passphrase, path)?,
                None => phrase::account(&words, &passphrase, *index)?,
            }
        }
        Import::Keystore { file } => {
            let password = args.keystore.password(&file.display().to_string())?;
            return add(args, &triad_wallet::open(file, &password)?, &password);
        }
    };
    let known = dev_wallets().iter().any(|dev| dev.address() == wallet.address());
    ensure!(!known, "this is a development account, whose key everybody has: use it as `dev:N` instead");
    add(args, &wallet, &args.keystore.new_password()?)
}

pub fn list(args: &Args) -> anyhow::Result<Value> {
    let directory = args.keystore.directory()?;
    let entries = directory.list()?;
    if entries.is_empty() && !args.json {
        eprintln!("{} holds no account; make one with `triad wallet create`", directory.path().display());
    }
    Ok(entries
        .iter()
        .map(|entry| json!({"address": entry.address.to_string(), "file": entry.path}))
        .collect())
}

fn add(args: &Args, wallet: &Wallet, password: &str) -> anyhow::Result<Value> {
    let entry = args.keystore.directory()?.add(wallet, password, Cost::STANDARD)?;
    Ok(json!({"address": entry.address.to_string(), "file": entry.path}))
}

fn secret_text(file: Option<&Path>, prompt: &str) -> anyhow::Result<String> {
    match file {
        Some(file) => read_secret(file),
        None => ask(prompt).context("name a file that holds the secret, or run this on a terminal"),
    }
}

fn read_secret(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
