//! What can be wrong with parameters or with a stored state.

use thiserror::Error;

/// Why parameters are not those of a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// No model of that name exists.
    #[error(
        "unknown model kind {0:?}: expected \"range\", \"silence\", \"anomaly\", \"forecast\", \"trees\", \"life\", \"failures\" or \"network\""
    )]
    UnknownKind(String),
    /// The parameters are not one definite-length CBOR map with text keys.
    #[error("parameters must be one CBOR map with text keys: {0}")]
    NotAMap(String),
    /// Larger than any honest parameter set.
    #[error("parameters are {found} bytes, at most {limit} are accepted")]
    TooLarge { found: usize, limit: usize },
    /// A key that this model does not know.
    #[error("unknown parameter {0:?}")]
    UnknownKey(String),
    /// A key given twice.
    #[error("parameter {0:?} is given twice")]
    DuplicateKey(String),
    /// A parameter that this model cannot do without.
    #[error("parameter {0:?} is missing")]
    Missing(&'static str),
    /// A value of the wrong type or outside its range.
    #[error("parameter {key:?}: {problem}")]
    Bad { key: &'static str, problem: String },
}

/// Why bytes are not a state of the given model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// The bytes end early, or go on after the state.
    #[error("model state has the wrong length")]
    Length,
    /// Written by another version or for another kind of model.
    #[error("model state is of version {version} and kind {kind}, which does not fit the model")]
    Mismatch { version: u8, kind: u8 },
    /// A field holds what no step could have put there.
    #[error("model state holds an impossible {0}")]
    Impossible(&'static str),
}
