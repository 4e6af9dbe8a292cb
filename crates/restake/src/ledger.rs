use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use tapstake_crypto::pop::Account;
use tapstake_params::{Height, Timelock};

use crate::BookError;
use crate::allocation::{Allocation, StakeExposure, within_limit};
use crate::exposure::{Exposure, Loss};
use crate::registry::Registry;
use crate::rewards::Position;
use crate::stake::{AdmittedStake, End, StakeStatus};
use crate::table::{Table, id};
use crate::units::{Denomination, ServiceId};

/// Stakes, what they count for, and what they have earned. Every change is worked out before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ledger {
    pub(crate) registry: Registry,
    pub(crate) stakes: Table<Stake>,
    pub(crate) owners: Table<Owner>,
    stake_ids: BTreeMap<OutPoint, u32>,
    owner_ids: BTreeMap<Arc<Account>, u32>,
    /// Active stakes by their expiry.
    expiries: BTreeSet<(Height, u32)>,
}

/// A stake in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stake {
    pub(crate) outpoint: OutPoint,
    pub(crate) value: Amount,
    slashed: Amount,
    loss: Amount,
    loss_in_unbonding: Amount,
    pub(crate) owner: u32,
    pub(crate) providers: Box<[u32]>,
    pub(crate) expires_at: Height,
    pub(crate) unbonding_time: Timelock,
    pub(crate) status: StakeStatus,
    /// The pool that has minted receipts for it: one, once.
    pub(crate) pool: Option<u32>,
    pub(crate) positions: Vec<Position>,
}

/// To whom rewards are paid, and what was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) account: Arc<Account>,
    pub(crate) paid: BTreeMap<Denomination, u128>,
}

/// A transition worked out and not yet made.
#[derive(Default)]
pub(crate) struct Change {
    stakes: Vec<(u32, Vec<Position>, StakeStatus)>,
    staked: BTreeMap<u32, u64>,
    exposures: BTreeMap<u32, Exposure>,
}

impl Stake {
    pub(crate) fn slashable(&self) -> Amount {
        self.loss.max(self.loss_in_unbonding)
    }

    pub(crate) fn require_active(&self) -> Result<(), BookError> {
        match self.status {
            StakeStatus::Active => Ok(()),
            status => Err(BookError::StakeEnded { outpoint: self.outpoint, status }),
        }
    }

    /// What a slashing at this height takes, if it still can.
    pub(crate) fn loss_at(&self, height: Height) -> Option<Amount> {
        match self.status {
            StakeStatus::Active => Some(self.loss),
            StakeStatus::Expired { until } => (height < until).then_some(self.loss),
            StakeStatus::Unbonding { until } => (height < until).then_some(self.loss_in_unbonding),
            StakeStatus::Spent | StakeStatus::Slashed => None,
        }
    }
}

impl Ledger {
    pub(crate) fn stake_id(&self, outpoint: &OutPoint) -> Result<u32, BookError> {
        self.stake_ids.get(outpoint).copied().ok_or(BookError::UnknownStake(*outpoint))
    }

    pub(crate) fn owner(&self, account: &Account) -> Option<&Owner> {
        self.owner_ids.get(account).map(|owner| &self.owners[*owner])
    }

    /// The first active stake that has expired by this height.
    pub(crate) fn due(&self, height: Height) -> Option<(OutPoint, Height)> {
        let (expires_at, stake) = self.expiries.first()?;
        (*expires_at <= height).then(|| (self.stakes[*stake].outpoint, *expires_at))
    }

    pub(crate) fn admit(&mut self, stake: &AdmittedStake, height: Height) -> Result<(), BookError> {
        let (data, outpoint) = (stake.data(), stake.outpoint());
        if self.stake_ids.contains_key(&outpoint) {
            return Err(BookError::StakeExists(outpoint));
        }
        for provider in &data.providers {
            self.registry.not_slashed(provider)?;
        }
        let (inclusion, expires_at) = (data.inclusion_height, data.expires_at);
        if height < inclusion || expires_at <= height {
            return Err(BookError::OutsideItsTime { outpoint, inclusion, expires_at, height });
        }
        let index = id(self.stakes.len())?;
        id(self.registry.providers.len().saturating_add(data.providers.len()))?;
        let owner = self.intern(&data.owner)?;
        let mut providers = Vec::with_capacity(data.providers.len());
        for key in &data.providers {
            let provider = self.registry.intern(key)?;
            self.registry.providers[provider].stakes.push(index);
            providers.push(provider);
        }
        self.stake_ids.insert(outpoint, index);
        self.expiries.insert((expires_at, index));
        self.stakes.push(Stake {
            outpoint,
            value: data.value,
            slashed: data.slashed,
            loss: stake.loss(),
            loss_in_unbonding: stake.loss_in_unbonding(),
            owner,
            providers: providers.into_boxed_slice(),
            expires_at,
            unbonding_time: data.unbonding_time,
            status: StakeStatus::Active,
            pool: None,
            positions: Vec::new(),
        });
        Ok(())
    }

