//! Numbers of any encoding as f64 and as microseconds, the same on every machine.

use crate::{
    cbor::{Integer, Number},
    limits::MAX_TIME_US,
};

/// Powers of ten that f64 holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
const EXACT_INTEGER: u64 = 1 << 53;

impl Number {
    /// The nearest f64 (half to even), infinite where there is none.
    #[inline]
    pub(crate) fn to_f64(self) -> f64 {
        match self {
            Number::Integer(integer) => integer.to_f64(),
            Number::Float(float) => float,
            Number::Decimal { exponent, mantissa } => decimal(mantissa, exponent),
        }
    }
}

impl Integer {
    fn to_i128(self) -> i128 {
        let argument = i128::from(self.argument);
        if self.negative { -1 - argument } else { argument }
    }

    fn to_i64(self) -> Option<i64> {
        let argument = i64::try_from(self.argument).ok()?;
        Some(if self.negative { -1 - argument } else { argument })
    }

    #[inline]
    fn to_f64(self) -> f64 {
        self.to_i64().map_or_else(|| self.to_i128() as f64, |integer| integer as f64)
    }
}

/// `mantissa × 10^exponent`, correctly rounded.
fn decimal(mantissa: Integer, exponent: i64) -> f64 {
    // Both operands exact, one rounding: correct (Clinger).
    if mantissa.argument < EXACT_INTEGER {
        match usize::try_from(exponent.unsigned_abs()).ok().and_then(|power| EXACT_POWERS.get(power)) {
            Some(power) if exponent >= 0 => return mantissa.to_f64() * power,
            Some(power) => return mantissa.to_f64() / power,
            None => {}
        }
    }
    // The standard library's parser rounds correctly too, for every exponent.
    format!("{}e{exponent}", mantissa.to_i128()).parse().unwrap_or(f64::NAN)
}

/// Seconds as whole microseconds, half to even; `None` beyond ±[`MAX_TIME_US`] or when not finite.
pub(crate) fn microseconds(seconds: Number) -> Option<i64> {
    let time = match seconds {
        Number::Integer(integer) => integer.to_i64()?.checked_mul(1_000_000)?,
        Number::Float(float) => {
            let scaled = (float * 1e6).round_ties_even();
            if scaled.is_nan() || scaled.abs() > MAX_TIME_US as f64 {
                return None;
            }
            scaled as i64
        }
        Number::Decimal { exponent, mantissa } => {
            let mantissa = mantissa.to_i128();
            if mantissa == 0 {
                return Some(0);
            }
            let power = exponent.checked_add(6)?;
            let scale = u32::try_from(power.unsigned_abs()).ok().and_then(|power| 10i128.checked_pow(power));
            match scale {
                Some(scale) if power >= 0 => i64::try_from(mantissa.checked_mul(scale)?).ok()?,
                None if power >= 0 => return None,
                Some(scale) => i64::try_from(divide_half_even(mantissa, scale)).ok()?,
                None => 0,
            }
        }
    };
    (time.abs() <= MAX_TIME_US).then_some(time)
}

fn divide_half_even(value: i128, by: i128) -> i128 {
    let (quotient, rest) = (value.div_euclid(by), value.rem_euclid(by));
    if rest > by - rest {
        quotient + 1
    } else if rest == by - rest {
        quotient + (quotient & 1)
    } else {
        quotient
    }
}

/// The shortest decimal fraction that reads back as exactly this finite number: mantissa and exponent.
pub(crate) fn decimal_digits(number: f64) -> Option<(i64, i64)> {
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e')?;
    let fraction = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i64);
    let mantissa: i64 = digits.replace('.', "").parse().ok()?;
    Some((mantissa, exponent.parse::<i64>().ok()? - fraction))
}
