//! The offline verifier of receipts.
//!
//! It trusts a genesis file and nothing in the receipt. In order, cheapest first, so that garbage costs little:
//!
//! 1. the receipt and all its parts are canonical;
//! 2. the checkpoint is of this chain; the validators come from genesis through the hand-overs, each certified by the
//!    set before it; the certificate is for the checkpoint's digest and epoch;
//! 3. the statement leaf, made here from the statement, the key and the verdict leaf's height and time, and the verdict
//!    leaf are at their indices of the log with the checkpoint's size and root. Since the leaf has the block's height
//!    in it and every block has one verdict leaf, this is *the* verdict leaf of the statement's block;
//! 4. the verdicts shown are consecutive leaves of that block's verdict tree, in order, and go from a verdict on an
//!    earlier statement (or the tree's beginning) to one on a later statement (or its end): so none on this one is missing;
//! 5. the key signed the statement; a quorum of the validators signed the certificate.

use triad_statement::{DeviceKey, KeyError, Statement, StatementError};

use crate::anchor::TrustAnchor;
use crate::certificate::{Certificate, CertificateError, namespace};
use crate::checkpoint::Checkpoint;
use crate::format::FormatError;
use crate::hash::sha256;
use crate::ids::{Height, LeafIndex};
use crate::leaf::StatementLeaf;
use crate::proof::root_from_subset;
use crate::receipt::{HandOver, Receipt};
use crate::report::Report;
use crate::validator_set::ValidatorSet;
use crate::validators::{Validators, ValidatorsError};
use crate::verdict::Verdict;

/// Why a receipt proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not a receipt.
    #[error("this is not a receipt that can be read: {0}")]
    Format(#[from] FormatError),
    /// The statement in it is not one.
    #[error("the statement in it breaks a rule: {0}")]
    Statement(#[from] StatementError),
    /// The key in it is not one.
    #[error("the device key in it is not valid: {0}")]
    Key(#[from] KeyError),
    /// Of another chain.
    #[error(
        "it is from another chain: its genesis is 0x{} (chain {chain_id}), the genesis file given is 0x{} (chain {expected_chain_id})",
        hex::encode(.genesis_hash), hex::encode(.expected)
    )]
    OtherChain {
        /// In the receipt.
        genesis_hash: [u8; 32],
        /// In the receipt.
        chain_id: u64,
        /// Of the trust anchor.
        expected: [u8; 32],
        /// Of the trust anchor.
        expected_chain_id: u64,
    },
    /// The number of hand-overs does not lead to the checkpoint's epoch.
    #[error(
        "the checkpoint at height {height} is of epoch {epoch}, but the hand-overs lead to epoch {reached}"
    )]
    Epoch {
        /// The checkpoint's height.
        height: Height,
        /// The checkpoint's epoch.
        epoch: u64,
        /// Where the hand-overs end.
        reached: u64,
    },
    /// The receipt does not go through the checkpoint that whoever verifies has known since it was new.
    #[error(
        "the trusted checkpoint 0x{} is neither its checkpoint nor the end of an epoch that it goes through; it is of epoch {epoch}. Keys \
         that were retired and stolen since could have made it: ask a node for a receipt under its newest checkpoint",
        hex::encode(.trusted)
    )]
    NotUnderTrusted {
        /// The digest that was to be found.
        trusted: [u8; 32],
        /// The epoch of the receipt's checkpoint.
        epoch: u64,
    },
    /// A hand-over names another set than its checkpoint.
    #[error("the hand-over after epoch {epoch} brings other validators than its checkpoint names")]
    HandOver {
        /// The epoch that ends.
        epoch: u64,
    },
    /// A hand-over's validators are no set.
    #[error("the validators after epoch {epoch}: {error}")]
    NextValidators {
        /// The epoch that ends.
        epoch: u64,
        /// Why.
        error: ValidatorsError,
    },
    /// The certificate is for something else.
    #[error("the finality certificate is for another block than the checkpoint at height {height}")]
    OtherDigest {
        /// The checkpoint's height.
        height: Height,
    },
    /// The certificate does not hold.
    #[error("the checkpoint at height {height} is not final: {error}")]
    NotFinal {
        /// The checkpoint's height.
        height: Height,
        /// Why.
        error: CertificateError,
    },
    /// The indices cannot be right.
    #[error(
        "leaf {leaf} cannot be a statement whose block's verdicts are leaf {verdict_leaf} of a log of {size} leaves"
    )]
    Indices {
        /// The statement's.
        leaf: LeafIndex,
        /// Its block's verdicts'.
        verdict_leaf: LeafIndex,
        /// The checkpoint's log size.
        size: u64,
    },
    /// The block comes after the checkpoint, or its time contradicts it.
    #[error(
        "a statement of block {height} at {time_ms} ms cannot be under the checkpoint of height {checkpoint} at {checkpoint_ms} ms"
    )]
    Contradiction {
        /// The statement's block.
        height: Height,
        /// Its time.
        time_ms: u64,
        /// The checkpoint's height.
        checkpoint: Height,
        /// Its time.
        checkpoint_ms: u64,
    },
    /// The log's root does not come out.
    #[error(
        "the log does not hold this statement, with this key and these verdicts, at leaf {leaf}: the root does not match"
    )]
    NotInLog {
        /// Where it should be.
        leaf: LeafIndex,
    },
    /// The verdict tree's root does not come out.
    #[error("the verdicts shown are not those of block {height}: the root does not match")]
    Verdicts {
        /// The block.
        height: Height,
    },
    /// A verdict on the statement may be missing.
    #[error("the verdicts shown do not prove that none is missing: {0}")]
    Incomplete(&'static str),
    /// The statement's signature is wrong.
    #[error("the statement's signature is not by the device key in the receipt")]
    Signature,
}

