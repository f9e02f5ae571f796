//! The door over a real chain (without a consensus engine), through a real HTTP client or a bare socket.

#![allow(clippy::unwrap_used)] // Helpers of tests count as tests.

mod common;
mod devices;
mod endurance;
mod evidence;
mod manners;
mod reads;
mod refusals;
mod schema;
mod submit;