    fn intern(&mut self, account: &Account) -> Result<u32, BookError> {
        if let Some(owner) = self.owner_ids.get(account) {
            return Ok(*owner);
        }
        let owner = id(self.owners.len())?;
        let account = Arc::new(account.clone());
        self.owner_ids.insert(account.clone(), owner);
        self.owners.push(Owner { account, paid: BTreeMap::new() });
        Ok(owner)
    }

    pub(crate) fn allocate(
        &mut self,
        outpoint: &OutPoint,
        service: &ServiceId,
        allocation: &Allocation,
    ) -> Result<(), BookError> {
        let stake = self.stake_id(outpoint)?;
        let index = self.registry.service(service)?;
        self.stakes[stake].require_active()?;
        let targets = self.targets(stake, index, allocation)?;
        let mut positions = self.settled(stake, index)?;
        for (accumulator, nominal) in targets {
            match positions.iter_mut().find(|position| position.accumulator == accumulator) {
                Some(position) => position.nominal = nominal,
                None => {
                    let entry = self.registry.accumulators[accumulator].rewards.per_sat;
                    positions.push(Position { entry, nominal, ..Position::new(accumulator) });
                }
            }
        }
        self.check_leverage(stake, &positions)?;
        let mut change = Change::default();
        self.plan(&mut change, stake, positions, StakeStatus::Active, None)?;
        self.make(change);
        Ok(())
    }

    /// Which accumulators count how much of the stake.
    fn targets(
        &self,
        stake: u32,
        service: u32,
        allocation: &Allocation,
    ) -> Result<Vec<(u32, u64)>, BookError> {
        let Stake { outpoint, value, slashed, unbonding_time, ref providers, .. } = self.stakes[stake];
        let service = &self.registry.services[service];
        let terms = &service.terms;
        if *allocation == Allocation::Withdrawn {
            return Ok(Vec::new());
        }
        let due = terms.slashing_rate.slashed_part(value);
        if due != slashed {
            let (service, rate, presigned) = (service.name.clone(), terms.slashing_rate, slashed);
            return Err(BookError::Rate { outpoint, service, rate, due, presigned });
        }
        if unbonding_time < terms.unbonding_time {
            let (service, asked, actual) = (service.name.clone(), terms.unbonding_time, unbonding_time);
            return Err(BookError::UnbondingTime { outpoint, service, asked, actual });
        }
        let mut targets = Vec::new();
        match allocation {
            Allocation::Withdrawn => {}
            Allocation::Shared => {
                let serving = providers.iter().filter_map(|provider| service.providers.get(provider));
                targets.extend(serving.map(|accumulator| (*accumulator, value.to_sat())));
            }
            Allocation::Exclusive(parts) => {
                let mut sum = Amount::ZERO;
                for part in parts {
                    let provider = part.provider;
                    let accumulator = self.registry.accumulator(&service.name, &provider)?;
                    if !providers.contains(&self.registry.accumulators[accumulator].provider) {
                        return Err(BookError::ForeignProvider { outpoint, provider });
                    }
                    if targets.iter().any(|(other, _)| *other == accumulator) {
                        return Err(BookError::RepeatedProvider { outpoint, provider });
                    }
                    sum = sum.checked_add(part.amount).unwrap_or(Amount::MAX);
                    targets.push((accumulator, part.amount.to_sat()));
                }
                if sum > value {
                    return Err(BookError::Parts { outpoint, parts: sum, value });
                }
            }
        }
        if targets.is_empty() {
            return Err(BookError::NoProvider { outpoint, service: service.name.clone() });
        }
        Ok(targets)
    }

    /// The stake's positions; those at the service are settled, and count for nothing.
    fn settled(&self, stake: u32, service: u32) -> Result<Vec<Position>, BookError> {
        let positions = self.stakes[stake].positions.iter();
        positions
            .map(|position| {
                let accumulator = &self.registry.accumulators[position.accumulator];
                if accumulator.service != service {
                    return Ok(*position);
                }
                Ok(Position { nominal: 0, ..position.settled(&accumulator.rewards)? })
            })
            .collect()
    }