impl Receipt {
    /// Verifies a receipt file. Needs no network, no clock, no node.
    pub fn verify_bytes(bytes: &[u8], anchor: &TrustAnchor) -> Result<Report, VerifyError> {
        Receipt::decode(bytes)?.verify(anchor)
    }

    /// [`Self::verify`], and the receipt must go through a checkpoint whose digest (SHA-256) the verifier wrote down when it was
    /// new: the last one of an epoch, which names the validators that follow, or the receipt's own. Genesis alone cannot tell
    /// a chain from one that the keys of its first validators, retired and stolen years later, could make beside it.
    pub fn verify_trusting(&self, anchor: &TrustAnchor, trusted: &[u8; 32]) -> Result<Report, VerifyError> {
        let report = self.verify(anchor)?;
        let mut through = self.hand_overs.iter().map(|over| &over.checkpoint).chain([&self.checkpoint]);
        if through.any(|checkpoint| checkpoint.digest() == *trusted) {
            return Ok(report);
        }
        Err(VerifyError::NotUnderTrusted { trusted: *trusted, epoch: self.checkpoint.epoch })
    }

    /// Verifies a receipt.
    pub fn verify(&self, anchor: &TrustAnchor) -> Result<Report, VerifyError> {
        let checkpoint = &self.checkpoint;
        check_chain(checkpoint, anchor)?;
        check_digest(checkpoint, &self.certificate)?;
        let statement = Statement::parse_stored(self.statement.clone())?;
        let key = DeviceKey::from_cose_key(&self.cose_key)?;
        self.check_block()?;
        self.check_log(&statement)?;
        self.check_verdicts()?;
        if !triad_statement::verify(&statement, &key) {
            return Err(VerifyError::Signature);
        }
        let validators = self.validators(anchor)?;
        let signers = check_final(checkpoint, &self.certificate, &validators)?;
        Ok(self.report(&statement, &key, &validators, &signers))
    }

    fn check_block(&self) -> Result<(), VerifyError> {
        let (leaf, checkpoint) = (&self.verdict_leaf, &self.checkpoint);
        let agrees = match leaf.height.cmp(&checkpoint.height) {
            std::cmp::Ordering::Less => leaf.time_ms < checkpoint.time_ms,
            std::cmp::Ordering::Equal => leaf.time_ms == checkpoint.time_ms,
            std::cmp::Ordering::Greater => false,
        };
        if agrees {
            return Ok(());
        }
        Err(VerifyError::Contradiction {
            height: leaf.height,
            time_ms: leaf.time_ms,
            checkpoint: checkpoint.height,
            checkpoint_ms: checkpoint.time_ms,
        })
    }

    fn check_log(&self, statement: &Statement) -> Result<(), VerifyError> {
        let (index, verdict_index, size) =
            (self.leaf_index, self.verdict_leaf_index, self.checkpoint.log_size);
        if index >= verdict_index || verdict_index.0 >= size {
            return Err(VerifyError::Indices { leaf: index, verdict_leaf: verdict_index, size });
        }
        let leaf = StatementLeaf {
            statement_hash: sha256(&self.statement),
            signer: statement.signer(),
            origin: statement.origin(),
            key_fingerprint: sha256(&self.cose_key),
            height: self.verdict_leaf.height,
            time_ms: self.verdict_leaf.time_ms,
        };
        let shown = [(index.0, leaf.hash()), (verdict_index.0, self.verdict_leaf.hash())];
        if root_from_subset(&shown, size, &self.log_proof) != Some(self.checkpoint.log_root) {
            return Err(VerifyError::NotInLog { leaf: index });
        }
        Ok(())
    }

