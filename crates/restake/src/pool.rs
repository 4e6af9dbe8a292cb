//! The pool behind a series of liquid receipts: stakes come in, shares go out.
//!
//! A pool counts what it owes (the value of its shares, and the exits that wait) and what it has (the stakes that still
//! live, and cash: rewards, and what ended stakes have brought back). Both change by entries only. The value of a share
//! never falls but by a loss, or with a reward that never came; what goes missing, such as a stake that its staker withdrew,
//! shows in the [`Backing`] and stops all minting and all paying of exits until it is made good, or written down: then it is a
//! loss like a slashing.

mod data;
mod error;
mod losses;
mod rewards;

use bitcoin::{Amount, OutPoint};
use hashbrown::HashMap;
use tapstake_params::{Height, Timelock};

use crate::queue::{Exit, ExitId, ExitQueue};
use crate::shares::{Nav, ShareError, Shares, VIRTUAL_SHARES};
use crate::units::HolderId;

pub use data::{Backing, Flows, PaidExit, PoolLoss, PooledStake, PooledStatus};
pub use error::PoolError;
use losses::Run;
pub(crate) use losses::SlashedStakes;

/// A pool of stakes and the series of receipts over it.
///
/// ```
/// use bitcoin::{Amount, OutPoint};
/// use tapstake_params::{Height, Timelock};
/// use tapstake_restake::{HolderId, Pool};
///
/// let (ann, bob) = (HolderId::new("ann")?, HolderId::new("bob")?);
/// let mut pool = Pool::new(Timelock::new(1_008)?);
/// let stake = OutPoint::null();
/// let shares = pool.mint(&ann, stake, Amount::from_sat(100_000_000))?;
/// pool.transfer(&ann, &bob, shares / 4)?;
/// let exit = pool.request_exit(&bob, shares / 4, Height::new(900_000))?;
///
/// // Who asked to leave before a slashing bears it like everybody else.
/// let loss = pool.slash(&[(stake, Amount::from_sat(1_000_000))])?;
/// assert_eq!((loss.shares.to_sat(), loss.queue.to_sat()), (750_000, 250_000));
/// pool.end_stake(stake, Amount::from_sat(99_000_000))?;
/// let paid = pool.finalise_exit(exit, Height::new(901_008))?;
/// assert_eq!(paid.paid, Amount::from_sat(24_750_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    shares: Shares,
    stakes: HashMap<OutPoint, PooledStake>,
    staked: u64,
    cash: u64,
    queue: ExitQueue,
    run: Option<Run>,
    /// Rewards that nothing was priced or divided with yet.
    fresh: u64,
    flows: Flows,
}

impl Pool {
    /// An empty pool, whose exits wait for `unbonding` blocks.
    pub fn new(unbonding: Timelock) -> Self {
        Pool {
            shares: Shares::default(),
            stakes: HashMap::new(),
            staked: 0,
            cash: 0,
            queue: ExitQueue::new(unbonding),
            run: None,
            fresh: 0,
            flows: Flows::default(),
        }
    }

    /// Mints shares to `holder` for a stake of `value`: its verified value, or what a slashing has left of it.
    ///
    /// The backing is checked after the mint, with what it adds on either side.
    ///
    /// # Errors
    ///
    /// [`PoolError::Frozen`], [`PoolError::AlreadyMinted`], [`PoolError::TooMuch`], [`PoolError::Unbacked`],
    /// [`PoolError::Surplus`], and [`PoolError::Shares`] if the value is worth no share.
    pub fn mint(&mut self, holder: &HolderId, outpoint: OutPoint, value: Amount) -> Result<u128, PoolError> {
        self.check_not_frozen()?;
        self.check_not_minted(outpoint)?;
        let shares = self.issue(holder, value, value)?;
        self.stakes.insert(outpoint, PooledStake { value, whole: value, status: PooledStatus::Live });
        self.staked += value.to_sat();
        Ok(shares)
    }

