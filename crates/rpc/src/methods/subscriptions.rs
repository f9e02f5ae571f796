//! `eth_subscribe` and `triad_subscribe`, over WebSocket.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use alloy_primitives::B256;
use alloy_rpc_types_eth::Filter;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::{PendingSubscriptionSink, SubscriptionCloseResponse, SubscriptionSink};
use jsonrpsee::types::Params;
use jsonrpsee::{Extensions, RpcModule};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{Context, at, positional};
use crate::errors::{Answer, chain, invalid};
use crate::places::Peer;
use crate::{logs, readings, shapes, subscribe};

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
        |params, pending, c, extensions| async move { accept(c, pending, &extensions, ethereum(&params)).await },
    )?;
    m.register_subscription(
        "triad_subscribe",
        "triad_subscription",
        "triad_unsubscribe",
        |params, pending, c, extensions| async move { accept(c, pending, &extensions, triad(&params)).await },
    )?;
    Ok(())
}

async fn accept(
    c: Arc<Context>,
    pending: PendingSubscriptionSink,
    extensions: &Extensions,
    start: Answer<Start>,
) -> SubscriptionCloseResponse {
    let peer = extensions.get::<Peer>().map(|peer| peer.0);
    let (start, _place) = match start.and_then(|start| Ok((start, c.places.take(peer)?))) {
        Ok(granted) => granted,
        Err(refusal) => {
            pending.reject(refusal).await;
            return SubscriptionCloseResponse::None;
        }
    };
    let since = Since { height: c.reader.height(), pending: c.reader.watch_pending() };
    let Ok(sink) = pending.accept().await else { return SubscriptionCloseResponse::None };
    start(c, sink, since).await
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
