//! Blocks, checkpoints and Ethereum blocks as stored.

use alloy_primitives::{Address, B256, Bloom, Log, LogData};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use bytes::Bytes;
use triad_evm::{EvmBlock, Header, LogAt, Receipt, TriadTx};
use triad_log::{Checkpoint, Verdict};
use triad_statement::{DeviceId, DeviceKey};

use super::{Store, index};
use crate::block::Block;
use crate::error::ChainError;
use crate::state::{Reader, Writer};

/// A checkpoint and, where this height has one of its own, its finality certificate.
#[derive(Debug, Clone)]
pub(crate) struct StoredCheckpoint {
    pub checkpoint: Checkpoint,
    pub certificate: Option<Vec<u8>>,
}

/// A block as Ethereum tools see it.
#[derive(Debug, Clone)]
pub struct EthBlock {
    pub hash: B256,
    pub header: Header,
    pub transactions: Vec<TriadTx>,
    pub receipts: Vec<Receipt>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredEthBlock {
    header: Header,
    transactions: Vec<alloy_primitives::Bytes>,
    receipts: Vec<StoredReceipt>,
}

/// A receipt without what follows from its block.
#[derive(RlpEncodable, RlpDecodable)]
struct StoredReceipt {
    tx_type: u8,
    success: bool,
    cumulative_gas_used: u64,
    gas_used: u64,
    effective_gas_price: u128,
    /// Empty, or one address.
    contract: Vec<Address>,
    logs: Vec<StoredLog>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredLog {
    address: Address,
    topics: Vec<B256>,
    data: alloy_primitives::Bytes,
}

pub(crate) fn put_eth_block(block: &EvmBlock) -> Vec<u8> {
    let receipt = |r: &Receipt| StoredReceipt {
        tx_type: r.tx_type,
        success: r.success,
        cumulative_gas_used: r.cumulative_gas_used,
        gas_used: r.gas_used,
        effective_gas_price: r.effective_gas_price,
        contract: r.contract_address.into_iter().collect(),
        logs: r.logs.iter().map(stored_log).collect(),
    };
    let stored = StoredEthBlock {
        header: block.header.clone(),
        transactions: block.transactions.iter().map(|tx| tx.encoded_2718().into()).collect(),
        receipts: block.receipts.iter().map(receipt).collect(),
    };
    let mut out = Vec::new();
    stored.encode(&mut out);
    out
}

fn stored_log(log: &Log) -> StoredLog {
    StoredLog { address: log.address, topics: log.topics().to_vec(), data: log.data.data.clone() }
}

fn eth_block(mut bytes: &[u8]) -> Option<EthBlock> {
    let stored = StoredEthBlock::decode(&mut bytes).ok()?;
    let transactions = stored.transactions.iter().map(|raw| TriadTx::decode_2718(raw).ok());
    let receipts = stored.receipts.into_iter().map(|r| {
        let logs: Option<Vec<Log>> = r
            .logs
            .into_iter()
            .map(|l| Some(Log { address: l.address, data: LogData::new(l.topics, l.data)? }))
            .collect();
        let logs = logs?;
        let bloom: Bloom = logs.iter().collect();
        Some(Receipt {
            tx_type: r.tx_type,
            success: r.success,
            cumulative_gas_used: r.cumulative_gas_used,
            gas_used: r.gas_used,
            effective_gas_price: r.effective_gas_price,
            contract_address: r.contract.first().copied(),
            logs,
            bloom,
        })
    });
    Some(EthBlock {
        hash: stored.header.hash_slow(),
        transactions: transactions.collect::<Option<_>>()?,
        receipts: receipts.collect::<Option<_>>()?,
        header: stored.header,
    })
}

pub(super) fn put_checkpoint(checkpoint: &Checkpoint, certificate: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    Writer(&mut out).bytes(&checkpoint.encode()).bytes(certificate.unwrap_or_default());
    out
}

impl Store {
    pub fn block(&self, height: u64) -> Result<Option<Block>, ChainError> {
        let Some(bytes) = self.blocks.get(height.to_be_bytes())? else { return Ok(None) };
        let block = Block::decode(Bytes::from(bytes))
            .map_err(|why| ChainError::corrupt(format!("stored block {height}: {why}")))?;
        Ok(Some(block))
    }

    pub fn checkpoint(&self, height: u64) -> Result<Option<StoredCheckpoint>, ChainError> {
        let Some(bytes) = self.checkpoints.get(height.to_be_bytes())? else { return Ok(None) };
        stored_checkpoint(&bytes)
            .map(Some)
            .ok_or_else(|| ChainError::corrupt(format!("the checkpoint of block {height} does not decode")))
    }

