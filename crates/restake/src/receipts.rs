use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use tapstake_params::{Height, Timelock};

use crate::BookError;
use crate::event::Event;
use crate::exposure::Loss;
use crate::ledger::Ledger;
use crate::lrt::{LrtError, LrtPool};
use crate::pool::{Pool, PoolError, PooledStatus, SlashedStakes};
use crate::risk::{RiskReport, StakeAtRisk};
use crate::shares::Nav;
use crate::stake::{AdmittedStake, StakeStatus};
use crate::table::{Table, id};
use crate::units::{HolderId, PartsPerMillion, PoolId, ServiceId};

/// Before the names of the accounts in which pools over receipts hold their shares.
const LRT_PREFIX: &str = "lrt:";

/// All pools, over stakes and over receipts, next to the ledger of the stakes beneath them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Receipts {
    pools: Table<(PoolId, Pool)>,
    pool_ids: BTreeMap<PoolId, u32>,
    lrt_pools: BTreeMap<PoolId, (u32, LrtPool)>,
    /// When each pool, over stakes or over receipts, has minted the last time.
    minted_at: BTreeMap<PoolId, Height>,
}

impl Receipts {
    fn id(&self, name: &PoolId) -> Result<u32, BookError> {
        self.pool_ids.get(name).copied().ok_or_else(|| BookError::UnknownPool(name.clone()))
    }

    pub(crate) fn name(&self, pool: u32) -> &PoolId {
        &self.pools[pool].0
    }

