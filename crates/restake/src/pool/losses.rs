//! What a pool loses, and what it gets back of it.

use alloc::collections::BTreeMap;

use bitcoin::{Amount, OutPoint};

use super::{Pool, PoolError, PoolLoss, PooledStake, PooledStatus};
use crate::shares::ShareError;

/// Slashes with nothing between them that changes what they divide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    assets: u64,
    queued: u64,
    lost: u64,
}

impl Run {
    /// The run with `loss` more in it.
    const fn with(self, loss: u64) -> Self {
        Run { lost: self.lost + loss, ..self }
    }

    /// What it leaves to the shares, and what it takes from the queue.
    fn divide(self) -> (u64, u64) {
        let whole = self.assets + self.queued;
        let left = whole.saturating_sub(self.lost);
        let kept = u128::from(self.queued) * u128::from(left) / u128::from(whole.max(1));
        // At most `left`, since `queued` is at most `whole`.
        let kept = u64::try_from(kept).unwrap_or(left);
        (left - kept, self.queued - kept)
    }
}

/// Stakes as slashes leave them, and what they lose.
#[derive(Debug)]
pub(crate) struct SlashedStakes {
    after: BTreeMap<OutPoint, PooledStake>,
    loss: u64,
}

impl Pool {
    /// Slashes stakes of the pool, each for its own loss: all of them or none.
    ///
    /// What the pool has and owes nobody is lost first. The rest is divided between the shares and the exits that wait in
    /// proportion to what each has; the exits' part is rounded up. Slashes with nothing between them that changes the pool
    /// give the same result in any order, one by one or together. If nothing is left to the shares, the pool is frozen.
    ///
    /// # Errors
    ///
    /// [`PoolError::UnknownStake`], [`PoolError::StakeEnded`], [`PoolError::AlreadySlashed`], [`PoolError::AboveStake`].
    pub fn slash(&mut self, losses: &[(OutPoint, Amount)]) -> Result<PoolLoss, PoolError> {
        self.slashed(losses).map(|slashed| self.make(slashed))
    }

    /// Slashes worked out and not yet made.
    pub(crate) fn slashed(&self, losses: &[(OutPoint, Amount)]) -> Result<SlashedStakes, PoolError> {
        let mut after = BTreeMap::new();
        for &(outpoint, loss) in losses {
            let stake = self.stakes.get(&outpoint).ok_or(PoolError::UnknownStake(outpoint))?;
            match stake.status {
                PooledStatus::Live => {}
                PooledStatus::Slashed => return Err(PoolError::AlreadySlashed(outpoint)),
                PooledStatus::Ended => return Err(PoolError::StakeEnded(outpoint)),
            }
            let (amount, value) = (loss, stake.value);
            let left = value.checked_sub(loss).ok_or(PoolError::AboveStake { outpoint, amount, value })?;
            let slashed = PooledStake { value: left, whole: value, status: PooledStatus::Slashed };
            if after.insert(outpoint, slashed).is_some() {
                return Err(PoolError::AlreadySlashed(outpoint));
            }
        }
        // Distinct stakes of the pool, so at most `staked`, which is at most what is issued.
        let loss = losses.iter().map(|(_, loss)| loss.to_sat()).sum();
        Ok(SlashedStakes { after, loss })
    }

    /// Makes slashes that were worked out on this very pool.
    pub(crate) fn make(&mut self, slashed: SlashedStakes) -> PoolLoss {
        // What the pool has and owes nobody is lost first.
        let borne = self.bear(slashed.loss.saturating_sub(self.backing().surplus().to_sat()));
        self.stakes.extend(slashed.after);
        self.staked -= slashed.loss;
        borne
    }

    /// Gives up what is missing, or a part of it: shares and exits bear it as they bear a slashing.
    ///
    /// A slashing of which the books heard only after they had lost sight of the stake comes in this way, and so do the fees of
    /// what came back.
    ///
    /// # Errors
    ///
    /// [`PoolError::NotMissing`] if it is more than that, [`PoolError::Shares`] for nothing.
    pub fn write_down(&mut self, amount: Amount) -> Result<PoolLoss, PoolError> {
        let missing = self.backing().missing();
        if amount == Amount::ZERO {
            return Err(ShareError::Nothing.into());
        }
        if amount > missing {
            return Err(PoolError::NotMissing { amount, missing });
        }
        Ok(self.bear(amount.to_sat()))
    }