    fn check_verdicts(&self) -> Result<(), VerifyError> {
        let block = &self.verdict_leaf;
        let wrong = VerifyError::Verdicts { height: block.height };
        let shown: Option<Vec<_>> = (0..)
            .zip(&self.verdicts)
            .map(|(n, verdict)| Some((self.first_verdict.checked_add(n)?, verdict.hash())))
            .collect();
        let shown = shown.ok_or_else(|| wrong.clone())?;
        let root = root_from_subset(&shown, block.count, &self.verdict_proof);
        if root != Some(block.root) {
            return Err(wrong);
        }
        self.check_complete()
    }

    /// Exactly the verdicts on the statement and their neighbours, if there are any.
    fn check_complete(&self) -> Result<(), VerifyError> {
        let (index, count) = (self.leaf_index, self.verdict_leaf.count);
        if !self.verdicts.is_sorted_by_key(Verdict::order) {
            return Err(VerifyError::Incomplete("they are not in order"));
        }
        let before = self.verdicts.iter().filter(|verdict| verdict.leaf < index).count();
        let after = self.verdicts.iter().filter(|verdict| verdict.leaf > index).count();
        let end = self.first_verdict + self.verdicts.len() as u64;
        if before != 1 && (before, self.first_verdict) != (0, 0) {
            return Err(VerifyError::Incomplete("not just one on an earlier statement comes before them"));
        }
        if after != 1 && (after, end) != (0, count) {
            return Err(VerifyError::Incomplete("not just one on a later statement comes after them"));
        }
        Ok(())
    }

    /// The set that signs in the checkpoint's epoch, by way of the hand-overs.
    fn validators(&self, anchor: &TrustAnchor) -> Result<Validators, VerifyError> {
        let (validators, height) = follow(&self.hand_overs, anchor)?;
        let reached = self.hand_overs.len() as u64;
        let checkpoint = &self.checkpoint;
        if checkpoint.epoch != reached || height >= Some(checkpoint.height) {
            return Err(VerifyError::Epoch { height: checkpoint.height, epoch: checkpoint.epoch, reached });
        }
        Ok(validators)
    }
}

/// The validators that the last hand-over leads to (genesis' where there is none), and its height.
pub(crate) fn follow(
    hand_overs: &[HandOver],
    anchor: &TrustAnchor,
) -> Result<(Validators, Option<Height>), VerifyError> {
    let mut validators = anchor.validators.clone();
    let mut height = None;
    for (epoch, hand_over) in (0..).zip(hand_overs) {
        let checkpoint = &hand_over.checkpoint;
        check_chain(checkpoint, anchor)?;
        if checkpoint.epoch != epoch || height >= Some(checkpoint.height) {
            return Err(VerifyError::Epoch {
                height: checkpoint.height,
                epoch: checkpoint.epoch,
                reached: epoch,
            });
        }
        check_digest(checkpoint, &hand_over.certificate)?;
        check_final(checkpoint, &hand_over.certificate, &validators)?;
        let next = ValidatorSet::decode(&hand_over.validators)
            .map_err(|error| VerifyError::NextValidators { epoch, error })?;
        if checkpoint.next_validators != Some(next.hash()) {
            return Err(VerifyError::HandOver { epoch });
        }
        validators = next.consensus().clone();
        height = Some(checkpoint.height);
    }
    Ok((validators, height))
}

pub(crate) fn check_chain(checkpoint: &Checkpoint, anchor: &TrustAnchor) -> Result<(), VerifyError> {
    if checkpoint.genesis_hash == anchor.genesis_hash && checkpoint.chain_id == anchor.chain_id {
        return Ok(());
    }
    Err(VerifyError::OtherChain {
        genesis_hash: checkpoint.genesis_hash,
        chain_id: checkpoint.chain_id,
        expected: anchor.genesis_hash,
        expected_chain_id: anchor.chain_id,
    })
}

fn check_digest(checkpoint: &Checkpoint, certificate: &Certificate) -> Result<(), VerifyError> {
    if certificate.digest == checkpoint.digest() && certificate.epoch == checkpoint.epoch {
        return Ok(());
    }
    Err(VerifyError::OtherDigest { height: checkpoint.height })
}

pub(crate) fn check_final(
    checkpoint: &Checkpoint,
    certificate: &Certificate,
    validators: &Validators,
) -> Result<Vec<usize>, VerifyError> {
    certificate
        .verify(&namespace(&checkpoint.genesis_hash), validators)
        .map_err(|error| VerifyError::NotFinal { height: checkpoint.height, error })
}
