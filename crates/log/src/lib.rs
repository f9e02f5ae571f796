//! The Merkle log of Triad and everything that can be proved from it.

mod fixed;
mod frontier;
mod hash;
mod ids;
mod kind;

pub use fixed::{DOES_NOT_FIT, value_e9};
pub use frontier::{Frontier, FrontierError};
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash, sha256};
pub use ids::{Height, LeafIndex, Score};
pub use kind::{Assurance, VerdictKind};
