//! Numbers and names: what every book counts in.
//!
//! No function here rounds without saying so in its name, and none wraps: what does not fit is `None`.

use alloc::string::String;
use core::borrow::Borrow;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// `a * b / divisor` rounded down, exact whatever the size of the product.
///
/// `None` if the divisor is zero or the quotient does not fit.
///
/// ```
/// use tapstake_restake::{mul_div_ceil, mul_div_floor};
///
/// assert_eq!(mul_div_floor(7, 3, 2), Some(10));
/// assert_eq!(mul_div_ceil(7, 3, 2), Some(11));
/// assert_eq!(mul_div_floor(u128::MAX, u128::MAX, u128::MAX), Some(u128::MAX));
/// assert_eq!(mul_div_floor(u128::MAX, 2, 1), None);
/// ```
pub fn mul_div_floor(a: u128, b: u128, divisor: u128) -> Option<u128> {
    mul_div_rem(a, b, divisor).map(|(quotient, _)| quotient)
}

/// `a * b / divisor` rounded up, exact whatever the size of the product.
///
/// `None` if the divisor is zero or the result does not fit.
pub fn mul_div_ceil(a: u128, b: u128, divisor: u128) -> Option<u128> {
    let (quotient, remainder) = mul_div_rem(a, b, divisor)?;
    quotient.checked_add(u128::from(remainder != 0))
}

/// Quotient and remainder of `a * b / divisor` over 256 bits.
fn mul_div_rem(a: u128, b: u128, divisor: u128) -> Option<(u128, u128)> {
    if divisor == 0 {
        return None;
    }
    if let Some(product) = a.checked_mul(b) {
        return Some((product / divisor, product % divisor));
    }
    let (high, low) = widening_mul(a, b);
    long_division(high, low, divisor)
}

/// The 256-bit product, high half first.
const fn widening_mul(a: u128, b: u128) -> (u128, u128) {
    const HALF: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & HALF, b >> 64, b & HALF);
    let (low, cross1, cross2, high) = (a0 * b0, a1 * b0, a0 * b1, a1 * b1);
    // At most three numbers below 2^64.
    let middle = (low >> 64) + (cross1 & HALF) + (cross2 & HALF);
    (high + (cross1 >> 64) + (cross2 >> 64) + (middle >> 64), (middle << 64) | (low & HALF))
}

/// Bit by bit: this is the rare road, taken when a product exceeds 128 bits.
const fn long_division(high: u128, low: u128, divisor: u128) -> Option<(u128, u128)> {
    if high >= divisor {
        return None;
    }
    let (mut quotient, mut remainder, mut bit) = (0u128, high, 128);
    while bit > 0 {
        bit -= 1;
        let overflows = remainder >> 127 == 1;
        remainder = (remainder << 1) | ((low >> bit) & 1);
        quotient <<= 1;
        if overflows || remainder >= divisor {
            remainder = remainder.wrapping_sub(divisor);
            quotient |= 1;
        }
    }
    Some((quotient, remainder))
}

/// A rate or a ratio in millionths: 6 % is 60,000; 1,000,000 is the whole.
///
/// Printed as a percentage, `6%`; read as `6%`, `0.25%` or `2500ppm`; a plain number in serde.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartsPerMillion(u32);

/// Why a text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "rate: write a percentage with at most 4 decimals such as 6% or 0.25%, or millionths such as 2500ppm"
)]
pub struct RateTextError;

impl PartsPerMillion {
    /// Nothing.
    pub const ZERO: PartsPerMillion = PartsPerMillion(0);
    /// The whole: 100 %.
    pub const ONE: PartsPerMillion = PartsPerMillion(1_000_000);

    /// So many millionths.
    pub const fn new(millionths: u32) -> Self {
        PartsPerMillion(millionths)
    }

    /// So many percent, if that fits (up to 429,496 %).
    pub const fn percent(percent: u32) -> Option<Self> {
        match percent.checked_mul(10_000) {
            Some(millionths) => Some(PartsPerMillion(millionths)),
            None => None,
        }
    }

    /// The millionths.
    pub const fn to_u32(self) -> u32 {
        self.0
    }

