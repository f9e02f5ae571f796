//! The stored form of a forecast's state (behind version, kind and latest time):
//!
//! ```text
//! i64 time of the latest reading taken in | u16 n | n x f64 values, oldest first | horizon x said | f64 scale | f64 level
//! | 21 x f64 sums (samples, 4 x 4 squares, 4 products) | 3 x f64 losses | f64 gap | u8 errors | errors below 40: those, f64 each;
//! 40: f64 half width, f64 mean error
//! said = u8 0 nothing, 1 without an interval, 2 with one [3 x f64 experts | f64 forecast | 4 x f64 features [f64 half width]]
//! ```

use super::{EXPERTS, FEATURES, ForecastSpec, ForecastState, LARGEST, Pending};
use crate::codec::{Reader, Writer};
use crate::error::StateError;
use crate::forecast::Conformal;

const SUMS: usize = 1 + FEATURES * FEATURES + FEATURES;
/// No sum, loss or gap comes near it.
const MOST_SUM: f64 = 1.0e9;

impl ForecastState {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.i64(self.taken_us);
        writer.u16(self.values.len() as u16);
        self.values.iter().for_each(|&value| writer.f64(value));
        for said in &self.pending {
            let Some(said) = said else {
                writer.u8(0);
                continue;
            };
            writer.u8(if said.half.is_some() { 2 } else { 1 });
            writer.f64s(&said.experts);
            writer.f64(said.value);
            writer.f64s(&said.features);
            said.half.into_iter().for_each(|half| writer.f64(half));
        }
        writer.f64(self.scale);
        writer.f64(self.level);
        self.sums.numbers().chain(self.experts.numbers()).for_each(|number| writer.f64(number));
        let (taken, numbers) = self.conformal.numbers();
        writer.u8(taken);
        numbers.into_iter().for_each(|number| writer.f64(number));
    }

    pub(crate) fn decode(spec: &ForecastSpec, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut state = Self::new(spec);
        state.taken_us = reader.i64()?;
        let count = usize::from(reader.u16()?);
        // The first reading leaves a value.
        if !(1..=spec.values()).contains(&count) {
            return Err(StateError::Impossible("number of values"));
        }
        state.values = (0..count).map(|_| within(reader, -LARGEST, LARGEST)).collect::<Result<_, _>>()?;
        for said in &mut state.pending {
            *said = pending(reader)?;
        }
        state.scale = within(reader, 0.0, 2.0 * LARGEST)?;
        state.level = within(reader, -LARGEST, LARGEST)?;
        let mut sums = [0.0; SUMS];
        reader.f64s(&mut sums)?;
        if sums.iter().any(|sum| sum.abs() > MOST_SUM) {
            return Err(StateError::Impossible("sum"));
        }
        state.sums = state.sums.with_numbers(&sums);
        let mut losses = [0.0; EXPERTS];
        for loss in &mut losses {
            *loss = within(reader, 0.0, MOST_SUM)?;
        }
        state.experts = state.experts.with_numbers(&losses, within(reader, 0.0, MOST_SUM)?);
        let taken = reader.u8()?;
        let numbers = Conformal::count(taken).ok_or(StateError::Impossible("number of errors"))?;
        let numbers: Vec<f64> =
            (0..numbers).map(|_| within(reader, 0.0, 100.0 * LARGEST)).collect::<Result<_, _>>()?;
        state.conformal = state.conformal.with_numbers(taken, &numbers);
        Ok(state)
    }
}

fn pending(reader: &mut Reader<'_>) -> Result<Option<Pending>, StateError> {
    let form = reader.u8()?;
    if form == 0 {
        return Ok(None);
    }
    let mut experts = [0.0; EXPERTS];
    for expert in &mut experts {
        *expert = within(reader, -LARGEST, LARGEST)?;
    }
    let value = within(reader, -LARGEST, LARGEST)?;
    let mut features = [0.0; FEATURES];
    for feature in &mut features {
        *feature = within(reader, -2.0 * LARGEST, 2.0 * LARGEST)?;
    }
    let half = match form {
        1 => None,
        2 => Some(within(reader, 0.0, 100.0 * LARGEST)?),
        _ => return Err(StateError::Impossible("form of a forecast")),
    };
    Ok(Some(Pending { experts, value, half, features }))
}

fn within(reader: &mut Reader<'_>, low: f64, high: f64) -> Result<f64, StateError> {
    let number = reader.f64()?;
    if (low..=high).contains(&number) { Ok(number) } else { Err(StateError::Impossible("number")) }
}
