//! The rows of a snapshot and their chunks.
//!
//! ```text
//! chunk = rows: space u8 ‖ key length u16 ‖ key ‖ value length u32 ‖ value
//! ```
//!
//! Rows rise by (space, key) through all chunks; a chunk ends with the row that brings it to [`CHUNK_BYTES`].

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use triad_log::{Hash, leaf_hash};

use crate::error::ChainError;
use crate::state::{Reader, Writer};

/// Below 32: the tables of the application state.
pub(super) const TABLES: u8 = 32;
pub(super) const ACCOUNTS: u8 = 0x40;
pub(super) const STORAGE: u8 = 0x41;
pub(super) const CODE: u8 = 0x42;
pub(super) const HASHES: u8 = 0x43;
pub(super) const KEYS: u8 = 0x50;
pub(super) const TILES: u8 = 0x51;
pub(super) const BLOCK: u8 = 0x52;
pub(super) const ETH_BLOCK: u8 = 0x53;
pub(super) const VERDICTS: u8 = 0x54;
pub(super) const LEAVES: u8 = 0x55;

const CHUNK_BYTES: usize = 1 << 20;
/// A chunk is no longer than this: the largest row is a block of 20 MiB.
pub const MAX_CHUNK_BYTES: usize = 64 << 20;

/// The chunks of a snapshot in its directory.
pub(crate) fn chunk_path(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("{index:06}.chunk"))
}

pub(super) fn disk(error: std::io::Error, path: &Path) -> ChainError {
    ChainError::Disk(format!("{}: {error}", path.display()))
}

/// Writes rows to chunk files.
pub(super) struct ChunkWriter<'a> {
    dir: &'a Path,
    buffer: Vec<u8>,
    pub chunks: Vec<Hash>,
    pub bytes: u64,
}

impl<'a> ChunkWriter<'a> {
    pub fn new(dir: &'a Path) -> Self {
        ChunkWriter { dir, buffer: Vec::with_capacity(CHUNK_BYTES + 4096), chunks: Vec::new(), bytes: 0 }
    }

    pub fn row(&mut self, space: u8, key: &[u8], value: &[u8]) -> Result<(), ChainError> {
        Writer(&mut self.buffer).u8(space).u16(key.len() as u16).raw(key).bytes(value);
        if self.buffer.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is left.
    pub fn flush(&mut self) -> Result<(), ChainError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        write_durably(&chunk_path(self.dir, self.chunks.len()), &self.buffer)?;
        self.chunks.push(leaf_hash(&self.buffer));
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), ChainError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| disk(error, path))
}

pub(super) struct Row<'a> {
    pub space: u8,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// The next row of a chunk, `None` at its end; an error where there is none.
pub(super) fn next_row<'a>(rest: &mut Reader<'a>) -> Result<Option<Row<'a>>, ChainError> {
    if rest.0.is_empty() {
        return Ok(None);
    }
    let row = (|| {
        let (space, length) = (rest.u8()?, rest.u16()?);
        Some(Row { space, key: rest.raw(length as usize)?, value: rest.bytes()? })
    })();
    row.map(Some).ok_or_else(|| ChainError::Snapshot("a chunk does not decode".into()))
}
