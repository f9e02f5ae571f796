//! The HTTP door: devices hand in statements, everybody reads what is final.
//!
//! It promises that 201 means final and on disk; that every error is a problem document (RFC 9457) with a stable code,
//! counted in a metric; that whatever one client does (bodies that never end, answers it never reads, thousands of
//! connections) costs the others nothing, because every queue, body, page and wait has a limit ([`Limits`]). It never
//! judges a statement, never holds state of its own, and knows the chain only through a [`Reader`](triad_chain::Reader)
//! and a [`Submitter`](triad_chain::Submitter).
//!
//! The routes are listed in `routes.rs` and described at `/v1/openapi.json`.

mod accept;
mod body;
mod cbor_seq;
mod chain;
mod config;
mod devices;
mod did;
mod evidence;
mod guard;
mod health;
mod log;
mod metrics;
mod openapi;
mod params;
mod problem;
mod readings;
mod routes;
mod schemas;
mod server;
mod snapshots;
mod sources;
mod state;
mod statements;
mod streams;
mod submit;
mod time;
mod verdicts;

pub use config::{ApiConfig, Backend, Elsewhere, EvidenceView, Limits, MetricsText, ReadyCheck};
pub use evidence::{HeldEvidence, NamedEvidence};
pub use server::{ApiServer, ServeError, serve};
pub use sources::Peer;
pub use time::rfc3339_ms;