    /// The first checkpoint at or above a height that has a certificate of its own.
    pub fn certified(&self, height: u64) -> Result<Option<StoredCheckpoint>, ChainError> {
        for guard in self.checkpoints.range(height.to_be_bytes()..) {
            let (_, value) = guard.into_inner()?;
            match stored_checkpoint(&value) {
                None => return Err(ChainError::corrupt("a checkpoint does not decode")),
                Some(found) if found.certificate.is_some() => return Ok(Some(found)),
                Some(_) => {}
            }
        }
        Ok(None)
    }

    /// The height of the block that holds a leaf, and its first leaf.
    pub fn height_of_leaf(&self, leaf: u64) -> Result<Option<(u64, u64)>, ChainError> {
        let Some(guard) = self.leaves.range(..=leaf.to_be_bytes()).next_back() else { return Ok(None) };
        let (first, height) = guard.into_inner()?;
        let number = |b: &[u8]| b.try_into().ok().map(u64::from_be_bytes);
        match (number(&first), number(&height)) {
            (Some(first), Some(height)) => Ok(Some((height, first))),
            _ => Err(ChainError::corrupt("the leaf index does not decode")),
        }
    }

    pub fn verdicts(&self, height: u64) -> Result<Vec<Verdict>, ChainError> {
        let Some(bytes) = self.verdicts.get(height.to_be_bytes())? else { return Ok(Vec::new()) };
        index::decode_verdicts(&bytes)
            .ok_or_else(|| ChainError::corrupt(format!("the verdicts of block {height} do not decode")))
    }

    pub fn eth_block(&self, height: u64) -> Result<Option<EthBlock>, ChainError> {
        let Some(bytes) = self.eth_blocks.get(height.to_be_bytes())? else { return Ok(None) };
        eth_block(&bytes)
            .map(Some)
            .ok_or_else(|| ChainError::corrupt(format!("Ethereum block {height} does not decode")))
    }

    /// Only the header of an Ethereum block: its transactions' signers need not be recovered.
    pub fn eth_header(&self, height: u64) -> Result<Option<Header>, ChainError> {
        let Some(bytes) = self.eth_blocks.get(height.to_be_bytes())? else { return Ok(None) };
        let mut body: &[u8] = &bytes;
        alloy_rlp::Header::decode_bytes(&mut body, true)
            .and_then(|mut list| Header::decode(&mut list))
            .map(Some)
            .map_err(|_| {
                ChainError::corrupt(format!("the header of Ethereum block {height} does not decode"))
            })
    }

    /// The log after the block at a height.
    pub fn log_at(&self, height: u64) -> Result<Option<LogAt>, ChainError> {
        let stored = self.checkpoint(height)?.map(|stored| stored.checkpoint);
        Ok(stored.map(|c| LogAt { height, size: c.log_size, root: c.log_root }))
    }

    /// The stored form of an Ethereum block.
    pub fn eth_raw(&self, height: u64) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.eth_blocks.get(height.to_be_bytes())?.map(|b| b.to_vec()))
    }

    pub fn eth_height(&self, hash: &B256) -> Result<Option<u64>, ChainError> {
        let found = self.eth_hashes.get(hash)?;
        Ok(found.and_then(|b| b.as_ref().try_into().ok()).map(u64::from_be_bytes))
    }

    /// Height and position of a transaction.
    pub fn eth_tx(&self, hash: &B256) -> Result<Option<(u64, u32)>, ChainError> {
        let Some(bytes) = self.eth_txs.get(hash)? else { return Ok(None) };
        let mut r = Reader(&bytes);
        Ok(r.u64().zip(r.u32()))
    }

    /// The key whose signatures counted in the block at `height`: the last one set before it.
    pub fn key_at(&self, device: &DeviceId, height: u64) -> Result<Option<DeviceKey>, ChainError> {
        let mut last = device.0.to_vec();
        last.extend_from_slice(&height.saturating_sub(1).to_be_bytes());
        let mut first = device.0.to_vec();
        first.extend_from_slice(&[0; 8]);
        let Some(guard) = self.keys.range(first..=last).next_back() else { return Ok(None) };
        let (_, value) = guard.into_inner()?;
        DeviceKey::from_cose_key(&value)
            .map(Some)
            .map_err(|_| ChainError::corrupt(format!("a key of device {device} does not decode")))
    }
}

fn stored_checkpoint(bytes: &[u8]) -> Option<StoredCheckpoint> {
    let mut r = Reader(bytes);
    let checkpoint = Checkpoint::decode(r.bytes()?).ok()?;
    let certificate = r.bytes()?;
    Some(StoredCheckpoint {
        checkpoint,
        certificate: (!certificate.is_empty()).then(|| certificate.to_vec()),
    })
}
