//! `triad bench`: what this program costs on this machine, measured from the outside of what is measured.
//!
//! The load is signed before any clock starts, each statement is seen once by a node, the client's own CPU is shown
//! apart, and only what a reopened ledger holds counts.

pub mod baseline;
pub mod case;
pub mod cluster;
pub mod count;
pub mod cpu;
pub mod evm;
pub mod fleet;
pub mod ingest;
pub mod load;
pub mod local;
pub mod machine;
pub mod mqtt;
pub mod snapshot;
pub mod table;
pub mod worst;
