//! The one atomic, synced batch of a block.

use alloy_primitives::B256;
use fjall::{OwnedWriteBatch, PersistMode};
use triad_evm::EvmBlock;
use triad_statement::StreamId;

use super::blocks::put_checkpoint;
use super::index::{self, Pending, Rows, StatementRow, VerdictRow};
use super::{Store, failure, put_eth_block, tile_key};
use crate::block::Block;
use crate::error::ChainError;
use crate::execute::Executed;
use crate::state::records::Stream;
use crate::state::{BUCKETS, View};

/// The index rows of an executed block.
pub(crate) fn index_rows(executed: &Executed, view: &View) -> Result<Rows, ChainError> {
    let statements = executed.statements.iter().enumerate().map(|(i, v)| {
        let mut id = [0; 16];
        id.copy_from_slice(&v.statement.id().0[..16]);
        let (signer, number) = (v.statement.signer(), v.statement.sequence().0);
        StatementRow { signer, number, leaf: executed.first_leaf + i as u64, id }
    });
    let mut rows =
        Rows { statements: statements.collect(), readings: executed.readings.clone(), verdicts: vec![] };
    let number = |stream: &StreamId| -> Result<Option<u32>, ChainError> {
        let found = match executed.tables.streams.get(stream) {
            Some(row) => row.clone(),
            None => view.get::<Stream>(stream)?,
        };
        Ok(found.map(|s| s.number))
    };
    let mut last: Option<(StreamId, u32)> = None;
    for (ordinal, verdict) in executed.verdicts.iter().enumerate() {
        let stream = match last {
            Some((id, number)) if id == verdict.stream => number,
            _ => match number(&verdict.stream)? {
                Some(number) => number,
                None => continue,
            },
        };
        last = Some((verdict.stream, stream));
        let height = executed.block.height();
        rows.verdicts.push(VerdictRow { stream, height, ordinal: ordinal as u32 });
    }
    Ok(rows)
}

impl Store {
    /// Makes a block durable, then visible.
    pub fn commit(
        &self,
        executed: &Executed,
        certificate: Option<&[u8]>,
        rows: &Rows,
        pending: &Pending,
        sync: bool,
    ) -> Result<(), ChainError> {
        let block = &executed.block;
        let height = block.height();
        let at = height.to_be_bytes();
        let mut batch = self.db.batch().durability(sync.then_some(PersistMode::SyncAll));
        batch.insert(&self.blocks, at, block.bytes.clone());
        batch.insert(&self.checkpoints, at, put_checkpoint(&block.checkpoint, certificate));
        batch.insert(&self.leaves, executed.first_leaf.to_be_bytes(), at);
        for tile in &executed.tiles {
            batch.insert(&self.tiles, tile_key(tile.level, tile.index), tile.bytes());
        }
        if !executed.verdicts.is_empty() {
            batch.insert(&self.verdicts, at, index::encode_verdicts(&executed.verdicts));
        }
        // Most blocks keep nothing: what they changed follows from their statements.
        if !executed.kept.is_empty() {
            batch.insert(&self.kept, at, executed.kept.as_slice());
        }
        if let Some(old) = height.checked_sub(BUCKETS)
            && self.kept.contains_key(old.to_be_bytes())?
        {
            batch.remove(&self.kept, old.to_be_bytes());
        }
        let flushed = self.state.flush(height, &executed.tables, &mut batch);
        index::put_streams(&executed.tables.streams, &self.index, &mut batch);
        pending.add(rows, |_| true);
        pending.flush(height, &self.index, &mut batch);
        for (id, device) in &executed.tables.devices {
            if let Some(key) = device.as_ref().filter(|d| d.key_since == height).and_then(|d| d.key.as_ref())
            {
                let mut name = id.0.to_vec();
                name.extend_from_slice(&at);
                batch.insert(&self.keys, name, key.cose_key());
            }
        }
        batch.insert(&self.eth_blocks, at, put_eth_block(&executed.evm));
        batch.insert(&self.eth_hashes, executed.evm.hash.0, at);
        for (i, tx) in executed.evm.transactions.iter().enumerate() {
            self.put_place(&mut batch, tx.hash(), height, i);
        }
        self.evm.apply(&mut batch, height, &executed.evm_changes, &executed.evm.system_calls)?;
        batch.insert(&self.meta, "tip", at);
        batch.commit().map_err(failure)?;
        self.state.settle(height, &executed.tables, flushed);
        self.evm.committed(&executed.evm_changes);
        pending.settle(height);
        Ok(())
    }

    /// Where a transaction stands.
    pub fn put_place(&self, batch: &mut OwnedWriteBatch, hash: B256, height: u64, index: usize) {
        let mut place = height.to_be_bytes().to_vec();
        place.extend_from_slice(&(index as u32).to_be_bytes());
        batch.insert(&self.eth_txs, hash.0, place);
    }

    /// The block of height 0 itself, without its state.
    pub fn put_genesis(&self, batch: &mut OwnedWriteBatch, genesis: &Block, evm: &EvmBlock) {
        let at = 0u64.to_be_bytes();
        batch.insert(&self.blocks, at, genesis.bytes.clone());
        batch.insert(&self.checkpoints, at, put_checkpoint(&genesis.checkpoint, None));
        batch.insert(&self.eth_blocks, at, put_eth_block(evm));
        batch.insert(&self.eth_hashes, evm.hash.0, at);
    }

    /// Stores the block of height 0.
    pub fn commit_genesis(&self, genesis: &Block, evm: &EvmBlock) -> Result<(), ChainError> {
        let at = 0u64.to_be_bytes();
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        self.put_genesis(&mut batch, genesis, evm);
        self.evm.apply(&mut batch, 0, &evm.changes, &[])?;
        batch.insert(&self.meta, "tip", at);
        batch.commit().map_err(failure)?;
        self.evm.committed(&evm.changes);
        Ok(())
    }

    /// A certificate that became known after its block was stored.
    pub fn put_certificate(&self, height: u64, certificate: &[u8]) -> Result<(), ChainError> {
        let Some(stored) = self.checkpoint(height)? else { return Ok(()) };
        let value = put_checkpoint(&stored.checkpoint, Some(certificate));
        Ok(self.checkpoints.insert(height.to_be_bytes(), value)?)
    }

    pub fn index(&self) -> &fjall::Keyspace {
        &self.index
    }
}
