//! The one form of an ECDSA signature.
//!
//! For every valid (r, s) the pair (r, n − s) is valid too, for the same message and without the key. Secure elements
//! make either; a stored statement has the low one, so that its bytes are as unique as its identity.

use crate::Algorithm;
use std::cmp::Ordering;

type Scalar = [u8; 32];

const P256_ORDER: Scalar = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const SECP256K1_ORDER: Scalar = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba,
    0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// The low form of a high s, `None` when s is low already, is out of range, or the algorithm is not ECDSA.
pub(crate) fn low_s(algorithm: Algorithm, signature: &[u8]) -> Option<Scalar> {
    let order = match algorithm {
        Algorithm::EdDsa => return None,
        Algorithm::Es256 => &P256_ORDER,
        Algorithm::Es256k => &SECP256K1_ORDER,
    };
    let s: &Scalar = signature.last_chunk()?;
    if s[0] < 0x7f || (*s).cmp(order) != Ordering::Less {
        return None;
    }
    let negated = subtract(order, s);
    (negated < *s).then_some(negated)
}

/// Replaces a high s by the low one; says whether it did.
pub(crate) fn normalise_s(algorithm: Algorithm, signature: &mut [u8]) -> bool {
    match low_s(algorithm, signature) {
        Some(low) => {
            let start = signature.len() - low.len();
            signature[start..].copy_from_slice(&low);
            true
        }
        None => false,
    }
}

/// `a − b` for `a ≥ b`, big-endian.
fn subtract(a: &Scalar, b: &Scalar) -> Scalar {
    let mut out = [0; 32];
    let mut borrow = 0i16;
    for index in (0..32).rev() {
        let digit = i16::from(a[index]) - i16::from(b[index]) - borrow;
        borrow = i16::from(digit < 0);
        out[index] = digit.rem_euclid(256) as u8;
    }
    out
}

/// The other valid form of an ECDSA signature; any other signature with its last half inverted.
#[cfg(test)]
pub(crate) fn negate_s(algorithm: Algorithm, signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let s: Scalar = s.try_into().expect("a signature has 64 bytes");
    let negated = match algorithm {
        Algorithm::EdDsa => s.map(|byte| !byte),
        Algorithm::Es256 => subtract(&P256_ORDER, &s),
        Algorithm::Es256k => subtract(&SECP256K1_ORDER, &s),
    };
    [r, &negated].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_high_s_in_range_changes() {
        for (algorithm, order) in [(Algorithm::Es256, P256_ORDER), (Algorithm::Es256k, SECP256K1_ORDER)] {
            let low = |s: Scalar| low_s(algorithm, &[[9; 32], s].concat());
            let one = {
                let mut one = [0; 32];
                one[31] = 1;
                one
            };
            let minus_one = subtract(&order, &one);
            assert_eq!(low(minus_one), Some(one));
            assert_eq!((low(one), low([0; 32]), low(order), low([0xff; 32])), (None, None, None, None));
            // The order is odd: its half rounded down is the highest low s, the next one the lowest high s.
            let mut half = order;
            for index in (0..32).rev() {
                half[index] = half[index] >> 1 | if index > 0 { half[index - 1] << 7 } else { 0 };
            }
            let above = subtract(&order, &half);
            assert_eq!((low(half), low(above)), (None, Some(half)));
        }
        assert_eq!(low_s(Algorithm::EdDsa, &[0xfe; 64]), None);
    }
}
