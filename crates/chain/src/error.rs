//! Errors that people read: what was expected, what was found, what to do.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    #[error("the genesis file is not understood: {0}")]
    Malformed(String),
    #[error(
        "the genesis file spells values in another way than this program (addresses and bytes are lower-case hex): its \
         hash would differ from what receipts say"
    )]
    Spelling,
    #[error("genesis version {0} is unknown to this program; it knows version 1")]
    Version(u32),
    #[error("the genesis file names no validator")]
    NoValidators,
    #[error("fees.base_fee must not be zero")]
    ZeroBaseFee,
    #[error("rule `{0}` is unknown to this program; a newer one is needed")]
    UnknownRule(String),
    #[error("{0} validators are too many for a chain with rule `validator-set`: at most {1}")]
    TooManyValidators(usize, usize),
    #[error("validator `{0}`: a name has 1 to {1} bytes")]
    ValidatorName(String, usize),
    #[error("limits: {0}")]
    Limit(&'static str),
    #[error("validator `{0}`: {1} does not prove possession of its key")]
    Possession(String, &'static str),
    #[error("validator `{0}` has the checkpoint address {1} of another one: each needs a key of its own")]
    SharedCheckpointKey(String, alloy_primitives::Address),
    #[error("balance `{0}` is neither a decimal nor a 0x quantity")]
    Balance(String),
    #[error("default model `{0}`: {1}")]
    DefaultModel(String, String),
}

/// What the operator does about a damaged store.
const RESTORE: &str = "The data directory can no longer be trusted: move it away, and restore it whole from a backup or \
                       copy it from another node that is stopped (each validator keeps its own validator.json; one \
                       whose journal is older than its last vote must not vote again)";

fn store_error(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Poisoned => {
            "the store takes no more writes because an earlier one failed; the log says which. Is the disk full? Make \
             room and start the node again: what was acknowledged is stored"
                .into()
        }
        error => format!("the store is damaged or cannot be read: {error}. {RESTORE}"),
    }
}

fn state_error(error: &triad_evm::StateError) -> String {
    match error {
        triad_evm::StateError::Rule(_) => format!("evm state: {error}"),
        error => format!("the store is damaged: {error}. {RESTORE}"),
    }
}

/// Why a node cannot go on. Each is a stop, never silence.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    #[error("{}", store_error(.0))]
    Store(#[from] fjall::Error),
    #[error("the store is damaged: {what}. {RESTORE}")]
    Corrupt { what: String },
    #[error(
        "the data directory belongs to another chain: its genesis hash is {found}, this genesis file's is {expected}. \
         Put back the genesis file that it was made with"
    )]
    OtherGenesis { expected: String, found: String },
    #[error("the store {0} is in use by another process: stop that one first")]
    InUse(String),
    #[error("{}", state_error(.0))]
    State(#[from] triad_evm::StateError),
    #[error(
        "from block {height} on the validators follow rule `{name}`, which this program does not know: install a release that does, \
         and start the node again. Nothing is lost"
    )]
    UnknownRule { name: String, height: u64 },
    #[error("block {height}: {why}")]
    Block { height: u64, why: BlockError },
    #[error("genesis: {0}")]
    Genesis(#[from] GenesisError),
    #[error(
        "the disk is full or cannot be written ({0}): the node stops, so that nothing is acknowledged that is not stored. \
         Make room, or let this user write there, and start it again"
    )]
    Disk(String),
    #[error(
        "this node keeps nothing before block {oldest}: it began with a snapshot, or dropped what was older"
    )]
    NotKept { oldest: u64 },
    #[error("the snapshot cannot be used: {0}")]
    Snapshot(String),
    #[error("stopped before it was done")]
    Stopped,
}

impl ChainError {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        ChainError::Corrupt { what: what.into() }
    }
}

/// Why a block is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    #[error("its bytes are not canonical: {0}")]
    Encoding(String),
    #[error("its body hash does not match its checkpoint")]
    BodyHash,
    #[error("it does not extend its parent: {0}")]
    Parent(&'static str),
    #[error("{0} is over its limit")]
    Limit(&'static str),
    #[error("statement {index}: {why}")]
    Statement { index: usize, why: Refusal },
    #[error("transaction {index}: {why}")]
    Transaction { index: usize, why: String },
    #[error("{0} differs from what execution gives")]
    Outcome(&'static str),
    #[error("its proposer {0} is not a validator")]
    Proposer(u32),
}

/// Whom a refusal concerns; doors map it to their own protocol's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalClass {
    /// The bytes break a format.
    Malformed,
    /// The signer may not say this.
    NotAuthorized,
    /// It clashes with what the ledger holds.
    Conflict,
    /// A bound was reached: slow down.
    QuotaExceeded,
    /// Not now: try again, here or elsewhere.
    Unavailable,
    /// A fault of the node.
    Internal,
}

impl RefusalClass {
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalClass::Malformed => "malformed",
            RefusalClass::NotAuthorized => "not-authorized",
            RefusalClass::Conflict => "conflict",
            RefusalClass::QuotaExceeded => "quota-exceeded",
            RefusalClass::Unavailable => "unavailable",
            RefusalClass::Internal => "internal",
        }
    }

    /// Whether the very same bytes may be accepted later.
    pub fn is_temporary(self) -> bool {
        matches!(self, RefusalClass::QuotaExceeded | RefusalClass::Unavailable | RefusalClass::Internal)
    }
}

/// Why a statement was refused. `code` is stable and counted; `message` is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    pub code: &'static str,
    pub message: String,
    pub class: RefusalClass,
}

impl Refusal {
    pub fn new(class: RefusalClass, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), class }
    }
}
