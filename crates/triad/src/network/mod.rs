//! A network of several nodes: its files, running it on one machine, and what people see of it.

pub mod files;
pub mod local;
pub mod table;
