//! Numbers that a graph holds: weights, and whole numbers such as shapes and axes.

use super::message::{Attribute, Node, Tensor};
use crate::error::TrainingError;
use crate::import::wrong;

/// More numbers in one tensor are none of a small network.
const MAX_NUMBERS: usize = 1 << 20;

/// A tensor that is known, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub dims: Vec<usize>,
    pub numbers: Vec<f64>,
}

impl Constant {
    /// Reads a tensor of 32 or 64 bit floats or of whole numbers.
    pub fn of(tensor: &Tensor) -> Result<Self, TrainingError> {
        let problem = |problem: &str| wrong(format!("tensor {:?}: {problem}", tensor.name));
        if tensor.location != 0 {
            return Err(problem("its numbers are in another file; export with all data in one"));
        }
        let size = |dim: &i64| usize::try_from(*dim).ok().filter(|dim| *dim <= MAX_NUMBERS);
        let dims: Option<Vec<usize>> = tensor.dims.iter().map(size).collect();
        let dims = dims.ok_or_else(|| problem("impossible sizes"))?;
        let count = dims.iter().try_fold(1_usize, |count, dim| count.checked_mul(*dim));
        let count = count.filter(|count| *count <= MAX_NUMBERS).ok_or_else(|| problem("too many numbers"))?;
        let raw = &tensor.raw;
        let floats = || raw.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
        let numbers: Vec<f64> = match tensor.data_type {
            1 if raw.is_empty() => tensor.floats.iter().copied().map(f64::from).collect(),
            1 if raw.len() == 4 * count => floats().collect(),
            6 if raw.is_empty() => tensor.short_ints.iter().copied().map(f64::from).collect(),
            6 if raw.len() == 4 * count => {
                raw.as_chunks::<4>().0.iter().map(|bytes| f64::from(i32::from_le_bytes(*bytes))).collect()
            }
            7 if raw.is_empty() => tensor.ints.iter().map(|&int| int as f64).collect(),
            7 if raw.len() == 8 * count => {
                raw.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f64).collect()
            }
            11 if raw.is_empty() => tensor.doubles.clone(),
            11 if raw.len() == 8 * count => {
                raw.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
            }
            1 | 6 | 7 | 11 => return Err(problem("as many bytes as its sizes say are expected")),
            other => {
                return Err(problem(&format!(
                    "numbers of type {other}; float, double, int32 or int64 is expected"
                )));
            }
        };
        if numbers.len() != count {
            return Err(problem("as many numbers as its sizes say are expected"));
        }
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(problem("a number that is not finite"));
        }
        Ok(Self { dims, numbers })
    }

    /// The numbers along the last axis, where every other axis has size 1; `None` for another shape.
    pub fn vector(&self) -> Option<&[f64]> {
        let before = self.dims.split_last().map_or(&[][..], |(_, before)| before);
        before.iter().all(|dim| *dim == 1).then_some(&self.numbers)
    }

    /// The one number there is.
    pub fn scalar(&self) -> Option<f64> {
        if let [number] = self.numbers[..] { Some(number) } else { None }
    }

    /// As whole numbers.
    pub fn ints(&self) -> Vec<i64> {
        self.numbers.iter().map(|number| *number as i64).collect()
    }
}

/// As 32 bits hold it.
pub(super) fn single(number: f64) -> f64 {
    f64::from(number as f32)
}

impl Node {
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.int)
    }

    pub fn float(&self, name: &str, default: f32) -> f64 {
        self.attribute(name).map_or(default, |attribute| attribute.float).into()
    }

    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).map(|attribute| attribute.ints.clone())
    }

    pub fn floats(&self, name: &str) -> Vec<f64> {
        let all = self.attribute(name).map(|attribute| attribute.floats.clone()).unwrap_or_default();
        all.into_iter().map(f64::from).collect()
    }

    pub fn text(&self, name: &str) -> String {
        let bytes = self.attribute(name).map(|attribute| attribute.text.clone()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
