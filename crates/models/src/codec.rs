//! The byte layout of states: big-endian integers, `f64` as its IEEE 754 bits, in a fixed field order.

use crate::error::StateError;

/// Appends fields of a state.
#[derive(Debug)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    /// Room for `bytes`, so that a state is written without growing step by step.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    pub(crate) fn f64s<const N: usize>(&mut self, values: &[f64; N]) {
        debug_assert!(values.iter().all(|value| value.is_finite()));
        let bytes = values.map(|value| value.to_bits().to_be_bytes());
        self.0.extend_from_slice(bytes.as_flattened());
    }
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }
    pub(crate) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub(crate) fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub(crate) fn f64(&mut self, value: f64) {
        debug_assert!(value.is_finite());
        self.u64(value.to_bits());
    }
}

/// Takes the fields of a state in the order in which they were written.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(StateError::Length)?;
        self.0 = rest;
        Ok(*head)
    }
    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        self.take()
    }
    /// Finite numbers, their length checked once.
    pub(crate) fn f64s<const N: usize>(&mut self, values: &mut [f64; N]) -> Result<(), StateError> {
        let (chunks, _) = self.0.as_chunks::<8>();
        let chunks: &[[u8; 8]; N] = chunks.first_chunk().ok_or(StateError::Length)?;
        for (value, bytes) in values.iter_mut().zip(chunks) {
            *value = f64::from_bits(u64::from_be_bytes(*bytes));
        }
        self.0 = &self.0[8 * N..];
        if values.iter().all(|value| value.is_finite()) {
            Ok(())
        } else {
            Err(StateError::Impossible("number"))
        }
    }
    pub(crate) fn u8(&mut self) -> Result<u8, StateError> {
        Ok(self.take::<1>()?[0])
    }
    pub(crate) fn u16(&mut self) -> Result<u16, StateError> {
        Ok(u16::from_be_bytes(self.take()?))
    }
    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_be_bytes(self.take()?))
    }
    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_be_bytes(self.take()?))
    }
    pub(crate) fn i64(&mut self) -> Result<i64, StateError> {
        Ok(i64::from_be_bytes(self.take()?))
    }
    pub(crate) fn flag(&mut self) -> Result<bool, StateError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StateError::Impossible("flag")),
        }
    }
    /// A finite number; NaN and infinities are never written, so they are never read.
    pub(crate) fn f64(&mut self) -> Result<f64, StateError> {
        let value = f64::from_bits(self.u64()?);
        if value.is_finite() { Ok(value) } else { Err(StateError::Impossible("number")) }
    }
    pub(crate) fn end(self) -> Result<(), StateError> {
        if self.0.is_empty() { Ok(()) } else { Err(StateError::Length) }
    }
}
