//! A directory of keystore files, named as geth names them: `UTC--2026-01-02T03-04-05.000000000Z--<address>`.
//!
//! The directory and its files can be read by their owner only. A file is written beside its name, synced, and moved
//! there, so that it is whole or absent; an address that is there already is not written again.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use triad_chain::Wallet;

use crate::keystore::{Cost, Keystore, KeystoreError};

/// The longest file that is read as a keystore, bytes.
const MAX_FILE: u64 = 64 * 1024;
/// The most files that are looked at.
const MAX_FILES: usize = 10_000;

/// The directory; it need not exist yet.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

/// An account in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub address: Address,
    pub path: PathBuf,
}

/// The directory does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}: {error}")]
    Keystore { path: PathBuf, error: KeystoreError },
    #[error("{address} is in {path} already")]
    Exists { address: Address, path: PathBuf },
    #[error("there is no account {address} in {path}; `triad wallet list` shows those that are")]
    Absent { address: Address, path: PathBuf },
    #[error("{path} holds no account yet: make one with `triad wallet create`, or `triad wallet import`")]
    Empty { path: PathBuf },
    #[error("{path} holds {count} accounts: say which one with --from")]
    Several { path: PathBuf, count: usize },
}

impl Directory {
    pub fn new(path: impl Into<PathBuf>) -> Directory {
        Directory { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The accounts, by the names of their files, which begin with the time they were made. What is no keystore, or says
    /// no address, is passed over.
    pub fn list(&self) -> Result<Vec<Entry>, DirectoryError> {
        let files = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| self.io(&self.path, error))?,
        };
        let mut entries = Vec::new();
        for file in files.take(MAX_FILES) {
            let path = file.map_err(|error| self.io(&self.path, error))?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if let Some(address) = (!hidden).then(|| address_in(&path)).flatten() {
                entries.push(Entry { address, path });
            }
        }
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// The file of an account.
    pub fn find(&self, address: Address) -> Result<Entry, DirectoryError> {
        let found = self.list()?.into_iter().find(|entry| entry.address == address);
        found.ok_or_else(|| DirectoryError::Absent { address, path: self.path.clone() })
    }

    /// The account, if there is exactly one.
    pub fn only(&self) -> Result<Entry, DirectoryError> {
        let mut all = self.list()?;
        match all.len() {
            0 => Err(DirectoryError::Empty { path: self.path.clone() }),
            1 => Ok(all.remove(0)),
            count => Err(DirectoryError::Several { path: self.path.clone(), count }),
        }
    }

    /// Encrypts an account into a new file.
    pub fn add(&self, wallet: &Wallet, password: &str, cost: Cost) -> Result<Entry, DirectoryError> {
        let address = wallet.address();
        if let Some(entry) = self.list()?.into_iter().find(|entry| entry.address == address) {
            return Err(DirectoryError::Exists { address, path: entry.path });
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|error| self.io(&self.path, error))?;
        let name = file_name(address);
        let (path, draft) = (self.path.join(&name), self.path.join(format!(".{name}.new")));
        let text = Keystore::encrypt(wallet, password, cost).to_json();
        write_new(&draft, &text).map_err(|error| self.io(&draft, error))?;
        fs::rename(&draft, &path).map_err(|error| self.io(&path, error))?;
        fs::File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| self.io(&self.path, error))?;
        Ok(Entry { address, path })
    }

    fn io(&self, path: &Path, error: io::Error) -> DirectoryError {
        DirectoryError::Io { path: path.to_owned(), error }
    }
}

impl Entry {
    /// Decrypts the account.
    pub fn open(&self, password: &str) -> Result<Wallet, DirectoryError> {
        open(&self.path, password)
    }
}

/// Decrypts a keystore file, wherever it lies.
pub fn open(path: &Path, password: &str) -> Result<Wallet, DirectoryError> {
    let text = read(path).map_err(|error| DirectoryError::Io { path: path.to_owned(), error })?;
    Keystore::parse(&text)
        .and_then(|keystore| keystore.decrypt(password))
        .map_err(|error| DirectoryError::Keystore { path: path.to_owned(), error })
}

/// Whether a file looks like a keystore: it is JSON of version 3.
pub fn is_keystore(path: &Path) -> bool {
    read(path).is_ok_and(|text| Keystore::parse(&text).is_ok())
}

/// From the file's own word; `decrypt` checks that.
fn address_in(path: &Path) -> Option<Address> {
    let keystore = Keystore::parse(&read(path).ok()?).ok()?;
    let said = keystore.address.or_else(|| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some(name.rsplit("--").next()?.to_owned())
    })?;
    said.parse().ok()
}

fn read(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a keystore file: too large, or no file"));
    }
    fs::read_to_string(path)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn file_name(address: Address) -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S.%9fZ");
    format!("UTC--{now}--{}", hex::encode(address))
}
