//! Accounts at rest, and what they sign without a node.
//!
//! A secret lies in a directory of encrypted files ([`Directory`], [`keystore`]: Web3 Secret Storage version 3, as geth and
//! Foundry read them) or is derived from a recovery phrase ([`phrase`]). [`sign`] makes what wallets sign: personal
//! messages, typed data, permits and transfer authorisations. [`Amount`] is what people write for wei.
//!
//! It promises that a secret is written only encrypted, into a file that its owner alone can read, and never over another
//! file. It never talks to a network and never prints a secret.

mod amount;
mod directory;
pub mod keystore;
pub mod phrase;
pub mod sign;

pub use amount::{Amount, AmountError};
pub use directory::{Directory, DirectoryError, Entry, is_keystore, open};
pub use keystore::{Cost, Keystore, KeystoreError};
