//! Final blocks that consensus has pruned, served to peers from the ledger.
//!
//! Marshal's archives hold the newest blocks only. A node that was off for longer asks for older ones; marshal answers from
//! its stores, and these look into the ledger for what they no longer hold. Whoever asked checks each block against its
//! certificate or against the block above it, so nobody has to be trusted.

use std::sync::Arc;

use commonware_codec::Decode as _;
use commonware_consensus::{
    marshal::store::{Blocks, Certificates},
    simplex::types::Finalization,
    types::Height,
};
use commonware_cryptography::{certificate::Verifier as _, sha256};
use commonware_runtime::Handle;
use commonware_storage::archive::{Error, Identifier};

use crate::{
    Application, Block, Scheme,
    application::{At, Stored},
};

/// A store of the newest, in front of the ledger.
pub(crate) struct Kept<T, A> {
    pub(crate) newest: T,
    pub(crate) app: A,
}

fn at(id: &Identifier<'_, sha256::Digest>) -> At {
    match id {
        Identifier::Index(height) => At::Height(*height),
        Identifier::Key(digest) => At::Digest(digest.0),
    }
}

impl<T, A: Application> Kept<T, A> {
    async fn older(&self, at: At) -> Option<Stored> {
        match at {
            // Genesis is marshal's own: it looks whether the archive has it, and puts it there.
            At::Height(height) if height == 0 || height > self.app.final_height() => None,
            at => self.app.stored(at).await,
        }
    }
}

impl<T, A> Certificates for Kept<T, A>
where
    A: Application,
    T: Certificates<
            BlockDigest = sha256::Digest,
            Commitment = sha256::Digest,
            Scheme = Scheme,
            Error = Error,
        >,
{
    type BlockDigest = sha256::Digest;
    type Commitment = sha256::Digest;
    type Scheme = Scheme;
    type Error = Error;

    async fn put(
        mut self,
        height: Height,
        digest: sha256::Digest,
        finalization: &Finalization<Scheme, sha256::Digest>,
    ) -> Result<Self, Error> {
        self.newest = self.newest.put(height, digest, finalization).await?;
        Ok(self)
    }

    async fn sync(mut self) -> Result<Self, Error> {
        self.newest = self.newest.sync().await?;
        Ok(self)
    }

    async fn start_sync(mut self) -> Result<(Self, Handle<()>), Error> {
        let handle;
        (self.newest, handle) = self.newest.start_sync().await?;
        Ok((self, handle))
    }

    async fn get(
        &self,
        id: Identifier<'_, sha256::Digest>,
    ) -> Result<Option<Finalization<Scheme, sha256::Digest>>, Error> {
        let at = at(&id);
        if let Some(found) = self.newest.get(id).await? {
            return Ok(Some(found));
        }
        let Some(certificate) = self.older(at).await.and_then(|stored| stored.certificate) else {
            return Ok(None);
        };
        let codec = Scheme::certificate_codec_config_unbounded();
        match Finalization::decode_cfg(certificate, &codec) {
            Ok(found) => Ok(Some(found)),
            Err(error) => {
                tracing::error!(?at, %error, "a certificate in the ledger does not decode");
                Ok(None)
            }
        }
    }

    async fn has(&self, height: Height) -> Result<bool, Error> {
        self.newest.has(height).await
    }

    async fn prune(mut self, min: Height) -> Result<Self, Error> {
        self.newest = self.newest.prune(min).await?;
        Ok(self)
    }

    fn last_index(&self) -> Option<Height> {
        self.newest.last_index()
    }

    fn ranges_from(&self, from: Height) -> impl Iterator<Item = (Height, Height)> {
        self.newest.ranges_from(from)
    }
}

impl<T, A> Blocks for Kept<T, A>
where
    A: Application,
    T: Blocks<Block = Arc<Block>, Error = Error>,
{
    type Block = Arc<Block>;
    type Error = Error;

    async fn put(mut self, digest: sha256::Digest, block: &Arc<Block>) -> Result<Self, Error> {
        self.newest = self.newest.put(digest, block).await?;
        Ok(self)
    }

    async fn sync(mut self) -> Result<Self, Error> {
        self.newest = self.newest.sync().await?;
        Ok(self)
    }

    async fn start_sync(mut self) -> Result<(Self, Handle<()>), Error> {
        let handle;
        (self.newest, handle) = self.newest.start_sync().await?;
        Ok((self, handle))
    }

    async fn get(&self, id: Identifier<'_, sha256::Digest>) -> Result<Option<Arc<Block>>, Error> {
        let at = at(&id);
        if let Some(found) = self.newest.get(id).await? {
            return Ok(Some(found));
        }
        Ok(self.older(at).await.map(|stored| Arc::new(stored.block)))
    }

    async fn prune(mut self, min: Height) -> Result<Self, Error> {
        self.newest = self.newest.prune(min).await?;
        Ok(self)
    }

    fn missing_items(&self, start: Height, max: usize) -> Vec<Height> {
        self.newest.missing_items(start, max)
    }

    fn next_gap(&self, value: Height) -> (Option<Height>, Option<Height>) {
        self.newest.next_gap(value)
    }

    fn last_index(&self) -> Option<Height> {
        self.newest.last_index()
    }
}
