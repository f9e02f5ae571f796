//! What the behaviour tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

use triad_models::{Input, Judgement, Spec, State};

/// One parameter value of a spec under test.
#[derive(Debug, Clone)]
pub enum P {
    N(f64),
    I(u64),
    T(&'static str),
}

/// A spec from parameters as an owner's CBOR library might write them: full floats, keys in the given order.
pub fn spec(kind: &str, params: &[(&str, P)]) -> Spec {
    Spec::decode(kind, &cbor(params)).unwrap()
}

pub fn cbor(params: &[(&str, P)]) -> Vec<u8> {
    let mut encoder = minicbor::Encoder::new(Vec::new());
    encoder.map(params.len() as u64).unwrap();
    for (key, value) in params {
        encoder.str(key).unwrap();
        match value {
            P::N(value) => encoder.f64(*value).unwrap(),
            P::I(value) => encoder.u64(*value).unwrap(),
            P::T(value) => encoder.str(value).unwrap(),
        };
    }
    encoder.into_writer()
}

/// A stream under one model, fed by minutes.
#[derive(Debug)]
pub struct Stream {
    pub spec: Spec,
    pub state: State,
}

impl Stream {
    pub fn new(kind: &str, params: &[(&str, P)]) -> Self {
        let spec = spec(kind, params);
        Self { state: State::new(&spec), spec }
    }

    /// A reading at this minute, in a block of the same time.
    pub fn at(&mut self, minute: i64, value: f64) -> Judgement {
        let input = Input { time_us: minute * 60_000_000, value, block_time_ms: minute as u64 * 60_000 };
        self.state.step(&self.spec, input)
    }

    /// Kind name and score of a reading.
    pub fn says(&mut self, minute: i64, value: f64) -> (&'static str, u32) {
        let judgement = self.at(minute, value);
        (judgement.kind.name(), judgement.score_ppm)
    }

    pub fn deadline(&self) -> Option<u64> {
        self.state.deadline_ms(&self.spec)
    }
}
