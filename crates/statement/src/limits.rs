//! Every bound of the statement format, with its reason. They are consensus rules: all validators refuse alike.

/// Largest statement in bytes. A pack of 1,024 readings fits; a block holds many of these.
pub const MAX_STATEMENT_BYTES: usize = 65_536;

/// Largest protected header in bytes. Ours needs about 50; the rest is room for a certificate thumbprint or chain.
pub const MAX_PROTECTED_BYTES: usize = 4_096;

/// Most SenML records in one statement: bounds the work that one signature can cause.
pub const MAX_RECORDS: usize = 1_024;

/// Longest resolved SenML name (base name and name joined) in bytes: it is stored once per stream.
pub const MAX_NAME_BYTES: usize = 255;

/// Longest unit in bytes. The longest registered one has 6.
pub const MAX_UNIT_BYTES: usize = 32;

/// Longest `iss` or `sub` claim in bytes.
pub const MAX_PARTY_BYTES: usize = 255;

/// Most header parameters, claims or SenML fields in one map that we carry without understanding them.
pub const MAX_EXTENSIONS: usize = 16;

/// Deepest nesting of what we carry without understanding it.
pub const MAX_DEPTH: usize = 8;

/// Below this many seconds a SenML time is relative to "now" (RFC 8428, section 4.5.3).
pub const FIRST_ABSOLUTE_SECOND: i64 = 1 << 28;

/// Latest time in microseconds, the end of the year 9999. The earliest is its negative.
pub const MAX_TIME_US: i64 = 253_402_300_799_999_999;

/// Numbers below the highest accepted one that a signer may still use.
pub const SEQUENCE_WINDOW: u32 = 1_024;

/// Most verdicts in one attestation: bounds the work that one signature can cause.
pub const MAX_ATTESTED_VERDICTS: usize = 256;

/// Longest reason of a verdict in bytes.
pub const MAX_REASON_BYTES: usize = 255;

/// Highest score of a verdict, in parts per million.
pub const MAX_SCORE_PPM: u32 = 1_000_000;
