use bitcoin::{Amount, ScriptBuf};

use crate::dust::TAPROOT_DUST;
use crate::{DustError, Height, Quorum, SlashingRate, Timelock, check_not_dust};

/// One version of a network's parameters.
///
/// Plain data; [`Schedule`](crate::Schedule) takes only versions that pass [`StakingParams::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StakingParams {
    /// The version's number.
    pub version: u32,
    /// The first Bitcoin height it applies to.
    pub activation_height: Height,
    /// The covenant committee.
    pub covenant: Quorum,
    /// The least value of a stake.
    pub min_staking_value: Amount,
    /// The greatest value of a stake.
    pub max_staking_value: Amount,
    /// The shortest timelock of a stake.
    pub min_staking_time: Timelock,
    /// The longest timelock of a stake.
    pub max_staking_time: Timelock,
    /// The timelock of an unbonding output and of a slashing refund.
    pub unbonding_time: Timelock,
    /// The fee of the unbonding transaction, exactly.
    pub unbonding_fee: Amount,
    /// What a slashing takes and pays; global parameters (phase 1) do not say.
    pub slashing: Option<Slashing>,
    /// How phase-1 stakes are found and counted; parameters of later phases do not say.
    pub phase_1: Option<Phase1>,
}

/// What a slashing transaction of one parameters version does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slashing {
    /// The share of the stake that is slashed.
    pub rate: SlashingRate,
    /// Where the slashed part goes; an OP_RETURN burns it.
    pub pk_script: ScriptBuf,
    /// The least fee of a slashing transaction.
    pub min_fee: Amount,
}

/// The phase-1 side of a parameters version: stakes that anyone finds by scanning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase1 {
    /// The tag at the start of the OP_RETURN.
    pub tag: [u8; 4],
    /// What ends the version's intake.
    pub cap: StakingCap,
    /// Confirmations (`tip - height + 1`) a stake needs to count.
    pub confirmation_depth: u32,
}

/// What ends the intake of a phase-1 version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StakingCap {
    /// A sum over all stakes of the version; one block alone cannot tell whether room is left.
    Value(Amount),
    /// The last height whose stakes count.
    Height(Height),
}

/// A stake outside the bounds of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoundsError {
    /// The value is outside the bounds.
    #[error("staking value {} sat is outside {}..={} sat (version {version})", value.to_sat(), min.to_sat(), max.to_sat())]
    Value {
        /// The stake's value.
        value: Amount,
        /// The least value.
        min: Amount,
        /// The greatest value.
        max: Amount,
        /// The parameters version.
        version: u32,
    },
    /// The timelock is outside the bounds.
    #[error("staking time {time} blocks is outside {min}..={max} blocks (version {version})")]
    Time {
        /// The stake's timelock.
        time: Timelock,
        /// The shortest timelock.
        min: Timelock,
        /// The longest timelock.
        max: Timelock,
        /// The parameters version.
        version: u32,
    },
}

/// Why a version's parameters make no sense together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// The least value is above the greatest.
    #[error("version {version}: min staking value {} sat is above the max {} sat", min.to_sat(), max.to_sat())]
    ValueBounds {
        /// The parameters version.
        version: u32,
        /// The least value.
        min: Amount,
        /// The greatest value.
        max: Amount,
    },
    /// The greatest value is more bitcoin than there can be.
    #[error("version {version}: max staking value {} sat is more than all bitcoin", max.to_sat())]
    MoreThanAllBitcoin {
        /// The parameters version.
        version: u32,
        /// The greatest value.
        max: Amount,
    },
    /// The shortest timelock is above the longest.
    #[error("version {version}: min staking time {min} blocks is above the max {max} blocks")]
    TimeBounds {
        /// The parameters version.
        version: u32,
        /// The shortest timelock.
        min: Timelock,
        /// The longest timelock.
        max: Timelock,
    },
    /// The smallest stake could not be unbonded.
    #[error("version {version}: min staking value {} sat must be above the unbonding fee {} sat and dust 330 sat together", min.to_sat(), fee.to_sat())]
    TooSmallToUnbond {
        /// The parameters version.
        version: u32,
        /// The least value.
        min: Amount,
        /// The unbonding fee.
        fee: Amount,
    },
    /// The smallest stake, or what is left of it after unbonding, could not be slashed: the fee eats it up.
    #[error("version {version}: slashing {} sat leaves no refund after a fee of {} sat", value.to_sat(), fee.to_sat())]
    TooSmallToSlash {
        /// The parameters version.
        version: u32,
        /// The value to slash.
        value: Amount,
        /// The slashing fee.
        fee: Amount,
    },
    /// So little of the smallest stake, or of what is left of it after unbonding, is slashed that it rounds to nothing.
    #[error("version {version}: slashing {} sat takes nothing", value.to_sat())]
    NothingSlashed {
        /// The parameters version.
        version: u32,
        /// The value to slash.
        value: Amount,
    },
    /// The slashing transaction of the smallest stake, or of its unbonding output, has a dust output.
    #[error("version {version}: the slashing transaction of {} sat has a dust output", value.to_sat())]
    SlashingDust {
        /// The parameters version.
        version: u32,
        /// The value to slash.
        value: Amount,
        /// Which output, and by how much.
        source: DustError,
    },
    /// Two disjoint groups of covenant members could both sign.
    #[error("version {version}: covenant quorum {threshold} of {keys} is no majority")]
    NoMajority {
        /// The parameters version.
        version: u32,
        /// The quorum's threshold.
        threshold: usize,
        /// The number of members.
        keys: usize,
    },
}

