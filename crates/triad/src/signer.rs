//! A device's secret key file: PKCS#8 PEM.

use std::path::Path;

use anyhow::Context as _;
use triad_statement::SigningKey;

pub fn read_device_key(path: &Path) -> anyhow::Result<SigningKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the device key {}", path.display()))?;
    SigningKey::from_secret_text(&text)
        .with_context(|| format!("{} is no device key; make one with `triad key new`", path.display()))
}
