//! Values as contracts see them: an integer number of billionths.

/// What a verdict holds where `value × 10⁹` does not fit.
pub const DOES_NOT_FIT: i128 = i128::MIN;

const E9: u128 = 1_000_000_000;

/// `value × 10⁹`, exactly, rounded half to even. None for NaN, the infinities and what does not fit an `i128`
/// (beyond about ±1.7 × 10²⁹).
///
/// Integer arithmetic throughout, so that every machine gets the same answer.
pub fn value_e9(value: f64) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    let bits = value.to_bits();
    let fraction = u128::from(bits & ((1 << 52) - 1));
    let biased = ((bits >> 52) & 0x7ff) as i32;
    let (mantissa, exponent) =
        if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
    // value = mantissa × 2^exponent, and mantissa × 10⁹ < 2^83.
    let product = mantissa * E9;
    let magnitude = if exponent >= 0 {
        let shift = exponent as u32;
        if product != 0 && shift + (128 - product.leading_zeros()) > 127 {
            return None;
        }
        if product == 0 { 0 } else { product << shift }
    } else if exponent <= -128 {
        0 // below 2^-45: rounds to nothing
    } else {
        let shift = exponent.unsigned_abs();
        let whole = product >> shift;
        let rest = product - (whole << shift);
        let half = 1u128 << (shift - 1);
        whole + u128::from(rest > half || (rest == half && whole & 1 == 1))
    };
    let magnitude = i128::try_from(magnitude).expect("at most 127 bits were let through");
    Some(if value.is_sign_negative() { -magnitude } else { magnitude })
}

/// Writes billionths as a decimal number without needless zeros.
pub(crate) fn e9_text(value: i128) -> String {
    let magnitude = value.unsigned_abs();
    let (whole, rest) = (magnitude / E9, magnitude % E9);
    let sign = if value < 0 { "-" } else { "" };
    if rest == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{}", format!("{rest:09}").trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_billionths_half_to_even() {
        for (value, expected) in [
            (0.0, 0),
            (-0.0, 0),
            (1.0, 1_000_000_000),
            (-1.5, -1_500_000_000),
            (21.7, 21_700_000_000),
            (68.0, 68_000_000_000),
            (1e-9, 1),
            (5e-324, 0),
            (2f64.powi_exact(-10), 976_562), // 976562.5: half, and the even neighbour is below
            (3.0 * 2f64.powi_exact(-10), 2_929_688), // 2929687.5: half, and the even neighbour is above
            (2f64.powi_exact(-45), 0),
            (1e20, 100_000_000_000_000_000_000_000_000_000),
        ] {
            assert_eq!(value_e9(value), Some(expected), "{value}");
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1e30, 1.8e29] {
            assert_eq!(value_e9(value), None, "{value}");
        }
        assert!(value_e9(1.7e29).is_some());
    }

    #[test]
    fn whole_numbers_of_any_size_are_exact() {
        for shift in 0..=96 {
            let value = 2f64.powi_exact(shift);
            assert_eq!(value_e9(value), Some((1i128 << shift) * 1_000_000_000));
            assert_eq!(value_e9(-value), Some(-(1i128 << shift) * 1_000_000_000));
        }
        assert_eq!(value_e9(2f64.powi_exact(98)), None);
    }

    #[test]
    fn billionths_are_written_as_people_write_numbers() {
        for (value, text) in [(0, "0"), (1, "0.000000001"), (-1_500_000_000, "-1.5"), (68_000_000_000, "68")]
        {
            assert_eq!(e9_text(value), text);
        }
    }

    trait PowerOfTwo {
        fn powi_exact(self, exponent: i32) -> f64;
    }
    impl PowerOfTwo for f64 {
        fn powi_exact(self, exponent: i32) -> f64 {
            f64::from_bits(((1023 + exponent) as u64) << 52)
        }
    }
}
