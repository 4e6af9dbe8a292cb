//! Rewards: what one sat has earned since the beginning, and what of it belongs to whom.
//!
//! A reward is spread over every stake behind a provider by raising one number, the cumulative reward per sat, so its cost
//! does not depend on how many stakes there are. The number counts in 1e-18 base units. What does not divide is carried to the
//! next reward, what a position has of a base unit it keeps as a fraction, and what arrives while there is no stake is held for
//! the next reward: nothing is lost, and for every service and provider
//!
//! ```text
//! put in = paid + claimable + fractions + carry + held + commission (owed and paid) + given back
//! ```
//!
//! holds exactly, in 1e-18 base units. Whole base units and their fractions are counted apart, so a sat can earn whatever can be
//! put in: no reward is too large for a small stake.

use core::fmt;

use crate::BookError;
use crate::units::PartsPerMillion;

/// The fractions of a base unit that rewards per sat are counted in.
pub const REWARD_SCALE: u128 = 1_000_000_000_000_000_000;

/// What one sat has earned, in base units and 1e-18 parts of one. Printed as a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PerSat {
    /// Whole base units.
    pub whole: u128,
    /// Beyond them, less than [`REWARD_SCALE`].
    pub fraction: u64,
}

/// The rewards of one provider at one service, which pays in one denomination. Amounts are in base units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewards {
    /// The nominal behind the provider at the service, in satoshi.
    pub staked: u64,
    /// Everything that ever came in.
    pub put_in: u128,
    /// Commission that waits for the provider. It stays here if the provider is slashed.
    pub commission: u128,
    /// Commission paid to the provider.
    pub commission_paid: u128,
    /// What was paid to the owners of stakes.
    pub paid: u128,
    /// What came in while nothing was staked, and waits for the next reward.
    pub held: u128,
    /// What could reach nobody any more and went back to the service.
    pub given_back: u128,
    /// What did not divide, in 1e-18 base units, and waits for the next reward.
    pub carry: u128,
    /// What one sat has earned since the beginning.
    pub per_sat: PerSat,
}

/// A stake's part in the rewards of one provider at one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Which provider's at which service.
    pub(crate) accumulator: u32,
    /// What counts, in satoshi.
    pub(crate) nominal: u64,
    /// [`Rewards::per_sat`] when the position was settled last.
    pub(crate) entry: PerSat,
    /// Earned and not yet paid, in base units.
    pub(crate) owed: u128,
    /// Earned beyond that, in 1e-18 base units, less than one whole.
    pub(crate) fraction: u64,
}

impl PerSat {
    /// Nothing.
    pub const ZERO: PerSat = PerSat { whole: 0, fraction: 0 };

    /// The sum of this and so many whole units and 1e-18 parts, if it fits.
    fn checked_add(self, whole: u128, parts: u128) -> Option<PerSat> {
        let parts = parts.checked_add(self.fraction.into())?;
        let whole = self.whole.checked_add(whole)?.checked_add(parts / REWARD_SCALE)?;
        Some(PerSat { whole, fraction: u64::try_from(parts % REWARD_SCALE).ok()? })
    }

    /// What came since `entry`, if that is not above this.
    fn since(self, entry: PerSat) -> Option<PerSat> {
        let whole = self.whole.checked_sub(entry.whole)?;
        match self.fraction.checked_sub(entry.fraction) {
            Some(fraction) => Some(PerSat { whole, fraction }),
            None => {
                let scale = u64::try_from(REWARD_SCALE).ok()?;
                let fraction = self.fraction.checked_add(scale)?.checked_sub(entry.fraction)?;
                Some(PerSat { whole: whole.checked_sub(1)?, fraction })
            }
        }
    }
}

impl fmt::Display for PerSat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PerSat { whole, fraction } = self;
        let decimals = alloc::format!("{fraction:018}");
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            decimals => write!(f, "{whole}.{decimals}"),
        }
    }
}

impl Rewards {
    pub(crate) const NONE: Rewards = Rewards {
        staked: 0,
        put_in: 0,
        commission: 0,
        commission_paid: 0,
        paid: 0,
        held: 0,
        given_back: 0,
        carry: 0,
        per_sat: PerSat::ZERO,
    };

    /// With `amount` more, of which the provider takes its commission first, rounded down.
    pub(crate) fn with(self, amount: u128, commission: PartsPerMillion) -> Result<Rewards, BookError> {
        let put_in = self.put_in.checked_add(amount).ok_or(BookError::Overflow("the sum of all rewards"))?;
        // What is held was put in.
        let spread = self.held + amount;
        if self.staked == 0 {
            return Ok(Rewards { put_in, held: spread, ..self });
        }
        let overflow = || BookError::Overflow("the reward per sat");
        let taken = commission.of_floor(spread).ok_or_else(overflow)?;
        let (left, staked) = (spread.checked_sub(taken).ok_or_else(overflow)?, u128::from(self.staked));
        // The rest is below 2^64 and the scale below 2^60, and a carry is below what was staked when it came.
        let parts = (left % staked * REWARD_SCALE).checked_add(self.carry).ok_or_else(overflow)?;
        let per_sat = self.per_sat.checked_add(left / staked, parts / staked).ok_or_else(overflow)?;
        let (commission, carry) = (self.commission + taken, parts % staked);
        Ok(Rewards { put_in, commission, held: 0, carry, per_sat, ..self })
    }

    /// With what nobody can be paid any more given back: what is held while nothing is staked, and all of that and the
    /// commission of a provider that was slashed. Beside it, how much that is.
    pub(crate) fn giving_back(self, slashed: bool) -> (Rewards, u128) {
        let held = if slashed || self.staked == 0 { self.held } else { 0 };
        let commission = if slashed { self.commission } else { 0 };
        // Both are parts of what was put in.
        let amount = held + commission;
        let (held, commission) = (self.held - held, self.commission - commission);
        (Rewards { held, commission, given_back: self.given_back + amount, ..self }, amount)
    }
}

impl Position {
    pub(crate) const fn new(accumulator: u32) -> Self {
        Position { accumulator, nominal: 0, entry: PerSat::ZERO, owed: 0, fraction: 0 }
    }

    /// With everything earned up to now counted as owed.
    pub(crate) fn settled(self, rewards: &Rewards) -> Result<Position, BookError> {
        self.earned(rewards.per_sat).ok_or(BookError::Overflow("what a stake has earned"))
    }

    fn earned(self, per_sat: PerSat) -> Option<Position> {
        let (since, nominal) = (per_sat.since(self.entry)?, u128::from(self.nominal));
        // Below 2^64 times 2^60, and a fraction.
        let parts = nominal * u128::from(since.fraction) + u128::from(self.fraction);
        let whole = nominal.checked_mul(since.whole)?.checked_add(parts / REWARD_SCALE)?;
        let fraction = u64::try_from(parts % REWARD_SCALE).ok()?;
        Some(Position { entry: per_sat, owed: self.owed.checked_add(whole)?, fraction, ..self })
    }
}
