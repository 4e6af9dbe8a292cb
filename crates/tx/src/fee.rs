use alloc::format;
use core::fmt;

use bitcoin::FeeRate;

/// The least fee rate that nodes relay: 0.1 sat per virtual byte.
pub const MIN_FEE_RATE: FeeRate = FeeRate::from_sat_per_kwu(25);
/// The greatest fee rate taken for no mistake: 2,000 sat per virtual byte, above any that Bitcoin's blocks
/// have asked for on average.
pub const MAX_FEE_RATE: FeeRate = FeeRate::from_sat_per_vb_u32(2_000);

/// The greatest fee rate that Bitcoin Core sends on unasked (its default `maxfeerate`): 10,000 sat per virtual byte.
pub(crate) const MAX_SENT_FEE_RATE: FeeRate = FeeRate::from_sat_per_vb_u32(10_000);

/// A fee rate out of reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("fee rate {} is outside {}..={} sat/vB", PerVb(*rate), PerVb(MIN_FEE_RATE), PerVb(MAX_FEE_RATE))]
pub struct FeeRateError {
    /// The rate that was refused.
    pub rate: FeeRate,
}

/// A fee rate to be read: the number of sat per virtual byte, with the decimals that it has, three at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerVb(pub FeeRate);

impl fmt::Display for PerVb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Made-up rates saturate.
        let rate = self.0.to_sat_per_kwu().saturating_mul(4);
        match (rate / 1_000, rate % 1_000) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, part) => f.write_str(format!("{whole}.{part:03}").trim_end_matches('0')),
        }
    }
}

/// Refuses a fee rate that no node would relay, or that gives money away.
///
/// # Errors
///
/// [`FeeRateError`] outside [`MIN_FEE_RATE`] to [`MAX_FEE_RATE`].
pub fn check_fee_rate(rate: FeeRate) -> Result<FeeRate, FeeRateError> {
    if (MIN_FEE_RATE..=MAX_FEE_RATE).contains(&rate) { Ok(rate) } else { Err(FeeRateError { rate }) }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn fee_rates_out_of_reason_are_refused() {
        assert!(check_fee_rate(MIN_FEE_RATE).is_ok());
        assert!(check_fee_rate(MAX_FEE_RATE).is_ok());
        for rate in [FeeRate::ZERO, FeeRate::from_sat_per_kwu(24)] {
            assert_eq!(check_fee_rate(rate), Err(FeeRateError { rate }));
        }
        let rate = FeeRate::from_sat_per_kwu(500_001);
        assert_eq!(
            check_fee_rate(rate).unwrap_err().to_string(),
            "fee rate 2000.004 is outside 0.1..=2000 sat/vB"
        );
        assert_eq!(
            check_fee_rate(FeeRate::MAX).unwrap_err().to_string(),
            "fee rate 18446744073709551.615 is outside 0.1..=2000 sat/vB"
        );
    }
}