    /// Shares for `value`, while `reserves` come in with it.
    fn issue(&mut self, holder: &HolderId, value: Amount, reserves: Amount) -> Result<u128, PoolError> {
        self.check_room(value)?;
        let now = self.backing();
        let after = Backing { reserves: now.reserves + reserves, issued: now.issued + value };
        if after.missing() != Amount::ZERO {
            return Err(PoolError::Unbacked { after });
        }
        let surplus = after.surplus() != Amount::ZERO;
        if surplus && (self.shares.supply() > 0 || self.queue.lost() != Amount::ZERO) {
            return Err(PoolError::Surplus { after });
        }
        let shares = self.shares.deposit(holder, value.to_sat().into())?;
        self.flows.minted += u128::from(value.to_sat());
        (self.run, self.fresh) = (None, 0);
        Ok(shares)
    }

    /// A stake has become another one of `after`: that one backs the pool from now on, also if this one was thought to be
    /// spent. `holder` gets shares for what it is worth more; without one that fills what is missing, or is surplus in a frozen
    /// pool. What it is worth less is missing.
    ///
    /// # Errors
    ///
    /// [`PoolError::UnknownStake`], [`PoolError::AlreadySlashed`], [`PoolError::AlreadyMinted`], [`PoolError::NoReceiver`],
    /// [`PoolError::TooMuch`], those of [`Pool::mint`] for what it is worth more, and [`PoolError::Shares`] if `holder` would
    /// get nothing.
    pub fn expand_stake(
        &mut self,
        outpoint: OutPoint,
        into: OutPoint,
        after: Amount,
        holder: Option<&HolderId>,
    ) -> Result<u128, PoolError> {
        let old = *self.stakes.get(&outpoint).ok_or(PoolError::UnknownStake(outpoint))?;
        if old.status == PooledStatus::Slashed {
            return Err(PoolError::AlreadySlashed(outpoint));
        }
        self.check_not_minted(into)?;
        let less = |a: Amount, b: Amount| a.checked_sub(b).unwrap_or(Amount::ZERO);
        // The pool misses an old stake that was thought to be spent, and has the new one instead.
        let (reserves, more) = (less(after, old.value), less(after, old.whole));
        self.check_room(reserves)?;
        let shares = match holder {
            Some(holder) => {
                self.check_not_frozen()?;
                self.issue(holder, more, reserves)?
            }
            None => {
                let more = less(more, less(self.backing().missing(), less(reserves, more)));
                if more > Amount::ZERO && !self.is_frozen() {
                    return Err(PoolError::NoReceiver { outpoint: into, more });
                }
                0
            }
        };
        self.stakes.insert(outpoint, old.ended());
        self.stakes.insert(into, PooledStake { value: after, whole: after, status: PooledStatus::Live });
        // The old value is among what is staked.
        self.staked = self.staked - old.value.to_sat() + after.to_sat();
        Ok(shares)
    }

    /// Moves shares to another holder.
    ///
    /// # Errors
    ///
    /// [`PoolError::Frozen`], and [`PoolError::Shares`] if `from` has not got them.
    pub fn transfer(&mut self, from: &HolderId, to: &HolderId, shares: u128) -> Result<(), PoolError> {
        self.check_not_frozen()?;
        Ok(self.shares.transfer(from, to, shares)?)
    }

    /// Gives up `shares`, at their value now rounded down, for an exit.
    ///
    /// An exit that leaves shares behind leaves them at least one satoshi.
    ///
    /// # Errors
    ///
    /// [`PoolError::Frozen`], and [`PoolError::Shares`] if the holder has not got the shares or they are worth nothing.
    pub fn request_exit(
        &mut self,
        holder: &HolderId,
        shares: u128,
        height: Height,
    ) -> Result<ExitId, PoolError> {
        self.check_not_frozen()?;
        self.shares.check(holder, shares)?;
        let worth = self.value_floor(shares).ok_or(ShareError::Overflow("the value of shares"))?;
        let kept_back = if shares < self.shares.supply() { Amount::ONE_SAT } else { Amount::ZERO };
        let quoted = worth.min(self.assets().checked_sub(kept_back).unwrap_or(Amount::ZERO));
        if quoted == Amount::ZERO {
            return Err(ShareError::NoAssets { shares }.into());
        }
        self.enqueue(holder, shares, quoted, height)
    }