impl StakingParams {
    /// Checks that a stake's value and timelock lie within this version's bounds, both inclusive.
    ///
    /// # Errors
    ///
    /// [`BoundsError`] names the bounds.
    pub fn check_stake(&self, value: Amount, time: Timelock) -> Result<(), BoundsError> {
        let version = self.version;
        let (min, max) = (self.min_staking_value, self.max_staking_value);
        if value < min || value > max {
            return Err(BoundsError::Value { value, min, max, version });
        }
        let (min, max) = (self.min_staking_time, self.max_staking_time);
        if time < min || time > max {
            return Err(BoundsError::Time { time, min, max, version });
        }
        Ok(())
    }

    /// Checks that the parameters make sense together: ordered bounds, and a smallest stake that can be
    /// unbonded and slashed without dust.
    ///
    /// # Errors
    ///
    /// [`ParamsError`] names the rule and the values.
    pub fn check(&self) -> Result<(), ParamsError> {
        let version = self.version;
        let (min, max) = (self.min_staking_value, self.max_staking_value);
        if min > max {
            return Err(ParamsError::ValueBounds { version, min, max });
        }
        if max > Amount::MAX_MONEY {
            return Err(ParamsError::MoreThanAllBitcoin { version, max });
        }
        if self.min_staking_time > self.max_staking_time {
            let (min, max) = (self.min_staking_time, self.max_staking_time);
            return Err(ParamsError::TimeBounds { version, min, max });
        }
        let fee = self.unbonding_fee;
        let unbonded = min.checked_sub(fee).filter(|rest| *rest > TAPROOT_DUST);
        let Some(unbonded) = unbonded else {
            return Err(ParamsError::TooSmallToUnbond { version, min, fee });
        };
        if let Some(slashing) = &self.slashing {
            for value in [min, unbonded] {
                slashing.check_value(value, version)?;
            }
        }
        Ok(())
    }

    /// Checks that no two disjoint groups of covenant members can both sign, as every network asks.
    ///
    /// # Errors
    ///
    /// [`ParamsError::NoMajority`] if the threshold is half of the members or less.
    pub fn check_majority(&self) -> Result<(), ParamsError> {
        if self.covenant.is_majority() {
            return Ok(());
        }
        let (threshold, keys) = (self.covenant.threshold(), self.covenant.keys().len());
        Err(ParamsError::NoMajority { version: self.version, threshold, keys })
    }
}

impl Slashing {
    /// Checks that an output of `value` can be slashed at the least fee without a dust output.
    fn check_value(&self, value: Amount, version: u32) -> Result<(), ParamsError> {
        let slashed = self.rate.slashed_part(value);
        let refund = value.checked_sub(slashed).and_then(|rest| rest.checked_sub(self.min_fee));
        let Some(refund) = refund else {
            return Err(ParamsError::TooSmallToSlash { version, value, fee: self.min_fee });
        };
        if slashed == Amount::ZERO {
            return Err(ParamsError::NothingSlashed { version, value });
        }
        let dust = |source| ParamsError::SlashingDust { version, value, source };
        check_not_dust(slashed, &self.pk_script).map_err(dust)?;
        // Every refund output is Taproot: 34 bytes of script, whatever its key.
        let mut refund_script = [0x51; 34];
        refund_script[1] = 0x20;
        check_not_dust(refund, bitcoin::Script::from_bytes(&refund_script)).map_err(dust)
    }
}
