//! What the node keeps on disk: one fjall database, one atomic and synced batch a block.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `meta` | name | genesis hash, format version, height of the last commit; where it began and what was pruned |
//! | `blocks` | height | the block (kept outside the tree: large values are not rewritten by compaction) |
//! | `checkpoints` | height | checkpoint ‖ certificate, each length-prefixed; the latter empty when there is none |
//! | `leaves` | first leaf of a block | height |
//! | `tiles` | level, index | up to 256 hashes |
//! | `verdicts` | height | the block's verdicts, each length-prefixed |
//! | `state` | table, key | application state (see `state::table`) |
//! | `kept` | height | changed rows of one of the last 64 blocks that do not follow from the block |
//! | `index` | see `store::index` | readings and verdicts by stream, statements by signer and number |
//! | `keys` | device, height | COSE_Key in force after that height |
//! | `eth_blocks` | height | header, transactions, receipts |
//! | `eth_txs` | hash | height, position |
//! | `eth_hashes` | Ethereum block hash | height |
//! | `evm_*` | | the EVM's state, kept by `triad-evm` |

pub mod blocks;
mod commit;
pub(crate) mod index;

use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};
use triad_evm::EvmStore;
use triad_log::{Hash, Tile, TileSource};

use crate::error::ChainError;
use crate::state::State;
pub(crate) use blocks::{put_checkpoint, put_eth_block};
pub(crate) use commit::index_rows;

/// Version of everything under the data directory.
const FORMAT: u64 = 2;

pub(crate) struct Store {
    db: Database,
    pub meta: Keyspace,
    pub blocks: Keyspace,
    pub checkpoints: Keyspace,
    pub leaves: Keyspace,
    pub tiles: Keyspace,
    pub verdicts: Keyspace,
    /// The tables of the application state; [`Store::state`] reads them.
    pub rows: Keyspace,
    kept: Keyspace,
    index: Keyspace,
    pub keys: Keyspace,
    pub eth_blocks: Keyspace,
    eth_txs: Keyspace,
    pub eth_hashes: Keyspace,
    pub evm: EvmStore,
    pub state: Arc<State>,
}

impl Store {
    /// Opens or creates the database. Whoever calls holds the data directory's lock.
    pub fn open(dir: &Path, genesis_hash: &[u8; 32]) -> Result<Store, ChainError> {
        let db = Database::builder(dir).cache_size(256 << 20).max_journaling_size(512 << 20).open().map_err(
            |error| match error {
                fjall::Error::Locked => ChainError::InUse(dir.display().to_string()),
                other => failure(other),
            },
        )?;
        let small = KeyspaceCreateOptions::default;
        let large = || {
            KeyspaceCreateOptions::default()
                .with_kv_separation(Some(KvSeparationOptions::default()))
                .max_memtable_size(64 << 20)
        };
        let state_rows = db.keyspace("state", small)?;
        let store = Store {
            meta: db.keyspace("meta", small)?,
            blocks: db.keyspace("blocks", large)?,
            checkpoints: db.keyspace("checkpoints", small)?,
            leaves: db.keyspace("leaves", small)?,
            tiles: db.keyspace("tiles", small)?,
            verdicts: db.keyspace("verdicts", large)?,
            kept: db.keyspace("kept", small)?,
            index: db.keyspace("index", small)?,
            keys: db.keyspace("keys", small)?,
            eth_blocks: db.keyspace("eth_blocks", small)?,
            eth_txs: db.keyspace("eth_txs", small)?,
            eth_hashes: db.keyspace("eth_hashes", small)?,
            evm: EvmStore::open(&db)?,
            state: Arc::new(State::open(&state_rows)),
            rows: state_rows,
            db,
        };
        store.check_genesis(genesis_hash)?;
        Ok(store)
    }

    fn check_genesis(&self, hash: &[u8; 32]) -> Result<(), ChainError> {
        match self.meta.get("genesis")? {
            None => {
                let mut batch = self.db.batch().durability(Some(fjall::PersistMode::SyncAll));
                batch.insert(&self.meta, "genesis", hash.as_slice());
                batch.insert(&self.meta, "format", FORMAT.to_be_bytes());
                Ok(batch.commit()?)
            }
            Some(found) if *found == *hash => match self.meta.get("format")? {
                Some(version) if *version == FORMAT.to_be_bytes() => Ok(()),
                _ => Err(ChainError::corrupt("its format is of another version of this program")),
            },
            Some(found) => Err(ChainError::OtherGenesis {
                expected: format!("0x{}", hex::encode(hash)),
                found: format!("0x{}", hex::encode(found)),
            }),
        }
    }

    /// Begins to keep the state of the last `window` blocks; `head` is the height of the last commit.
    pub fn keep_history(&self, window: u64, head: u64) -> Result<(), ChainError> {
        Ok(self.evm.keep_history(&self.db, window, head)?)
    }

    /// Height of the last commit; `None` before genesis was stored.
    pub fn tip(&self) -> Result<Option<u64>, ChainError> {
        self.height_of("tip")
    }

    /// The block after which this store began with a snapshot; 0: it began with genesis. Below it there are no blocks.
    pub fn base(&self) -> Result<u64, ChainError> {
        Ok(self.height_of("base")?.unwrap_or(0))
    }

    /// The oldest block, genesis apart, whose statements and transactions are here.
    pub fn oldest(&self) -> Result<u64, ChainError> {
        Ok(self.height_of("oldest")?.unwrap_or(0))
    }

    /// The certified block on which consensus began here, if not on genesis.
    pub fn floor(&self) -> Result<Option<u64>, ChainError> {
        self.height_of("floor")
    }

    fn height_of(&self, name: &str) -> Result<Option<u64>, ChainError> {
        let bytes = self.meta.get(name)?;
        bytes
            .map(|b| b.as_ref().try_into().map(u64::from_be_bytes))
            .transpose()
            .map_err(|_| ChainError::corrupt(format!("the height `{name}` does not decode")))
    }

    pub fn snapshot(&self) -> fjall::Snapshot {
        self.db.snapshot()
    }

    pub fn batch(&self) -> fjall::OwnedWriteBatch {
        self.db.batch()
    }

    /// Bytes on disk, journals included.
    pub fn disk_bytes(&self) -> Result<u64, ChainError> {
        Ok(self.db.disk_space()?)
    }

    pub fn kept(&self, height: u64) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.kept.get(height.to_be_bytes())?.map(|b| b.to_vec()))
    }
}

/// A full or forbidden disk is something else than a damaged one.
fn failure(error: fjall::Error) -> ChainError {
    use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let text = error.to_string();
    let io = match &error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => Some(io.kind()),
        _ => None,
    };
    match io {
        Some(StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied) => ChainError::Disk(text),
        _ => ChainError::Store(error),
    }
}

pub(crate) fn tile_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

impl TileSource for Store {
    type Error = ChainError;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, ChainError> {
        match self.tiles.get(tile_key(level, index))? {
            None => Ok(Vec::new()),
            Some(bytes) => Tile::hashes_from_bytes(&bytes)
                .ok_or_else(|| ChainError::corrupt(format!("log tile {level}/{index} does not decode"))),
        }
    }
}

#[cfg(test)]
mod tests;
