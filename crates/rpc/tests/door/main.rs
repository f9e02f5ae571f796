//! The JSON-RPC door over real sockets, on a real ledger.

mod blocks;
mod bounds;
mod common;
mod filters;
mod pool;
mod subscriptions;
mod triad;
