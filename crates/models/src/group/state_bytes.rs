//! A group's state as bytes:
//! `u8 version = 1 | u8 model = 4 | u8 columns | u16 rows that teach | u32 rows | f64 greatest | u16 lasting | f64 last
//! change | u16 rows since | columns`, a column = `u8 known | f64 smoothed | u8 rows, f64 mean of the stride | u8 n, n x f64
//! strides`, then while learning `u8 rows, f64 mean, f64 squares of the block | u8 n, n x f64 blocks | f64 within`, after
//! it `f64 level | f64 gain | f64 deviation | f64 step deviation`.

use super::column::STRIDES;
use super::{BLOCK, GroupSpec, GroupState, STRIDE};
use crate::codec::{Reader, Writer};
use crate::error::StateError;

/// No state is larger: 12 columns that are about to end a learning of 480 rows.
pub const MAX_GROUP_STATE_BYTES: usize = 4096;
const VERSION: u8 = 1;
const MODEL: u8 = 4;

/// More than any value, deviation or distance, and than any sum of squares.
const MOST: f64 = 1e102;
const MOST_SQUARES: f64 = 1e205;

fn number(reader: &mut Reader<'_>, most: f64) -> Result<f64, StateError> {
    let value = reader.f64()?;
    if value.abs() <= most { Ok(value) } else { Err(StateError::Impossible("number")) }
}

fn put_list(writer: &mut Writer, values: &[f64]) {
    writer.u8(values.len() as u8);
    values.iter().for_each(|&value| writer.f64(value));
}

fn list(reader: &mut Reader<'_>, most: usize) -> Result<Vec<f64>, StateError> {
    let count = usize::from(reader.u8()?);
    if count > most {
        return Err(StateError::Impossible("count"));
    }
    (0..count).map(|_| number(reader, MOST)).collect()
}

fn small(reader: &mut Reader<'_>, below: u32) -> Result<u8, StateError> {
    let value = reader.u8()?;
    if u32::from(value) < below { Ok(value) } else { Err(StateError::Impossible("count")) }
}

impl GroupState {
    /// The bytes that [`GroupState::decode`] reads.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(1024);
        writer.u8(VERSION);
        writer.u8(MODEL);
        writer.u8(self.spec.columns);
        writer.u16(self.spec.learning);
        writer.u32(self.rows);
        writer.f64(self.greatest);
        writer.u16(self.lasting);
        writer.f64(self.last_change);
        writer.u16(self.since_change);
        for column in &self.columns {
            writer.u8(column.known.into());
            writer.f64(column.smoothed);
            writer.u8(column.stride.0);
            writer.f64(column.stride.1);
            put_list(&mut writer, &column.strides);
            if self.rows < self.spec.learning() {
                writer.u8(column.block.0);
                writer.f64(column.block.1);
                writer.f64(column.block.2);
                put_list(&mut writer, &column.blocks);
                writer.f64(column.within);
            } else {
                writer.f64s(&[column.level, column.gain, column.deviation, column.step_deviation]);
            }
        }
        writer.0
    }

    /// Reads a state of this group.
    ///
    /// # Errors
    /// [`StateError`] for bytes of another group or version, and for what no step could have written.
    pub fn decode(spec: GroupSpec, bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader(bytes);
        let (version, kind) = (reader.u8()?, reader.u8()?);
        let (columns, learning) = (reader.u8()?, reader.u16()?);
        if (version, kind, columns, learning) != (VERSION, MODEL, spec.columns, spec.learning) {
            return Err(StateError::Mismatch { version, kind });
        }
        let rows = reader.u32()?;
        let mut state =
            Self { rows, greatest: number(&mut reader, MOST)?, lasting: reader.u16()?, ..Self::new(spec) };
        state.last_change = number(&mut reader, MOST)?;
        state.since_change = reader.u16()?;
        if u32::from(state.lasting) >= 2 * spec.learning() {
            return Err(StateError::Impossible("length of an anomaly"));
        }
        for column in &mut state.columns {
            column.known = reader.flag()?;
            column.smoothed = number(&mut reader, MOST)?;
            column.stride = (small(&mut reader, STRIDE)?, number(&mut reader, MOST)?);
            column.strides = list(&mut reader, STRIDES)?;
            if rows < spec.learning() {
                column.block = (
                    small(&mut reader, BLOCK)?,
                    number(&mut reader, MOST)?,
                    number(&mut reader, MOST_SQUARES)?,
                );
                column.blocks = list(&mut reader, usize::from(spec.learning) / BLOCK as usize)?;
                column.within = number(&mut reader, MOST_SQUARES)?;
            } else {
                column.level = number(&mut reader, MOST)?;
                column.gain = number(&mut reader, 1.0)?;
                column.deviation = number(&mut reader, MOST)?;
                column.step_deviation = number(&mut reader, MOST)?;
                let sound = column.deviation >= 0.0 && column.step_deviation >= 0.0 && column.gain >= 0.0;
                if !sound || column.deviation.is_subnormal() || column.step_deviation.is_subnormal() {
                    return Err(StateError::Impossible("deviation"));
                }
            }
        }
        reader.end()?;
        Ok(state)
    }
}
