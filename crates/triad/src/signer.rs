//! Secret key files: a device's key as PKCS#8 PEM, an account's as 64 hex digits.

use std::path::Path;

use anyhow::Context as _;
use triad_chain::Wallet;
use triad_statement::SigningKey;

pub fn read_device_key(path: &Path) -> anyhow::Result<SigningKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the device key {}", path.display()))?;
    SigningKey::from_secret_text(&text)
        .with_context(|| format!("{} is no device key; make one with `triad key new`", path.display()))
}

/// An account: `dev:N`, a file with its secret, or the secret itself.
pub fn account(text: &str) -> anyhow::Result<Wallet> {
    if let Some(index) = text.strip_prefix("dev:") {
        let index: usize = index.parse().context("`dev:N` takes a number from 0 to 9")?;
        let mut wallets = crate::node::layout::dev_wallets();
        anyhow::ensure!(index < wallets.len(), "`dev:N` takes a number from 0 to 9");
        return Ok(wallets.swap_remove(index));
    }
    let secret = match Path::new(text) {
        path if path.exists() => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the account's secret in {}", path.display()))?,
        _ => text.to_owned(),
    };
    let secret = secret.trim();
    let bytes = hex::decode(secret.strip_prefix("0x").unwrap_or(secret)).ok();
    bytes
        .and_then(|bytes| Wallet::from_secret(bytes.as_slice().try_into().ok()?))
        .context("the account must be `dev:N`, a file holding 64 hex digits, or the digits themselves")
}
