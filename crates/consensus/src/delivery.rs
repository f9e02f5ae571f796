//! Final blocks on their way to the ledger: in order, each acknowledged only once it is durable there.
//!
//! Marshal hands out at most [`MAX_PENDING`] blocks before the first is acknowledged, so the queue is bounded. An
//! acknowledgement that is dropped would stop marshal silently: every block is acknowledged, or consensus stops with the
//! reason.

use std::sync::Arc;

use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::{Reporter, marshal::Update, types::Height};
use commonware_cryptography::Digested;
use commonware_utils::{Acknowledgement as _, acknowledgement::Exact};
use tokio::sync::mpsc;

use crate::{
    Application, Block, ConsensusError, Mailbox, engine::ITEMS_PER_SECTION, epochs::Epochs, progress::Shared,
};

/// Final blocks in memory that wait for the ledger.
pub(crate) const MAX_PENDING: usize = 8;

/// Where marshal reports final blocks.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    blocks: mpsc::UnboundedSender<(Digested<Block>, Exact)>,
    shared: Arc<Shared>,
}

impl Outbox {
    pub(crate) fn new(shared: Arc<Shared>) -> (Self, mpsc::UnboundedReceiver<(Digested<Block>, Exact)>) {
        let (blocks, receiver) = mpsc::unbounded_channel();
        (Self { blocks, shared }, receiver)
    }
}

impl Reporter for Outbox {
    type Activity = Update<Block>;

    fn report(&mut self, update: Update<Block>) -> Feedback {
        match update {
            Update::Tip(_, height, _) => self.shared.tip(height.get()),
            Update::Block(block, ack) => {
                if self.blocks.send((block, ack)).is_err() {
                    return Feedback::Closed;
                }
            }
        }
        Feedback::Ok
    }
}

/// Hands final blocks to the ledger until marshal ends or the ledger refuses one.
pub(crate) struct Delivery<A> {
    pub(crate) app: A,
    pub(crate) marshal: Mailbox,
    pub(crate) blocks: mpsc::UnboundedReceiver<(Digested<Block>, Exact)>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) epochs: Epochs,
    pub(crate) prune_depth: u64,
    /// What the ledger acknowledged before this start.
    pub(crate) processed: u64,
}

impl<A: Application> Delivery<A> {
    pub(crate) async fn run(mut self) {
        if let Err(error) = self.catch_up().await {
            self.shared.fail(error);
            return;
        }
        while let Some((block, ack)) = self.blocks.recv().await {
            // Genesis is delivered too; the ledger made it.
            if block.inner().height > 0
                && let Err(error) = self.commit(block.inner().clone()).await
            {
                // Said before the acknowledgement is dropped, so that this is the reason that is reported.
                self.shared.fail(error);
                return;
            }
            let height = block.inner().height;
            ack.acknowledge();
            self.shared.acked(height);
            if height.is_multiple_of(ITEMS_PER_SECTION.get()) && height > self.prune_depth {
                self.marshal.prune(Height::new(height - self.prune_depth));
            }
        }
    }

    /// A ledger that lost blocks it had acknowledged (it was restored from a copy) gets them again, as far as they are
    /// still here.
    async fn catch_up(&self) -> Result<(), ConsensusError> {
        let ledger = self.app.final_height();
        for height in ledger + 1..=self.processed {
            let Some(block) = self.marshal.get_block(Height::new(height)).await else {
                return Err(ConsensusError::LedgerBehind {
                    ledger,
                    delivered: self.processed,
                    missing: height,
                });
            };
            tracing::warn!(height, "the ledger lost a block that it had acknowledged; delivering it again");
            self.commit(block.inner().clone()).await?;
            // Else proposing would be held for ever.
            self.shared.acked(height);
        }
        Ok(())
    }

    async fn commit(&self, block: Block) -> Result<(), ConsensusError> {
        let height = block.height;
        let certificate = self.marshal.get_finalization(Height::new(height)).await;
        let certificate = certificate.map(|finalization| finalization.encode());
        self.app
            .finalized(block, certificate)
            .await
            .map_err(|reason| ConsensusError::Application { height, reason })?;
        self.epochs.update(&self.app.epochs())
    }
}