    /// Gives up the shares, rounded up, that `amount` takes for an exit of exactly that.
    ///
    /// # Errors
    ///
    /// [`PoolError::Frozen`], [`PoolError::LeavesNothing`], and [`PoolError::Shares`] if the holder has not got the shares.
    pub fn request_withdrawal(
        &mut self,
        holder: &HolderId,
        amount: Amount,
        height: Height,
    ) -> Result<ExitId, PoolError> {
        self.check_not_frozen()?;
        let shares = self.shares.shares_for_ceil(amount.to_sat().into());
        let shares = shares.ok_or(ShareError::Overflow("the shares of an amount"))?;
        self.shares.check(holder, shares)?;
        let all = shares == self.shares.supply();
        if amount > self.assets() || (amount == self.assets() && !all) {
            return Err(PoolError::LeavesNothing { amount });
        }
        self.enqueue(holder, shares, amount, height)
    }

    fn enqueue(
        &mut self,
        holder: &HolderId,
        shares: u128,
        quoted: Amount,
        height: Height,
    ) -> Result<ExitId, PoolError> {
        self.shares.redeem(holder, shares, quoted.to_sat().into())?;
        (self.run, self.fresh) = (None, 0);
        Ok(self.queue.push(holder.clone(), shares, quoted, height))
    }

    /// Pays an exit whose unbonding has ended: its claim, which every slashing since its request has lowered, and no
    /// more than its shares would be worth now.
    ///
    /// An exit loses with the pool until it is paid, as a UTXO can be slashed until it is spent; whoever is mature and
    /// waits does so at their own risk, and so nobody is paid before who asked first. While something is missing nobody is
    /// paid: the first would be paid in full, and the last would have nothing. Nor is an exit that has lost while the pool has
    /// what nobody is owed, for that may be its own loss.
    ///
    /// # Errors
    ///
    /// [`PoolError::UnknownExit`], [`PoolError::Unbonding`], [`PoolError::NotFirst`], [`PoolError::Missing`],
    /// [`PoolError::Unsettled`], [`PoolError::NotEnoughCash`].
    pub fn finalise_exit(&mut self, id: ExitId, height: Height) -> Result<PaidExit, PoolError> {
        let Exit { shares, matures_at, quoted, claim, .. } =
            self.queue.get(id).ok_or(PoolError::UnknownExit(id))?.clone();
        if height < matures_at {
            return Err(PoolError::Unbonding { id, matures_at, height });
        }
        if let Some(first) = self.queue.first().filter(|first| *first != id) {
            return Err(PoolError::NotFirst { id, first });
        }
        let backing = self.backing();
        if backing.missing() != Amount::ZERO {
            return Err(PoolError::Missing { backing });
        }
        let surplus = backing.surplus();
        if claim < quoted && surplus != Amount::ZERO {
            return Err(PoolError::Unsettled { id, lost: quoted - claim, surplus });
        }
        // Losses are divided in whole satoshi, so a claim may be a satoshi or two above its shares' part.
        let worth = self.value_floor(shares).unwrap_or(claim);
        let paid = claim.min(worth);
        let cash = Amount::from_sat(self.cash);
        let Some(left) = cash.checked_sub(paid) else {
            return Err(PoolError::NotEnoughCash { due: paid, cash });
        };
        let rest = claim - paid;
        self.shares.gain(rest.to_sat().into())?;
        self.cash = left.to_sat();
        let holder = self.queue.remove(id).ok_or(PoolError::UnknownExit(id))?.holder;
        self.flows.paid += u128::from(paid.to_sat());
        self.run = None;
        Ok(PaidExit { holder, quoted, paid })
    }

    /// Cash leaves the pool other than to an exit: it was stolen or never there, or is given back to who had put too much in.
    /// What then is missing is to be made good or written down.
    ///
    /// # Errors
    ///
    /// [`PoolError::NotEnoughCash`], [`PoolError::Shares`] for nothing.
    pub fn take_cash(&mut self, amount: Amount) -> Result<(), PoolError> {
        if amount == Amount::ZERO {
            return Err(ShareError::Nothing.into());
        }
        let cash = self.cash();
        let left = cash.checked_sub(amount).ok_or(PoolError::NotEnoughCash { due: amount, cash })?;
        self.cash = left.to_sat();
        self.flows.taken += u128::from(amount.to_sat());
        Ok(())
    }

