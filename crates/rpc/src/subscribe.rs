//! Telling subscribers, one task each.
//!
//! A subscription to blocks or logs is the height of the next block that it tells of. It reads each block when the feed
//! says that it is final, in order, so every block is told once; whatever a client is slow to read waits in the store and
//! not in memory. Who is slower than [`SEND_TIMEOUT`] a message, or lags further than [`MAX_LAG`], is told so and closed.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use jsonrpsee::core::SubscriptionError;
use jsonrpsee::server::{SubscriptionCloseResponse, SubscriptionMessage, SubscriptionSink};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use triad_evm::TriadTx;

use crate::errors::Answer;
use crate::methods::Context;
use crate::shapes;

/// For a client to take one message.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Blocks that a subscriber may be behind the chain.
const MAX_LAG: u64 = 4096;

fn closed(why: impl Into<String>) -> SubscriptionCloseResponse {
    SubscriptionCloseResponse::NotifErr(SubscriptionError::from(why.into()))
}

/// Sends one message; `Some` when the subscription is over.
async fn send(sink: &SubscriptionSink, value: &Value) -> Option<SubscriptionCloseResponse> {
    let Ok(raw) = serde_json::value::to_raw_value(value) else {
        return Some(closed("a message cannot be written"));
    };
    match sink.send_timeout(SubscriptionMessage::from(raw), SEND_TIMEOUT).await {
        Ok(()) => None,
        Err(jsonrpsee::server::SendTimeoutError::Closed(_)) => Some(SubscriptionCloseResponse::None),
        Err(jsonrpsee::server::SendTimeoutError::Timeout(_)) => {
            let seconds = SEND_TIMEOUT.as_secs();
            Some(closed(format!(
                "a message was not taken within {seconds} s: subscribe again and read faster"
            )))
        }
    }
}

/// Tells of every block above `after`: what `told` makes of a height, each value a message.
pub async fn blocks(
    c: Arc<Context>,
    sink: SubscriptionSink,
    after: u64,
    told: impl Fn(&Context, u64) -> Answer<Vec<Value>> + Send + Sync + 'static,
) -> SubscriptionCloseResponse {
    let mut heights = c.feed.heights();
    let told = Arc::new(told);
    let mut next = after + 1;
    loop {
        let height = *heights.borrow_and_update();
        if height.saturating_sub(next) > MAX_LAG {
            return closed(format!("more than {MAX_LAG} blocks behind: subscribe again and read faster"));
        }
        while next <= height {
            let (context, telling) = (c.clone(), told.clone());
            // Perhaps it reads from disk.
            let values = tokio::task::spawn_blocking(move || telling(&context, next)).await;
            let values = match values {
                Ok(Ok(values)) => values,
                Ok(Err(error)) => return closed(error.message()),
                Err(_) => return closed("the node is going down"),
            };
            for value in &values {
                if let Some(over) = send(&sink, value).await {
                    return over;
                }
            }
            next += 1;
        }
        tokio::select! {
            changed = heights.changed() => if changed.is_err() {
                return closed("the node is going down");
            },
            () = sink.closed() => return SubscriptionCloseResponse::None,
        }
    }
}

/// Tells of transactions as they become ready for a block, by hash or in `full`.
pub async fn pending(
    c: Arc<Context>,
    sink: SubscriptionSink,
    mut hashes: broadcast::Receiver<B256>,
    full: bool,
) -> SubscriptionCloseResponse {
    loop {
        let hash = tokio::select! {
            received = hashes.recv() => match received {
                Ok(hash) => hash,
                Err(RecvError::Closed) => return closed("the node is going down"),
                Err(RecvError::Lagged(missed)) => {
                    return closed(format!("{missed} transactions behind: subscribe again and read faster"));
                }
            },
            () = sink.closed() => return SubscriptionCloseResponse::None,
        };
        let value = if full { transaction(&c, &hash) } else { Some(serde_json::json!(hash)) };
        // What was replaced meanwhile was told of by its replacement.
        if let Some(value) = value
            && let Some(over) = send(&sink, &value).await
        {
            return over;
        }
    }
}

/// A transaction as it was while it waited.
fn transaction(c: &Context, hash: &B256) -> Option<Value> {
    if let Some(tx) = c.reader.pending_transaction(hash) {
        return Some(shapes::transaction(&TriadTx::Ethereum((*tx).clone()), None));
    }
    let (block, index) = c.placed(hash).ok().flatten()?;
    Some(shapes::transaction(&block.transactions[index], None))
}
