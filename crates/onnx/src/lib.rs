//! Runs models in the ONNX format off the chain: whoever does, signs for what they say (class `attested`).
//!
//! [`Model::open`] takes a file that may be hostile, [`Model::run`] a row of numbers. The crate promises that a file is refused
//! with the reason before it costs much: more bytes than [`MAX_FILE_BYTES`], tensors that are not as long as their shape says
//! or lie in other files, graphs inside graphs, operators that are not on its list, trees that are none. It asks for one input
//! with one row at a time, so that every shape is known once the file is open and every run costs the same. Evaluation is
//! `tract`'s, but for ensembles of trees, which are checked and walked here (`trees`), for tables (`lookup`), and for what is rewritten in plainer
//! operators (`rewrite`). What it does not promise is the same last bit on every machine, nor that opening a file costs little
//! memory: constants are folded then, and a small file can ask for large ones. Open strange files in a process with limits of
//! its own. It does no I/O and knows neither streams nor chains.

mod error;
mod file;
mod lookup;
mod model;
mod operators;
pub mod protocol;
mod rewrite;
mod trees;

pub use error::OnnxError;
pub use file::{MAX_ELEMENTS, MAX_FILE_BYTES, MAX_NODES};
pub use model::{Data, Description, MAX_INPUT_NUMBERS, Model, Output, Slot};
