mod earnings;
mod life;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use hashbrown::HashMap;
use tapstake_crypto::pop::Account;
use tapstake_params::{Height, Timelock};

use crate::BookError;
use crate::allocation::{Allocation, Leaving, StakeExposure, within_limit};
use crate::exposure::{Exposure, Loss};
use crate::registry::Registry;
use crate::rewards::Position;
use crate::stake::StakeStatus;
use crate::table::{Table, id};
use crate::units::ServiceId;

/// Stakes, what they count for, and what they have earned. Every change is worked out before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ledger {
    pub(crate) registry: Registry,
    pub(crate) stakes: Table<Stake>,
    pub(crate) owners: Table<Owner>,
    stake_ids: HashMap<OutPoint, u32>,
    owner_ids: BTreeMap<Arc<Account>, u32>,
    /// What staking transactions in these books spend.
    spent: HashMap<OutPoint, u32>,
    /// Where stakes go when they unbond.
    unbondings: HashMap<OutPoint, u32>,
    /// What stakes have left and still stand for, by stake and service.
    leaving: BTreeMap<(u32, u32), Leaving>,
    /// The same in the order in which it ends.
    leaving_ends: BTreeSet<(Height, u32, u32)>,
    /// Active stakes by their expiry.
    expiries: BTreeSet<(Height, u32)>,
}

/// A stake in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stake {
    pub(crate) outpoint: OutPoint,
    /// What its transaction spends.
    spends: Box<[OutPoint]>,
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
    /// By service, each of which pays in one coin.
    pub(crate) paid: BTreeMap<u32, u128>,
}

/// A transition worked out and not yet made.
#[derive(Default)]
pub(crate) struct Change {
    stakes: Vec<(u32, Vec<Position>, StakeStatus)>,
    staked: BTreeMap<u32, u64>,
    /// Accumulators at which more counts than before.
    grown: Vec<u32>,
    exposures: BTreeMap<u32, Exposure>,
    leaving: BTreeMap<(u32, u32), Option<Leaving>>,
}

/// Why a stake's positions change.
#[derive(Clone, Copy)]
enum Turn {
    /// What counts no longer is left behind at a height, and stood for until the unbonding time of its service is over.
    Left { from: Height },
    /// Its output is spent, and nothing can be slashed any more.
    Gone,
    /// It is slashed for so much.
    Slashed(Amount),
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

    /// What a slashing takes, if it still can.
    pub(crate) const fn loss_now(&self) -> Option<Amount> {
        match self.status {
            StakeStatus::Active | StakeStatus::Expired { .. } => Some(self.loss),
            StakeStatus::Unbonding { .. } => Some(self.loss_in_unbonding),
            StakeStatus::Returned | StakeStatus::Spent | StakeStatus::Expanded | StakeStatus::Slashed => None,
        }
    }

