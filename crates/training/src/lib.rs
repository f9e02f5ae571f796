//! What is done with models off the chain: scoring a file, and the public benchmarks.
//!
//! [`score_csv`] runs the default detector over a table; [`evaluate`] runs a [`Suite`] over a folder and returns its
//! figures as JSON; [`train_suite`] makes a [`Trained`] model of it, [`train_rows`] one of a table, [`import`] takes one of XGBoost's or LightGBM's over, [`import_onnx`] a small network.
//! [`KINDS`] lists what there is, [`draw`] makes pictures. A suite reads every file of its layout that is there and knows no file, series or record by name,
//! so it runs on data that nobody here has seen. The judging itself is done by `triad-models`; nothing here is part of
//! consensus.

mod ai4i;
mod boost;
mod catalogue;
mod cmapss;
mod draw;
mod draws;
mod ecg;
mod engines;
mod error;
mod ett;
mod failures;
mod figure;
mod import;
mod intervals;
mod life;
mod load;
mod logistic;
mod m4;
mod m4_candidates;
mod nab;
mod nab_scorer;
mod prices;
mod rows;
mod score;
mod skab;
mod suite;
mod table;
mod time;
mod train;
mod trained;
mod watch;

pub use catalogue::{KINDS, Kind, Parameter, kind};
pub use draw::draw;
pub use error::TrainingError;
pub use figure::{Axis, Band, Figure, Line, Mark, Role};
pub use import::{Imported, Link, MAX_ONNX_BYTES, OnnxOptions, import, import_onnx, is_onnx};
pub use rows::{RowOptions, RowTarget, train_rows};
pub use score::{ScoreOptions, Scored, score_csv};
pub use suite::{Suite, evaluate};
pub use train::train_suite;
pub use trained::{PredictOptions, Predicted, Trained, sha256};
pub use watch::{Progress, Watch};
