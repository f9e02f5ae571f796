//! The methods.

use std::time::Instant;

use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_rpc_types_eth::Filter;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::{Value, json};
use triad_chain::{EthBlock, Reader, Submitter};
use triad_evm::{CallStatus, TriadTx};

use crate::errors::{Answer, call, chain, invalid, refused, reverted, transaction};
use crate::params::{self, Call};
use crate::{RpcConfig, logs, shapes};

#[derive(Debug)]
pub struct Context {
    pub config: RpcConfig,
    pub reader: Reader,
    pub submitter: Submitter,
    pub accounts: Vec<Address>,
}

impl Context {
    fn block(&self, block: &Value) -> Answer<Option<EthBlock>> {
        match params::height(&self.reader, block)? {
            None => Ok(None),
            Some(height) => self.reader.eth_block(height).map_err(chain),
        }
    }

    fn block_by_hash(&self, hash: &B256) -> Answer<Option<EthBlock>> {
        match self.reader.eth_height(hash).map_err(chain)? {
            None => Ok(None),
            Some(height) => self.reader.eth_block(height).map_err(chain),
        }
    }

    fn placed(&self, hash: &B256) -> Answer<Option<(EthBlock, usize)>> {
        let Some((height, index)) = self.reader.eth_transaction(hash).map_err(chain)? else {
            return Ok(None);
        };
        Ok(self.reader.eth_block(height).map_err(chain)?.map(|block| (block, index as usize)))
    }

    fn receipt(&self, hash: &B256) -> Answer<Value> {
        let found = self.placed(hash)?;
        Ok(found.and_then(|(block, index)| shapes::receipt(&block, index)).unwrap_or(Value::Null))
    }
}

/// One positional parameter; a missing one is null.
fn at<T: serde::de::DeserializeOwned>(list: &[Value], index: usize, what: &str) -> Answer<T> {
    let value = list.get(index).cloned().unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|e| invalid(format!("parameter {}, {what}: {e}", index + 1)))
}

fn positional(params: &Params<'_>) -> Answer<Vec<Value>> {
    if params.as_str().is_none() {
        return Ok(Vec::new());
    }
    params.parse().map_err(|_| invalid("positional parameters (an array) are expected"))
}

fn quantity(n: u64) -> Value {
    json!(U64::from(n))
}

/// Registers a method that may read the store: on a blocking thread, so that slow ones delay no others.
fn method(
    module: &mut RpcModule<Context>,
    name: &'static str,
    answer: impl Fn(&Context, &[Value]) -> Answer<Value> + Send + Sync + Clone + 'static,
) -> Result<(), RegisterMethodError> {
    module.register_blocking_method::<Result<Value, ErrorObjectOwned>, _>(
        name,
        move |params, context, _| {
            let list = positional(&params)?;
            answer(&context, &list)
        },
    )?;
    Ok(())
}

pub fn module(context: Context) -> Result<RpcModule<Context>, RegisterMethodError> {
    let mut module = RpcModule::new(context);
    let m = &mut module;
    node(m)?;
    state(m)?;
    blocks(m)?;
    transactions(m)?;
    triad(m)?;
    Ok(module)
}

