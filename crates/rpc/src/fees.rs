//! What a transaction should offer.
//!
//! The base fee is fixed in genesis, so only tips can tell one transaction from another, and they matter only while
//! blocks are full. So what is suggested is no tip at all, unless blocks of late were more than half full.

use alloy_consensus::Transaction;
use serde_json::{Value, json};
use triad_chain::{EthBlock, Reader};
use triad_evm::TriadTx;

use crate::errors::{Answer, chain, invalid, refused};
use crate::methods::quantity;
use crate::params;

/// Blocks that one history may span.
const MAX_HISTORY: u64 = 1024;
const MAX_PERCENTILES: usize = 100;
/// Blocks that the suggested tip looks at, and which of their tips it takes.
const SUGGESTION_BLOCKS: u64 = 20;
const SUGGESTION_PERCENTILE: f64 = 60.0;

/// (tip in wei per gas, gas used) of the signed transactions of a block, by tip. Firings tip nobody.
fn tips(block: &EthBlock) -> Vec<(u128, u64)> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
    let both = block.transactions.iter().zip(&block.receipts);
    let mut tips: Vec<(u128, u64)> = both
        .filter_map(|(tx, receipt)| match tx {
            TriadTx::Ethereum(tx) => {
                Some((tx.effective_tip_per_gas(base_fee).unwrap_or(0), receipt.gas_used))
            }
            TriadTx::Firing(_) => None,
        })
        .collect();
    tips.sort_unstable();
    tips
}

/// The tips at percentiles of the gas used, lowest tip first. `percentiles` ascend.
fn rewards(block: &EthBlock, percentiles: &[f64]) -> Vec<u128> {
    let tips = tips(block);
    let total: u64 = tips.iter().map(|(_, gas)| gas).sum();
    let (mut index, mut sum) = (0, tips.first().map_or(0, |(_, gas)| *gas));
    let at = |percentile: &f64| {
        let wanted = (total as f64 * percentile / 100.0) as u64;
        while sum < wanted && index + 1 < tips.len() {
            index += 1;
            sum += tips[index].1;
        }
        tips.get(index).map_or(0, |(tip, _)| *tip)
    };
    percentiles.iter().map(at).collect()
}

fn used_ratio(block: &EthBlock) -> f64 {
    block.header.gas_used as f64 / block.header.gas_limit.max(1) as f64
}

/// Wei per gas to tip, to be taken soon.
pub fn suggested_tip(reader: &Reader) -> Answer<u128> {
    let tip = reader.height();
    let mut suggestion = 0;
    for height in tip.saturating_sub(SUGGESTION_BLOCKS - 1)..=tip {
        let Some(block) = reader.eth_block(height).map_err(chain)? else { continue };
        if used_ratio(&block) > 0.5 {
            suggestion = suggestion.max(rewards(&block, &[SUGGESTION_PERCENTILE])[0]);
        }
    }
    Ok(suggestion)
}

/// `eth_feeHistory`
pub fn history(reader: &Reader, p: &[Value]) -> Answer<Value> {
    let count = params::number(p.first(), "parameter 1, block count")?;
    let newest = params::height(reader, p.get(1).unwrap_or(&Value::Null))?;
    let newest = newest.ok_or_else(|| refused("request beyond head block"))?;
    let percentiles: Option<Vec<f64>> = crate::methods::at(p, 2, "reward percentiles")?;
    let percentiles = percentiles.unwrap_or_default();
    if percentiles.len() > MAX_PERCENTILES {
        return Err(invalid(format!("over the query limit of {MAX_PERCENTILES} reward percentiles")));
    }
    if percentiles.iter().any(|p| !(0.0..=100.0).contains(p)) || !percentiles.is_sorted() {
        return Err(invalid("invalid reward percentile: they must ascend, from 0 to 100"));
    }
    let count = count.min(MAX_HISTORY).min(newest + 1);
    if count == 0 {
        return Ok(json!({"oldestBlock": "0x0", "baseFeePerGas": [], "gasUsedRatio": []}));
    }
    let oldest = newest + 1 - count;
    let (mut ratios, mut reward) = (Vec::new(), Vec::new());
    for height in oldest..=newest {
        let block = reader.eth_block(height).map_err(chain)?;
        let block = block.ok_or_else(|| refused(format!("block {height} is not kept")))?;
        ratios.push(used_ratio(&block));
        if !percentiles.is_empty() {
            let tips = rewards(&block, &percentiles);
            reward.push(tips.into_iter().map(crate::shapes::hex_u128).collect::<Vec<_>>());
        }
    }
    let next = count as usize + 1;
    let mut out = json!({
        "oldestBlock": quantity(oldest),
        "baseFeePerGas": vec![quantity(reader.spec().genesis.fees.base_fee); next],
        "baseFeePerBlobGas": vec!["0x1"; next],
        "gasUsedRatio": ratios,
        "blobGasUsedRatio": vec![0.0; count as usize],
    });
    if !percentiles.is_empty() {
        out["reward"] = json!(reward);
    }
    Ok(out)
}
