//! Why a file is no model that can be run, or a row none of its inputs.

/// Each says what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// More bytes than any model here has.
    #[error("the file has {found} bytes; at most {limit} are accepted")]
    TooLarge {
        /// Of the file.
        found: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// Not an ONNX file, or one that breaks the format.
    #[error("not an ONNX model: {0}")]
    Malformed(String),
    /// Sound, but more than is run here.
    #[error("this model cannot be run here: {0}")]
    Unsupported(String),
    /// The row is not what the model's input says.
    #[error("the input does not fit: {0}")]
    Input(String),
    /// The model failed on a row.
    #[error("the model failed: {0}")]
    Failed(String),
}

pub(crate) fn malformed(why: impl Into<String>) -> OnnxError {
    OnnxError::Malformed(why.into())
}

pub(crate) fn unsupported(why: impl Into<String>) -> OnnxError {
    OnnxError::Unsupported(why.into())
}

/// Names in a file may hold anything: what is shown of one.
pub(crate) fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
