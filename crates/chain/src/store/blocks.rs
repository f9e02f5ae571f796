//! Blocks, checkpoints and Ethereum blocks as stored.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bloom, Log, LogData, keccak256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
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

/// The logs of a block, by transaction.
#[derive(Debug, Clone)]
pub struct LogBlock {
    pub hash: B256,
    pub number: u64,
    /// Whole seconds since the epoch.
    pub timestamp: u64,
    pub logs_bloom: Bloom,
    /// Each transaction's hash and logs.
    pub logs: Vec<(B256, Vec<Log>)>,
}

impl LogBlock {
    fn new(header: &Header, hash: B256, logs: Vec<(B256, Vec<Log>)>) -> LogBlock {
        LogBlock {
            hash,
            number: header.number,
            timestamp: header.timestamp,
            logs_bloom: header.logs_bloom,
            logs,
        }
    }
}

impl From<&EthBlock> for LogBlock {
    fn from(block: &EthBlock) -> LogBlock {
        let both = block.transactions.iter().zip(&block.receipts);
        let logs = both.map(|(tx, receipt)| (tx.hash(), receipt.logs.clone())).collect();
        LogBlock::new(&block.header, block.hash, logs)
    }
}

impl EthBlock {
    pub(crate) fn of(block: &EvmBlock) -> EthBlock {
        EthBlock {
            hash: block.hash,
            header: block.header.clone(),
            transactions: block.transactions.clone(),
            receipts: block.receipts.clone(),
        }
    }

    /// About how many bytes it takes in memory.
    fn weight(&self) -> u64 {
        let txs: usize = self.transactions.iter().map(|tx| 512 + tx.input().len()).sum();
        let logs = self.receipts.iter().flat_map(|r| &r.logs);
        let logs: usize = logs.map(|l| 200 + l.data.data.len()).sum();
        (1024 + txs + 512 * self.receipts.len() + logs) as u64
    }
}

/// Ethereum blocks that were committed or read lately, so that decoding them, and recovering their senders, is done once.
pub(crate) struct RecentBlocks(Cache<u64, Arc<EthBlock>, ByWeight>);

#[derive(Clone)]
struct ByWeight;

impl Weighter<u64, Arc<EthBlock>> for ByWeight {
    fn weight(&self, _: &u64, block: &Arc<EthBlock>) -> u64 {
        block.weight()
    }
}

impl RecentBlocks {
    /// Takes up to about `bytes` of memory.
    pub fn new(bytes: u64) -> RecentBlocks {
        RecentBlocks(Cache::with_weighter(1024, bytes, ByWeight))
    }

    pub fn insert(&self, block: Arc<EthBlock>) {
        self.0.insert(block.header.number, block);
    }

    /// The logs of the block at a height, which must be final, if its bloom is `wanted`.
    pub fn logs(
        &self,
        store: &Store,
        height: u64,
        wanted: impl Fn(&Bloom) -> bool,
    ) -> Result<Option<LogBlock>, ChainError> {
        match self.0.get(&height) {
            Some(block) => Ok(wanted(&block.header.logs_bloom).then(|| LogBlock::from(block.as_ref()))),
            None => store.eth_logs(height, wanted),
        }
    }

    /// The block at a height, which must be final.
    pub fn get(&self, store: &Store, height: u64) -> Result<Option<Arc<EthBlock>>, ChainError> {
        if let Some(block) = self.0.get(&height) {
            return Ok(Some(block));
        }
        let Some(block) = store.eth_block(height)?.map(Arc::new) else { return Ok(None) };
        self.insert(block.clone());
        Ok(Some(block))
    }
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
    encode_eth_block(&block.header, &block.transactions, &block.receipts)
}

pub(super) fn encode_eth_block(header: &Header, transactions: &[TriadTx], receipts: &[Receipt]) -> Vec<u8> {
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
        header: header.clone(),
        transactions: transactions.iter().map(|tx| tx.encoded_2718().into()).collect(),
        receipts: receipts.iter().map(receipt).collect(),
    };
    let mut out = Vec::new();
    stored.encode(&mut out);
    out
}

fn stored_log(log: &Log) -> StoredLog {
    StoredLog { address: log.address, topics: log.topics().to_vec(), data: log.data.data.clone() }
}

fn logs(stored: Vec<StoredLog>) -> Option<Vec<Log>> {
    let log = |l: StoredLog| Some(Log { address: l.address, data: LogData::new(l.topics, l.data)? });
    stored.into_iter().map(log).collect()
}

/// Looks at the header first: most blocks hold nothing that a query wants.
fn log_block(mut bytes: &[u8], wanted: impl Fn(&Bloom) -> bool) -> Option<Option<LogBlock>> {
    let mut buf = alloy_rlp::Header::decode_bytes(&mut bytes, true).ok()?;
    let header = Header::decode(&mut buf).ok()?;
    if !wanted(&header.logs_bloom) {
        return Some(None);
    }
    let transactions = Vec::<alloy_primitives::Bytes>::decode(&mut buf).ok()?;
    let receipts = Vec::<StoredReceipt>::decode(&mut buf).ok()?;
    let both = transactions.iter().zip(receipts);
    let all = both.map(|(tx, receipt)| Some((keccak256(tx), logs(receipt.logs)?)));
    Some(Some(LogBlock::new(&header, header.hash_slow(), all.collect::<Option<_>>()?)))
}

pub(super) fn eth_block(mut bytes: &[u8]) -> Option<EthBlock> {
    let stored = StoredEthBlock::decode(&mut bytes).ok()?;
    let transactions = stored.transactions.iter().map(|raw| TriadTx::decode_2718(raw).ok());
    let receipts = stored.receipts.into_iter().map(|r| {
        let logs = logs(r.logs)?;
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

pub(crate) fn put_checkpoint(checkpoint: &Checkpoint, certificate: Option<&[u8]>) -> Vec<u8> {
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

    pub fn eth_logs(
        &self,
        height: u64,
        wanted: impl Fn(&Bloom) -> bool,
    ) -> Result<Option<LogBlock>, ChainError> {
        let Some(bytes) = self.eth_blocks.get(height.to_be_bytes())? else { return Ok(None) };
        log_block(&bytes, wanted)
            .ok_or_else(|| ChainError::corrupt(format!("Ethereum block {height} does not decode")))
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

pub(super) fn stored_checkpoint(bytes: &[u8]) -> Option<StoredCheckpoint> {
    let mut r = Reader(bytes);
    let checkpoint = Checkpoint::decode(r.bytes()?).ok()?;
    let certificate = r.bytes()?;
    Some(StoredCheckpoint {
        checkpoint,
        certificate: (!certificate.is_empty()).then(|| certificate.to_vec()),
    })
}
