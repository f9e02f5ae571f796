//! The ledger as consensus sees it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use triad_chain::{ChainError, FinalBlock, Judgement, Ledger, Reign, header_of, outline};
use triad_consensus::{Application, At, Block, EpochSpan, Filled, Header, Stored};

use crate::cluster::Recent;

#[derive(Clone, Debug)]
pub struct App {
    ledger: Ledger,
    told: Arc<Mutex<Told>>,
    /// What other nodes have heard, too.
    recent: Arc<Recent>,
}

/// The ledger's epochs as consensus wants them, made once a change.
#[derive(Debug, Default)]
struct Told {
    of: Arc<Vec<Reign>>,
    epochs: Arc<Vec<EpochSpan>>,
    addresses: Arc<Vec<([u8; 32], SocketAddr)>>,
}

impl App {
    pub fn new(ledger: Ledger, recent: Arc<Recent>) -> App {
        App { ledger, told: Arc::default(), recent }
    }

    fn told<T>(&self, what: impl FnOnce(&Told) -> T) -> T {
        let reigns = self.ledger.reigns();
        let mut told = self.told.lock();
        if !Arc::ptr_eq(&told.of, &reigns) {
            let span = |(epoch, reign): (u64, &Reign)| EpochSpan {
                epoch,
                first: reign.first,
                last: reign.last,
                validators: reign.validators.iter().map(|m| m.consensus_key).collect(),
            };
            let current = reigns.last();
            let members =
                current.into_iter().flat_map(|reign| reign.validators.iter().chain(reign.next.iter()));
            // A name that is no address says where people find it; the configuration says where nodes do.
            let mut addresses: Vec<_> =
                members.filter_map(|m| Some((m.consensus_key, m.network.parse().ok()?))).collect();
            addresses.sort_unstable();
            addresses.dedup_by_key(|(key, _)| *key);
            *told = Told {
                epochs: Arc::new((0..).zip(reigns.iter()).map(span).collect()),
                addresses: Arc::new(addresses),
                of: reigns,
            };
        }
        what(&told)
    }

    /// Runs ledger work off consensus' own threads; a failing store ends the node, it is no opinion on a block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger) -> Result<T, ChainError> + Send + 'static,
    ) -> Result<T, ChainError> {
        let ledger = self.ledger.clone();
        match tokio::task::spawn_blocking(move || work(&ledger)).await {
            Ok(done) => done,
            Err(panic) => Err(ChainError::Corrupt { what: format!("the ledger panicked: {panic}") }),
        }
    }
}

fn fatal(error: &ChainError) -> ! {
    tracing::error!(%error, "the node stops");
    eprintln!("triad: {error}");
    // Nothing was acknowledged that is not stored; the next start resumes from the last commit.
    std::process::exit(70)
}

fn header(bytes: &[u8]) -> Result<Header, String> {
    let h = header_of(bytes).map_err(|e| e.to_string())?;
    Ok(Header { digest: h.digest, parent: h.parent, height: h.height, epoch: h.epoch })
}

fn block(bytes: Bytes) -> Block {
    let header = header(&bytes).unwrap_or_else(|error| unreachable!("own blocks are canonical: {error}"));
    Block::new(header, bytes)
}

fn stored(found: FinalBlock) -> Stored {
    Stored { block: block(found.bytes), certificate: found.certificate.map(Bytes::from) }
}

impl Application for App {
    fn genesis(&self) -> Block {
        block(self.ledger.genesis_block().bytes.clone())
    }

    fn header(bytes: &[u8]) -> Result<Header, String> {
        header(bytes)
    }

    fn epochs(&self) -> Arc<Vec<EpochSpan>> {
        self.told(|told| told.epochs.clone())
    }

    fn addresses(&self) -> Arc<Vec<([u8; 32], SocketAddr)>> {
        self.told(|told| told.addresses.clone())
    }

    fn knows(&self, digest: &[u8; 32]) -> bool {
        self.ledger.knows(digest)
    }

    async fn adopt(&self, ancestor: Block) -> bool {
        match self.blocking(move |ledger| ledger.check(&ancestor.bytes, None)).await {
            Ok(judgement) => judgement == Judgement::Valid,
            Err(error) => fatal(&error),
        }
    }

    async fn propose(&self, parent: Block, leader: u32, must: bool) -> Option<Block> {
        match self.blocking(move |ledger| ledger.propose(&parent.digest, leader, must)).await {
            Ok(made) => made.map(|made| block(made.bytes)),
            Err(error) => fatal(&error),
        }
    }

    async fn verify(&self, _parent: Block, block: Block, leader: u32) -> bool {
        loop {
            let bytes = block.bytes.clone();
            match self.blocking(move |ledger| ledger.check(&bytes, Some(leader))).await {
                Ok(Judgement::Valid) => return true,
                Ok(Judgement::Invalid(why)) => {
                    tracing::warn!(height = block.height, leader, %why, "refused a block");
                    return false;
                }
                Ok(Judgement::Wait(ms)) => tokio::time::sleep(Duration::from_millis(ms.clamp(1, 1000))).await,
                // Its parent was adopted before; a sibling became final meanwhile.
                Ok(Judgement::UnknownParent) => return false,
                Err(error) => fatal(&error),
            }
        }
    }

    fn outline(&self, block: &Bytes) -> Option<Bytes> {
        outline::outline(block, |name| self.recent.holds(name))
    }

    fn fill(&self, outline: &Bytes, items: &BTreeMap<u32, Bytes>) -> Filled {
        match outline::fill(outline, items, |name| self.recent.get(name)) {
            outline::Filled::Whole(block) => Filled::Whole(block),
            outline::Filled::Lacks(places) => Filled::Lacks(places),
            outline::Filled::Wrong => Filled::Wrong,
        }
    }

    fn items(&self, block: &Bytes, places: &[u32]) -> Option<Vec<Bytes>> {
        outline::items(block, places)
    }

    async fn finalized(&self, block: Block, certificate: Option<Bytes>) -> Result<(), String> {
        self.blocking(move |ledger| ledger.finalize(&block.bytes, certificate.as_deref()))
            .await
            .map_err(|error| error.to_string())
    }

    fn work(&self) -> Arc<Notify> {
        self.ledger.work()
    }

    fn final_height(&self) -> u64 {
        self.ledger.height()
    }

    async fn floor(&self) -> Option<Stored> {
        let found = self
            .blocking(|ledger| ledger.floor()?.map_or(Ok(None), |height| ledger.final_block(height)))
            .await;
        match found {
            Ok(found) => found.map(stored),
            Err(error) => fatal(&error),
        }
    }

    fn end_of_epoch(&self, height: u64) -> Option<[u8; 32]> {
        match self.ledger.digest_of(height) {
            Ok(digest) => digest,
            Err(error) => fatal(&error),
        }
    }

    async fn stored(&self, at: At) -> Option<Stored> {
        let found = self
            .blocking(move |ledger| {
                let height = match at {
                    At::Height(height) => Some(height),
                    At::Digest(digest) => match ledger.floor()? {
                        // Consensus asks for it itself, when it takes the chain up there.
                        Some(floor) if ledger.digest_of(floor)? == Some(digest) => Some(floor),
                        _ => ledger.uncertified(&digest)?,
                    },
                };
                height.map_or(Ok(None), |height| ledger.final_block(height))
            })
            .await;
        match found {
            Ok(found) => found.map(stored),
            // A peer can ask another node; this one finds out by itself.
            Err(error) => {
                tracing::error!(%error, ?at, "a final block cannot be read for a peer");
                None
            }
        }
    }
}