fn node(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "web3_clientVersion", |_, _| Ok(json!(concat!("Triad/", env!("CARGO_PKG_VERSION")))))?;
    method(m, "web3_sha3", |_, p| Ok(json!(keccak256(at::<Bytes>(p, 0, "data")?))))?;
    method(m, "net_version", |c, _| Ok(json!(c.reader.spec().genesis.chain_id.to_string())))?;
    method(m, "net_listening", |_, _| Ok(json!(true)))?;
    method(m, "net_peerCount", |_, _| Ok(quantity(0)))?;
    method(m, "eth_chainId", |c, _| Ok(quantity(c.reader.spec().genesis.chain_id)))?;
    method(m, "eth_syncing", |_, _| Ok(json!(false)))?;
    method(m, "eth_blockNumber", |c, _| Ok(quantity(c.reader.height())))?;
    method(m, "eth_accounts", |c, _| Ok(json!(c.accounts)))?;
    method(m, "eth_gasPrice", |c, _| Ok(quantity(c.reader.spec().genesis.fees.base_fee)))?;
    method(m, "eth_maxPriorityFeePerGas", |_, _| Ok(quantity(0)))?;
    method(m, "eth_blobBaseFee", |_, _| Ok(quantity(1)))?;
    method(m, "eth_feeHistory", |c, p| {
        let count = match p.first() {
            Some(Value::String(text)) => params::quantity(text)?,
            Some(Value::Number(n)) => n.as_u64().ok_or_else(|| invalid("block count"))?,
            _ => return Err(invalid("parameter 1, block count: a number or 0x quantity")),
        };
        let newest = params::height(&c.reader, p.get(1).unwrap_or(&Value::Null))?;
        let newest = newest.ok_or_else(|| refused("block not found"))?;
        let count = count.clamp(1, 1024).min(newest + 1);
        let base = quantity(c.reader.spec().genesis.fees.base_fee);
        let percentiles: Option<Vec<f64>> = at(p, 2, "reward percentiles")?;
        let mut ratios = Vec::new();
        for height in newest + 1 - count..=newest {
            let block = c.reader.eth_block(height).map_err(chain)?;
            ratios.push(block.map_or(0.0, |b| b.header.gas_used as f64 / b.header.gas_limit as f64));
        }
        let mut out = json!({
            "oldestBlock": quantity(newest + 1 - count),
            "baseFeePerGas": vec![base; count as usize + 1],
            "gasUsedRatio": ratios,
        });
        if let Some(percentiles) = percentiles {
            out["reward"] = json!(vec![vec!["0x0"; percentiles.len()]; count as usize]);
        }
        Ok(out)
    })
}

fn state(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "eth_getBalance", |c, p| {
        params::head(&c.reader, p.get(1).unwrap_or(&Value::Null))?;
        Ok(shapes::hex_u256(c.reader.account(&at(p, 0, "address")?).map_err(chain)?.balance))
    })?;
    method(m, "eth_getTransactionCount", |c, p| {
        let (address, block) = (at(p, 0, "address")?, p.get(1).unwrap_or(&Value::Null));
        if block == "pending" {
            return Ok(quantity(c.reader.pending_nonce(&address).map_err(chain)?));
        }
        params::head(&c.reader, block)?;
        Ok(quantity(c.reader.account(&address).map_err(chain)?.nonce))
    })?;
    method(m, "eth_getCode", |c, p| {
        params::head(&c.reader, p.get(1).unwrap_or(&Value::Null))?;
        Ok(json!(c.reader.code(&at(p, 0, "address")?).map_err(chain)?))
    })?;
    method(m, "eth_getStorageAt", |c, p| {
        params::head(&c.reader, p.get(2).unwrap_or(&Value::Null))?;
        let (address, slot): (Address, U256) = (at(p, 0, "address")?, at(p, 1, "slot")?);
        Ok(json!(B256::from(c.reader.storage(&address, &slot).map_err(chain)?)))
    })?;
    method(m, "eth_getProof", |c, p| {
        params::head(&c.reader, p.get(2).unwrap_or(&Value::Null))?;
        let slots: Vec<U256> = at(p, 1, "storage keys")?;
        let slots: Vec<B256> = slots.into_iter().map(B256::from).collect();
        Ok(json!(c.reader.proof(at(p, 0, "address")?, &slots).map_err(chain)?))
    })?;
    method(m, "eth_call", |c, p| {
        params::head(&c.reader, p.get(1).unwrap_or(&Value::Null))?;
        let outcome = c.reader.call(&at::<Call>(p, 0, "call")?.request()?).map_err(call)?;
        match outcome.status {
            CallStatus::Success => Ok(json!(outcome.output)),
            CallStatus::Revert => Err(reverted(&outcome.output)),
            CallStatus::Halt(why) => Err(refused(format!("execution failed: {why}"))),
        }
    })?;
    method(m, "eth_estimateGas", |c, p| {
        params::head(&c.reader, p.get(1).unwrap_or(&Value::Null))?;
        let gas = c.reader.estimate_gas(&at::<Call>(p, 0, "call")?.request()?).map_err(call)?;
        Ok(quantity(gas))
    })
}

