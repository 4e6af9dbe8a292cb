//! What a pool earns, and what it turns out not to have earned.

use bitcoin::Amount;

use super::{Pool, PoolError};
use crate::shares::ShareError;

impl Pool {
    /// A reward in bitcoin, which every share earns alike and exits do not.
    ///
    /// # Errors
    ///
    /// [`PoolError::Frozen`], [`PoolError::NoHolders`], [`PoolError::TooMuch`], and [`PoolError::Shares`] for nothing.
    pub fn reward(&mut self, amount: Amount) -> Result<(), PoolError> {
        self.check_not_frozen()?;
        if amount == Amount::ZERO {
            return Err(ShareError::Nothing.into());
        }
        if self.shares.supply() == 0 {
            return Err(PoolError::NoHolders);
        }
        self.check_room(amount)?;
        self.shares.gain(amount.to_sat().into())?;
        self.cash += amount.to_sat();
        self.flows.rewards += u128::from(amount.to_sat());
        self.fresh += amount.to_sat();
        self.run = None;
        Ok(())
    }

    /// Takes back a reward, or a part of one, that never came: it is as if it had not been recorded.
    ///
    /// So it is only as long as nothing was priced or divided with it: since shares came or were given up, or a loss was borne,
    /// those who have it are not those who earned it.
    ///
    /// # Errors
    ///
    /// [`PoolError::NotEarned`] if it is more than the rewards since then, [`PoolError::NotEnoughCash`], and
    /// [`PoolError::Shares`] for nothing.
    pub fn take_reward(&mut self, amount: Amount) -> Result<(), PoolError> {
        if amount == Amount::ZERO {
            return Err(ShareError::Nothing.into());
        }
        let rewards = Amount::from_sat(self.fresh);
        let left = rewards.checked_sub(amount).ok_or(PoolError::NotEarned { amount, rewards })?;
        let cash = self.cash();
        let rest = cash.checked_sub(amount).ok_or(PoolError::NotEnoughCash { due: amount, cash })?;
        self.shares.reduce_to((self.assets() - amount).to_sat().into());
        (self.cash, self.fresh) = (rest.to_sat(), left.to_sat());
        self.flows.rewards -= u128::from(amount.to_sat());
        Ok(())
    }
}