    /// A stake that was thought to be spent is not, and backs the pool again.
    ///
    /// # Errors
    ///
    /// [`PoolError::UnknownStake`], [`PoolError::StakeLives`] if it has not ended, [`PoolError::TooMuch`].
    pub fn revive_stake(&mut self, outpoint: OutPoint) -> Result<(), PoolError> {
        let stake = *self.stakes.get(&outpoint).ok_or(PoolError::UnknownStake(outpoint))?;
        if stake.status != PooledStatus::Ended {
            return Err(PoolError::StakeLives(outpoint));
        }
        self.check_room(stake.whole)?;
        self.stakes.insert(outpoint, PooledStake { value: stake.whole, status: PooledStatus::Live, ..stake });
        self.staked += stake.whole.to_sat();
        Ok(())
    }

    /// Exits wait at least as long as a stake takes to unbond; those that wait already are not held up.
    pub(crate) fn raise_unbonding(&mut self, blocks: Timelock) {
        self.queue.raise_unbonding(blocks);
    }

    /// A stake has ended on the chain: it no longer backs the pool, and `returned` of it has come back as cash.
    ///
    /// What does not come back, such as fees or a stake that its staker has kept, is missing until it is made good or written
    /// down. More than a slashing was to leave of it, where it came too late, is surplus ([`Pool::write_up`]).
    ///
    /// # Errors
    ///
    /// [`PoolError::UnknownStake`], [`PoolError::StakeEnded`], [`PoolError::AboveStake`].
    pub fn end_stake(&mut self, outpoint: OutPoint, returned: Amount) -> Result<(), PoolError> {
        let stake = *self.stakes.get(&outpoint).ok_or(PoolError::UnknownStake(outpoint))?;
        let (amount, whole) = (returned, stake.whole);
        if stake.status == PooledStatus::Ended {
            return Err(PoolError::StakeEnded(outpoint));
        }
        if returned > whole {
            return Err(PoolError::AboveStake { outpoint, amount, value: whole });
        }
        self.check_room(returned.checked_sub(stake.value).unwrap_or(Amount::ZERO))?;
        self.staked -= stake.value.to_sat();
        self.stakes.insert(outpoint, stake.ended());
        self.cash += returned.to_sat();
        self.flows.returned += u128::from(returned.to_sat());
        Ok(())
    }

    /// Cash that makes good what is missing. What has come of a loss after all is surplus ([`Pool::write_up`]).
    ///
    /// # Errors
    ///
    /// [`PoolError::AboveLoss`] if it is more than what is missing and what was ever lost and has not been recovered,
    /// [`PoolError::TooMuch`], and [`PoolError::Shares`] for nothing.
    pub fn make_good(&mut self, amount: Amount) -> Result<(), PoolError> {
        if amount == Amount::ZERO {
            return Err(ShareError::Nothing.into());
        }
        let backing = self.backing();
        // What was lost first has never reached what was owed.
        let lost = self.flows.lost.saturating_sub(self.flows.recovered);
        let most = lost + u128::from(backing.missing().to_sat());
        let most = most.saturating_sub(backing.surplus().to_sat().into());
        if u128::from(amount.to_sat()) > most {
            return Err(PoolError::AboveLoss { amount, most });
        }
        self.check_room(amount)?;
        self.cash += amount.to_sat();
        self.flows.made_good += u128::from(amount.to_sat());
        Ok(())
    }

    /// What the shares stand for.
    pub fn assets(&self) -> Amount {
        // Held at or below all bitcoin by `check_room`.
        Amount::from_sat(u64::try_from(self.shares.assets()).unwrap_or(u64::MAX))
    }

    /// The shares that holders have; those of the exits that wait are not among them.
    pub const fn supply(&self) -> u128 {
        self.shares.supply()
    }

    /// The shares of a holder.
    pub fn balance(&self, holder: &HolderId) -> u128 {
        self.shares.balance(holder)
    }