    /// Gives what the pool has and owes nobody, or a part of it, to shares and exits: a loss that was none after all, as where
    /// a slashing came too late on the chain.
    ///
    /// After the losses that it takes back, with nothing between them that changes the pool, it is as if they had been lower.
    /// Later it is divided by what shares have and exits that have lost, and no exit gets more than it was quoted. A frozen
    /// pool of which shares are worth something again is frozen no more.
    ///
    /// # Errors
    ///
    /// [`PoolError::NotSurplus`] if it is more than that, [`PoolError::NoHolders`] if it is more than exits have lost and nobody
    /// holds a share, [`PoolError::Shares`] for nothing.
    pub fn write_up(&mut self, amount: Amount) -> Result<(), PoolError> {
        let surplus = self.backing().surplus();
        if amount == Amount::ZERO {
            return Err(ShareError::Nothing.into());
        }
        if amount > surplus {
            return Err(PoolError::NotSurplus { amount, surplus });
        }
        // What the run has lost comes back first, and what is more is divided.
        let run = self.run_now();
        let undone = run.lost.min(amount.to_sat());
        let rest = amount.to_sat() - undone;
        let run = Run { lost: run.lost - undone, ..run };
        let (assets, queue_lost) = run.divide();
        // What the exits will lack then; without holders nobody else can have the rest.
        let lacks = (self.queue.lost() + self.queue.total()).to_sat() - (run.queued - queue_lost);
        if rest > lacks && self.shares.supply() == 0 {
            return Err(PoolError::NoHolders);
        }
        if undone > 0 {
            self.run = Some(run);
            self.shares.reduce_to(assets.into());
            self.queue.lose(queue_lost);
        }
        if rest > 0 {
            // An exit that has lost nothing gets nothing, so it does not count.
            let (assets, lacking) = (self.assets().to_sat(), self.queue.lacking().to_sat());
            let part = match assets + lacking {
                _ if self.shares.supply() == 0 => rest,
                // Nobody has anything: exits first, who can never have more than what they were quoted.
                0 => rest,
                all => {
                    u64::try_from(u128::from(rest) * u128::from(lacking) / u128::from(all)).unwrap_or(rest)
                }
            };
            let to_queue = part.min(self.queue.lost().to_sat());
            self.shares.gain((rest - to_queue).into())?;
            self.queue.recover(to_queue);
            self.run = None;
        }
        self.fresh = 0;
        self.flows.recovered += u128::from(amount.to_sat());
        Ok(())
    }

    /// Takes a loss from shares and exits.
    fn bear(&mut self, loss: u64) -> PoolLoss {
        let before = (self.assets(), self.queue.total());
        if self.run.is_none() {
            self.queue.begin_run();
        }
        let run = self.run_now().with(loss);
        let (assets, queue_lost) = run.divide();
        (self.run, self.fresh) = (Some(run), 0);
        self.shares.reduce_to(assets.into());
        self.queue.lose(queue_lost);
        self.flows.lost += u128::from(loss);
        PoolLoss { shares: before.0 - self.assets(), queue: before.1 - self.queue.total() }
    }

    /// What the pool would be worth after a loss of `loss` more: to the shares, and to the queue.
    pub fn after_loss(&self, loss: Amount) -> (Amount, Amount) {
        let most = self.assets() + self.queue.total();
        let run = self.run_now().with(loss.min(most).to_sat());
        let (assets, queue_lost) = run.divide();
        (Amount::from_sat(assets), Amount::from_sat(run.queued - queue_lost))
    }

    /// The run that goes on, or one that begins.
    fn run_now(&self) -> Run {
        let fresh = || Run { assets: self.assets().to_sat(), queued: self.queue.total().to_sat(), lost: 0 };
        self.run.unwrap_or_else(fresh)
    }
}
