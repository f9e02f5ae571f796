//! What the log holds: for each statement a statement leaf, and after a block's statement leaves its one verdict leaf.
//!
//! ```text
//! statement leaf = [1, 0, SHA-256(stored statement) b32, signer b20, origin b20, SHA-256(COSE_Key) b32, height, time_ms]
//! verdict leaf   = [1, 1, height, time_ms, verdict count, verdict root b32]
//! ```
//!
//! Canonical CBOR; the first number is the version, the second says which of the two it is. `time_ms` is the block's
//! time in milliseconds since 1970. The hash of a leaf is SHA-256(0x00 ‖ leaf).

use triad_statement::DeviceId;

use crate::format::{self, FormatError, VERSION};
use crate::hash::{EMPTY_ROOT, Hash, leaf_hash};
use crate::ids::Height;

const STATEMENT: u64 = 0;
const VERDICTS: u64 = 1;

/// The log's entry for one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementLeaf {
    /// SHA-256 of the statement as it is stored.
    pub statement_hash: Hash,
    /// Who signed it.
    pub signer: DeviceId,
    /// Whose readings they are.
    pub origin: DeviceId,
    /// SHA-256 of the COSE_Key that verified it.
    pub key_fingerprint: Hash,
    /// The block it is in.
    pub height: Height,
    /// That block's time.
    pub time_ms: u64,
}

impl StatementLeaf {
    /// The byte format above.
    pub fn encode(&self) -> Vec<u8> {
        format::write(160, |e| {
            e.array(8)?.u64(VERSION)?.u64(STATEMENT)?.bytes(&self.statement_hash)?;
            e.bytes(&self.signer.0)?.bytes(&self.origin.0)?.bytes(&self.key_fingerprint)?;
            e.u64(self.height.0)?.u64(self.time_ms)?;
            Ok(())
        })
    }

    /// Strict: only what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<StatementLeaf, FormatError> {
        let parse = |r: &mut format::Reader<'_>| {
            r.array_of(8)?;
            r.version()?;
            r.constant("kind of leaf", STATEMENT)?;
            Ok(StatementLeaf {
                statement_hash: r.fixed()?,
                signer: DeviceId(r.fixed()?),
                origin: DeviceId(r.fixed()?),
                key_fingerprint: r.fixed()?,
                height: Height(r.u64()?),
                time_ms: r.u64()?,
            })
        };
        format::read("statement leaf", bytes, parse, StatementLeaf::encode)
    }

    /// What the log's tree holds for it.
    pub fn hash(&self) -> Hash {
        leaf_hash(&self.encode())
    }
}

/// The log's entry for all verdicts of one block. Every block has exactly one, after its statement leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerdictLeaf {
    /// The block that gave the verdicts.
    pub height: Height,
    /// That block's time.
    pub time_ms: u64,
    /// Number of verdicts.
    pub count: u64,
    /// Root of their tree; SHA-256 of nothing if there are none.
    pub root: Hash,
}

impl VerdictLeaf {
    /// Of a block without verdicts.
    pub fn empty(height: Height, time_ms: u64) -> VerdictLeaf {
        VerdictLeaf { height, time_ms, count: 0, root: EMPTY_ROOT }
    }

    /// The byte format above.
    pub fn encode(&self) -> Vec<u8> {
        format::write(64, |e| {
            e.array(6)?.u64(VERSION)?.u64(VERDICTS)?;
            e.u64(self.height.0)?.u64(self.time_ms)?.u64(self.count)?.bytes(&self.root)?;
            Ok(())
        })
    }

    /// Strict: only what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<VerdictLeaf, FormatError> {
        let parse = |r: &mut format::Reader<'_>| {
            r.array_of(6)?;
            r.version()?;
            r.constant("kind of leaf", VERDICTS)?;
            Ok(VerdictLeaf { height: Height(r.u64()?), time_ms: r.u64()?, count: r.u64()?, root: r.fixed()? })
        };
        format::read("verdict leaf", bytes, parse, VerdictLeaf::encode)
    }

    /// What the log's tree holds for it.
    pub fn hash(&self) -> Hash {
        leaf_hash(&self.encode())
    }
}