    /// This share of `amount`, rounded down. `None` if it does not fit, which takes a rate above the whole.
    pub fn of_floor(self, amount: u128) -> Option<u128> {
        mul_div_floor(amount, self.0.into(), Self::ONE.0.into())
    }

    /// This share of `amount`, rounded up. `None` if it does not fit, which takes a rate above the whole.
    pub fn of_ceil(self, amount: u128) -> Option<u128> {
        mul_div_ceil(amount, self.0.into(), Self::ONE.0.into())
    }

    /// `part / whole` rounded down; `None` if the whole is zero or the ratio does not fit.
    pub fn ratio_floor(part: u128, whole: u128) -> Option<Self> {
        let millionths = mul_div_floor(part, Self::ONE.0.into(), whole)?;
        u32::try_from(millionths).ok().map(PartsPerMillion)
    }

    /// The sum, if it fits.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(millionths) => Some(PartsPerMillion(millionths)),
            None => None,
        }
    }

    /// The difference, if it is not negative.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(millionths) => Some(PartsPerMillion(millionths)),
            None => None,
        }
    }
}

impl fmt::Display for PartsPerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, decimals) = (self.0 / 10_000, alloc::format!("{:04}", self.0 % 10_000));
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{percent}%"),
            decimals => write!(f, "{percent}.{decimals}%"),
        }
    }
}

impl FromStr for PartsPerMillion {
    type Err = RateTextError;

    fn from_str(s: &str) -> Result<Self, RateTextError> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u32>().ok()).flatten().ok_or(RateTextError)
        };
        if let Some(millionths) = s.strip_suffix("ppm") {
            return number(millionths.trim_end()).map(PartsPerMillion);
        }
        let percent = s.strip_suffix('%').ok_or(RateTextError)?.trim_end();
        let (whole, decimals) = percent.split_once('.').unwrap_or((percent, "0"));
        if decimals.len() > 4 {
            return Err(RateTextError);
        }
        let scale = [10_000, 1_000, 100, 10, 1][decimals.len()];
        let whole = number(whole)?.checked_mul(10_000);
        let millionths = whole.and_then(|whole| whole.checked_add(number(decimals).ok()? * scale));
        number(decimals)?;
        millionths.map(PartsPerMillion).ok_or(RateTextError)
    }
}

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {what} has 1 to {most} printable ASCII characters without blanks, not these {length} bytes")]
pub struct NameError {
    /// What it would have named.
    pub what: &'static str,
    /// The most bytes it may have.
    pub most: usize,
    /// The bytes it has.
    pub length: usize,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $most:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The most bytes of one.
            pub const MAX: usize = $most;

