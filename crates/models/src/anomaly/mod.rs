//! The streaming anomaly detector.

use triad_log::VerdictKind;

use crate::codec::{Reader, Writer};
use crate::error::{SpecError, StateError};
use crate::params::{Param, Params, encode};
use crate::state::{Input, Judgement};

/// Parameters of the anomaly model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnomalySpec {
    /// The declared range of the sensor, which only scales.
    pub range: Option<(f64, f64)>,
}

impl AnomalySpec {
    pub(crate) fn read(mut params: Params) -> Result<Self, SpecError> {
        let range = match (params.number("low")?, params.number("high")?) {
            (None, None) => None,
            (Some(low), Some(high)) if low < high && (high - low).is_finite() => Some((low, high)),
            (Some(_), Some(_)) => {
                return Err(SpecError::Bad { key: "low", problem: "below \"high\" is expected".into() });
            }
            (Some(_), None) => return Err(SpecError::Missing("high")),
            (None, Some(_)) => return Err(SpecError::Missing("low")),
        };
        params.end()?;
        Ok(Self { range })
    }

    pub(crate) fn params(&self) -> Vec<u8> {
        encode(&[
            ("low", self.range.map(|(low, _)| Param::Number(low))),
            ("high", self.range.map(|(_, high)| Param::Number(high))),
        ])
    }
}

/// What is remembered of one stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct AnomalyState {
    seen: u32,
}

impl AnomalyState {
    pub(crate) fn step(&mut self, _spec: &AnomalySpec, _input: Input) -> Judgement {
        self.seen = self.seen.saturating_add(1);
        Judgement::new(VerdictKind::Learning, 0, "")
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.seen);
    }

    pub(crate) fn decode(_spec: &AnomalySpec, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Self { seen: reader.u32()? })
    }
}
