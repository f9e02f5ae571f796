//! A receipt as `TriadVerifier` takes it, the contract that verifies on public chains.
//!
//! The contract proves one leaf at a time and reads no COSE, so a receipt is taken apart: the checkpoint's bytes, the
//! validators' secp256k1 signatures of it, an inclusion proof of the statement's leaf, and for each verdict on the
//! statement a proof through the block's verdict leaf. See `contracts/src/TriadVerifier.sol` and `docs/verifier.md`.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolValue, sol};
use triad_log::{Checkpoint, HandOver, Receipt, StatementLeaf, Validators, path_from_subset, sha256};
use triad_statement::{Statement, StatementError};

use crate::checkpoint_signature::{CheckpointSignature, checkpoint_message};

sol! {
    #[derive(Debug, PartialEq, Eq, serde::Serialize)]
    struct Signature {
        uint256 validator;
        bytes32 r;
        bytes32 vs;
    }

    #[derive(Debug, PartialEq, Eq, serde::Serialize)]
    struct StatementLeafFields {
        bytes32 statementHash;
        bytes20 signer;
        bytes20 origin;
        bytes32 keyFingerprint;
        uint64 height;
        uint64 timeMs;
    }

    #[derive(Debug, PartialEq, Eq, serde::Serialize)]
    struct StatementProof {
        StatementLeafFields leaf;
        uint64 leafIndex;
        bytes32[] logPath;
        uint64 anchor;
    }

    #[derive(Debug, PartialEq, Eq, serde::Serialize)]
    struct VerdictProof {
        bytes verdict;
        uint64 index;
        uint64 count;
        bytes32[] path;
        uint64 height;
        uint64 timeMs;
        uint64 leafIndex;
        bytes32[] logPath;
        uint64 anchor;
    }

    /// The contract; see `contracts/src/TriadVerifier.sol`.
    #[derive(Debug)]
    interface TriadVerifier {
        function verifyStatement(bytes checkpoint, Signature[] signatures, StatementProof p) external;
        function verifyVerdict(bytes checkpoint, Signature[] signatures, VerdictProof p) external;
        function submitCheckpoint(bytes checkpoint, Signature[] signatures) external;
        function proveStatement(StatementProof p) external;
        function proveVerdict(VerdictProof p) external;
        function handOver(bytes checkpoint, Signature[] signatures, bytes set) external;
    }
}

/// A receipt cannot be shown to the contract.
#[derive(Debug, thiserror::Error)]
pub enum PublicProofError {
    #[error("the statement in the receipt breaks a rule: {0}")]
    Statement(#[from] StatementError),
    #[error("the receipt's log or verdict proof does not fit its leaves: check it with `triad verify`")]
    Proof,
    #[error(
        "validator {validator} ({address}) has given a signature that is not its own, of the checkpoint at height {height}"
    )]
    Signature { validator: u32, address: Address, height: u64 },
    #[error(
        "{found} of {of} validators signed the checkpoint at height {height} and {needed} must: ask more validators' nodes"
    )]
    NoQuorum { height: u64, found: usize, of: usize, needed: usize },
}

/// What the contract's functions take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicProof {
    /// Canonical CBOR.
    pub checkpoint: Vec<u8>,
    /// A quorum of its epoch's validators, by index.
    pub signatures: Vec<Signature>,
    pub statement: StatementProof,
    /// Of each verdict on the statement, in order.
    pub verdicts: Vec<VerdictProof>,
}

/// The contract's constructor arguments, to be put behind its bytecode.
pub fn constructor_arguments(genesis_hash: [u8; 32], chain_id: u64, validators: &[Address]) -> Vec<u8> {
    (B256::from(genesis_hash), U256::from(chain_id), validators.to_vec()).abi_encode_params()
}

/// A signature as the contract takes it.
pub fn compact(signature: &CheckpointSignature) -> Signature {
    let parity = U256::from(signature.signature.v()) << 255;
    Signature {
        validator: U256::from(signature.validator),
        r: B256::from(signature.signature.r()),
        vs: B256::from(signature.signature.s() | parity),
    }
}

impl PublicProof {
    /// From a receipt and signatures of its checkpoint by the validators with these addresses (by index), in any order
    /// and with repetitions. No more than a quorum is kept.
    pub fn new(
        receipt: &Receipt,
        signatures: &[CheckpointSignature],
        validators: &[Address],
    ) -> Result<PublicProof, PublicProofError> {
        let (log_path, verdict_log_path) = log_paths(receipt)?;
        let anchor = receipt.checkpoint.height.0;
        Ok(PublicProof {
            checkpoint: receipt.checkpoint.encode(),
            signatures: quorum(&receipt.checkpoint, signatures, validators)?,
            statement: StatementProof {
                leaf: leaf_fields(&statement_leaf(receipt)?),
                leafIndex: receipt.leaf_index.0,
                logPath: log_path,
                anchor,
            },
            verdicts: verdict_proofs(receipt, &verdict_log_path)?,
        })
    }

    /// Calldata of `verifyStatement`.
    pub fn verify_statement(&self) -> Vec<u8> {
        TriadVerifier::verifyStatementCall {
            checkpoint: self.checkpoint.clone().into(),
            signatures: self.signatures.clone(),
            p: self.statement.clone(),
        }
        .abi_encode()
    }

    /// Calldata of `verifyVerdict` for one of [`Self::verdicts`].
    pub fn verify_verdict(&self, verdict: &VerdictProof) -> Vec<u8> {
        TriadVerifier::verifyVerdictCall {
            checkpoint: self.checkpoint.clone().into(),
            signatures: self.signatures.clone(),
            p: verdict.clone(),
        }
        .abi_encode()
    }

