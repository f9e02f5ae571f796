//! Evidence that a validator voted twice where it may vote once: two signed votes that contradict each other.
//!
//! ```text
//! evidence = ["triad-evidence", 1, namespace bstr, validator bstr (32), epoch uint, view uint,
//!             kind uint, first vote, second vote, seen]                                     canonical CBOR
//! notarize = finalize = [parent view uint, digest bstr (32), signature bstr (64)]
//! nullify  = [signature bstr (64)]
//! seen     = [height uint, time_ms uint, led uint (0 or 1)]
//! ```
//!
//! | kind | first vote | second vote |
//! | --- | --- | --- |
//! | 1 | notarize | notarize for another proposal |
//! | 2 | finalize | finalize for another proposal |
//! | 3 | nullify | finalize |
//!
//! Where both are of one sort, the one with the lower (parent view, digest) comes first. What is signed is what a
//! certificate's signatures sign (`certificate`):
//!
//! ```text
//! varint(|NS| + |suffix|) ‖ NS ‖ suffix ‖ varint(epoch) ‖ varint(view) [‖ varint(parent view) ‖ digest]
//! suffix = "_NOTARIZE", "_FINALIZE", or "_NULLIFY" (without the part in brackets)
//! ```
//!
//! An honest validator journals each vote before it leaves, votes notarize and finalize once a view, and never both
//! nullify and finalize in one; so the two signatures prove that the holder of the key did not follow the protocol
//! (or that two processes voted with it). `seen` is the word of the node that kept it: nothing proves it.

mod id;

use serde_json::{Value, json};

use crate::certificate::{put_varint, vote_message};
use crate::format::{FormatError, Reader, VERSION, Writer, read, write};
use crate::hash::Hash;
use crate::text::hex0x;
use crate::validators::verify_ed25519;

pub use id::{BadEvidenceId, EvidenceId, EvidenceKind};

const WHAT: &str = "evidence";
const MAGIC: &str = "triad-evidence";

/// Longest file.
pub const MAX_EVIDENCE_BYTES: usize = 1024;

/// Longest namespace. That of a chain has 37 bytes.
const MAX_NAMESPACE: usize = 255;

/// A vote for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockVote {
    /// The view of the parent.
    pub parent_view: u64,
    /// SHA-256 of the block's checkpoint.
    pub digest: Hash,
    /// Ed25519.
    pub signature: [u8; 64],
}

impl BlockVote {
    /// What it is for: the parent's view and the block's digest.
    pub fn proposal(&self) -> (u64, Hash) {
        (self.parent_view, self.digest)
    }
}

/// Two votes that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// In order.
    Notarizes([BlockVote; 2]),
    /// In order.
    Finalizes([BlockVote; 2]),
    /// One of each.
    NullifyFinalize {
        /// Signature of the vote to give the view up.
        nullify: [u8; 64],
        /// The vote to finalise.
        finalize: BlockVote,
    },
}

fn in_order(mut votes: [BlockVote; 2]) -> [BlockVote; 2] {
    votes.sort_by_key(BlockVote::proposal);
    votes
}

impl Conflict {
    /// Two votes to notarise, in any order.
    pub fn notarizes(votes: [BlockVote; 2]) -> Conflict {
        Conflict::Notarizes(in_order(votes))
    }

    /// Two votes to finalise, in any order.
    pub fn finalizes(votes: [BlockVote; 2]) -> Conflict {
        Conflict::Finalizes(in_order(votes))
    }

    /// Which kind it is.
    pub fn kind(&self) -> EvidenceKind {
        match self {
            Conflict::Notarizes(_) => EvidenceKind::Notarizes,
            Conflict::Finalizes(_) => EvidenceKind::Finalizes,
            Conflict::NullifyFinalize { .. } => EvidenceKind::NullifyFinalize,
        }
    }
}

/// What the node that kept it noted beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Highest final block that it knew.
    pub height: u64,
    /// Its clock, milliseconds since 1970.
    pub time_ms: u64,
    /// Whether the validator led the view: then two notarised blocks are two proposals.
    pub led: bool,
}

/// Evidence as it was read; nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What the chain's validators join to everything that they sign: "triad" ‖ genesis hash.
    pub namespace: Vec<u8>,
    /// Ed25519 key of the validator.
    pub validator: [u8; 32],
    /// Consensus epoch.
    pub epoch: u64,
    /// Consensus view.
    pub view: u64,
    /// The votes.
    pub conflict: Conflict,
    /// The keeper's notes.
    pub seen: Seen,
}

