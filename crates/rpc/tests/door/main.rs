//! The JSON-RPC door over real sockets, on a real ledger.

#![allow(clippy::unwrap_used)] // A test may panic.

mod blocks;
mod bounds;
mod common;
mod filters;
mod pool;
mod raw;
mod subscriptions;
mod triad;
