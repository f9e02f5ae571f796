//! What people write for an amount of coins or tokens.

use std::fmt;

use alloy_primitives::U256;

/// An amount in its smallest unit, with the number of decimals that people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Wei, or the token's smallest unit.
    pub units: U256,
    /// 18 for coins.
    pub decimals: u8,
}

/// Text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("`{0}` is no amount: write digits with at most one point, for example 1.5")]
    Malformed(String),
    #[error("`{text}` has more than the {decimals} decimals that there are")]
    TooFine { text: String, decimals: u8 },
    #[error("`{0}` is more than fits in 256 bits")]
    TooLarge(String),
}

impl Amount {
    /// Decimals of the chain's coin.
    pub const COIN: u8 = 18;

    /// `1.5`, `.5`, `2`; no sign, exponent, or separators. At most `decimals` digits after the point, trailing zeros aside.
    pub fn parse(text: &str, decimals: u8) -> Result<Amount, AmountError> {
        let malformed = || AmountError::Malformed(text.to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty())
            || !digits(whole)
            || !digits(fraction)
            || text.len() > 400
        {
            return Err(malformed());
        }
        let fraction = fraction.trim_end_matches('0');
        let Some(missing) = usize::from(decimals).checked_sub(fraction.len()) else {
            return Err(AmountError::TooFine { text: text.to_owned(), decimals });
        };
        let all = format!("{whole}{fraction}{}", "0".repeat(missing));
        let all = if all.is_empty() { "0" } else { &all };
        let units = U256::from_str_radix(all, 10).map_err(|_| AmountError::TooLarge(text.to_owned()))?;
        Ok(Amount { units, decimals })
    }
}

impl fmt::Display for Amount {
    /// Without trailing zeros: `1.5`, `0.000000001`, `2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = usize::from(self.decimals);
        let digits = self.units.to_string();
        let digits = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { f.pad(whole) } else { f.pad(&format!("{whole}.{fraction}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, decimals: u8) -> Result<u64, AmountError> {
        Amount::parse(text, decimals).map(|amount| amount.units.to())
    }

    #[test]
    fn human_amounts_are_exact() {
        assert_eq!(units("1.5", 18), Ok(1_500_000_000_000_000_000));
        assert_eq!(units("0.000000000000000001", 18), Ok(1));
        assert_eq!(units(".5", 6), Ok(500_000));
        assert_eq!(units("2.", 6), Ok(2_000_000));
        assert_eq!(units("1.50000000000", 6), Ok(1_500_000));
        assert_eq!(units("7", 0), Ok(7));
        assert_eq!(units("0", 18), Ok(0));
        let most = U256::MAX.to_string();
        assert_eq!(Amount::parse(&most, 0).unwrap().units, U256::MAX);
        assert_eq!(Amount::parse(&most, 1), Err(AmountError::TooLarge(most)));
    }

    #[test]
    fn what_could_be_misread_is_refused() {
        for text in ["", ".", "-1", "+1", "1e18", "1,5", "0x10", "1 000", "1.2.3", "１", "1_000"] {
            assert_eq!(units(text, 18), Err(AmountError::Malformed(text.into())), "{text}");
        }
        assert_eq!(
            units("0.1234567", 6),
            Err(AmountError::TooFine { text: "0.1234567".into(), decimals: 6 })
        );
        assert_eq!(units("0.1", 0), Err(AmountError::TooFine { text: "0.1".into(), decimals: 0 }));
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_is_read_back(units: [u64; 4], decimals: u8) {
            let amount = Amount { units: U256::from_limbs(units), decimals };
            proptest::prop_assert_eq!(Amount::parse(&amount.to_string(), decimals), Ok(amount));
        }
    }
}