    /// Every service's limit counts, also that of one to which nothing is allocated just now.
    fn check_leverage(&self, stake: u32, positions: &[Position]) -> Result<(), BookError> {
        let Stake { outpoint, value, .. } = self.stakes[stake];
        let counting = || positions.iter().filter(|position| position.nominal > 0);
        let nominal = counting().map(|position| u128::from(position.nominal)).sum();
        for position in counting() {
            let service = self.registry.accumulators[position.accumulator].service;
            let service = &self.registry.services[service];
            let limit = service.terms.leverage_limit;
            if !within_limit(nominal, value, limit) {
                let service = service.name.clone();
                return Err(BookError::Leverage { outpoint, service, nominal, value, limit });
            }
        }
        Ok(())
    }

    /// Puts new positions, status and loss of one stake into the change, and what follows from them.
    fn plan(
        &self,
        change: &mut Change,
        stake: u32,
        positions: Vec<Position>,
        status: StakeStatus,
        loss: Option<Amount>,
    ) -> Result<(), BookError> {
        let row = &self.stakes[stake];
        let mut nominal: BTreeMap<u32, (u128, u128)> = BTreeMap::new();
        for (at, position) in positions.iter().enumerate() {
            // Positions are only ever added, so the old ones come first and in their order.
            let before = row.positions.get(at).map_or(0, |old| old.nominal);
            let accumulator = &self.registry.accumulators[position.accumulator];
            let staked = change.staked.entry(position.accumulator).or_insert(accumulator.rewards.staked);
            let less = staked.checked_sub(before);
            *staked = less
                .and_then(|less| less.checked_add(position.nominal))
                .ok_or(BookError::Overflow("what a provider counts"))?;
            let sums = nominal.entry(accumulator.service).or_default();
            sums.0 += u128::from(before);
            sums.1 += u128::from(position.nominal);
        }
        for (service, (before, after)) in nominal {
            let exposure =
                change.exposures.entry(service).or_insert(self.registry.services[service].exposure);
            *exposure = exposure.with_nominal(row.slashable(), before, after)?;
            if let Some(loss) = loss.filter(|_| before > 0) {
                *exposure = exposure.with_loss(loss)?;
            }
        }
        change.stakes.push((stake, positions, status));
        Ok(())
    }

    pub(crate) fn make(&mut self, change: Change) {
        for (stake, positions, status) in change.stakes {
            let row = &mut self.stakes[stake];
            if status != StakeStatus::Active {
                self.expiries.remove(&(row.expires_at, stake));
            }
            (row.positions, row.status) = (positions, status);
        }
        for (accumulator, staked) in change.staked {
            self.registry.accumulators[accumulator].rewards.staked = staked;
        }
        for (service, exposure) in change.exposures {
            self.registry.services[service].exposure = exposure;
        }
    }

    pub(crate) fn reward(
        &mut self,
        service: &ServiceId,
        provider: &XOnlyPublicKey,
        denomination: &Denomination,
        amount: u128,
    ) -> Result<(), BookError> {
        let index = self.registry.accumulator(service, provider)?;
        self.registry.not_slashed(provider)?;
        let expected = &self.registry.services[self.registry.service(service)?].terms.denomination;
        if expected != denomination {
            let (service, expected, found) = (service.clone(), expected.clone(), denomination.clone());
            return Err(BookError::Denomination { service, expected, found });
        }
        if amount == 0 {
            return Err(BookError::EmptyReward);
        }
        let accumulator = &mut self.registry.accumulators[index];
        accumulator.rewards = accumulator.rewards.with(amount, accumulator.commission)?;
        Ok(())
    }

    /// What the stake's owner can claim from the service now.
    pub(crate) fn claimable(&self, outpoint: &OutPoint, service: &ServiceId) -> Result<u128, BookError> {
        let (stake, service) = (self.stake_id(outpoint)?, self.registry.service(service)?);
        let mut sum = 0u128;
        for position in &self.stakes[stake].positions {
            let accumulator = &self.registry.accumulators[position.accumulator];
            if accumulator.service == service {
                let owed = position.settled(&accumulator.rewards)?.owed;
                sum = sum.checked_add(owed).ok_or(BookError::Overflow("a claim"))?;
            }
        }
        Ok(sum)
    }

