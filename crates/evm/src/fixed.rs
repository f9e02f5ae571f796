//! Sensor values as contracts see them: the integer nearest to value × 10⁹, ties to even.
//!
//! A finite f64 is exactly m × 2^e, so value × 10⁹ is exactly (m × 10⁹) × 2^e, and rounding it needs integers only.

use alloy_primitives::{I256, U256};

const SCALE: u128 = 1_000_000_000;

/// value × 10⁹ rounded half to even; `None` for NaN, infinities, and what does not fit into an int256.
pub fn to_e9(value: f64) -> Option<I256> {
    let (negative, magnitude) = magnitude_e9(value)?;
    let magnitude = I256::try_from(magnitude).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

/// As [`to_e9`], for what fits into an i128 (and is not `i128::MIN`, which verdicts reserve).
pub fn to_e9_i128(value: f64) -> Option<i128> {
    let (negative, magnitude) = magnitude_e9(value)?;
    let magnitude = i128::try_from(magnitude).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

fn magnitude_e9(value: f64) -> Option<(bool, U256)> {
    if !value.is_finite() {
        return None;
    }
    let bits = value.to_bits();
    let negative = bits >> 63 == 1;
    let biased = ((bits >> 52) & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) =
        if biased == 0 { (fraction, -1074) } else { (fraction | (1 << 52), biased - 1075) };
    // At most 53 + 30 bits.
    let scaled = u128::from(mantissa) * SCALE;
    let magnitude = if exponent >= 0 {
        let exponent = exponent as u32;
        let width = 128 - scaled.leading_zeros();
        if scaled != 0 && width + exponent > 255 {
            return None;
        }
        U256::from(scaled) << exponent as usize
    } else {
        let shift = exponent.unsigned_abs();
        // Under half a unit, since scaled < 2^83.
        if shift > 100 {
            U256::ZERO
        } else {
            let whole = scaled >> shift;
            let rest = scaled & ((1 << shift) - 1);
            let half = 1u128 << (shift - 1);
            let up = rest > half || (rest == half && whole & 1 == 1);
            U256::from(whole + u128::from(up))
        }
    };
    Some((negative, magnitude))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e9(value: f64) -> i128 {
        to_e9_i128(value).unwrap()
    }

    #[test]
    fn whole_and_decimal_values() {
        assert_eq!(e9(0.0), 0);
        assert_eq!(e9(-0.0), 0);
        assert_eq!(e9(1.0), 1_000_000_000);
        assert_eq!(e9(-21.5), -21_500_000_000);
        assert_eq!(e9(0.1), 100_000_000);
        assert_eq!(e9(68.837_041), 68_837_041_000);
        assert_eq!(e9(9_007_199_254_740_993.0), 9_007_199_254_740_992_000_000_000);
    }

    #[test]
    fn ties_go_to_even() {
        // 2^-10 × 10⁹ = 976562.5 exactly; 3 × 2^-10 × 10⁹ = 2929687.5.
        let unit = 1.0 / 1024.0;
        assert_eq!(e9(unit), 976_562);
        assert_eq!(e9(3.0 * unit), 2_929_688);
        assert_eq!(e9(-unit), -976_562);
        assert_eq!(e9(-3.0 * unit), -2_929_688);
        assert_eq!(e9(f64::from_bits(unit.to_bits() + 1)), 976_563);
        assert_eq!(e9(f64::from_bits(unit.to_bits() - 1)), 976_562);
        // 2^-10 and odd multiples are the ties; 10⁹ = 2^9 × 5^9 has no finer ones than 2^-10.
        for k in 0..2_000u32 {
            let value = f64::from(k) / 1024.0;
            let exact = u64::from(k) * 1_000_000_000;
            let (whole, rest) = (exact / 1024, exact % 1024);
            let expected = whole + u64::from(rest > 512 || (rest == 512 && whole % 2 == 1));
            assert_eq!(e9(value), i128::from(expected), "{k}/1024");
        }
    }

    #[test]
    fn tiny_values_round_to_zero() {
        assert_eq!(e9(f64::from_bits(1)), 0);
        assert_eq!(e9(-f64::from_bits(1)), 0);
        assert_eq!(e9(f64::MIN_POSITIVE), 0);
        assert_eq!(e9(f64::from_bits(0x000f_ffff_ffff_ffff)), 0);
        assert_eq!(e9(0.5e-9), 1, "the double nearest 0.5e-9 lies above it");
        assert_eq!(e9(0.499_999e-9), 0);
        assert_eq!(e9(1e-9), 1);
    }

    #[test]
    fn values_that_do_not_fit() {
        assert_eq!(to_e9(f64::NAN), None);
        assert_eq!(to_e9(f64::INFINITY), None);
        assert_eq!(to_e9(f64::NEG_INFINITY), None);
        assert_eq!(to_e9(f64::MAX), None);
        assert_eq!(to_e9(f64::MIN), None);
        // 2^255 / 10⁹ ≈ 5.79e67.
        assert!(to_e9(5.7e67).is_some());
        assert_eq!(to_e9(5.8e67), None);
        assert_eq!(to_e9(-5.8e67), None);
        // 2^127 / 10⁹ ≈ 1.7014e29.
        assert!(to_e9_i128(1.7e29).is_some());
        assert_eq!(to_e9_i128(1.702e29), None);
        assert_eq!(to_e9_i128(-1.702e29), None);
        assert!(to_e9(1.702e29).is_some());
    }

    #[test]
    fn agrees_with_wide_decimal_arithmetic() {
        // Compared with Rust's exact decimal expansion of the double, shifted by nine digits and rounded by text.
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..5_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let exponent = 1023 - 60 + (seed >> 40) % 120;
            let value = f64::from_bits((exponent << 52) | (seed >> 12) & ((1 << 52) - 1));
            let text = format!("{value:.200}");
            let (whole, fraction) = text.split_once('.').unwrap();
            let (kept, rest) = fraction.split_at(9);
            let floor: i128 = format!("{whole}{kept}").parse().unwrap();
            let half = format!("5{}", "0".repeat(rest.len() - 1));
            let up = rest > half.as_str() || (rest == half && floor % 2 == 1);
            assert_eq!(e9(value), floor + i128::from(up), "{value:e}");
            assert_eq!(e9(-value), -e9(value));
        }
    }
}