fn blocks(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    let shape = |block: Option<EthBlock>, p: &[Value]| -> Answer<Value> {
        let full: Option<bool> = at(p, 1, "full transactions")?;
        Ok(block.map_or(Value::Null, |b| shapes::block(&b, full.unwrap_or(false))))
    };
    method(m, "eth_getBlockByNumber", move |c, p| shape(c.block(p.first().unwrap_or(&Value::Null))?, p))?;
    method(m, "eth_getBlockByHash", move |c, p| shape(c.block_by_hash(&at(p, 0, "hash")?)?, p))?;
    let count =
        |block: Option<EthBlock>| Ok(block.map_or(Value::Null, |b| quantity(b.transactions.len() as u64)));
    method(m, "eth_getBlockTransactionCountByNumber", move |c, p| {
        count(c.block(p.first().unwrap_or(&Value::Null))?)
    })?;
    method(m, "eth_getBlockTransactionCountByHash", move |c, p| count(c.block_by_hash(&at(p, 0, "hash")?)?))?;
    method(m, "eth_getBlockReceipts", |c, p| {
        let Some(block) = c.block(p.first().unwrap_or(&Value::Null))? else { return Ok(Value::Null) };
        Ok((0..block.transactions.len()).filter_map(|i| shapes::receipt(&block, i)).collect())
    })?;
    method(m, "eth_getLogs", |c, p| Ok(json!(logs::query(&c.reader, &at::<Filter>(p, 0, "filter")?)?)))
}

fn transactions(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "eth_sendRawTransaction", |c, p| {
        let raw: Bytes = at(p, 0, "transaction")?;
        Ok(json!(c.submitter.transaction(&raw).map_err(|e| transaction(&e))?))
    })?;
    m.register_async_method("eth_sendRawTransactionSync", |params, c, _| async move {
        let raw: Bytes = at(&positional(&params)?, 0, "transaction")?;
        let hash = c.submitter.transaction(&raw).map_err(|e| transaction(&e))?;
        let started = Instant::now();
        while started.elapsed() < c.config.sync_timeout {
            let receipt = c.receipt(&hash)?;
            if !receipt.is_null() {
                return Ok(receipt);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Err(refused(format!("transaction {hash} was taken but is not final yet")))
    })?;
    method(m, "eth_getTransactionByHash", |c, p| {
        let hash: B256 = at(p, 0, "hash")?;
        if let Some((block, index)) = c.placed(&hash)? {
            return Ok(shapes::transaction(&block.transactions[index], Some((&block, index))));
        }
        let pending = c.reader.pending_transaction(&hash);
        Ok(pending.map_or(Value::Null, |tx| shapes::transaction(&TriadTx::Ethereum((*tx).clone()), None)))
    })?;
    method(m, "eth_getTransactionReceipt", |c, p| c.receipt(&at(p, 0, "hash")?))?;
    let pick = |block: Option<EthBlock>, p: &[Value]| -> Answer<Value> {
        let index = params::quantity(&at::<String>(p, 1, "index")?)? as usize;
        let found = block.filter(|b| index < b.transactions.len());
        Ok(found.map_or(Value::Null, |b| shapes::transaction(&b.transactions[index], Some((&b, index)))))
    };
    method(m, "eth_getTransactionByBlockNumberAndIndex", move |c, p| {
        pick(c.block(p.first().unwrap_or(&Value::Null))?, p)
    })?;
    method(m, "eth_getTransactionByBlockHashAndIndex", move |c, p| {
        pick(c.block_by_hash(&at(p, 0, "hash")?)?, p)
    })
}

fn triad(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "triad_getReceipt", |c, p| {
        let leaf = match p.first() {
            Some(Value::String(text)) => params::quantity(text)?,
            Some(Value::Number(n)) => n.as_u64().ok_or_else(|| invalid("parameter 1, leaf"))?,
            _ => return Err(invalid("parameter 1, leaf: a number or 0x quantity")),
        };
        let receipt = c.reader.receipt(leaf).map_err(|e| refused(e.to_string()))?;
        Ok(json!(Bytes::from(receipt.encode())))
    })?;
    method(m, "triad_getCheckpoint", |c, _| {
        let Some((checkpoint, certificate)) = c.reader.certified_checkpoint().map_err(chain)? else {
            return Ok(Value::Null);
        };
        Ok(json!({
            "height": quantity(checkpoint.height.0),
            "checkpoint": Bytes::from(checkpoint.encode()),
            "digest": B256::from(checkpoint.digest()),
            "certificate": Bytes::from(certificate),
        }))
    })
}
