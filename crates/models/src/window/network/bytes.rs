//! The stored form of a network:
//!
//! ```text
//! "TNET" | u8 version = 1 | u16 rows of a window | u16 inputs of a row | u8 layers | layers
//! layer = 1 | u16 outputs | u8 activation | inputs x outputs f32 weights | outputs f32 biases          dense
//!       | 2 | channels f32 offsets | channels f32 factors                                              scale
//!       | 3 | u16 channels out | u8 kernel | u8 stride | u8 dilation | u8 zeros before | u8 zeros behind | u8 activation
//!           | kernel x channels in x channels out f32 weights | channels out f32 biases                convolution
//!       | 4 | u8 pool | u8 kernel | u8 stride                                                          pool
//!       | 5 | u8 pool                                                                                  of all steps
//!       | 6 | u16 units | u8 flags (1 reset behind the product, 2 every step) | inputs x 3 units f32 | units x 3 units f32
//!           | 3 units f32 | 3 units f32                                                                gated recurrent unit
//!       | 7 | u8 activation
//!       | 8 | u16 channel                                                                              one of all
//! activation = 0 none, 1 relu, 2 tanh, 3 sigmoid, 4 softmax        pool = 0 greatest, 1 mean, 2 last (of all steps only)
//! ```
//! Big-endian, `f32` as IEEE 754 bits, all finite. How many weights a layer has follows from the layers before, and is compared with
//! the bytes that are there before anything is read.

use super::activation::Activation;
use super::gru::Gru;
use super::layers::{Layer, Layers, MAX_CHANNELS, MAX_LAYERS, MAX_ROWS, Pool, Shape};
use crate::codec::{Reader, Writer};
use crate::error::StateError;
use crate::file::{ModelFileError, wrong};

const MAGIC: [u8; 4] = *b"TNET";
const VERSION: u8 = 1;
const RESET_AFTER: u8 = 1;
const ALL_STEPS: u8 = 2;

const ACTIVATIONS: [Activation; 5] =
    [Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Sigmoid, Activation::Softmax];
const POOLS: [Pool; 3] = [Pool::Max, Pool::Mean, Pool::Last];

fn number_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).unwrap_or_default() as u8
}

fn early(_: StateError) -> ModelFileError {
    wrong("the network ends too early")
}

fn one_of<T: Copy>(all: &[T], reader: &mut Reader<'_>, what: &str) -> Result<T, ModelFileError> {
    let number = reader.u8().map_err(early)?;
    all.get(usize::from(number)).copied().ok_or_else(|| wrong(format!("{what} {number}; there is none")))
}

impl Layers {
    /// The bytes that [`Layers::decode`] reads.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(64 + 4 * self.weights());
        writer.bytes(&MAGIC);
        writer.u8(VERSION);
        writer.u16(self.rows() as u16);
        writer.u16(self.inputs() as u16);
        writer.u8(self.layers.len() as u8);
        for layer in &self.layers {
            match layer {
                Layer::Dense { biases, activation, .. } => {
                    writer.u8(1);
                    writer.u16(biases.len() as u16);
                    writer.u8(number_of(&ACTIVATIONS, activation));
                }
                Layer::Scale { .. } => writer.u8(2),
                Layer::Conv { kernel, stride, dilation, before, behind, biases, activation, .. } => {
                    writer.u8(3);
                    writer.u16(biases.len() as u16);
                    [kernel, stride, dilation, before, behind]
                        .into_iter()
                        .for_each(|size| writer.u8(*size as u8));
                    writer.u8(number_of(&ACTIVATIONS, activation));
                }
                Layer::Pool { how, kernel, stride } => {
                    writer.bytes(&[4, number_of(&POOLS, how), *kernel as u8, *stride as u8]);
                }
                Layer::Global { how } => writer.bytes(&[5, number_of(&POOLS, how)]),
                Layer::Gru(gru) => {
                    writer.u8(6);
                    writer.u16(gru.units as u16);
                    let reset = if gru.reset_after { RESET_AFTER } else { 0 };
                    writer.u8(reset | if gru.all_steps { ALL_STEPS } else { 0 });
                }
                Layer::Activate { activation } => writer.bytes(&[7, number_of(&ACTIVATIONS, activation)]),
                Layer::Pick { channel } => {
                    writer.u8(8);
                    writer.u16(*channel as u16);
                }
            }
            for number in layer.numbers().into_iter().flatten() {
                writer.u32((*number as f32).to_bits());
            }
        }
        writer.0
    }

    /// Reads bytes that may be hostile.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelFileError> {
        let mut reader = Reader(bytes);
        if reader.bytes().map_err(early)? != MAGIC || reader.u8().map_err(early)? != VERSION {
            return Err(wrong("not a version 1 network: \"TNET\" and 1 are expected"));
        }
        let (rows, inputs) = (reader.u16().map_err(early)?, reader.u16().map_err(early)?);
        let count = usize::from(reader.u8().map_err(early)?);
        if count > MAX_LAYERS {
            return Err(wrong(format!("{count} layers; 1 to {MAX_LAYERS} are expected")));
        }
        if !(1..=MAX_ROWS).contains(&rows.into()) || !(1..=MAX_CHANNELS).contains(&inputs.into()) {
            let limits = format!("1 to {MAX_ROWS} and 1 to {MAX_CHANNELS}");
            return Err(wrong(format!("{rows} rows of {inputs} inputs; {limits} are expected")));
        }
        let mut shape: Shape = (rows.into(), inputs.into());
        let mut layers = Vec::new();
        for at in 0..count {
            let within = |error: ModelFileError| wrong(format!("layer {at}: {}", error.0));
            let read = layer(shape, &mut reader).map_err(within)?;
            shape = read.after(shape).map_err(|problem| within(wrong(problem)))?.0;
            layers.push(read);
        }
        if !reader.0.is_empty() {
            return Err(wrong(format!("{} bytes behind the last layer", reader.0.len())));
        }
        Self::new(rows.into(), inputs.into(), layers)
    }
}

