//! Who waits for blocks, and is told.
//!
//! One task follows the ledger's commits. It moves the height that subscriptions follow, and wakes those who wait for a
//! transaction; another one wakes them when their transaction left the pool in another way. A block that it tells of is on disk and can be read by everybody: nobody hears of a log that `eth_getLogs`
//! does not have yet.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_primitives::B256;
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{oneshot, watch};
use triad_chain::Reader;

type Waiters = Arc<Mutex<HashMap<B256, Vec<oneshot::Sender<()>>>>>;

#[derive(Debug)]
pub struct Feed {
    height: watch::Sender<u64>,
    waiters: Waiters,
}

/// Somebody who waits for a transaction. Dropping it, after the receiver, forgets them.
pub struct Wait {
    hash: B256,
    waiters: Waiters,
}

impl Feed {
    /// Follows the ledger until it is closed. Must be called within a runtime.
    pub fn start(reader: &Reader) -> Arc<Feed> {
        let mut blocks = reader.watch();
        let (height, _) = watch::channel(reader.height());
        let feed = Arc::new(Feed { height, waiters: Waiters::default() });
        // Neither the ledger nor the feed is kept alive by this task.
        let followed = Arc::downgrade(&feed);
        tokio::spawn(async move {
            loop {
                let received = blocks.recv().await;
                let Some(feed) = followed.upgrade() else { return };
                match received {
                    Ok(block) => {
                        feed.settled(block.eth.transactions.iter().map(|tx| tx.hash()));
                        feed.height.send_if_modified(|height| {
                            let newer = block.height > *height;
                            *height = block.height.max(*height);
                            newer
                        });
                    }
                    // Those who wait look for themselves; the next block brings the height.
                    Err(RecvError::Lagged(_)) => feed.waiters.lock().clear(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        let (mut gone, followed) = (reader.watch_gone_transactions(), Arc::downgrade(&feed));
        tokio::spawn(async move {
            loop {
                let received = gone.recv().await;
                let Some(feed) = followed.upgrade() else { return };
                match received {
                    Ok(hashes) => feed.settled(hashes.iter().copied()),
                    Err(RecvError::Lagged(_)) => feed.waiters.lock().clear(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        feed
    }

    fn settled(&self, hashes: impl Iterator<Item = B256>) {
        let mut waiters = self.waiters.lock();
        if waiters.is_empty() {
            return;
        }
        for hash in hashes {
            for waiter in waiters.remove(&hash).unwrap_or_default() {
                // Whoever has gone away does not want it.
                let _ = waiter.send(());
            }
        }
    }

    /// The height of the last final block, as it grows.
    pub fn heights(&self) -> watch::Receiver<u64> {
        self.height.subscribe()
    }

    /// Resolves, with or without a value, when there may be news of a transaction.
    pub fn wait(&self, hash: B256) -> (Wait, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        self.waiters.lock().entry(hash).or_default().push(sender);
        (Wait { hash, waiters: self.waiters.clone() }, receiver)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiters = self.waiters.lock();
        if let Some(list) = waiters.get_mut(&self.hash) {
            list.retain(|sender| !sender.is_closed());
            if list.is_empty() {
                waiters.remove(&self.hash);
            }
        }
    }
}
