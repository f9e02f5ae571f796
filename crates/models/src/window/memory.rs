//! What a model of rows remembers between rows: how many there were, and numbers whose meaning only the model knows.
//!
//! Behind version, kind and latest time of a state:
//!
//! ```text
//! u32 rows | u16 n | n x f64
//! ```

use crate::codec::{Reader, Writer};
use crate::error::StateError;

/// The most numbers that a model remembers: 8 KiB a stream.
pub const MAX_MEMORY: usize = 1_024;

/// The memory of one model on one stream. A binding says how many numbers it may hold at most.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory {
    /// Rows taken in; the last number stands for more.
    pub(crate) rows: u32,
    pub(crate) numbers: Vec<f64>,
}

impl Memory {
    /// Rows taken in so far.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Numbers held.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether no row was taken in.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// One more row was taken in.
    pub(crate) fn count(&mut self) {
        self.rows = self.rows.saturating_add(1);
    }

    /// The numbers, of which there must be as many as so many rows leave.
    pub(crate) fn expect(&mut self, count: usize) -> Result<&mut Vec<f64>, StateError> {
        if self.numbers.len() == count {
            Ok(&mut self.numbers)
        } else {
            Err(StateError::Impossible("length of a memory"))
        }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.rows);
        writer.u16(self.numbers.len() as u16);
        self.numbers.iter().for_each(|&number| writer.f64(number));
    }

    pub(crate) fn decode(most: usize, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let (rows, count) = (reader.u32()?, usize::from(reader.u16()?));
        if count > most {
            return Err(StateError::Impossible("length of a memory"));
        }
        let numbers = (0..count).map(|_| reader.f64()).collect::<Result<_, _>>()?;
        Ok(Self { rows, numbers })
    }
}
