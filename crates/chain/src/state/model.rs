//! The state of a model on a stream. It is no part of the application digest (its scores are, through the verdicts)
//! nor of the deltas: what a crash loses of a model of readings is rebuilt by stepping through the last blocks again. What a model
//! of rows remembers is kept with the block instead: a row is of what several streams said last at that moment, which later
//! blocks overwrite.

use std::sync::Arc;

use triad_models::{Spec, State};
use triad_statement::StreamId;

use super::codec::{Reader, Writer};
use super::records::TableId;
use super::table::{Place, Record};
use crate::error::ChainError;

/// (stream, model id)
pub(crate) type ModelKey = (StreamId, u64);

#[derive(Debug, Clone)]
pub(crate) struct ModelState {
    /// Height of the last block that changed it. A replay skips blocks up to here.
    pub height: u64,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// As stored; the spec that decodes it is known only to its user.
    Stored(Arc<[u8]>),
    Live(Arc<State>),
}

impl ModelState {
    pub fn live(height: u64, state: State) -> ModelState {
        ModelState { height, form: Form::Live(Arc::new(state)) }
    }

    /// The state itself, copied if somebody else holds it too.
    pub fn take(self, spec: &Spec) -> Result<State, ChainError> {
        match self.form {
            Form::Stored(bytes) => State::decode(spec, &bytes)
                .map_err(|e| ChainError::corrupt(format!("a model's stored state does not decode: {e}"))),
            Form::Live(state) => Ok(Arc::unwrap_or_clone(state)),
        }
    }
}

impl Record for ModelState {
    type Key = ModelKey;
    const TABLE: TableId = TableId::Models;
    fn write_key(key: &ModelKey, out: &mut Vec<u8>) {
        Writer(out).raw(&key.0.0).u64(key.1);
    }
    fn read_key(bytes: &[u8]) -> Option<ModelKey> {
        let mut r = Reader(bytes);
        let key = (StreamId(r.array()?), r.u64()?);
        r.end()?;
        Some(key)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.height);
        match &self.form {
            Form::Stored(bytes) => out.extend_from_slice(bytes),
            Form::Live(state) => out.extend_from_slice(&state.encode()),
        }
    }
    fn decode(bytes: &[u8]) -> Option<ModelState> {
        let mut r = Reader(bytes);
        Some(ModelState { height: r.u64()?, form: Form::Stored(r.0.into()) })
    }
    fn is_derived(&self, _: Place) -> bool {
        match &self.form {
            Form::Live(state) => !state.remembers_rows(),
            Form::Stored(_) => true,
        }
    }
}
