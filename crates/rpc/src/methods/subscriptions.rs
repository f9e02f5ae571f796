//! `eth_subscribe` and `triad_subscribe`, over WebSocket.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use alloy_primitives::B256;
use alloy_rpc_types_eth::Filter;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::{PendingSubscriptionSink, SubscriptionCloseResponse, SubscriptionSink};
use jsonrpsee::types::Params;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{Context, at, positional};
use crate::errors::{Answer, chain, invalid, limit};
use crate::{logs, readings, shapes, subscribe};

/// Subscriptions of all connections.
pub const MAX_SUBSCRIPTIONS: usize = 10_000;

type Telling = Pin<Box<dyn Future<Output = SubscriptionCloseResponse> + Send>>;
/// What runs once a subscription is accepted.
type Start = Box<dyn FnOnce(Arc<Context>, SubscriptionSink, Since) -> Telling + Send>;

/// The moment just before a subscription was accepted.
struct Since {
    height: u64,
    pending: broadcast::Receiver<B256>,
}

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    m.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, c, _| async move { accept(c, pending, ethereum(&params)).await },
    )?;
    m.register_subscription(
        "triad_subscribe",
        "triad_subscription",
        "triad_unsubscribe",
        |params, pending, c, _| async move { accept(c, pending, triad(&params)).await },
    )?;
    Ok(())
}

async fn accept(
    c: Arc<Context>,
    pending: PendingSubscriptionSink,
    start: Answer<Start>,
) -> SubscriptionCloseResponse {
    let permit = c.subscriptions.clone().try_acquire_owned();
    let refusal = match (start, permit) {
        (Err(refusal), _) => refusal,
        (Ok(_), Err(_)) => {
            limit(format!("{MAX_SUBSCRIPTIONS} subscriptions are open here, which is the limit"), Value::Null)
        }
        (Ok(start), Ok(_permit)) => {
            let since = Since { height: c.reader.height(), pending: c.reader.watch_pending() };
            let Ok(sink) = pending.accept().await else { return SubscriptionCloseResponse::None };
            return start(c, sink, since).await;
        }
    };
    pending.reject(refusal).await;
    SubscriptionCloseResponse::None
}

fn ethereum(params: &Params<'_>) -> Answer<Start> {
    let list = positional(params)?;
    let kind: String = at(&list, 0, "what to subscribe to")?;
    match kind.as_str() {
        "newHeads" => Ok(of_blocks(|c, height| {
            let block = c.reader.eth_block(height).map_err(chain)?;
            Ok(block.iter().map(|b| shapes::header(b)).collect())
        })),
        "logs" => {
            let filter: Option<Filter> = at(&list, 1, "filter")?;
            let filter = filter.unwrap_or_default();
            logs::check(&filter)?;
            Ok(of_blocks(move |c, height| {
                let mut out = Vec::new();
                logs::scan(&c.reader, &filter, height, height, &mut out)?;
                Ok(out.into_iter().map(|log| json!(log)).collect())
            }))
        }
        "newPendingTransactions" => {
            let full = match list.get(1) {
                None | Some(Value::Null) => false,
                Some(Value::Bool(full)) => *full,
                Some(other) => return Err(invalid(format!("parameter 2: {other} is no boolean"))),
            };
            Ok(Box::new(move |c, sink, since| Box::pin(subscribe::pending(c, sink, since.pending, full))))
        }
        other => Err(invalid(format!(
            "no subscription `{other}`: there are newHeads, logs and newPendingTransactions"
        ))),
    }
}

fn triad(params: &Params<'_>) -> Answer<Start> {
    let list = positional(params)?;
    let kind: String = at(&list, 0, "what to subscribe to")?;
    let filter = at::<Option<readings::Filter>>(&list, 1, "filter")?.unwrap_or_default();
    match kind.as_str() {
        "readings" => Ok(of_blocks(move |c, height| readings::readings(&c.reader, height, &filter))),
        "verdicts" => Ok(of_blocks(move |c, height| readings::verdicts(&c.reader, height, &filter))),
        other => Err(invalid(format!("no subscription `{other}`: there are readings and verdicts"))),
    }
}

fn of_blocks(told: impl Fn(&Context, u64) -> Answer<Vec<Value>> + Send + Sync + 'static) -> Start {
    Box::new(move |c, sink, since| Box::pin(subscribe::blocks(c, sink, since.height, told)))
}
