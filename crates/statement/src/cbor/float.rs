//! IEEE 754 halves, and which width a float deserves (RFC 8949, sections 4.2.1 and 4.2.2).

/// The value of an IEEE 754 half.
pub(super) fn half(bits: u16) -> f64 {
    let magnitude = match (bits >> 10 & 0x1f, bits & 0x3ff) {
        (0, fraction) => f64::from(fraction) / f64::from(1 << 24),
        (0x1f, 0) => f64::INFINITY,
        (0x1f, _) => f64::NAN,
        (exponent, fraction) => {
            f64::from_bits((u64::from(exponent) + 1008) << 52 | u64::from(fraction) << 42)
        }
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// The half that has exactly this value. NaN has only its preferred form.
pub(super) fn to_half(value: f64) -> Option<u16> {
    let sign = ((value.to_bits() >> 63) as u16) << 15;
    if value.is_nan() {
        return Some(0x7e00);
    }
    let bits = if value.is_infinite() {
        0x7c00
    } else {
        let bits = value.abs().to_bits();
        let exponent = (bits >> 52) as i32 - 1023;
        if exponent >= -14 {
            (((exponent + 15) as u64) << 10 | bits >> 42 & 0x3ff) as u16
        } else {
            // A multiple of 2^-24 below 2^-14, or not a half at all.
            (value.abs() * f64::from(1 << 24)) as u16
        }
    };
    let exact = value.is_infinite() || (value.abs() < 65_520.0 && half(bits) == value.abs());
    exact.then_some(sign | bits)
}

/// Whether a float of this width has no shorter form of the same value. NaN has one form: the half 0x7e00.
pub(super) fn shortest(info: u8, value: f64) -> bool {
    match info {
        25 => true,
        26 => to_half(value).is_none(),
        _ => value.is_finite() && f64::from(value as f32) != value,
    }
}
