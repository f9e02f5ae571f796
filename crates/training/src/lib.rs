//! What is done with models off the chain: scoring a file, and the public benchmarks.
//!
//! [`score_csv`] runs the default detector over a table; [`evaluate`] runs a [`Suite`] over a folder and returns its
//! figures as JSON. A suite reads every file of its layout that is there and knows no file, series or record by name,
//! so it runs on data that nobody here has seen. The judging itself is done by `triad-models`; nothing here is part of
//! consensus.

mod ai4i;
mod boost;
mod cmapss;
mod draws;
mod ecg;
mod engines;
mod error;
mod ett;
mod intervals;
mod load;
mod logistic;
mod m4;
mod nab;
mod nab_scorer;
mod prices;
mod score;
mod skab;
mod suite;
mod table;
mod time;

pub use error::TrainingError;
pub use score::{ScoreOptions, Scored, score_csv};
pub use suite::{Suite, evaluate};