    /// Every holder with shares, in no particular order.
    pub fn holders(&self) -> impl ExactSizeIterator<Item = (&HolderId, u128)> {
        self.shares.holders()
    }

    /// What a deposit of `assets` brings.
    pub fn shares_floor(&self, assets: Amount) -> Option<u128> {
        self.shares.shares_for_floor(assets.to_sat().into())
    }

    /// The shares that an exit of exactly `assets` takes.
    pub fn shares_ceil(&self, assets: Amount) -> Option<u128> {
        self.shares.shares_for_ceil(assets.to_sat().into())
    }

    /// What an exit of `shares` brings. `None` if that is more than all bitcoin.
    pub fn value_floor(&self, shares: u128) -> Option<Amount> {
        self.shares.assets_for_floor(shares).and_then(to_amount)
    }

    /// The deposit that exactly `shares` take. `None` if that is more than all bitcoin.
    pub fn value_ceil(&self, shares: u128) -> Option<Amount> {
        self.shares.assets_for_ceil(shares).and_then(to_amount)
    }

    /// The net asset value, rounded down.
    pub fn nav_floor(&self) -> Nav {
        // All bitcoin in millionths of a satoshi, times the virtual shares, is below 2^92. The supply may be as large as it can.
        let assets = (u128::from(self.assets().to_sat()) + 1) * VIRTUAL_SHARES * Nav::ONE.millionths();
        Nav::new(assets / self.shares.supply().saturating_add(VIRTUAL_SHARES))
    }

    /// What the pool has against what it owes.
    pub fn backing(&self) -> Backing {
        Backing {
            reserves: Amount::from_sat(self.staked + self.cash),
            issued: self.assets() + self.queue.total(),
        }
    }

    /// Cash: what exits can be paid from.
    pub const fn cash(&self) -> Amount {
        Amount::from_sat(self.cash)
    }

    /// The exits that wait.
    pub const fn queue(&self) -> &ExitQueue {
        &self.queue
    }

    /// Whether the shares have lost everything. Then nothing is minted, moved, earned or given up any more.
    pub const fn is_frozen(&self) -> bool {
        self.shares.assets() == 0 && self.shares.supply() > 0
    }

    /// A stake that something was minted for, be it gone or not.
    pub fn stake(&self, outpoint: &OutPoint) -> Option<&PooledStake> {
        self.stakes.get(outpoint)
    }

    /// Every stake that something was minted for, be it gone or not, in no particular order.
    pub fn stakes(&self) -> impl ExactSizeIterator<Item = (&OutPoint, &PooledStake)> {
        self.stakes.iter()
    }

    /// Everything that ever went through the pool.
    pub const fn flows(&self) -> &Flows {
        &self.flows
    }

    fn check_not_minted(&self, outpoint: OutPoint) -> Result<(), PoolError> {
        if self.stakes.contains_key(&outpoint) { Err(PoolError::AlreadyMinted(outpoint)) } else { Ok(()) }
    }

    fn check_not_frozen(&self) -> Result<(), PoolError> {
        if self.is_frozen() { Err(PoolError::Frozen) } else { Ok(()) }
    }

    /// Neither side may exceed all bitcoin, so that no later sum of amounts can overflow.
    fn check_room(&self, amount: Amount) -> Result<(), PoolError> {
        let Backing { reserves, issued } = self.backing();
        let sum = reserves.max(issued).checked_add(amount);
        sum.filter(|sum| *sum <= Amount::MAX_MONEY).map(drop).ok_or(PoolError::TooMuch { amount })
    }
}

fn to_amount(sat: u128) -> Option<Amount> {
    u64::try_from(sat).ok().map(Amount::from_sat).filter(|amount| *amount <= Amount::MAX_MONEY)
}

#[cfg(test)]
impl Pool {
    pub(crate) fn tamper_shares(&mut self) -> &mut Shares {
        &mut self.shares
    }

    pub(crate) fn tamper_queue(&mut self) -> &mut ExitQueue {
        &mut self.queue
    }

    pub(crate) fn tamper_staked(&mut self) {
        self.staked -= 1;
    }
}