/// So many finite numbers, if there are as many.
fn numbers(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, ModelFileError> {
    let (chunks, _) = reader.0.as_chunks::<4>();
    let chunks = chunks.get(..count).ok_or_else(|| early(StateError::Length))?;
    let numbers: Vec<f64> =
        chunks.iter().map(|bytes| f64::from(f32::from_bits(u32::from_be_bytes(*bytes)))).collect();
    reader.0 = &reader.0[4 * count..];
    if numbers.iter().all(|number| number.is_finite()) {
        Ok(numbers)
    } else {
        Err(wrong("a weight that is not finite"))
    }
}

fn channels(reader: &mut Reader<'_>) -> Result<usize, ModelFileError> {
    let channels = usize::from(reader.u16().map_err(early)?);
    if (1..=MAX_CHANNELS).contains(&channels) {
        Ok(channels)
    } else {
        Err(wrong(format!("{channels} numbers a step; 1 to {MAX_CHANNELS} are expected")))
    }
}

fn layer((steps, inputs): Shape, reader: &mut Reader<'_>) -> Result<Layer, ModelFileError> {
    let size = |reader: &mut Reader<'_>| reader.u8().map(usize::from).map_err(early);
    Ok(match reader.u8().map_err(early)? {
        1 => {
            let outputs = channels(reader)?;
            let activation = one_of(&ACTIVATIONS, reader, "activation")?;
            let weights = numbers(reader, steps * inputs * outputs)?;
            Layer::Dense { weights, biases: numbers(reader, outputs)?, activation }
        }
        2 => Layer::Scale { offsets: numbers(reader, inputs)?, factors: numbers(reader, inputs)? },
        3 => {
            let outputs = channels(reader)?;
            let (kernel, stride, dilation) = (size(reader)?, size(reader)?, size(reader)?);
            let (before, behind) = (size(reader)?, size(reader)?);
            let activation = one_of(&ACTIVATIONS, reader, "activation")?;
            let weights = numbers(reader, kernel * inputs * outputs)?;
            let biases = numbers(reader, outputs)?;
            Layer::Conv { kernel, stride, dilation, before, behind, weights, biases, activation }
        }
        4 => {
            let how = one_of(&POOLS, reader, "pool")?;
            Layer::Pool { how, kernel: size(reader)?, stride: size(reader)? }
        }
        5 => Layer::Global { how: one_of(&POOLS, reader, "pool")? },
        6 => {
            let units = channels(reader)?;
            let flags = reader.u8().map_err(early)?;
            if flags & !(RESET_AFTER | ALL_STEPS) != 0 {
                return Err(wrong(format!("flags {flags}; 0 to 3 are expected")));
            }
            Layer::Gru(Gru {
                units,
                reset_after: flags & RESET_AFTER != 0,
                all_steps: flags & ALL_STEPS != 0,
                input: numbers(reader, inputs * 3 * units)?,
                recurrent: numbers(reader, units * 3 * units)?,
                input_bias: numbers(reader, 3 * units)?,
                recurrent_bias: numbers(reader, 3 * units)?,
            })
        }
        7 => Layer::Activate { activation: one_of(&ACTIVATIONS, reader, "activation")? },
        8 => Layer::Pick { channel: usize::from(reader.u16().map_err(early)?) },
        other => return Err(wrong(format!("kind {other}; 1 to 8 are expected"))),
    })
}
