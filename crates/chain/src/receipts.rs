//! Receipts, made from what is stored.

use triad_log::{Certificate, HandOver, Height, LeafIndex, Receipt, ReceiptParts, VerdictLeaf, verdict_tree};

use crate::error::ChainError;
use crate::read::Reader;
use crate::state::records::Reign;
use crate::store::Store;

/// A receipt cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    #[error("there is no leaf {0} yet")]
    NoSuchLeaf(u64),
    #[error("leaf {0} is a block's verdict leaf, not a statement's")]
    NotAStatement(u64),
    #[error("no checkpoint at or above block {0} is certified yet: try again")]
    NotCertified(u64),
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl Reader {
    /// Everything that proves a statement, for whoever holds the genesis file: under the first certified checkpoint at or above
    /// its block.
    pub fn receipt(&self, leaf: u64) -> Result<Receipt, ReceiptError> {
        self.receipt_under(leaf, false)
    }

    /// The same; `newest`: under the newest certified checkpoint.
    pub fn receipt_under(&self, leaf: u64, newest: bool) -> Result<Receipt, ReceiptError> {
        let (tip, _) = self.tip();
        if leaf >= tip.log_size {
            return Err(ReceiptError::NoSuchLeaf(leaf));
        }
        let store = &self.ledger.0.store;
        let found = self.statement(leaf)?.ok_or(ReceiptError::NotAStatement(leaf))?;
        let certified = if newest { self.certified_checkpoint()? } else { None };
        let certified = match certified.filter(|(checkpoint, _)| checkpoint.height.0 >= found.height) {
            Some(newest) => Some(newest),
            None => store
                .certified(found.height)?
                .filter(|s| s.checkpoint.height.0 <= tip.height.0)
                .map(|s| (s.checkpoint, s.certificate.unwrap_or_default())),
        };
        let (checkpoint, certificate) = certified.ok_or(ReceiptError::NotCertified(found.height))?;
        let own = store.checkpoint(found.height)?.ok_or_else(|| {
            ChainError::corrupt(format!("the checkpoint of block {} is missing", found.height))
        })?;
        let key = store.key_at(&found.statement.signer(), found.height)?.ok_or_else(|| {
            ChainError::corrupt(format!("the key of device {} is missing", found.statement.signer()))
        })?;
        let verdicts = store.verdicts(found.height)?;
        let certificate = Certificate::decode(&certificate)
            .map_err(|e| ChainError::corrupt(format!("a stored certificate: {e}")))?;
        let verdict_leaf = VerdictLeaf {
            height: Height(found.height),
            time_ms: found.time_ms,
            count: verdicts.len() as u64,
            root: verdict_tree(&verdicts).root(),
        };
        let parts = ReceiptParts {
            statement: found.statement.bytes(),
            cose_key: &key.cose_key(),
            leaf_index: LeafIndex(leaf),
            verdict_leaf_index: LeafIndex(own.checkpoint.log_size - 1),
            verdict_leaf,
            block_verdicts: &verdicts,
            checkpoint,
            certificate,
            hand_overs: hand_overs(store, &self.reigns(), checkpoint.epoch)?,
        };
        Receipt::build(parts, store.as_ref())
            .map_err(|e| ReceiptError::Chain(ChainError::corrupt(format!("the log: {e}"))))
    }
}

/// How the validators of `epoch` come down from genesis.
pub(crate) fn hand_overs(store: &Store, reigns: &[Reign], epoch: u64) -> Result<Vec<HandOver>, ChainError> {
    let mut all = Vec::new();
    for (reign, next) in reigns.iter().zip(reigns.iter().skip(1)).take(epoch as usize) {
        let missing =
            || ChainError::corrupt(format!("the end of an epoch at block {:?} is missing", reign.last));
        let height = reign.last.ok_or_else(missing)?;
        let stored = store.checkpoint(height)?.ok_or_else(missing)?;
        let certificate = stored.certificate.ok_or_else(missing)?;
        all.push(HandOver {
            checkpoint: stored.checkpoint,
            certificate: Certificate::decode(&certificate)
                .map_err(|e| ChainError::corrupt(format!("a stored certificate: {e}")))?,
            validators: next.set().map_err(|e| ChainError::corrupt(e.to_string()))?.encode(),
        });
    }
    Ok(all)
}
