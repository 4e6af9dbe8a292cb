use core::fmt;
use core::str::FromStr;

use bitcoin::Amount;
use serde::{Deserialize, Serialize};

/// The share of a stake that a slashing takes: strictly between 0 and 1, with at most four decimals.
///
/// Held in ten-thousandths: 0.001 is 10.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "alloc::string::String", into = "alloc::string::String")]
pub struct SlashingRate(u16);

/// Why a number is no slashing rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// Zero, one or more.
    #[error("slashing rate {0} is not strictly between 0 and 1")]
    OutOfRange(alloc::string::String),
    /// More than four significant decimals.
    #[error("slashing rate {0} has more than 4 decimals")]
    TooPrecise(alloc::string::String),
    /// Not a decimal number such as `0.001`.
    #[error("slashing rate {0:?} is not a decimal number")]
    Malformed(alloc::string::String),
}

impl SlashingRate {
    /// A rate of `n` ten-thousandths.
    ///
    /// # Errors
    ///
    /// [`RateError::OutOfRange`] unless `0 < n < 10_000`.
    pub fn from_ten_thousandths(n: u16) -> Result<Self, RateError> {
        if n == 0 || n >= 10_000 {
            return Err(RateError::OutOfRange(alloc::format!("{n}/10000")));
        }
        Ok(SlashingRate(n))
    }

    /// The rate in ten-thousandths.
    pub const fn ten_thousandths(self) -> u16 {
        self.0
    }

    /// The slashed part of `value`: `round_half_away(value * rate)`, with the product taken in IEEE-754
    /// double precision, as every deployed implementation computes it.
    ///
    /// Computed in integers: the rate is first rounded to the nearest double, the product rounds to 53
    /// significant bits (ties to even), and that rounds to whole satoshi (ties up). The result can differ by
    /// 1 sat from exact decimal arithmetic. `value` is taken as the exact double it is below 2^53 sat, which
    /// every amount of bitcoin is.
    pub fn slashed_part(self, value: Amount) -> Amount {
        let (rate, rate_shift) = self.to_double();
        // value < 2^64 and rate < 2^53: no overflow.
        let product = u128::from(value.to_sat()) * u128::from(rate);
        let excess = (128 - product.leading_zeros()).saturating_sub(53);
        let product = round_shift(product, excess, Ties::Even) << excess;
        let slashed = round_shift(product, rate_shift, Ties::Up);
        // rate < 1, so the result is at most `value` and fits.
        Amount::from_sat(u64::try_from(slashed).expect("the slashed part is at most the value"))
    }

    /// The double nearest to the rate, as (m, s) with rate = m / 2^s and 2^52 <= m < 2^53.
    fn to_double(self) -> (u64, u32) {
        let n = u128::from(self.0);
        let mut shift = 53;
        while (n << shift) / 10_000 < 1 << 52 {
            shift += 1;
        }
        let (quotient, remainder) = ((n << shift) / 10_000, (n << shift) % 10_000);
        let up = remainder * 2 > 10_000 || (remainder * 2 == 10_000 && quotient % 2 == 1);
        (u64::try_from(quotient + u128::from(up)).expect("below 2^53"), shift)
    }
}

#[derive(Clone, Copy)]
enum Ties {
    Even,
    Up,
}

/// `n / 2^shift`, rounded to nearest.
fn round_shift(n: u128, shift: u32, ties: Ties) -> u128 {
    if shift == 0 {
        return n;
    }
    let (quotient, half) = (n >> shift, 1u128 << (shift - 1));
    let remainder = n & ((half << 1) - 1);
    let up = match ties {
        Ties::Even => remainder > half || (remainder == half && quotient & 1 == 1),
        Ties::Up => remainder >= half,
    };
    quotient + u128::from(up)
}

impl FromStr for SlashingRate {
    type Err = RateError;

    /// Parses a decimal such as `0.001`; zeros beyond the fourth decimal are allowed.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let malformed = || RateError::Malformed(s.chars().take(32).collect());
        let (whole, decimals) = s.split_once('.').unwrap_or((s, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || s.ends_with('.') || s.len() > 32 || !digits(whole) || !digits(decimals) {
            return Err(malformed());
        }
        if whole.bytes().any(|b| b != b'0') {
            return Err(RateError::OutOfRange(s.into()));
        }
        let significant = decimals.trim_end_matches('0');
        if significant.is_empty() {
            return Err(RateError::OutOfRange(s.into()));
        }
        if significant.len() > 4 {
            return Err(RateError::TooPrecise(s.into()));
        }
        let n = significant.bytes().chain(core::iter::repeat(b'0')).take(4);
        Self::from_ten_thousandths(n.fold(0, |n, digit| n * 10 + u16::from(digit - b'0')))
    }
}

impl fmt::Display for SlashingRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = alloc::format!("{:04}", self.0);
        write!(f, "0.{}", digits.trim_end_matches('0'))
    }
}

impl fmt::Debug for SlashingRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlashingRate({self})")
    }
}

impl TryFrom<alloc::string::String> for SlashingRate {
    type Error = RateError;

    fn try_from(s: alloc::string::String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<SlashingRate> for alloc::string::String {
    fn from(rate: SlashingRate) -> Self {
        alloc::format!("{rate}")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    fn rate(s: &str) -> SlashingRate {
        s.parse().unwrap()
    }

    #[test]
    fn rates_parse_with_up_to_four_significant_decimals() {
        assert_eq!(rate("0.001").ten_thousandths(), 10);
        assert_eq!(rate("0.001000000000000000"), rate("0.001"));
        assert_eq!(rate("0.9999").ten_thousandths(), 9_999);
        assert_eq!(rate("0.1").to_string(), "0.1");
        for out in ["0", "0.0", "1", "1.0", "1.5", "10.1"] {
            assert_eq!(out.parse::<SlashingRate>(), Err(RateError::OutOfRange(out.into())));
        }
        assert_eq!("0.00001".parse::<SlashingRate>(), Err(RateError::TooPrecise("0.00001".into())));
        for bad in ["", ".", "0.", ".1", "-0.1", "+0.1", "1e-3", "0.1 ", "0,1", "0.0.1"] {
            assert_eq!(bad.parse::<SlashingRate>(), Err(RateError::Malformed(bad.into())));
        }
    }

    #[test]
    fn double_precision_can_differ_from_decimal_arithmetic_by_one_sat() {
        // 505,000 * 0.0157 is 7,928.5 in decimals; the double product falls just short of the half.
        assert_eq!(rate("0.0157").slashed_part(Amount::from_sat(505_000)), Amount::from_sat(7_928));
        assert_eq!(rate("0.0314").slashed_part(Amount::from_sat(502_500)), Amount::from_sat(15_778));
        // 15 * 0.1 is 1.5 either way and rounds away from zero.
        assert_eq!(rate("0.1").slashed_part(Amount::from_sat(15)), Amount::from_sat(2));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn the_slashed_part_is_what_doubles_compute(
            n in 1u16..10_000,
            sat in prop_oneof![0..=Amount::MAX_MONEY.to_sat(), 0..1_000_000u64, (0..10_000_000u64).prop_map(|k| k * 5_000)],
        ) {
            let rate = SlashingRate::from_ten_thousandths(n).unwrap();
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let expected = (sat as f64 * rate.to_string().parse::<f64>().unwrap()).round() as u64;
            prop_assert_eq!(rate.slashed_part(Amount::from_sat(sat)).to_sat(), expected);
        }
    }
}