    /// Whether its staker could not have it back at this height.
    pub(crate) fn locked_at(&self, height: Height) -> bool {
        match self.status {
            StakeStatus::Active => true,
            StakeStatus::Expired { until } | StakeStatus::Unbonding { until } => height < until,
            StakeStatus::Returned | StakeStatus::Spent | StakeStatus::Expanded | StakeStatus::Slashed => {
                false
            }
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
        height: Height,
    ) -> Result<(), BookError> {
        let stake = self.stake_id(outpoint)?;
        let index = self.registry.service(service)?;
        self.stakes[stake].require_active()?;
        let targets = self.targets(stake, index, allocation)?;
        let counts =
            self.by_service(&self.stakes[stake].positions).get(&index).is_some_and(|nominal| *nominal > 0);
        if targets.is_empty() && !counts {
            return Err(BookError::NotAllocated { outpoint: *outpoint, service: service.clone() });
        }
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
        self.check_leverage(stake, index, &positions, height)?;
        let mut change = Change::default();
        let turn = Turn::Left { from: height };
        self.plan(&mut change, stake, positions, StakeStatus::Active, turn, height)?;
        self.make(change, height);
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
                    if part.amount == Amount::ZERO {
                        return Err(BookError::EmptyPart { outpoint, provider });
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

    /// Every service's limit counts, also that of one to which nothing is allocated just now. A service that counts less than
    /// before relies on what it has counted for a while.
    fn check_leverage(
        &self,
        stake: u32,
        changed: u32,
        new: &[Position],
        height: Height,
    ) -> Result<(), BookError> {
        let Stake { outpoint, value, ref positions, .. } = self.stakes[stake];
        let (before, mut counted) = (self.by_service(positions), self.by_service(new));
        let was = before.get(&changed).copied().unwrap_or(0);
        let now = counted.entry(changed).or_default();
        if *now <= was {
            // Nothing more is asked of the stake than it has stood for up to now.
            return Ok(());
        }
        for (service, leaving) in self.leaving_of(stake, height) {
            let now = counted.entry(service).or_default();
            *now = leaving.nominal.max(*now);
        }
        counted.retain(|_, nominal| *nominal > 0);
        let nominal = counted.values().sum();
        for service in counted.into_keys() {
            let service = &self.registry.services[service];
            let limit = service.terms.leverage_limit;
            if !within_limit(nominal, value, limit) {
                let service = service.name.clone();
                return Err(BookError::Leverage { outpoint, service, nominal, value, limit });
            }
        }
        Ok(())
    }

    /// What each service counts.
    fn by_service(&self, positions: &[Position]) -> BTreeMap<u32, u128> {
        let mut nominal = BTreeMap::new();
        for position in positions {
            let service = self.registry.accumulators[position.accumulator].service;
            *nominal.entry(service).or_default() += u128::from(position.nominal);
        }
        nominal
    }

    /// What a stake has left and stands for at a height, by service.
    pub(crate) fn leaving_of(&self, stake: u32, height: Height) -> impl Iterator<Item = (u32, Leaving)> {
        let left = self.leaving.range((stake, 0)..=(stake, u32::MAX));
        left.map(|((_, service), leaving)| (*service, *leaving))
            .filter(move |(_, leaving)| height < leaving.until)
    }

    /// What services have counted of stakes that have left them since and still stand for them, at a height: how many, and
    /// what can be slashed of them. Stakes that count, be it for less than before, are not among them, nor are those that are
    /// gone.
    pub(crate) fn left(&self, height: Height) -> BTreeMap<u32, (u64, Amount)> {
        let mut left = BTreeMap::<u32, (u64, Amount)>::new();
        for ((stake, service), leaving) in &self.leaving {
            let row = &self.stakes[*stake];
            let counts = || self.by_service(&row.positions).get(service).is_some_and(|nominal| *nominal > 0);
            if height < leaving.until && row.loss_now().is_some() && !counts() {
                let (stakes, sum) = left.entry(*service).or_default();
                *stakes += 1;
                *sum = sum.checked_add(row.slashable()).unwrap_or(Amount::MAX);
            }
        }
        left
    }

    /// Puts new positions and status of one stake into the change, and what follows from them.
    fn plan(
        &self,
        change: &mut Change,
        stake: u32,
        positions: Vec<Position>,
        status: StakeStatus,
        turn: Turn,
        height: Height,
    ) -> Result<(), BookError> {
        let row = &self.stakes[stake];
        for (at, position) in positions.iter().enumerate() {
            // Positions are only ever added, so the old ones come first and in their order.
            let before = row.positions.get(at).map_or(0, |old| old.nominal);
            let accumulator = &self.registry.accumulators[position.accumulator];
            let staked = change.staked.entry(position.accumulator).or_insert(accumulator.rewards.staked);
            let less = staked.checked_sub(before);
            *staked = less
                .and_then(|less| less.checked_add(position.nominal))
                .ok_or(BookError::Overflow("what a provider counts"))?;
            if position.nominal > before {
                change.grown.push(position.accumulator);
            }
        }
        let (before, mut after) = (self.by_service(&row.positions), self.by_service(&positions));
        for (service, _) in self.leaving_of(stake, height) {
            // A stake that others have expanded into stands for services that never counted it.
            after.entry(service).or_default();
        }
        for (service, after) in after {
            let before = before.get(&service).copied().unwrap_or(0);
            let kept = &self.registry.services[service];
            let exposure = change.exposures.entry(service).or_insert(kept.exposure);
            *exposure = exposure.with_nominal(row.slashable(), before, after)?;
            let key = (stake, service);
            let left = self.leaving.get(&key).filter(|left| height < left.until);
            match turn {
                Turn::Left { from } if after < before => {
                    let until = from.saturating_add(kept.terms.unbonding_time.blocks().into());
                    let new = Leaving { nominal: before, until }.and(left);
                    change.leaving.insert(key, Some(new));
                }
                Turn::Left { .. } => {}
                Turn::Gone => {
                    change.leaving.insert(key, None);
                }
                Turn::Slashed(loss) => {
                    if before > 0 || left.is_some() {
                        *exposure = exposure.with_loss(loss)?;
                    }
                    change.leaving.insert(key, None);
                }
            }
        }
        change.stakes.push((stake, positions, status));
        Ok(())
    }

    pub(crate) fn make(&mut self, change: Change, height: Height) {
        for (stake, positions, status) in change.stakes {
            let row = &mut self.stakes[stake];
            if row.status == StakeStatus::Spent {
                // It comes back, and what it spends is spent by it again.
                self.spent.extend(row.spends.iter().map(|input| (*input, stake)));
            }
            if status == StakeStatus::Active {
                self.expiries.insert((row.expires_at, stake));
            } else {
                self.expiries.remove(&(row.expires_at, stake));
            }
            (row.positions, row.status) = (positions, status);
        }
        for (accumulator, staked) in change.staked {
            self.registry.accumulators[accumulator].rewards.staked = staked;
        }
        for accumulator in change.grown {
            self.registry.accumulators[accumulator].changed_at = Some(height);
        }
        for (service, exposure) in change.exposures {
            self.registry.services[service].exposure = exposure;
        }
        for ((stake, service), leaving) in change.leaving {
            self.set_leaving(stake, service, leaving);
        }
    }

    fn set_leaving(&mut self, stake: u32, service: u32, leaving: Option<Leaving>) {
        let old = match leaving {
            Some(new) => {
                self.leaving_ends.insert((new.until, stake, service));
                self.leaving.insert((stake, service), new)
            }
            None => self.leaving.remove(&(stake, service)),
        };
        if let Some(old) = old.filter(|old| leaving.is_none_or(|new| new.until != old.until)) {
            self.leaving_ends.remove(&(old.until, stake, service));
        }
    }

    /// Whether what stakes have left is in both of its orders, and ends above a height.
    pub(crate) fn leaving_agrees(&self, height: Height) -> bool {
        let ends = self.leaving.iter().map(|((stake, service), left)| (left.until, *stake, *service));
        self.leaving.len() == self.leaving_ends.len()
            && ends.into_iter().all(|end| height < end.0 && self.leaving_ends.contains(&end))
    }

    /// Forgets what nobody relies on any more at a height.
    pub(crate) fn forget(&mut self, height: Height) {
        while let Some((until, stake, service)) = self.leaving_ends.first().copied() {
            if height < until {
                break;
            }
            self.set_leaving(stake, service, None);
        }
    }

    /// What a slashing of the provider takes from which stakes.
    pub(crate) fn losses(&self, provider: &XOnlyPublicKey) -> Vec<(u32, Loss)> {
        let Some(provider) = self.registry.provider(provider) else { return Vec::new() };
        let stakes = self.registry.providers[provider].stakes.iter();
        let losses = stakes.filter_map(|id| {
            let stake = &self.stakes[*id];
            Some((*id, Loss { outpoint: stake.outpoint, amount: stake.loss_now()? }))
        });
        losses.collect()
    }

    /// The slashing of these stakes for all services at once, to be made.
    pub(crate) fn slashing(&self, losses: &[(u32, Loss)], height: Height) -> Result<Change, BookError> {
        let mut change = Change::default();
        for (stake, loss) in losses {
            let positions = self.retired(*stake)?;
            let turn = Turn::Slashed(loss.amount);
            self.plan(&mut change, *stake, positions, StakeStatus::Slashed, turn, height)?;
        }
        Ok(change)
    }

    pub(crate) fn exposure(&self, outpoint: &OutPoint, height: Height) -> Result<StakeExposure, BookError> {
        let id = self.stake_id(outpoint)?;
        let (stake, name) = (&self.stakes[id], |service| self.registry.services[service].name.clone());
        let counting = self.by_service(&stake.positions).into_iter().filter(|(_, nominal)| *nominal > 0);
        // Nobody can rely on what cannot be slashed.
        let leaving = self.leaving_of(id, height).filter(|_| stake.loss_now().is_some());
        Ok(StakeExposure {
            value: stake.value,
            slashable: stake.slashable(),
            nominal: counting.map(|(service, nominal)| (name(service), nominal)).collect(),
            leaving: leaving.map(|(service, left)| (name(service), left)).collect(),
        })
    }
}

#[cfg(test)]
impl Ledger {
    pub(crate) fn tamper_leaving(&mut self) -> &mut BTreeMap<(u32, u32), Leaving> {
        &mut self.leaving
    }

    pub(crate) fn tamper_leaving_ends(&mut self) -> &mut BTreeSet<(Height, u32, u32)> {
        &mut self.leaving_ends
    }
}
