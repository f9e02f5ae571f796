//! What a device signs.
//!
//! A *statement* is a pack of SenML readings (RFC 8428), or ciphertext, or the hash of data kept elsewhere, or verdicts of
//! a model that its signer ran, inside a
//! tagged COSE_Sign1 (RFC 9052). This crate parses it strictly and in one pass, names it ([`StatementId`]), verifies it
//! alone or in batches, keeps count of the numbers its signer used ([`SequenceWindow`]) and makes it
//! ([`StatementBuilder`]).
//!
//! It promises that a parsed [`Statement`] obeys every rule that needs no ledger; that [`verify_batch`] never says
//! anything else than [`verify`]; and that nothing done to a statement without its key gives a second identity that
//! verifies. It never panics on input, does no I/O, reads no clock and knows no registry: whether a signer is registered,
//! speaks for its origin, or is ahead of time is for the ledger to say.
//!
//! ```
//! use triad_statement::{Algorithm, Sequence, SigningKey, Statement, StatementBuilder, verify};
//!
//! let key = SigningKey::generate(Algorithm::EdDsa, &mut rand::rng());
//! let bytes = StatementBuilder::new(&key, Sequence::new(0, 1))
//!     .number("temperature", Some("Cel"), 21.5, Some(1_700_000_000_000_000))
//!     .sign();
//!
//! let statement = Statement::parse(bytes)?;
//! assert_eq!(statement.records()[0].number(), Some(21.5));
//! assert!(verify(&statement, &key.public()));
//! # Ok::<(), triad_statement::StatementError>(())
//! ```

mod algorithm;
mod attestation;
mod builder;
mod cbor;
mod claims;
mod ecdsa;
mod ed25519;
mod error;
mod header;
mod ids;
mod key;
pub mod limits;
mod record;
mod senml;
mod sequence;
mod signing;
mod statement;
mod streams;
mod verify;

pub use algorithm::Algorithm;
pub use attestation::{ATTESTED_VERDICTS, Attestation, AttestedVerdict};
pub use builder::StatementBuilder;
pub use error::{KeyError, StatementError};
pub use ids::{DeviceId, ParseIdError, StatementId, StreamId, stream_id};
pub use key::DeviceKey;
pub use record::{Clock, Record, RecordTime, Value};
pub use sequence::{Freshness, Sequence, SequenceWindow};
pub use signing::SigningKey;
pub use statement::{Content, ContentType, HashAlgorithm, HashEnvelope, Statement};
pub use verify::{verify, verify_batch};