            /// Takes a text of printable ASCII without blanks.
            ///
            /// # Errors
            ///
            /// [`NameError`] if it is empty, too long or has other characters.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let (length, most) = (text.len(), Self::MAX);
                if !(1..=most).contains(&length) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(NameError { what: $what, most, length });
                }
                Ok($name(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// What rewards are counted in: the base units of a service's coin, such as `ubbn`. 1 to 32 printable ASCII
    /// characters without blanks.
    Denomination, "denomination", 32
}
name! {
    /// A service's name: 1 to 64 printable ASCII characters without blanks, as in votes and proofs of possession.
    ServiceId, "service", 64
}
name! {
    /// The name of a pool, and so of the series of receipts that it issues: 1 to 64 printable ASCII characters without
    /// blanks.
    PoolId, "pool", 64
}
name! {
    /// A holder of receipts: 1 to 128 printable ASCII characters without blanks.
    HolderId, "holder", 128
}

/// A `u128` as a decimal text in JSON, for readers whose numbers end at 2^53.
///
/// For `#[serde(with = "decimal")]`.
pub(crate) mod decimal {
    use alloc::string::{String, ToString};

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&number.to_string())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.parse::<u128>().map_err(de::Error::custom)?;
        // One text for one number: a journal hashes what it writes.
        if number.to_string() != text {
            return Err(de::Error::custom("a number is written in decimal without sign or leading zeros"));
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    /// `a * b + c` and `q * d + r` in limbs of 32 bits, by school multiplication.
    #[allow(clippy::cast_possible_truncation, reason = "limbs are what is left")]
    fn wide(a: u128, b: u128, c: u128) -> [u32; 9] {
        let limbs = |n: u128| (0..4).map(move |i| u64::from((n >> (32 * i)) as u32));
        let mut sum = [0u32; 9];
        let mut add = |at: usize, n: u64| {
            let (mut at, mut carry) = (at, n);
            while carry > 0 {
                let total = u64::from(sum[at]) + (carry & 0xffff_ffff);
                sum[at] = total as u32;
                carry = (carry >> 32) + (total >> 32);
                at += 1;
            }
        };
        for (i, x) in limbs(a).enumerate() {
            for (j, y) in limbs(b).enumerate() {
                add(i + j, x * y);
            }
        }
        for (i, x) in limbs(c).enumerate() {
            add(i, x);
        }
        sum
    }

    fn any_size() -> impl Strategy<Value = u128> {
        (any::<u128>(), 0u32..128).prop_map(|(n, shift)| n >> shift)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn quotient_and_remainder_make_the_product_again(
            a in any_size(), b in any_size(), d in any_size(),
        ) {
            match mul_div_rem(a, b, d) {
                Some((q, r)) => {
                    prop_assert!(r < d);
                    prop_assert_eq!(wide(q, d, r), wide(a, b, 0));
                }
                None => {
                    // Then even the greatest quotient falls short.
                    let (product, most) = (wide(a, b, 0), wide(u128::MAX, d, d.saturating_sub(1)));
                    prop_assert!(d == 0 || product.iter().rev().gt(most.iter().rev()));
                }
            }
        }

        #[test]
        fn ceil_is_above_floor_by_one_exactly_where_something_is_left(
            a in any_size(), b in any_size(), d in 1u128..,
        ) {
            if let (Some((q, r)), Some(ceil)) = (mul_div_rem(a, b, d), mul_div_ceil(a, b, d)) {
                prop_assert_eq!(ceil, q + u128::from(r > 0));
            }
        }

        #[test]
        fn a_rate_reads_as_it_prints(millionths in any::<u32>()) {
            let rate = PartsPerMillion::new(millionths);
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
            prop_assert_eq!(alloc::format!("{millionths}ppm").parse(), Ok(rate));
        }
    }

    #[test]
    fn what_does_not_fit_is_none() {
        assert_eq!(mul_div_floor(1, 1, 0), None);
        assert_eq!(mul_div_ceil(u128::MAX, u128::MAX, u128::MAX - 1), None);
        assert_eq!(mul_div_ceil(u128::MAX, 1, 1), Some(u128::MAX));
        assert_eq!(PartsPerMillion::new(1_000_001).of_floor(u128::MAX), None);
        assert_eq!(PartsPerMillion::ONE.of_floor(u128::MAX), Some(u128::MAX));
        assert_eq!(PartsPerMillion::percent(429_497), None);
    }

    #[test]
    fn rates_are_percentages_for_people() {
        for (text, millionths) in [("6%", 60_000), ("0.25%", 2_500), ("6.5 %", 65_000), ("2500ppm", 2_500)] {
            assert_eq!(text.parse(), Ok(PartsPerMillion::new(millionths)));
        }
        for bad in ["", "6", "%", ".5%", "5.%", "-1%", "+1%", "0.00001%", "1e2%", "ppm", "429497%", "1,5%"] {
            assert_eq!(bad.parse::<PartsPerMillion>(), Err(RateTextError), "{bad}");
        }
        assert_eq!(PartsPerMillion::new(105_000).to_string(), "10.5%");
    }

    #[test]
    fn names_are_short_printable_ascii() {
        assert_eq!(ServiceId::new("a-service").unwrap().as_str(), "a-service");
        assert!(Denomination::new(&"u".repeat(32)).is_ok());
        for bad in ["", "two words", "tab\t", "Zürich", &"u".repeat(33)] {
            assert_eq!(Denomination::new(bad).unwrap_err().length, bad.len());
        }
        assert_eq!(
            HolderId::new("").unwrap_err().to_string(),
            "a holder has 1 to 128 printable ASCII characters without blanks, not these 0 bytes"
        );
        assert!(serde_json::from_str::<HolderId>("\"with blank\"").is_err());
    }
}