    pub(crate) fn pool(&self, name: &PoolId) -> Result<&Pool, BookError> {
        self.id(name).map(|pool| &self.pools[pool].1)
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = (&PoolId, &Pool)> {
        self.pool_ids.iter().map(|(name, pool)| (name, &self.pools[*pool].1))
    }

    pub(crate) fn lrt_pools(&self) -> impl Iterator<Item = (&PoolId, &PoolId, &LrtPool)> {
        self.lrt_pools.iter().map(|(name, (over, lrt))| (name, self.name(*over), lrt))
    }

    pub(crate) fn lrt_pool(&self, name: &PoolId) -> Result<(&LrtPool, &Pool), BookError> {
        let found = self.lrt_pools.get(name).ok_or_else(|| BookError::UnknownPool(name.clone()))?;
        Ok((&found.1, &self.pools[found.0].1))
    }

    /// The events that concern pools alone.
    pub(crate) fn change(&mut self, event: &Event, height: Height) -> Result<(), BookError> {
        match event {
            Event::OpenPool { pool, unbonding_time } => self.open(pool, *unbonding_time),
            Event::OpenLrt { pool, over, leverage_limit } => self.open_lrt(pool, over, *leverage_limit),
            Event::Transfer { pool, from, to, shares } => {
                check_holder(from)?;
                check_holder(to)?;
                self.with(pool, |pool| pool.transfer(from, to, *shares))
            }
            Event::PoolReward { pool, amount } => {
                self.check_reward(pool, height)?;
                self.with(pool, |pool| pool.reward(*amount))
            }
            Event::TakeReward { pool, amount } => self.with(pool, |pool| pool.take_reward(*amount)),
            Event::RequestExit { pool, holder, shares } => {
                check_holder(holder)?;
                self.with(pool, |pool| pool.request_exit(holder, *shares, height).map(drop))
            }
            Event::RequestWithdrawal { pool, holder, amount } => {
                check_holder(holder)?;
                self.with(pool, |pool| pool.request_withdrawal(holder, *amount, height).map(drop))
            }
            Event::FinaliseExit { pool, exit } => {
                self.with(pool, |pool| pool.finalise_exit(*exit, height).map(drop))
            }
            Event::MakeGood { pool, amount } => self.with(pool, |pool| pool.make_good(*amount)),
            Event::WriteDown { pool, amount } => self.with(pool, |pool| pool.write_down(*amount).map(drop)),
            Event::WriteUp { pool, amount } => self.with(pool, |pool| pool.write_up(*amount)),
            Event::TakeCash { pool, amount } => self.with(pool, |pool| pool.take_cash(*amount)),
            Event::LeaveService { pool, service } => self.with_lrt(pool, |lrt, _| lrt.leave(service)),
            Event::LrtDeposit { pool, holder, shares } => {
                check_holder(holder)?;
                self.with_lrt(pool, |lrt, beneath| lrt.deposit(beneath, holder, *shares).map(drop))?;
                self.minted_at.insert(pool.clone(), height);
                Ok(())
            }
            Event::LrtRedeem { pool, holder, shares } => {
                check_holder(holder)?;
                self.with_lrt(pool, |lrt, beneath| lrt.redeem(beneath, holder, *shares).map(drop))
            }
            Event::LrtTransfer { pool, from, to, shares } => {
                check_holder(to)?;
                self.with_lrt(pool, |lrt, _| lrt.transfer(from, to, *shares))
            }
            Event::LrtReward { pool, from, shares } => {
                check_holder(from)?;
                self.check_reward(pool, height)?;
                self.with_lrt(pool, |lrt, beneath| lrt.reward(beneath, from, *shares))
            }
            // These concern stakes as well, and the book makes them.
            Event::RegisterService { .. }
            | Event::RegisterProvider { .. }
            | Event::SetCommission { .. }
            | Event::AdmitStake { .. }
            | Event::Allocate { .. }
            | Event::Reward { .. }
            | Event::Claim { .. }
            | Event::ClaimCommission { .. }
            | Event::GiveBack { .. }
            | Event::ExpandStake { .. }
            | Event::EndStake { .. }
            | Event::ReviveStake { .. }
            | Event::Slash { .. }
            | Event::Mint { .. }
            | Event::ChooseService { .. }
            | Event::ReturnStake { .. } => Ok(()),
        }
    }

    fn with(
        &mut self,
        name: &PoolId,
        change: impl FnOnce(&mut Pool) -> Result<(), PoolError>,
    ) -> Result<(), BookError> {
        let pool = self.id(name)?;
        change(&mut self.pools[pool].1).map_err(|error| refusal(name, error))
    }

    fn with_lrt(
        &mut self,
        name: &PoolId,
        change: impl FnOnce(&mut LrtPool, &mut Pool) -> Result<(), LrtError>,
    ) -> Result<(), BookError> {
        let found = self.lrt_pools.get_mut(name).ok_or_else(|| BookError::UnknownPool(name.clone()))?;
        change(&mut found.1, &mut self.pools[found.0].1)
            .map_err(|error| BookError::Lrt { pool: name.clone(), error })
    }

    /// Rewards of a height come before receipts that are minted there.
    fn check_reward(&self, name: &PoolId, height: Height) -> Result<(), BookError> {
        if self.minted_at.get(name) == Some(&height) {
            return Err(BookError::PoolRewardAfterMint { pool: name.clone(), height });
        }
        Ok(())
    }

    fn check_free(&self, name: &PoolId) -> Result<(), BookError> {
        if self.pool_ids.contains_key(name) || self.lrt_pools.contains_key(name) {
            return Err(BookError::PoolExists(name.clone()));
        }
        Ok(())
    }

    fn open(&mut self, name: &PoolId, unbonding_time: Timelock) -> Result<(), BookError> {
        self.check_free(name)?;
        let pool = id(self.pools.len())?;
        self.pool_ids.insert(name.clone(), pool);
        self.pools.push((name.clone(), Pool::new(unbonding_time)));
        Ok(())
    }

    fn open_lrt(&mut self, name: &PoolId, over: &PoolId, limit: PartsPerMillion) -> Result<(), BookError> {
        self.check_free(name)?;
        let over = self.id(over)?;
        let account = HolderId::new(&alloc::format!("{LRT_PREFIX}{name}"));
        let account = account.expect("a prefix and a pool's name are shorter than a holder's may be");
        self.lrt_pools.insert(name.clone(), (over, LrtPool::new(account, limit)));
        Ok(())
    }

    /// Mints for an active stake, which no pool has minted for.
    pub(crate) fn mint(
        &mut self,
        ledger: &mut Ledger,
        name: &PoolId,
        holder: &HolderId,
        outpoint: &OutPoint,
        height: Height,
    ) -> Result<(), BookError> {
        check_holder(holder)?;
        let (pool, stake) = (self.id(name)?, ledger.stake_id(outpoint)?);
        let row = &mut ledger.stakes[stake];
        if let Some(pool) = row.pool {
            return Err(BookError::Minted { outpoint: *outpoint, pool: self.name(pool).clone() });
        }
        row.require_active()?;
        self.check_unbonding(pool, outpoint, row.unbonding_time)?;
        let minted = self.pools[pool].1.mint(holder, *outpoint, row.value);
        minted.map_err(|error| refusal(name, error))?;
        row.pool = Some(pool);
        self.minted_at.insert(name.clone(), height);
        Ok(())
    }

    fn check_unbonding(&self, pool: u32, outpoint: &OutPoint, asked: Timelock) -> Result<(), BookError> {
        let (name, pool) = &self.pools[pool];
        let actual = pool.queue().unbonding();
        if actual < asked {
            return Err(BookError::PoolUnbonding { pool: name.clone(), actual, outpoint: *outpoint, asked });
        }
        Ok(())
    }

    /// Chooses a service for a pool over receipts, within the limits of all the services that it has chosen.
    pub(crate) fn choose(
        &mut self,
        ledger: &Ledger,
        name: &PoolId,
        service: &ServiceId,
        part: PartsPerMillion,
    ) -> Result<(), BookError> {
        ledger.registry.service(service)?;
        let (lrt, _) = self.lrt_pool(name)?;
        let sum = lrt.leverage_with(service, part).ok_or(BookError::Overflow("what services count"))?;
        for chosen in lrt.services().keys().chain([service]) {
            let limit = ledger.registry.services[ledger.registry.service(chosen)?].terms.leverage_limit;
            if sum > limit {
                let (pool, service) = (name.clone(), chosen.clone());
                return Err(BookError::LrtLeverage { pool, service, sum, limit });
            }
        }
        self.with_lrt(name, |lrt, _| lrt.choose(service.clone(), part))
    }

    /// The stake of a pool has become another one. The pool to which that one belongs, if any.
    pub(crate) fn expand(
        &mut self,
        ledger: &Ledger,
        old: u32,
        new: &AdmittedStake,
        holder: Option<&HolderId>,
        height: Height,
    ) -> Result<Option<u32>, BookError> {
        let row = &ledger.stakes[old];
        let Some(pool) = row.pool else {
            // Whoever was to get receipts gets none.
            return if holder.is_some() { Err(BookError::NotMinted(row.outpoint)) } else { Ok(None) };
        };
        if let Some(holder) = holder {
            check_holder(holder)?;
        }
        let (name, pool_of) = &mut self.pools[pool];
        let expanded = pool_of.expand_stake(row.outpoint, new.outpoint(), new.value(), holder);
        expanded.map_err(|error| refusal(name, error))?;
        pool_of.raise_unbonding(new.data().unbonding_time);
        if holder.is_some() {
            self.minted_at.insert(name.clone(), height);
        }
        Ok(Some(pool))
    }

    /// Whether a stake whose coin has moved on into another one is still counted, so that both would be.
    pub(crate) fn counts(&self, ledger: &Ledger, stake: u32) -> bool {
        let row = &ledger.stakes[stake];
        let pool = row.pool.map(|pool| &self.pools[pool].1);
        match row.status {
            StakeStatus::Active
            | StakeStatus::Unbonding { .. }
            | StakeStatus::Expired { .. }
            | StakeStatus::Expanded => true,
            StakeStatus::Returned => false,
            // Its coin is its pool's, as long as that misses it.
            StakeStatus::Spent => pool.is_some_and(|pool| pool.backing().missing() > Amount::ZERO),
            StakeStatus::Slashed => {
                let pooled = pool.and_then(|pool| pool.stake(&row.outpoint));
                pooled.is_some_and(|pooled| pooled.status != PooledStatus::Ended)
            }
        }
    }

    /// A stake that was thought to be gone backs its pool again.
    pub(crate) fn revive(&mut self, ledger: &Ledger, stake: u32) -> Result<(), BookError> {
        let row = &ledger.stakes[stake];
        let Some(pool) = row.pool else { return Ok(()) };
        let (name, pool) = &mut self.pools[pool];
        pool.revive_stake(row.outpoint).map_err(|error| refusal(name, error))
    }

    /// A stake that its staker could not hold back any longer, or what a slashing has left of it, comes back to its pool.
    pub(crate) fn take_back(
        &mut self,
        ledger: &Ledger,
        stake: u32,
        returned: Amount,
        height: Height,
    ) -> Result<(), BookError> {
        let row = &ledger.stakes[stake];
        let (outpoint, status) = (row.outpoint, row.status);
        let pool = row.pool.ok_or(BookError::NotMinted(outpoint))?;
        if row.locked_at(height) {
            return Err(BookError::StillLocked { outpoint, status, height });
        }
        self.end_in(pool, &outpoint, returned)
    }

    /// A stake was spent in a way that the books do not follow: its pool misses it until it is made good.
    pub(crate) fn lose_sight(&mut self, ledger: &Ledger, outpoint: &OutPoint) -> Result<(), BookError> {
        match ledger.stakes[ledger.stake_id(outpoint)?].pool {
            Some(pool) => self.end_in(pool, outpoint, Amount::ZERO),
            None => Ok(()),
        }
    }

    fn end_in(&mut self, pool: u32, outpoint: &OutPoint, returned: Amount) -> Result<(), BookError> {
        let (name, pool) = &mut self.pools[pool];
        pool.end_stake(*outpoint, returned).map_err(|error| refusal(name, error))
    }

    /// What these losses take from each pool, to be made.
    pub(crate) fn slashed(
        &self,
        ledger: &Ledger,
        losses: &[(u32, Loss)],
    ) -> Result<Vec<(u32, SlashedStakes)>, BookError> {
        let mut by_pool: BTreeMap<u32, Vec<(OutPoint, Amount)>> = BTreeMap::new();
        for (stake, loss) in losses {
            if let Some(pool) = ledger.stakes[*stake].pool {
                by_pool.entry(pool).or_default().push((loss.outpoint, loss.amount));
            }
        }
        let slashed = by_pool.into_iter().map(|(id, losses)| {
            let (name, pool) = &self.pools[id];
            Ok((id, pool.slashed(&losses).map_err(|error| refusal(name, error))?))
        });
        slashed.collect()
    }

    pub(crate) fn make(&mut self, slashed: Vec<(u32, SlashedStakes)>) {
        for (id, slashed) in slashed {
            self.pools[id].1.make(slashed);
        }
    }

    pub(crate) fn risk(
        &self,
        ledger: &Ledger,
        name: &PoolId,
        height: Height,
        market: Option<Nav>,
    ) -> Result<RiskReport, BookError> {
        let pool = self.pool(name)?;
        let mut stakes: Vec<(OutPoint, Amount, Vec<XOnlyPublicKey>)> = Vec::new();
        for (outpoint, _) in pool.stakes().filter(|(_, pooled)| pooled.status == PooledStatus::Live) {
            let row = &ledger.stakes[ledger.stake_id(outpoint)?];
            // While it is active nobody knows which of the two slashings it will be.
            let loss = row.loss_now().map_or(Amount::ZERO, |loss| match row.require_active() {
                Ok(()) => row.slashable(),
                Err(_) => loss,
            });
            let keys = row.providers.iter().map(|provider| ledger.registry.providers[*provider].key);
            stakes.push((*outpoint, loss, keys.collect()));
        }
        let stakes = stakes.iter().map(|(outpoint, loss, providers)| StakeAtRisk {
            outpoint: *outpoint,
            providers,
            loss: *loss,
        });
        RiskReport::new(pool, height, market, stakes)
            .map_err(|error| BookError::Risk { pool: name.clone(), error })
    }
}

fn refusal(pool: &PoolId, error: PoolError) -> BookError {
    BookError::Pool { pool: pool.clone(), error }
}

fn check_holder(holder: &HolderId) -> Result<(), BookError> {
    if holder.as_str().starts_with(LRT_PREFIX) {
        return Err(BookError::ReservedHolder(holder.clone()));
    }
    Ok(())
}

#[cfg(test)]
impl Receipts {
    pub(crate) fn tamper_pool(&mut self, name: &PoolId) -> &mut Pool {
        let pool = self.id(name).unwrap();
        &mut self.pools[pool].1
    }

    pub(crate) fn tamper_lrt(&mut self, name: &PoolId) -> &mut LrtPool {
        &mut self.lrt_pools.get_mut(name).unwrap().1
    }
}
