//! CBOR sequences (RFC 8742): items one behind the other, without anything between them.

use std::ops::Range;

use minicbor::decode::Decoder;

/// Where a body stops being a sequence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SplitError {
    /// No well-formed item begins here.
    NotCbor {
        index: usize,
        offset: usize,
    },
    TooMany,
}

/// The items of a sequence. An item is only measured here; what it says is for the statement parser.
pub(crate) fn split(bytes: &[u8], most: usize) -> Result<Vec<Range<usize>>, SplitError> {
    let mut items = Vec::new();
    let mut decoder = Decoder::new(bytes);
    while decoder.position() < bytes.len() {
        let (index, offset) = (items.len(), decoder.position());
        if index == most {
            return Err(SplitError::TooMany);
        }
        decoder.skip().map_err(|_| SplitError::NotCbor { index, offset })?;
        let end = decoder.position();
        if end <= offset || end > bytes.len() {
            return Err(SplitError::NotCbor { index, offset });
        }
        items.push(offset..end);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    #[test]
    fn items_are_found() {
        assert_eq!(split(&[], 9), Ok(vec![]));
        assert_eq!(split(&[0x01, 0x02], 9), Ok(vec![0..1, 1..2]));
        assert_eq!(split(&[0x82, 1, 2, 0xd2, 0x84, 0x40, 0xa0, 0x40, 0x40], 9), Ok(vec![0..3, 3..9]));
        assert_eq!(split(&[0x01, 0x82, 1], 9), Err(SplitError::NotCbor { index: 1, offset: 1 }));
        assert_eq!(
            split(&[0x01, 0x5a, 0xff, 0xff, 0xff, 0xff], 9),
            Err(SplitError::NotCbor { index: 1, offset: 1 })
        );
        assert_eq!(split(&[0; 10], 9), Err(SplitError::TooMany));
        assert_eq!(split(&[0; 9], 9).map(|items| items.len()), Ok(9));
    }

    #[test]
    fn any_bytes_are_split_or_refused() {
        let mut rng = SmallRng::seed_from_u64(8742);
        for _ in 0..20_000 {
            let n = rng.random_range(0..64);
            let mut bytes: Vec<u8> = (0..n).map(|_| rng.random()).collect();
            if n > 8 && rng.random_bool(0.5) {
                bytes[0] = [0x9b, 0xbb, 0x5b, 0x7b, 0x9f, 0xbf][rng.random_range(0..6)];
                bytes[1..9].fill(0xff);
            }
            if let Ok(items) = split(&bytes, 100) {
                assert_eq!(items.iter().map(|i| i.len()).sum::<usize>(), bytes.len());
            }
        }
    }
}
