//! Which account signs, and where its password comes from.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use anyhow::{Context as _, bail, ensure};
use triad_chain::Wallet;
use triad_wallet::Directory;

/// Holds a password, for scripts.
const PASSWORD_VARIABLE: &str = "TRIAD_PASSWORD";

#[derive(Debug, Clone, Default, clap::Args)]
pub struct KeystoreArgs {
    /// The keystore: a directory of encrypted accounts [default: $XDG_DATA_HOME/triad/keystore, else ~/.triad/keystore].
    #[arg(long, global = true, env = "TRIAD_KEYSTORE", value_name = "DIR")]
    keystore: Option<PathBuf>,
    /// A file whose first line is the account's password.
    #[arg(long, global = true, env = "TRIAD_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl KeystoreArgs {
    pub fn directory(&self) -> anyhow::Result<Directory> {
        if let Some(path) = &self.keystore {
            return Ok(Directory::new(path));
        }
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(data) = absolute("XDG_DATA_HOME") {
            return Ok(Directory::new(data.join("triad/keystore")));
        }
        let home =
            absolute("HOME").context("there is no home directory: name the keystore with --keystore")?;
        Ok(Directory::new(home.join(".triad/keystore")))
    }

    /// The password of an account that is there already.
    pub fn password(&self, of: &str) -> anyhow::Result<String> {
        match self.given_password()? {
            Some(password) => Ok(password),
            None => ask(&format!("Password of {of}: ")),
        }
    }

    /// A password to encrypt under; a typed one is asked for twice.
    pub fn new_password(&self) -> anyhow::Result<String> {
        let needed = "an account needs a password: whoever finds the file could use it";
        if let Some(password) = self.given_password()? {
            ensure!(!password.is_empty(), "the password that was given is empty; {needed}");
            return Ok(password);
        }
        let password = ask("New password: ")?;
        ensure!(!password.is_empty(), needed);
        ensure!(ask("The same again: ")? == password, "the two passwords differ; nothing was written");
        Ok(password)
    }

    fn given_password(&self) -> anyhow::Result<Option<String>> {
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the password in {}", path.display()))?;
            return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
        }
        Ok(std::env::var(PASSWORD_VARIABLE).ok())
    }

    /// The keystore's one account, decrypted.
    pub fn only(&self) -> anyhow::Result<Wallet> {
        let entry = self.directory()?.only()?;
        Ok(entry.open(&self.password(&entry.address.to_string())?)?)
    }
}

/// A secret that is typed, without showing it.
pub fn ask(prompt: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask on: give --password-file, or set {PASSWORD_VARIABLE}");
    }
    rpassword::prompt_password(prompt).context("the terminal does not answer")
}

/// An account: `dev:N`, an address in the keystore, a keystore file, a file with a secret, or the secret itself.
pub fn account(text: &str, keystore: &KeystoreArgs) -> anyhow::Result<Wallet> {
    if let Some(index) = text.strip_prefix("dev:") {
        return dev(index);
    }
    if let Ok(address) = text.parse::<Address>() {
        let entry = keystore.directory()?.find(address)?;
        return Ok(entry.open(&keystore.password(text)?)?);
    }
    let path = Path::new(text);
    if path.exists() && triad_wallet::is_keystore(path) {
        return Ok(triad_wallet::open(path, &keystore.password(text)?)?);
    }
    let secret = match path.exists() {
        true => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the account's secret in {}", path.display()))?,
        false => text.to_owned(),
    };
    secret_key(&secret).context(
        "the account must be `dev:N`, an address in the keystore, a keystore file, or a file holding 64 hex digits",
    )
}

fn dev(index: &str) -> anyhow::Result<Wallet> {
    let index: usize = index.parse().context("`dev:N` takes a number from 0 to 9")?;
    let mut wallets = crate::node::layout::dev_wallets();
    ensure!(index < wallets.len(), "`dev:N` takes a number from 0 to 9");
    Ok(wallets.swap_remove(index))
}

/// 64 hex digits, with or without 0x.
pub fn secret_key(text: &str) -> Option<Wallet> {
    let text = text.trim();
    let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()?;
    Wallet::from_secret(bytes.as_slice().try_into().ok()?)
}

/// Said where a well-known key is used by name.
pub fn warn_of_dev_account() {
    eprintln!(
        "triad: WARNING: this is a development account. EVERYBODY HAS ITS KEY: whatever it is sent on a public"
    );
    eprintln!("triad: chain is stolen within seconds. Use it on chains that hold nothing of value only.");
}
