//! Front doors for devices: MQTT 3.1.1 and 5 over TCP, TLS and WebSocket.
//!
//! A device publishes signed statements to `triad/v1/statements`. The door hands each to the chain through the
//! [`Door`] trait and acknowledges it when the answer comes. It promises: PUBACK (QoS 1) or PUBREC (QoS 2) is sent
//! only when the statement is final and its commit is on disk; every refusal is said in the best words the client's
//! protocol has, and counted; whatever a client does costs other clients nothing; memory is bounded by
//! [`Limits`]. It never judges statements, never keeps sessions, and never relays between clients.
//!
//! What a refused 3.1.1 client is told, and why, is in `session/publish.rs`; the topics are in [`topics`].

mod claim;
mod config;
mod door;
mod events;
mod fault;
mod frame;
mod metrics;
mod packets;
mod router;
mod server;
mod session;
mod tls;
pub mod topics;
mod websocket;
mod wire;

pub use config::{Limits, MqttConfig, TlsListener};
pub use door::{Accepted, Committed, CommittedLeaf, CommittedVerdict, Door, Refusal, RefusalClass};
pub use server::{BoundAddresses, MqttServer, ServeError, serve};

#[cfg(test)]
mod fuzz;