/// One of the two votes, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVote {
    /// `notarize`, `finalize` or `nullify`.
    pub name: &'static str,
    /// Parent's view and digest of the block that it is for; none for `nullify`.
    pub block: Option<(u64, Hash)>,
    /// What was signed.
    pub message: Vec<u8>,
    /// Ed25519.
    pub signature: [u8; 64],
}

/// Evidence that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Of another chain.
    #[error(
        "the votes were made on another chain: they were signed under the namespace 0x{}, this chain's is 0x{}",
        hex::encode(.found), hex::encode(.expected)
    )]
    WrongChain {
        /// This chain's.
        expected: Vec<u8>,
        /// What the evidence says.
        found: Vec<u8>,
    },
    /// Against somebody else.
    #[error("it is against the validator 0x{}, not 0x{}", hex::encode(.found), hex::encode(.expected))]
    WrongValidator {
        /// Whom it should be against.
        expected: [u8; 32],
        /// Whom it is against.
        found: [u8; 32],
    },
    /// Two times the same vote.
    #[error("both votes are for the same block with the same parent: they do not contradict each other")]
    NoConflict,
    /// A signature is wrong.
    #[error("the signature of the {place} vote ({vote}) is not the validator's")]
    Signature {
        /// `first` or `second`.
        place: &'static str,
        /// Which vote it is.
        vote: &'static str,
    },
}

impl Evidence {
    /// What it is kept under.
    pub fn id(&self) -> EvidenceId {
        let kind = self.conflict.kind();
        EvidenceId { validator: self.validator, epoch: self.epoch, view: self.view, kind }
    }

    /// What the validator did, in words.
    pub fn meaning(&self) -> &'static str {
        match self.conflict.kind() {
            EvidenceKind::Notarizes if self.seen.led => "proposed two blocks in one view",
            EvidenceKind::Notarizes => "voted for two blocks in one view",
            EvidenceKind::Finalizes => "voted to finalise two blocks in one view",
            EvidenceKind::NullifyFinalize => "gave a view up and voted to finalise in it",
        }
    }

    /// The two votes in their order.
    pub fn votes(&self) -> [SignedVote; 2] {
        let vote = |name: &'static str, suffix: &[u8], block: Option<(u64, Hash)>, signature: [u8; 64]| {
            let mut parts = Vec::with_capacity(64);
            for number in [self.epoch, self.view] {
                put_varint(&mut parts, number);
            }
            if let Some((parent_view, digest)) = &block {
                put_varint(&mut parts, *parent_view);
                parts.extend_from_slice(digest);
            }
            SignedVote { name, block, message: vote_message(&self.namespace, suffix, &parts), signature }
        };
        let block = |name, suffix, v: &BlockVote| vote(name, suffix, Some(v.proposal()), v.signature);
        match &self.conflict {
            Conflict::Notarizes(votes) => votes.each_ref().map(|v| block("notarize", b"_NOTARIZE", v)),
            Conflict::Finalizes(votes) => votes.each_ref().map(|v| block("finalize", b"_FINALIZE", v)),
            Conflict::NullifyFinalize { nullify, finalize } => {
                [vote("nullify", b"_NULLIFY", None, *nullify), block("finalize", b"_FINALIZE", finalize)]
            }
        }
    }

    /// Checks, from it and the two arguments alone, that the validator with this key signed both votes on the chain with
    /// this namespace, and that an honest one signs at most one of them. Whether the key was a validator's in that
    /// epoch is for the caller to know.
    pub fn verify(&self, namespace: &[u8], validator: &[u8; 32]) -> Result<(), EvidenceError> {
        if self.namespace != namespace {
            return Err(EvidenceError::WrongChain {
                expected: namespace.to_vec(),
                found: self.namespace.clone(),
            });
        }
        if self.validator != *validator {
            return Err(EvidenceError::WrongValidator { expected: *validator, found: self.validator });
        }
        let votes = self.votes();
        // The sort of a vote is in its message: these are equal only where both are the same vote.
        if votes[0].message == votes[1].message {
            return Err(EvidenceError::NoConflict);
        }
        for (vote, place) in votes.iter().zip(["first", "second"]) {
            if !verify_ed25519(validator, &vote.message, &vote.signature) {
                return Err(EvidenceError::Signature { place, vote: vote.name });
            }
        }
        Ok(())
    }

    /// The byte format above.
    pub fn encode(&self) -> Vec<u8> {
        write::<std::convert::Infallible>(512, |w| {
            w.array(10)?.str(MAGIC)?.u64(VERSION)?.bytes(&self.namespace)?.bytes(&self.validator)?;
            w.u64(self.epoch)?.u64(self.view)?.u8(self.conflict.kind() as u8)?;
            let block = |w: &mut Writer, vote: &BlockVote| {
                w.array(3)?.u64(vote.parent_view)?.bytes(&vote.digest)?.bytes(&vote.signature)?;
                Ok(())
            };
            match &self.conflict {
                Conflict::Notarizes(votes) | Conflict::Finalizes(votes) => {
                    votes.iter().try_for_each(|vote| block(w, vote))?;
                }
                Conflict::NullifyFinalize { nullify, finalize } => {
                    w.array(1)?.bytes(nullify)?;
                    block(w, finalize)?;
                }
            }
            w.array(3)?.u64(self.seen.height)?.u64(self.seen.time_ms)?.u8(u8::from(self.seen.led))?;
            Ok(())
        })
    }

    /// Strict: only what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Evidence, FormatError> {
        if bytes.len() > MAX_EVIDENCE_BYTES {
            return Err(FormatError::Length { what: WHAT, expected: "at most 1024", found: bytes.len() });
        }
        read(WHAT, bytes, parse, Evidence::encode)
    }

    /// What people and programs are shown: all parts, and what each signature signs.
    pub fn to_json(&self) -> Value {
        let vote = |vote: SignedVote| {
            json!({
                "vote": vote.name,
                "epoch": self.epoch,
                "view": self.view,
                "parent_view": vote.block.map(|(parent_view, _)| parent_view),
                "digest": vote.block.map(|(_, digest)| hex0x(&digest)),
                "message": hex0x(&vote.message),
                "signature": hex0x(&vote.signature),
            })
        };
        json!({
            "id": self.id().to_string(),
            "validator": hex0x(&self.validator),
            "epoch": self.epoch,
            "view": self.view,
            "kind": self.conflict.kind() as u8,
            "meaning": self.meaning(),
            "led": self.seen.led,
            "seen_height": self.seen.height,
            "seen_time_ms": self.seen.time_ms,
            "namespace": hex0x(&self.namespace),
            "votes": self.votes().map(vote),
        })
    }
}

