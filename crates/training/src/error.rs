//! Errors, for people who hold the file in their hands.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a file could not be scored or a suite not be run.
#[derive(Debug, Error)]
pub enum TrainingError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds something else than expected.
    #[error("{}: {problem}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What was expected and what was found, with the line where there is one.
        problem: String,
    },
    /// Bytes that are no model that this program reads.
    #[error("no model: {0}")]
    Model(String),
    /// Nothing to train.
    #[error("suite {suite:?} trains nothing: {why}")]
    NothingToTrain {
        /// Its name.
        suite: &'static str,
        /// Where its models come from instead.
        why: &'static str,
    },
    /// No such suite.
    #[error("no suite {0:?}: {known} or \"all\" is expected", known = crate::Suite::names())]
    UnknownSuite(String),
}

impl From<triad_models::ModelFileError> for TrainingError {
    fn from(error: triad_models::ModelFileError) -> Self {
        Self::Model(error.0)
    }
}

impl TrainingError {
    pub(crate) fn content(path: &Path, problem: impl Into<String>) -> Self {
        Self::Content { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
