//! Files of models on the chain: bytes in the code of contracts, which every validator has and nobody can change.
//!
//! ```text
//! code of a chunk = 00 ‖ 1 to 24,575 bytes of the file
//! code of a file  = 00 ‖ addresses of its chunks, 20 bytes each, in their order
//! ```
//!
//! The leading zero is STOP: such a contract does nothing when it is called, and no account that delegates itself (EIP-7702)
//! looks like one. Anybody deploys the contracts with plain transactions ([`chunk_creations`], [`file_creation`]) and pays for
//! the bytes as for any code. Nothing is checked then; a binding names a file's SHA-256, and what its bytes are is found out
//! when the model first judges, with the refusal in its verdicts.
//!
//! Opened models are cached. The answer does not depend on the cache: each use makes sure that the contracts have, in
//! the state at hand, the very code that the cached model was read from.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use triad_evm::StateView;
use triad_models::{FileModel, FileSpec, MAX_CHAIN_MODEL_BYTES, ModelFileError};

use crate::error::ChainError;

/// EIP-170 less the zero.
pub const CHUNK_BYTES: usize = 24_575;
/// Memory for opened models.
const CACHE_BYTES: u64 = 128 << 20;
const MAX_CHUNKS: usize = MAX_CHAIN_MODEL_BYTES.div_ceil(CHUNK_BYTES);
/// PUSH2 length DUP1 PUSH1 10 PUSH0 CODECOPY PUSH0 RETURN: what runs at a deployment and leaves the rest as the code.
const LOADER: [u8; 10] = [0x61, 0, 0, 0x80, 0x60, 10, 0x5f, 0x39, 0x5f, 0xf3];

fn creation(payload: &[u8]) -> Vec<u8> {
    let mut loader = LOADER;
    loader[1..3].copy_from_slice(&(payload.len() as u16 + 1).to_be_bytes());
    [&loader[..], &[0], payload].concat()
}

/// The inputs of the transactions that deploy a file's chunks.
pub fn chunk_creations(file: &[u8]) -> Vec<Vec<u8>> {
    file.chunks(CHUNK_BYTES).map(creation).collect()
}

/// The input of the transaction that deploys the contract of a file, once its chunks are there.
pub fn file_creation(chunks: &[Address]) -> Vec<u8> {
    creation(chunks.concat().as_slice())
}

/// What the code of a contract holds, if it is one of these.
pub fn payload(code: &[u8]) -> Option<&[u8]> {
    code.strip_prefix(&[0]).filter(|payload| !payload.is_empty())
}

/// Where the chunks of a file are, from the code of its contract; `None` if it is no such contract.
pub fn chunks(code: &[u8]) -> Option<Vec<Address>> {
    let (chunks, rest) = payload(code)?.as_chunks::<20>();
    (rest.is_empty() && chunks.len() <= MAX_CHUNKS)
        .then(|| chunks.iter().map(|chunk| Address::from(*chunk)).collect())
}

/// Why there is no model to judge by.
pub(crate) type Refusal = ModelFileError;

fn refused(why: impl Into<String>) -> Refusal {
    ModelFileError(why.into())
}

/// The code at an address and its hash.
fn code(view: &dyn StateView, at: &Address) -> Result<(B256, Bytes), ChainError> {
    let hash = view.account(at)?.unwrap_or_default().code_hash;
    Ok((hash, view.code(&hash)?.unwrap_or_default()))
}

/// The contracts that a file was read from, with the hashes of their code.
type Sources = Vec<(Address, B256)>;

/// The bytes of the file at a contract, at most `most` of them.
fn read(
    view: &dyn StateView,
    at: &Address,
    most: usize,
) -> Result<Result<(Vec<u8>, Sources), Refusal>, ChainError> {
    let (hash, index) = code(view, at)?;
    let Some(chunks) = chunks(&index) else {
        return Ok(Err(refused(format!("{at} is no contract that names 1 to {MAX_CHUNKS} parts of a file"))));
    };
    let (mut file, mut sources) = (Vec::new(), vec![(*at, hash)]);
    for chunk in chunks {
        let (hash, code) = code(view, &chunk)?;
        let Some(bytes) = payload(&code) else {
            return Ok(Err(refused(format!("no part of a file at {chunk}"))));
        };
        if file.len() + bytes.len() > most {
            return Ok(Err(refused(format!("the file at {at} has more than {most} bytes"))));
        }
        file.extend_from_slice(bytes);
        sources.push((chunk, hash));
    }
    Ok(Ok((file, sources)))
}

struct Opened {
    model: Arc<FileModel>,
    sources: Sources,
    bytes: u32,
}

/// What a model is opened by.
type Key = FileSpec;

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Opened>> for ByBytes {
    fn weight(&self, _: &Key, opened: &Arc<Opened>) -> u64 {
        // A node of 10 or 14 bytes takes 24 in memory.
        3 * u64::from(opened.bytes)
    }
}

/// Opened models of a chain.
pub(crate) struct ModelFiles(Cache<Key, Arc<Opened>, ByBytes>);

impl Default for ModelFiles {
    fn default() -> Self {
        ModelFiles(Cache::with_weighter(256, CACHE_BYTES, ByBytes))
    }
}

impl ModelFiles {
    /// The model that a binding names, as the state has it.
    pub fn open(
        &self,
        view: &dyn StateView,
        spec: &FileSpec,
    ) -> Result<Result<Arc<FileModel>, Refusal>, ChainError> {
        if let Some(opened) = self.0.get(spec)
            && same(view, &opened.sources)?
        {
            return Ok(Ok(opened.model.clone()));
        }
        let bytes = spec.cost().bytes;
        let (file, sources) = match read(view, &Address::from(spec.at()), bytes as usize)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let model = match spec.open(&file) {
            Ok(model) => Arc::new(model),
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.0.insert(spec.clone(), Arc::new(Opened { model: model.clone(), sources, bytes }));
        Ok(Ok(model))
    }
}

fn same(view: &dyn StateView, sources: &Sources) -> Result<bool, ChainError> {
    for (address, hash) in sources {
        if view.account(address)?.is_none_or(|account| account.code_hash != *hash) {
            return Ok(false);
        }
    }
    Ok(true)
}
