//! What a pool earns, and what it turns out not to have earned.

use alloc::vec::Vec;

use bitcoin::Amount;

use super::{Pool, PoolError};
use crate::queue::{Exit, ExitId};
use crate::shares::{ShareError, VIRTUAL_SHARES};
use crate::units::{mul_div_floor, widening_mul};

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
        self.run = None;
        Ok(())
    }

    /// Takes back a reward, or a part of one, that never came: its cash goes, and shares are worth what they would be without it.
    ///
    /// So are those of exits that were quoted more than that, and no exit else loses anything. Whoever came in between bears it.
    ///
    /// # Errors
    ///
    /// [`PoolError::Frozen`], [`PoolError::NotEarned`] if it is more than all rewards, [`PoolError::NotEnoughCash`],
    /// [`PoolError::LeavesNothing`], and [`PoolError::Shares`] for nothing.
    pub fn take_reward(&mut self, amount: Amount) -> Result<(), PoolError> {
        self.check_not_frozen()?;
        if amount == Amount::ZERO {
            return Err(ShareError::Nothing.into());
        }
        let rewards = self.flows.rewards;
        let left = rewards.checked_sub(amount.to_sat().into());
        let rewards = left.ok_or(PoolError::NotEarned { amount, rewards })?;
        let poor = PoolError::NotEnoughCash { due: amount, cash: self.cash() };
        let cash = self.cash.checked_sub(amount.to_sat()).ok_or(poor)?;
        let (assets, claims) = self.without(amount)?;
        for (exit, claim) in claims {
            self.queue.lower(exit, claim);
        }
        self.shares.reduce_to(assets.into());
        self.cash = cash;
        self.flows.rewards = rewards;
        self.run = None;
        Ok(())
    }

    /// What the shares would have without `amount`, and the claims of exits that were quoted more than their shares are worth then:
    /// those count as shares once more, the dearest first, until the next one asks no more than its shares are worth.
    fn without(&self, amount: Amount) -> Result<(u64, Vec<(ExitId, u64)>), PoolError> {
        let mut dearest: Vec<(ExitId, &Exit)> = self.queue.iter().collect();
        let times = |exit: &Exit, other: &Exit| widening_mul(exit.claim.to_sat().into(), other.shares);
        dearest.sort_by(|(_, a), (_, b)| times(b, a).cmp(&times(a, b)));
        let (mut all, mut supply) = (self.assets().to_sat(), self.supply());
        let worth = |shares: u128, all: u64, supply: u128| {
            let Some(left) = all.checked_sub(amount.to_sat()) else { return 0 };
            let worth = mul_div_floor(shares, u128::from(left) + 1, supply.saturating_add(VIRTUAL_SHARES));
            // Shares that do not count yet may be worth more than there is.
            worth.and_then(|worth| u64::try_from(worth).ok()).unwrap_or(u64::MAX)
        };
        let mut too_dear = 0;
        for (_, exit) in &dearest {
            let claim = exit.claim.to_sat();
            if claim <= worth(exit.shares, all, supply) {
                break;
            }
            all += claim;
            let sum = supply.checked_add(exit.shares);
            supply = sum.ok_or(ShareError::Overflow("the sum of shares"))?;
            too_dear += 1;
        }
        let nothing = PoolError::LeavesNothing { amount };
        let mut assets = all.checked_sub(amount.to_sat()).ok_or(nothing.clone())?;
        let mut claims = Vec::with_capacity(too_dear);
        for (id, exit) in &dearest[..too_dear] {
            let claim = worth(exit.shares, all, supply).min(exit.claim.to_sat());
            assets -= claim;
            claims.push((*id, claim));
        }
        if assets == 0 && self.supply() > 0 { Err(nothing) } else { Ok((assets, claims)) }
    }
}
