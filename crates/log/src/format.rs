//! What all byte formats of this crate share: canonical CBOR written with `minicbor`, read strictly.
//!
//! Canonical means RFC 8949 section 4.2.1 (shortest heads, definite lengths). Reading checks the shape, then writes
//! the value again and compares: no two byte strings are the same value.

use minicbor::{Decoder, Encoder, decode};

/// The only version of every format here.
pub(crate) const VERSION: u64 = 1;

pub(crate) type Writer = Encoder<Vec<u8>>;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not the CBOR that was expected here.
    #[error("{what}: not the expected CBOR: {detail}")]
    Malformed {
        /// Which format.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// Written by a newer program, or not this format at all.
    #[error("{what}: version {found} is not known here, only 1 is; a newer program may know it")]
    Version {
        /// Which format.
        what: &'static str,
        /// The version found.
        found: u64,
    },
    /// The right value in the wrong bytes.
    #[error("{what}: not in its canonical form (RFC 8949, 4.2.1)")]
    NotCanonical {
        /// Which format.
        what: &'static str,
    },
    /// A fixed-width format of the wrong length.
    #[error("{what}: {found} bytes, expected {expected}")]
    Length {
        /// Which format.
        what: &'static str,
        /// What was expected, in words.
        expected: &'static str,
        /// Bytes found.
        found: usize,
    },
    /// A field holds what it may not.
    #[error("{what}: {field} is {found}, expected {expected}")]
    Field {
        /// Which format.
        what: &'static str,
        /// Which field.
        field: &'static str,
        /// What may stand there, in words.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
}

/// Writes CBOR into memory.
pub(crate) fn write<E>(
    capacity: usize,
    fill: impl FnOnce(&mut Writer) -> Result<(), minicbor::encode::Error<E>>,
) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(capacity));
    let written = fill(&mut encoder);
    assert!(written.is_ok(), "writing CBOR to memory cannot fail");
    encoder.into_writer()
}

/// Reads one value that fills `bytes`, then checks that `encode` gives these very bytes again.
pub(crate) fn read<T>(
    what: &'static str,
    bytes: &[u8],
    parse: impl FnOnce(&mut Reader<'_>) -> Result<T, FormatError>,
    encode: impl FnOnce(&T) -> Vec<u8>,
) -> Result<T, FormatError> {
    let mut reader = Reader { what, decoder: Decoder::new(bytes) };
    let value = parse(&mut reader)?;
    let rest = bytes.len() - reader.decoder.position();
    if rest != 0 {
        return Err(reader.malformed(format!("{rest} bytes too many")));
    }
    if encode(&value) != bytes {
        return Err(FormatError::NotCanonical { what });
    }
    Ok(value)
}

pub(crate) struct Reader<'b> {
    what: &'static str,
    decoder: Decoder<'b>,
}

impl<'b> Reader<'b> {
    pub(crate) fn malformed(&self, detail: impl ToString) -> FormatError {
        FormatError::Malformed { what: self.what, detail: detail.to_string() }
    }

    fn cbor<T>(
        &mut self,
        take: impl FnOnce(&mut Decoder<'b>) -> Result<T, decode::Error>,
    ) -> Result<T, FormatError> {
        take(&mut self.decoder).map_err(|error| self.malformed(error))
    }

    /// An array of exactly `length` items.
    pub(crate) fn array_of(&mut self, length: u64) -> Result<(), FormatError> {
        match self.cbor(|d| d.array())? {
            Some(found) if found == length => Ok(()),
            found => Err(self.malformed(format!("array of {found:?} items instead of {length}"))),
        }
    }

    /// An array of any length, item by item. Every item takes a byte at least, so the input bounds the work.
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        let Some(length) = self.cbor(|d| d.array())? else {
            return Err(self.malformed("array of indefinite length"));
        };
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// The version, which must be 1.
    pub(crate) fn version(&mut self) -> Result<(), FormatError> {
        match self.u64()? {
            VERSION => Ok(()),
            found => Err(FormatError::Version { what: self.what, found }),
        }
    }

    /// An unsigned integer that must be `expected`.
    pub(crate) fn constant(&mut self, field: &'static str, expected: u64) -> Result<(), FormatError> {
        match self.u64()? {
            found if found == expected => Ok(()),
            found => Err(FormatError::Field {
                what: self.what,
                field,
                expected: "another number",
                found: found.to_string(),
            }),
        }
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        self.cbor(|d| d.u64())
    }

    pub(crate) fn text(&mut self) -> Result<&'b str, FormatError> {
        self.cbor(|d| d.str())
    }

    pub(crate) fn bytes(&mut self) -> Result<&'b [u8], FormatError> {
        self.cbor(|d| d.bytes())
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let bytes = self.bytes()?;
        bytes
            .try_into()
            .map_err(|_| self.malformed(format!("byte string of {} bytes instead of {N}", bytes.len())))
    }

    /// `null`, or a byte string of N bytes.
    pub(crate) fn fixed_or_null<const N: usize>(&mut self) -> Result<Option<[u8; N]>, FormatError> {
        if self.cbor(|d| d.datatype())? == minicbor::data::Type::Null {
            self.cbor(|d| d.null())?;
            return Ok(None);
        }
        self.fixed().map(Some)
    }

    /// A byte string of whole 32-byte hashes.
    pub(crate) fn hashes(&mut self) -> Result<Vec<[u8; 32]>, FormatError> {
        let (hashes, rest) = self.bytes()?.as_chunks::<32>();
        if rest.is_empty() {
            Ok(hashes.to_vec())
        } else {
            Err(self.malformed("a byte string that is not a row of 32-byte hashes"))
        }
    }
}
