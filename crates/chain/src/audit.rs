//! `triad audit`: re-executes every stored block in a scratch store and compares everything. It begins with genesis, or, where the
//! oldest blocks are not here, with the snapshot that the validators vouch for and that the rest stands on.

use std::path::Path;

use triad_log::Certificate;

use crate::error::ChainError;
use crate::genesis::ChainSpec;
use crate::ledger::Ledger;
use crate::snapshot::{import, read_head};
use crate::store::Store;

/// How far an audit is, and what it covered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audit {
    /// The block after whose state it began: 0 is genesis.
    pub from: u64,
    pub height: u64,
    pub tip: u64,
    pub statements: u64,
    pub readings: u64,
    pub verdicts: u64,
    pub transactions: u64,
    pub certificates: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("block {height}: {what}")]
    Differs { height: u64, what: String },
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// Audits the chain under `dir`, which no node may have open; `snapshots` is where its snapshots are. `scratch` is an empty directory; the replay needs about
/// as much room in it as the chain takes. `progress` is called after each block.
pub fn run(
    dir: &Path,
    snapshots: &Path,
    spec: ChainSpec,
    scratch: &Path,
    mut progress: impl FnMut(&Audit),
) -> Result<Audit, AuditError> {
    let namespace = spec.namespace();
    let stored = Store::open(dir, &spec.hash)?;
    let tip = stored.tip()?.unwrap_or(0);
    let from = stored.oldest()?;
    if from > 0 {
        begin(&snapshots.join(from.to_string()), from, &spec, scratch)?;
    }
    let replay = Ledger::open_with(scratch, spec, 1, false)?;
    let mut audit = Audit { tip, from, height: from, ..Audit::default() };
    for height in from + 1..=tip {
        let differs = |what: &str| AuditError::Differs { height, what: what.to_owned() };
        let block = stored.block(height)?.ok_or_else(|| differs("its body is missing"))?;
        // Checks parent, signatures, every root and the whole checkpoint against its own execution.
        replay.finalize(&block.bytes, None).map_err(|error| match error {
            ChainError::Block { why, .. } => AuditError::Differs { height, what: why.to_string() },
            other => other.into(),
        })?;
        let kept = stored.checkpoint(height)?.ok_or_else(|| differs("its checkpoint is missing"))?;
        if kept.checkpoint != block.checkpoint {
            return Err(differs("its stored checkpoint is not the one in its block"));
        }
        let verdicts = stored.verdicts(height)?;
        let again = replay.0.store.verdicts(height)?;
        if verdicts != again {
            return Err(differs("its stored verdicts differ from those of the replay"));
        }
        if stored.eth_raw(height)? != replay.0.store.eth_raw(height)? {
            return Err(differs("its stored transactions and receipts differ from those of the replay"));
        }
        if let Some(bytes) = kept.certificate {
            let certificate = Certificate::decode(&bytes).map_err(|e| differs(&e.to_string()))?;
            if certificate.digest != block.digest {
                return Err(differs("its certificate is for another block"));
            }
            if certificate.epoch != block.checkpoint.epoch {
                return Err(differs("its certificate is of another epoch"));
            }
            let reigns = replay.reigns();
            let reign = usize::try_from(block.checkpoint.epoch).ok().and_then(|epoch| reigns.get(epoch));
            let set = reign
                .and_then(|reign| reign.set().ok())
                .ok_or_else(|| differs("its epoch is not the chain's"))?;
            certificate.verify(&namespace, set.consensus()).map_err(|e| differs(&e.to_string()))?;
            audit.certificates += 1;
        }
        audit.height = height;
        audit.statements += block.body.statements.len() as u64;
        audit.transactions += block.body.transactions.len() as u64;
        audit.verdicts += verdicts.len() as u64;
        audit.readings = replay.0.metrics.readings.get();
        progress(&audit);
    }
    // The stored log itself, which receipts are made from.
    let log = triad_log::TileWriter::load(&stored, replay.0.tip.read().checkpoint.log_size)
        .map_err(|e| AuditError::Differs { height: tip, what: format!("the stored log: {e}") })?;
    if log.root() != replay.0.tip.read().checkpoint.log_root {
        return Err(AuditError::Differs { height: tip, what: "the stored log has another root".into() });
    }
    Ok(audit)
}

/// Puts the state after the oldest block that is whole into the scratch store.
fn begin(dir: &Path, height: u64, spec: &ChainSpec, scratch: &Path) -> Result<(), AuditError> {
    let needed = |error: String| AuditError::Differs {
        height,
        what: format!(
            "the blocks before it are not here, and the snapshot after it in {} cannot be begun with: {error}. Copy it from a \
             node that has it",
            dir.display()
        ),
    };
    let head = read_head(dir).map_err(|error| needed(error.to_string()))?;
    head.verify(&spec.anchor).map_err(|error| needed(error.to_string()))?;
    if head.checkpoint.height.0 != height {
        return Err(needed(format!("it is of block {}", head.checkpoint.height)));
    }
    Ok(import(scratch, spec, dir, &head, |_| ())?)
}
