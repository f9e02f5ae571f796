//! Final blocks and their certificates as marshal keeps them, and whether the journal is as new as they are.

use std::sync::Arc;

use commonware_codec::CodecShared;
use commonware_consensus::{Epochable as _, Viewable as _, simplex::types::Finalization};
use commonware_cryptography::{certificate::Verifier as _, sha256};
use commonware_runtime::buffer::paged::CacheRef;
use commonware_storage::{
    archive::{Archive as _, Identifier, prunable},
    translator::EightCap,
};

use crate::{
    Application, Block, ConsensusError, Scheme,
    engine::{
        BLOCK_WRITES, ITEMS_PER_SECTION, REPLAY_BUFFER, Runtime, SMALL_WRITES, Setup, journal_partition,
    },
};

type Archive<E, V> = prunable::Archive<EightCap, E, sha256::Digest, V>;

/// Marshal's two archives.
pub(crate) struct Archives<E: Runtime> {
    pub(crate) certificates: Archive<E, Finalization<Scheme, sha256::Digest>>,
    pub(crate) blocks: Archive<E, Arc<Block>>,
}

impl<E: Runtime> Archives<E> {
    /// Opens both, and refuses if the journal is older than they are, or they than the ledger, which began at `floor`.
    pub(crate) async fn open<A: Application>(
        context: &E,
        setup: &Setup<A>,
        floor: Option<u64>,
        cache: &CacheRef,
    ) -> Result<Self, ConsensusError> {
        let codec = Scheme::certificate_codec_config_unbounded();
        let archives = Self {
            certificates: open(context.child("certificates"), setup, cache, "certificates", codec).await?,
            blocks: open(context.child("blocks"), setup, cache, "blocks", setup.codec()).await?,
        };
        archives.refuse_stale_journal(setup, floor).await?;
        refuse_copy(setup)?;
        Ok(archives)
    }

    /// The journal is written before the archive, and the archive before the ledger. If one of them is ahead of what it
    /// follows, the latter was restored from an older copy.
    async fn refuse_stale_journal<A: Application>(
        &self,
        setup: &Setup<A>,
        floor: Option<u64>,
    ) -> Result<(), ConsensusError> {
        let stale = |what| {
            Err(ConsensusError::JournalStale {
                dir: setup.directory.storage(),
                what,
                key: setup.directory.key().to_owned(),
            })
        };
        // A ledger that began with a snapshot has it before consensus has anything.
        let archived = self.blocks.last_index().or(floor).unwrap_or(0);
        let ledger = setup.app.final_height();
        if ledger > archived {
            return stale(format!("the ledger is at height {ledger}, consensus only at {archived}"));
        }
        if !setup.alone() {
            // With peers the archive may have been filled by them, ahead of the own journal.
            return Ok(());
        }
        let Some(height) = self.certificates.last_index() else { return Ok(()) };
        let certificate = self
            .certificates
            .get(Identifier::Index(height))
            .await
            .map_err(|e| unreadable(setup, "certificates", e))?;
        let Some(certificate) = certificate else { return Ok(()) };
        let epoch = certificate.proposal.epoch().get();
        let journal = setup.directory.highest_view(&journal_partition(epoch))?.unwrap_or(0);
        let view = certificate.proposal.view().get();
        if view > journal {
            return stale(format!(
                "block {height} became final in view {view}, the journal ends in view {journal}"
            ));
        }
        Ok(())
    }
}

/// A copy holds nothing that contradicts itself, and nobody else can say what a lone validator voted.
fn refuse_copy<A: Application>(setup: &Setup<A>) -> Result<(), ConsensusError> {
    let (directory, reign) = (&setup.directory, setup.epochs.current());
    let lone = reign.validators.len() == 1 && reign.validators.position(&setup.checked.public).is_some();
    if lone && directory.copied() && directory.voted().is_some() {
        let (dir, key) = (directory.path().to_owned(), directory.key().to_owned());
        return Err(ConsensusError::DirectoryCopied { dir, key });
    }
    Ok(())
}

async fn open<E: Runtime, A, V: CodecShared>(
    context: E,
    setup: &Setup<A>,
    cache: &CacheRef,
    name: &str,
    codec_config: V::Cfg,
) -> Result<Archive<E, V>, ConsensusError> {
    let config = prunable::Config {
        translator: EightCap,
        metadata_partition: format!("{}archive-{name}-metadata", setup.partition),
        key_partition: format!("{}archive-{name}-keys", setup.partition),
        key_page_cache: cache.clone(),
        value_partition: format!("{}archive-{name}-values", setup.partition),
        compression: None,
        codec_config,
        items_per_section: ITEMS_PER_SECTION,
        key_write_buffer: SMALL_WRITES,
        value_write_buffer: BLOCK_WRITES,
        replay_buffer: REPLAY_BUFFER,
    };
    prunable::Archive::init(context, config).await.map_err(|e| unreadable(setup, name, e))
}

fn unreadable<A>(setup: &Setup<A>, name: &str, cause: impl std::fmt::Display) -> ConsensusError {
    ConsensusError::io(
        "consensus' store of final blocks cannot be read; if the disk is sound, restore the whole data directory from a copy",
        setup.directory.storage().join(format!("archive-{name}-values")),
        cause,
    )
}