fn parse(r: &mut Reader<'_>) -> Result<Evidence, FormatError> {
    r.array_of(10)?;
    if r.text()? != MAGIC {
        return Err(r.malformed(format!("it does not begin with `{MAGIC}`")));
    }
    r.version()?;
    let namespace = r.bytes()?.to_vec();
    if namespace.len() > MAX_NAMESPACE {
        return Err(r.malformed(format!("a namespace of {} bytes", namespace.len())));
    }
    let (validator, epoch, view) = (r.fixed()?, r.u64()?, r.u64()?);
    let number = r.u64()?;
    let kind = EvidenceKind::from_number(number).ok_or_else(|| FormatError::Field {
        what: WHAT,
        field: "kind",
        expected: "1, 2 or 3",
        found: number.to_string(),
    })?;
    let vote = |r: &mut Reader<'_>| {
        r.array_of(3)?;
        Ok(BlockVote { parent_view: r.u64()?, digest: r.fixed()?, signature: r.fixed()? })
    };
    let conflict = match kind {
        EvidenceKind::NullifyFinalize => {
            r.array_of(1)?;
            Conflict::NullifyFinalize { nullify: r.fixed()?, finalize: vote(r)? }
        }
        _ => {
            let votes = [vote(r)?, vote(r)?];
            if votes[1].proposal() < votes[0].proposal() {
                return Err(r.malformed("its votes are not in order"));
            }
            if kind == EvidenceKind::Notarizes {
                Conflict::Notarizes(votes)
            } else {
                Conflict::Finalizes(votes)
            }
        }
    };
    r.array_of(3)?;
    let (height, time_ms, led) = (r.u64()?, r.u64()?, r.u64()?);
    if led > 1 {
        return Err(FormatError::Field {
            what: WHAT,
            field: "led",
            expected: "0 or 1",
            found: led.to_string(),
        });
    }
    Ok(Evidence {
        namespace,
        validator,
        epoch,
        view,
        conflict,
        seen: Seen { height, time_ms, led: led == 1 },
    })
}