    pub(crate) fn claim(&mut self, outpoint: &OutPoint, service: &ServiceId) -> Result<(), BookError> {
        let sum = self.claimable(outpoint, service)?;
        let (stake, service) = (self.stake_id(outpoint)?, self.registry.service(service)?);
        let owner = self.stakes[stake].owner;
        if sum == 0 {
            return Err(BookError::NothingOwed((*self.owners[owner].account).clone()));
        }
        let denomination = &self.registry.services[service].terms.denomination;
        let before = self.owners[owner].paid.get(denomination).copied().unwrap_or(0);
        let after = before.checked_add(sum).ok_or(BookError::Overflow("what an owner was paid"))?;
        let mut positions = self.stakes[stake].positions.clone();
        for position in &mut positions {
            let accumulator = &self.registry.accumulators[position.accumulator];
            if accumulator.service == service {
                *position = position.settled(&accumulator.rewards)?;
            }
        }
        for position in &mut positions {
            let accumulator = &mut self.registry.accumulators[position.accumulator];
            if accumulator.service == service {
                // A part of what was put in, so it fits.
                accumulator.rewards.paid += position.owed;
                position.owed = 0;
            }
        }
        self.stakes[stake].positions = positions;
        self.owners[owner].paid.insert(denomination.clone(), after);
        Ok(())
    }

    pub(crate) fn claim_commission(
        &mut self,
        service: &ServiceId,
        provider: &XOnlyPublicKey,
    ) -> Result<(), BookError> {
        let index = self.registry.accumulator(service, provider)?;
        self.registry.not_slashed(provider)?;
        let rewards = &mut self.registry.accumulators[index].rewards;
        if rewards.commission == 0 {
            return Err(BookError::NoCommission { service: service.clone(), provider: *provider });
        }
        // A part of what was put in, so it fits.
        rewards.commission_paid += rewards.commission;
        rewards.commission = 0;
        Ok(())
    }

    /// The end of a stake, to be made.
    pub(crate) fn end(&self, outpoint: &OutPoint, end: End, height: Height) -> Result<Change, BookError> {
        let stake = self.stake_id(outpoint)?;
        let row = &self.stakes[stake];
        row.require_active()?;
        let (expires_at, unbonding_time) = (row.expires_at, row.unbonding_time.blocks());
        let status = match end {
            End::Spent => StakeStatus::Spent,
            End::Unbonding => StakeStatus::Unbonding { until: height.saturating_add(unbonding_time.into()) },
            End::Expired if height < expires_at => {
                return Err(BookError::NotExpired { outpoint: *outpoint, expires_at, height });
            }
            End::Expired => StakeStatus::Expired { until: expires_at.saturating_add(unbonding_time.into()) },
        };
        let mut change = Change::default();
        self.plan(&mut change, stake, self.retired(stake)?, status, None)?;
        Ok(change)
    }

    /// The stake's positions, all settled and counting for nothing.
    fn retired(&self, stake: u32) -> Result<Vec<Position>, BookError> {
        let positions = self.stakes[stake].positions.iter();
        positions
            .map(|position| {
                let rewards = &self.registry.accumulators[position.accumulator].rewards;
                Ok(Position { nominal: 0, ..position.settled(rewards)? })
            })
            .collect()
    }

    /// What a slashing of the provider at this height takes from which stakes.
    pub(crate) fn losses(&self, provider: &XOnlyPublicKey, height: Height) -> Vec<(u32, Loss)> {
        let Some(provider) = self.registry.provider(provider) else { return Vec::new() };
        let stakes = self.registry.providers[provider].stakes.iter();
        let losses = stakes.filter_map(|id| {
            let stake = &self.stakes[*id];
            Some((*id, Loss { outpoint: stake.outpoint, amount: stake.loss_at(height)? }))
        });
        losses.collect()
    }

    /// The slashing of these stakes for all services at once, to be made.
    pub(crate) fn slashing(&self, losses: &[(u32, Loss)]) -> Result<Change, BookError> {
        let mut change = Change::default();
        for (stake, loss) in losses {
            let positions = self.retired(*stake)?;
            self.plan(&mut change, *stake, positions, StakeStatus::Slashed, Some(loss.amount))?;
        }
        Ok(change)
    }

    pub(crate) fn exposure(&self, outpoint: &OutPoint) -> Result<StakeExposure, BookError> {
        let stake = &self.stakes[self.stake_id(outpoint)?];
        let mut nominal = BTreeMap::new();
        for position in stake.positions.iter().filter(|position| position.nominal > 0) {
            let service = self.registry.accumulators[position.accumulator].service;
            let name = self.registry.services[service].name.clone();
            *nominal.entry(name).or_insert(0) += u128::from(position.nominal);
        }
        Ok(StakeExposure { value: stake.value, slashable: stake.slashable(), nominal })
    }
}
