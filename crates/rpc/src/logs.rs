//! Logs of final blocks.

use alloy_primitives::BloomInput;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use serde_json::json;
use triad_chain::{LogBlock, Reader};

use crate::errors::{Answer, chain, invalid, limit, refused};
use crate::params;
use crate::shapes;

/// Blocks that one query may span.
pub const MAX_BLOCKS: u64 = 10_000;
/// Logs that one query may return. Those of one block are returned whole, however many.
pub const MAX_LOGS: usize = 10_000;
/// Addresses that one filter may name, and topics in one place.
const MAX_ALTERNATIVES: usize = 1000;

/// Whether a filter is within bounds.
pub fn check(filter: &Filter) -> Answer<()> {
    if filter.address.len() > MAX_ALTERNATIVES || filter.topics.iter().any(|t| t.len() > MAX_ALTERNATIVES) {
        return Err(invalid(format!(
            "a filter may name {MAX_ALTERNATIVES} addresses, and as many topics in one place"
        )));
    }
    Ok(())
}

/// `eth_getLogs`
pub fn query(reader: &Reader, filter: &Filter) -> Answer<Vec<Log>> {
    check(filter)?;
    let Some((from, to)) = range(reader, filter)? else { return Ok(Vec::new()) };
    if to - from >= MAX_BLOCKS {
        let why = format!(
            "query spans {} blocks, more than {MAX_BLOCKS}. Try with this block range [{from:#x}, {:#x}].",
            to - from + 1,
            from + MAX_BLOCKS - 1
        );
        return Err(limit(
            why,
            json!({"from": format!("{from:#x}"), "to": format!("{:#x}", from + MAX_BLOCKS - 1)}),
        ));
    }
    let mut out = Vec::new();
    match scan(reader, filter, from, to, &mut out)? {
        next if next > to => Ok(out),
        // The first block alone is too many: that one is returned whole.
        next if next == from + 1 => Err(too_many(from, from)),
        next => Err(too_many(from, next - 2)),
    }
}

fn too_many(from: u64, to: u64) -> jsonrpsee::types::ErrorObjectOwned {
    let why = format!(
        "query returned more than {MAX_LOGS} results. Try with this block range [{from:#x}, {to:#x}], or fewer addresses or topics."
    );
    limit(why, json!({"from": format!("{from:#x}"), "to": format!("{to:#x}")}))
}

/// The final blocks that a filter spans, first and last; `None` when there are none.
pub fn range(reader: &Reader, filter: &Filter) -> Answer<Option<(u64, u64)>> {
    match &filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let height = reader.eth_height(hash).map_err(chain)?.ok_or_else(|| refused("unknown block"))?;
            Ok(Some((height, height)))
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let tip = reader.height();
            let bound = |tag: &Option<alloy_eips::BlockNumberOrTag>| match tag {
                None => Answer::Ok(tip),
                Some(alloy_eips::BlockNumberOrTag::Number(n)) => Ok(*n),
                Some(tag) => Ok(params::height(reader, &json!(tag))?.unwrap_or(tip)),
            };
            let (from, to) = (bound(from_block)?, bound(to_block)?);
            if from > to && to_block.is_some() {
                return Err(invalid(format!(
                    "invalid block range params: fromBlock {from:#x} is above toBlock {to:#x}"
                )));
            }
            Ok((from <= tip.min(to)).then_some((from, to.min(tip))))
        }
    }
}

/// Collects logs of the blocks `from` to `to`, until there are more than [`MAX_LOGS`]. Returns the first block that it
/// did not look at.
pub fn scan(reader: &Reader, filter: &Filter, from: u64, to: u64, out: &mut Vec<Log>) -> Answer<u64> {
    for height in from..=to {
        let wanted = |bloom: &alloy_primitives::Bloom| may_hold(filter, bloom);
        if let Some(block) = reader.eth_logs(height, wanted).map_err(chain)? {
            collect(&block, filter, out);
        }
        // A query for one block has nothing to narrow.
        if out.len() > MAX_LOGS && from != to {
            return Ok(height + 1);
        }
    }
    Ok(to + 1)
}

fn may_hold(filter: &Filter, bloom: &alloy_primitives::Bloom) -> bool {
    let may = |raw: &[u8]| bloom.contains_input(BloomInput::Raw(raw));
    (filter.address.is_empty() || filter.address.iter().any(|a| may(a.as_slice())))
        && filter.topics.iter().all(|set| set.is_empty() || set.iter().any(|t| may(t.as_slice())))
}

/// The logs of a block that a filter wants.
pub fn collect(block: &LogBlock, filter: &Filter, out: &mut Vec<Log>) {
    if !may_hold(filter, &block.logs_bloom) {
        return;
    }
    let mut first = 0;
    for (index, (hash, logs)) in block.logs.iter().enumerate() {
        let all = logs.iter().enumerate().filter(|(_, log)| wanted(filter, log));
        out.extend(all.map(|(i, log)| shapes::log(block, *hash, index, first + i as u64, log)));
        first += logs.len() as u64;
    }
}

fn wanted(filter: &Filter, log: &triad_evm::Log) -> bool {
    let address = filter.address.is_empty() || filter.address.contains(&log.address);
    address
        && filter
            .topics
            .iter()
            .enumerate()
            .all(|(i, set)| set.is_empty() || log.topics().get(i).is_some_and(|topic| set.contains(topic)))
}
