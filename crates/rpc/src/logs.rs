//! `eth_getLogs`.

use alloy_primitives::BloomInput;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use serde_json::json;
use triad_chain::{EthBlock, Reader};

use crate::errors::{Answer, chain, refused};
use crate::params;
use crate::shapes;

/// Blocks that one query may span, and logs that it may return.
pub const MAX_BLOCKS: u64 = 10_000;
pub const MAX_LOGS: usize = 10_000;

pub fn query(reader: &Reader, filter: &Filter) -> Answer<Vec<Log>> {
    let (from, to) = match &filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let height = reader.eth_height(hash).map_err(chain)?.ok_or_else(|| refused("unknown block"))?;
            (height, height)
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let tip = reader.height();
            let bound = |tag: &Option<alloy_eips::BlockNumberOrTag>| match tag {
                None => Ok(Some(tip)),
                Some(alloy_eips::BlockNumberOrTag::Number(n)) => Ok(Some((*n).min(tip + 1))),
                Some(tag) => params::height(reader, &json!(tag)),
            };
            let first = bound(from_block)?.unwrap_or(tip);
            (first, bound(to_block)?.unwrap_or(tip).min(tip))
        }
    };
    if to.saturating_sub(from) >= MAX_BLOCKS {
        return Err(refused(format!(
            "the query spans more than {MAX_BLOCKS} blocks: narrow fromBlock and toBlock"
        )));
    }
    let mut out = Vec::new();
    for height in from..=to {
        let Some(block) = reader.eth_block(height).map_err(chain)? else { break };
        collect(&block, filter, &mut out);
        if out.len() > MAX_LOGS {
            let why = format!(
                "more than {MAX_LOGS} logs match up to block {height}: narrow the range, address or topics"
            );
            return Err(refused(why));
        }
    }
    Ok(out)
}

/// The logs of a block that a filter wants.
pub fn collect(block: &EthBlock, filter: &Filter, out: &mut Vec<Log>) {
    let bloom = &block.header.logs_bloom;
    let may = |raw: &[u8]| bloom.contains_input(BloomInput::Raw(raw));
    let addresses = filter.address.iter().count() == 0 || filter.address.iter().any(|a| may(a.as_slice()));
    let topics =
        filter.topics.iter().all(|set| set.iter().count() == 0 || set.iter().any(|t| may(t.as_slice())));
    if !addresses || !topics {
        return;
    }
    let mut first = 0;
    for (index, receipt) in block.receipts.iter().enumerate() {
        let logs = shapes::logs_of(block, index, receipt, first);
        first += receipt.logs.len() as u64;
        out.extend(logs.into_iter().filter(|log| wanted(filter, log)));
    }
}

fn wanted(filter: &Filter, log: &Log) -> bool {
    let address = filter.address.iter().count() == 0 || filter.address.contains(&log.inner.address);
    address
        && filter.topics.iter().enumerate().all(|(i, set)| {
            set.iter().count() == 0 || log.inner.topics().get(i).is_some_and(|topic| set.contains(topic))
        })
}
