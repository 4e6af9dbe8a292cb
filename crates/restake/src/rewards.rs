//! Rewards: what one sat has earned since the beginning, and what of it belongs to whom.
//!
//! A reward is spread over every stake behind a provider by raising one number, the cumulative reward per sat, so its cost
//! does not depend on how many stakes there are. The number counts in 1e-18 base units. What does not divide is carried to the
//! next reward, what a position has of a base unit it keeps as a fraction, and what arrives while there is no stake is held for
//! the next reward, as far as one sat could earn it: nothing is lost, and for every service and provider
//!
//! ```text
//! put in = paid + claimable + fractions + carry + held + commission (owed and paid)
//! ```
//!
//! holds exactly, in 1e-18 base units.

use crate::BookError;
use crate::units::{PartsPerMillion, mul_add_div_rem};

/// The fractions of a base unit that rewards per sat are counted in.
pub const REWARD_SCALE: u128 = 1_000_000_000_000_000_000;

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
    /// What did not divide, in 1e-18 base units, and waits for the next reward.
    pub carry: u128,
    /// What one sat has earned since the beginning, in 1e-18 base units.
    pub per_sat: u128,
}

/// A stake's part in the rewards of one provider at one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Which provider's at which service.
    pub(crate) accumulator: u32,
    /// What counts, in satoshi.
    pub(crate) nominal: u64,
    /// [`Rewards::per_sat`] when the position was settled last.
    pub(crate) entry: u128,
    /// Earned and not yet paid, in base units.
    pub(crate) owed: u128,
    /// Earned beyond that, in 1e-18 base units, less than one whole.
    pub(crate) fraction: u64,
}

impl Rewards {
    pub(crate) const NONE: Rewards = Rewards {
        staked: 0,
        put_in: 0,
        commission: 0,
        commission_paid: 0,
        paid: 0,
        held: 0,
        carry: 0,
        per_sat: 0,
    };

    /// With `amount` more, of which the provider takes its commission first, rounded down.
    pub(crate) fn with(self, amount: u128, commission: PartsPerMillion) -> Result<Rewards, BookError> {
        // What is held must fit whatever stake comes next, or no reward would ever be taken again.
        let (held, staked) = (self.held, self.staked.max(1));
        let most = ((u128::MAX - self.per_sat) / REWARD_SCALE).saturating_mul(staked.into());
        let spread = held.checked_add(amount).filter(|spread| *spread <= most);
        let spread = spread.ok_or(BookError::RewardTooLarge { amount, held, most, staked })?;
        let put_in = self.put_in.checked_add(amount).ok_or(BookError::Overflow("the sum of all rewards"))?;
        if self.staked == 0 {
            return Ok(Rewards { put_in, held: spread, ..self });
        }
        let overflow = || BookError::Overflow("the reward per sat");
        let taken = commission.of_floor(spread).ok_or_else(overflow)?;
        let left = spread.checked_sub(taken).ok_or_else(overflow)?;
        let (raise, carry) =
            mul_add_div_rem(left, REWARD_SCALE, self.carry, self.staked.into()).ok_or_else(overflow)?;
        let per_sat = self.per_sat.checked_add(raise).ok_or_else(overflow)?;
        Ok(Rewards { put_in, commission: self.commission + taken, held: 0, carry, per_sat, ..self })
    }
}

impl Position {
    pub(crate) const fn new(accumulator: u32) -> Self {
        Position { accumulator, nominal: 0, entry: 0, owed: 0, fraction: 0 }
    }

    /// With everything earned up to now counted as owed.
    pub(crate) fn settled(self, rewards: &Rewards) -> Result<Position, BookError> {
        let overflow = BookError::Overflow("what a stake has earned");
        let since = rewards.per_sat.checked_sub(self.entry).ok_or_else(|| overflow.clone())?;
        let earned = mul_add_div_rem(self.nominal.into(), since, self.fraction.into(), REWARD_SCALE);
        let (whole, fraction) = earned.ok_or_else(|| overflow.clone())?;
        let owed = self.owed.checked_add(whole).ok_or_else(|| overflow.clone())?;
        let fraction = u64::try_from(fraction).map_err(|_| overflow)?;
        Ok(Position { entry: rewards.per_sat, owed, fraction, ..self })
    }
}