    /// Calldata of `submitCheckpoint`.
    pub fn submit_checkpoint(&self) -> Vec<u8> {
        TriadVerifier::submitCheckpointCall {
            checkpoint: self.checkpoint.clone().into(),
            signatures: self.signatures.clone(),
        }
        .abi_encode()
    }

    /// Calldata of `proveStatement`.
    pub fn prove_statement(&self) -> Vec<u8> {
        TriadVerifier::proveStatementCall { p: self.statement.clone() }.abi_encode()
    }
}

/// Calldata of `handOver`, by which the contract comes to know the validators of the next epoch: `signatures` are of the epoch's
/// last checkpoint, by the validators with these addresses (by index).
pub fn hand_over(
    over: &HandOver,
    signatures: &[CheckpointSignature],
    validators: &[Address],
) -> Result<Vec<u8>, PublicProofError> {
    let call = TriadVerifier::handOverCall {
        checkpoint: over.checkpoint.encode().into(),
        signatures: quorum(&over.checkpoint, signatures, validators)?,
        set: over.validators.clone().into(),
    };
    Ok(call.abi_encode())
}

/// Calldata of `proveVerdict`.
pub fn prove_verdict(verdict: &VerdictProof) -> Vec<u8> {
    TriadVerifier::proveVerdictCall { p: verdict.clone() }.abi_encode()
}

/// The first signatures, by index, that make a quorum; a wrong one is an error, since whoever gave it should be known.
fn quorum(
    checkpoint: &Checkpoint,
    signatures: &[CheckpointSignature],
    validators: &[Address],
) -> Result<Vec<Signature>, PublicProofError> {
    let height = checkpoint.height.0;
    let message = checkpoint_message(&checkpoint.genesis_hash, checkpoint.chain_id, &checkpoint.digest());
    let mut good: Vec<&CheckpointSignature> = Vec::new();
    for signature in signatures {
        let (validator, address) = (signature.validator, signature.address);
        let known = validators.get(validator as usize) == Some(&address);
        let by = alloy_consensus::crypto::secp256k1::recover_signer(&signature.signature, message);
        if !known || by.ok() != Some(address) {
            return Err(PublicProofError::Signature { validator, address, height });
        }
        good.push(signature);
    }
    good.sort_unstable_by_key(|signature| signature.validator);
    good.dedup_by_key(|signature| signature.validator);
    let needed = Validators::quorum_of(validators.len());
    if good.len() < needed {
        let (found, of) = (good.len(), validators.len());
        return Err(PublicProofError::NoQuorum { height, found, of, needed });
    }
    Ok(good[..needed].iter().map(|signature| compact(signature)).collect())
}

fn statement_leaf(receipt: &Receipt) -> Result<StatementLeaf, PublicProofError> {
    let statement = Statement::parse_stored(receipt.statement.clone())?;
    Ok(StatementLeaf {
        statement_hash: sha256(&receipt.statement),
        signer: statement.signer(),
        origin: statement.origin(),
        key_fingerprint: sha256(&receipt.cose_key),
        height: receipt.verdict_leaf.height,
        time_ms: receipt.verdict_leaf.time_ms,
    })
}

fn leaf_fields(leaf: &StatementLeaf) -> StatementLeafFields {
    StatementLeafFields {
        statementHash: leaf.statement_hash.into(),
        signer: leaf.signer.0.into(),
        origin: leaf.origin.0.into(),
        keyFingerprint: leaf.key_fingerprint.into(),
        height: leaf.height.0,
        timeMs: leaf.time_ms,
    }
}

/// The inclusion proofs of the statement's leaf and of its block's verdict leaf.
fn log_paths(receipt: &Receipt) -> Result<(Vec<B256>, Vec<B256>), PublicProofError> {
    let leaf = statement_leaf(receipt)?.hash();
    let leaves = [(receipt.leaf_index.0, leaf), (receipt.verdict_leaf_index.0, receipt.verdict_leaf.hash())];
    let path = |index| {
        path_from_subset(&leaves, index, receipt.checkpoint.log_size, &receipt.log_proof)
            .map(words)
            .ok_or(PublicProofError::Proof)
    };
    Ok((path(leaves[0].0)?, path(leaves[1].0)?))
}

fn verdict_proofs(receipt: &Receipt, log_path: &[B256]) -> Result<Vec<VerdictProof>, PublicProofError> {
    let block = &receipt.verdict_leaf;
    let shown: Vec<_> = (receipt.first_verdict..).zip(&receipt.verdicts).collect();
    let leaves: Vec<_> = shown.iter().map(|(index, verdict)| (*index, verdict.hash())).collect();
    let mine = shown.iter().filter(|(_, verdict)| verdict.leaf == receipt.leaf_index);
    mine.map(|(index, verdict)| {
        let path = path_from_subset(&leaves, *index, block.count, &receipt.verdict_proof)
            .ok_or(PublicProofError::Proof)?;
        Ok(VerdictProof {
            verdict: verdict.encode().into(),
            index: *index,
            count: block.count,
            path: words(path),
            height: block.height.0,
            timeMs: block.time_ms,
            leafIndex: receipt.verdict_leaf_index.0,
            logPath: log_path.to_vec(),
            anchor: receipt.checkpoint.height.0,
        })
    })
    .collect()
}

fn words(hashes: Vec<[u8; 32]>) -> Vec<B256> {
    hashes.into_iter().map(B256::from).collect()
}
