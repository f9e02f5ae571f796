//! Deterministic streaming models: what judges a reading on every validator, with the same answer to the last bit.
//!
//! A [`Spec`] says which model a stream is bound to and with which parameters; a [`State`] is what that model
//! remembers of one stream. Each reading is one [`State::step`], which yields one [`Judgement`]; a model that must
//! speak when *nothing* arrives has a [`State::deadline_ms`]. A [`FileModel`] judges rows of several streams, some with a [`Memory`] of the rows before. The crate promises that a judgement is a pure function of
//! the spec and the inputs so far, on any CPU: only `+ - * /` and `sqrt` on `f64`, everything else from the pinned
//! `libm`, fixed orders, no clock, no randomness. A state encodes to at most [`MAX_STATE_BYTES`] and decodes to the
//! same future. It never does I/O, never knows what a device or a block is, and never panics on a value.

mod anomaly;
mod attested;
mod codec;
mod error;
mod file;
mod filed;
pub mod forecast;
pub mod group;
pub mod heart;
mod mkt;
mod params;
mod range;
mod row;
mod silence;
mod spec;
mod state;
pub mod trees;
pub mod window;
mod words;

pub use anomaly::AnomalySpec;
pub use attested::{MAX_WINDOW, Meaning, OnnxSpec};
pub use error::{SpecError, StateError};
pub use file::{MAX_MODEL_BYTES, ModelFile, ModelFileError};
pub use filed::{FileCost, FileModel, FileSpec};
pub use forecast::{ForecastSpec, Tells};
pub use mkt::{MktSpec, TemperatureUnit};
pub use range::RangeSpec;
pub use row::{MAX_CHAIN_MODEL_BYTES, Predicts, RowModel, TreesSpec};
pub use silence::SilenceSpec;
pub use spec::Spec;
pub use state::{Input, Judgement, MAX_ROW_STATE_BYTES, MAX_STATE_BYTES, State};
pub use triad_log::{Assurance, VerdictKind};
pub use window::{Memory, WindowKind, WindowModel, WindowSpec};
