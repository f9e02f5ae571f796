//! Beginning with a snapshot instead of genesis.

use std::path::Path;

use fjall::PersistMode;
use triad_evm::{Flat, TriadTx};
use triad_log::{SnapshotHead, TileWriter, leaf_hash};

use super::rows::*;
use crate::error::ChainError;
use crate::genesis::ChainSpec;
use crate::state::records::{Stream, TableId};
use crate::state::{Map, Reader, Record as _};
use crate::store::{Store, index, put_checkpoint};

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    pub chunks: usize,
    pub of: usize,
}

fn wrong(what: impl Into<String>) -> ChainError {
    ChainError::Snapshot(what.into())
}

/// The chunk at an index of a snapshot's directory.
pub fn read_chunk(dir: &Path, index: usize) -> Result<Vec<u8>, ChainError> {
    let path = chunk_path(dir, index);
    std::fs::read(&path).map_err(|error| disk(error, &path))
}

/// Puts a chunk into a snapshot's directory, if it is the one that the head names.
pub fn write_chunk(dir: &Path, head: &SnapshotHead, index: usize, bytes: &[u8]) -> Result<(), ChainError> {
    if head.chunks.get(index) != Some(&leaf_hash(bytes)) {
        return Err(wrong(format!("chunk {index} is not the one that the validators signed")));
    }
    write_durably(&chunk_path(dir, index), bytes)
}

/// Writes a store at `chain`, where there must be none, from the chunks in `dir`. `head` must have been verified: it is what
/// the chunks are checked against. `head` as a whole is checked again by the roots that its checkpoint holds.
pub fn import(
    chain: &Path,
    spec: &ChainSpec,
    dir: &Path,
    head: &SnapshotHead,
    mut progress: impl FnMut(ImportProgress),
) -> Result<(), ChainError> {
    let store = Store::open(chain, &spec.hash)?;
    if store.tip()?.is_some() {
        return Err(wrong("there is a chain already"));
    }
    let mut before: (u8, Vec<u8>) = (0, Vec::new());
    for (index, hash) in head.chunks.iter().enumerate() {
        let bytes = read_chunk(dir, index)?;
        if leaf_hash(&bytes) != *hash {
            return Err(wrong(format!("chunk {index} is damaged")));
        }
        let mut batch = store.batch();
        let mut rest = Reader(&bytes);
        while let Some(Row { space, key, value }) = next_row(&mut rest)? {
            if (space, key) <= (before.0, before.1.as_slice()) && before.0 > 0 {
                return Err(wrong("its rows are not in order"));
            }
            place(&store, &mut batch, space, key, value)?;
            before = (space, key.to_vec());
        }
        batch.commit()?;
        progress(ImportProgress { chunks: index + 1, of: head.chunks.len() });
    }
    finish(&store, spec, head)
}

fn place(
    store: &Store,
    batch: &mut fjall::OwnedWriteBatch,
    space: u8,
    key: &[u8],
    value: &[u8],
) -> Result<(), ChainError> {
    let Flat { accounts, storage, code, hashes } = store.evm.flat();
    let keyspace = match space {
        table if (1..TABLES).contains(&table) => {
            if table == TableId::Streams as u8 {
                let row = Stream::read_key(key).zip(Stream::decode(value));
                let (id, stream) = row.ok_or_else(|| wrong("a stream does not decode"))?;
                index::put_streams(&Map::from_iter([(id, Some(stream))]), store.index(), batch);
            }
            let mut name = vec![table];
            name.extend_from_slice(key);
            batch.insert(&store.rows, name, value);
            return Ok(());
        }
        ACCOUNTS => accounts,
        STORAGE => storage,
        CODE => code,
        HASHES => hashes,
        KEYS => &store.keys,
        TILES => &store.tiles,
        BLOCK => &store.blocks,
        ETH_BLOCK => &store.eth_blocks,
        VERDICTS => &store.verdicts,
        LEAVES => &store.leaves,
        unknown => {
            return Err(wrong(format!("it has rows of a kind {unknown} that this program does not know")));
        }
    };
    batch.insert(keyspace, key, value);
    Ok(())
}

/// Checks what the checkpoint commits to, builds the tries, and makes it the store's tip.
fn finish(store: &Store, spec: &ChainSpec, head: &SnapshotHead) -> Result<(), ChainError> {
    let (checkpoint, height) = (&head.checkpoint, head.checkpoint.height.0);
    let block = store.block(height)?.ok_or_else(|| wrong("its block is missing"))?;
    if block.checkpoint != *checkpoint {
        return Err(wrong("its block is another than its checkpoint's"));
    }
    let eth = store.eth_block(height)?.ok_or_else(|| wrong("its Ethereum block is missing"))?;
    if eth.hash != checkpoint.eth_block_hash {
        return Err(wrong("its Ethereum block is another than its checkpoint's"));
    }
    if store.evm.rebuild_tries()? != eth.header.state_root {
        return Err(wrong("its accounts have another state root than its block"));
    }
    let log = TileWriter::load(store, checkpoint.log_size).map_err(|e| wrong(format!("the log: {e}")))?;
    if log.root() != checkpoint.log_root {
        return Err(wrong("its log has another root than its checkpoint"));
    }
    let (genesis, evm) = crate::start::genesis_block(spec)?;
    let mut batch = store.batch().durability(Some(PersistMode::SyncAll));
    store.put_genesis(&mut batch, &genesis, &evm);
    for over in &head.hand_overs {
        let at = over.checkpoint.height.0.to_be_bytes();
        batch.insert(
            &store.checkpoints,
            at,
            put_checkpoint(&over.checkpoint, Some(&over.certificate.encode())),
        );
    }
    let own = head.later.is_empty().then(|| head.certificate.encode());
    let at = height.to_be_bytes();
    batch.insert(&store.checkpoints, at, put_checkpoint(checkpoint, own.as_deref()));
    batch.insert(&store.eth_hashes, eth.hash.0, at);
    for (i, tx) in eth.transactions.iter().enumerate() {
        store.put_place(&mut batch, TriadTx::hash(tx), height, i);
    }
    batch.insert(&store.meta, "base", at);
    batch.insert(&store.meta, "oldest", at);
    batch.insert(&store.meta, "floor", (height + head.later.len() as u64).to_be_bytes());
    batch.insert(&store.meta, "tip", at);
    Ok(batch.commit()?)
}
