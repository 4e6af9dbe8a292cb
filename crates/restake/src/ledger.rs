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
use crate::stake::{AdmittedStake, End, StakeStatus};
use crate::table::{Table, id};
use crate::units::{Denomination, ServiceId};

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

    /// Whether a stake can come in, alone or as what another one has become.
    pub(crate) fn check_admissible(
        &self,
        stake: &AdmittedStake,
        expanded: Option<u32>,
        height: Height,
    ) -> Result<(), BookError> {
        let (data, outpoint) = (stake.data(), stake.outpoint());
        if self.stake_ids.contains_key(&outpoint) {
            return Err(BookError::StakeExists(outpoint));
        }
        let (inclusion, expires_at) = (data.inclusion_height, data.expires_at);
        // What a stake of the books has become is there, be it late or of a provider that was slashed since.
        if expanded.is_none() {
            for provider in &data.providers {
                self.registry.not_slashed(provider)?;
            }
        }
        if height < inclusion || (expires_at <= height && expanded.is_none()) {
            return Err(BookError::OutsideItsTime { outpoint, inclusion, expires_at, height });
        }
        for output in [outpoint, data.unbonding] {
            // Also by a stake that is spent itself: nobody has ever seen this one unspent.
            if let Some(by) = self.spent.get(&output) {
                return Err(BookError::SpentStake { outpoint, by: self.stakes[*by].outpoint });
            }
        }
        self.check_inputs(&outpoint, &data.spends)?;
        id(self.stakes.len())?;
        id(self.owners.len())?;
        id(self.registry.providers.len().saturating_add(data.providers.len())).map(drop)
    }

    /// Refuses a stake if another one is made of what it spends.
    fn check_inputs(&self, outpoint: &OutPoint, spends: &[OutPoint]) -> Result<(), BookError> {
        for input in spends {
            if let Some(by) = self.spender(input).filter(|by| by.txid != outpoint.txid) {
                return Err(BookError::SpentInput { outpoint: *outpoint, input: *input, by });
            }
        }
        Ok(())
    }

    /// The stakes of these books that a stake's transaction spends, as themselves or as their unbonding outputs.
    pub(crate) fn spent_by(&self, stake: &AdmittedStake) -> impl Iterator<Item = u32> {
        self.known(&stake.data().spends)
    }

    fn known(&self, spends: &[OutPoint]) -> impl Iterator<Item = u32> {
        let known = |input| self.stake_ids.get(input).or_else(|| self.unbondings.get(input)).copied();
        spends.iter().filter_map(known)
    }

    /// Refuses a stake if a living one is made of this output of it.
    fn check_unspent(&self, outpoint: &OutPoint, output: &OutPoint) -> Result<(), BookError> {
        match self.spender(output) {
            Some(by) => Err(BookError::SpentStake { outpoint: *outpoint, by }),
            None => Ok(()),
        }
    }

    /// The stake whose transaction spends an output, unless that stake is gone itself, as in a history that is no more.
    fn spender(&self, output: &OutPoint) -> Option<OutPoint> {
        let by = &self.stakes[*self.spent.get(output)?];
        (by.status != StakeStatus::Spent).then_some(by.outpoint)
    }

    /// Takes a stake in that was found admissible, which leaves nothing to fail.
    pub(crate) fn enter(&mut self, stake: &AdmittedStake, pool: Option<u32>) -> Result<(), BookError> {
        let (data, outpoint) = (stake.data(), stake.outpoint());
        let expires_at = data.expires_at;
        let index = id(self.stakes.len())?;
        let owner = self.intern(&data.owner)?;
        let mut providers = Vec::with_capacity(data.providers.len());
        for key in &data.providers {
            let provider = self.registry.intern(key)?;
            self.registry.providers[provider].stakes.push(index);
            providers.push(provider);
        }
        self.stake_ids.insert(outpoint, index);
        self.unbondings.insert(data.unbonding, index);
        self.spent.extend(data.spends.iter().map(|input| (*input, index)));
        self.expiries.insert((expires_at, index));
        self.stakes.push(Stake {
            outpoint,
            spends: data.spends.clone().into_boxed_slice(),
            value: data.value,
            slashed: data.slashed,
            loss: stake.loss(),
            loss_in_unbonding: stake.loss_in_unbonding(),
            owner,
            providers: providers.into_boxed_slice(),
            expires_at,
            unbonding_time: data.unbonding_time,
            status: StakeStatus::Active,
            pool,
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
    fn leaving_of(&self, stake: u32, height: Height) -> impl Iterator<Item = (u32, Leaving)> {
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

    pub(crate) fn reward(
        &mut self,
        service: &ServiceId,
        provider: &XOnlyPublicKey,
        denomination: &Denomination,
        amount: u128,
        height: Height,
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
        if accumulator.changed_at == Some(height) {
            let (service, provider) = (service.clone(), *provider);
            return Err(BookError::RewardAfterChange { service, provider, height });
        }
        let service = &mut self.registry.services[accumulator.service];
        let put_in = service.put_in.checked_add(amount);
        let put_in = put_in.ok_or(BookError::Overflow("the sum of all rewards"))?;
        accumulator.rewards = accumulator.rewards.with(amount, accumulator.commission)?;
        service.put_in = put_in;
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
        let (stake, service) = (self.stake_id(outpoint)?, self.registry.service(service)?);
        let (mut positions, mut sum) = (self.stakes[stake].positions.clone(), 0u128);
        for position in &mut positions {
            let accumulator = &self.registry.accumulators[position.accumulator];
            if accumulator.service == service {
                *position = position.settled(&accumulator.rewards)?;
                sum = sum.checked_add(position.owed).ok_or(BookError::Overflow("a claim"))?;
            }
        }
        let owner = self.stakes[stake].owner;
        if sum == 0 {
            return Err(BookError::NothingOwed((*self.owners[owner].account).clone()));
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
        // So is all that its owner was ever paid by the service.
        *self.owners[owner].paid.entry(service).or_default() += sum;
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

    /// Gives back to a service what it has paid for a provider and can reach nobody any more.
    pub(crate) fn give_back(
        &mut self,
        service: &ServiceId,
        provider: &XOnlyPublicKey,
    ) -> Result<(), BookError> {
        let index = self.registry.accumulator(service, provider)?;
        let slashed = self.registry.slashed.contains_key(provider);
        let accumulator = &mut self.registry.accumulators[index];
        let (rewards, amount) = accumulator.rewards.giving_back(slashed);
        if amount == 0 {
            return Err(BookError::NothingToGiveBack { service: service.clone(), provider: *provider });
        }
        accumulator.rewards = rewards;
        Ok(())
    }

    /// The end of a stake, to be made.
    pub(crate) fn end(&self, outpoint: &OutPoint, end: End, height: Height) -> Result<Change, BookError> {
        let stake = self.stake_id(outpoint)?;
        let row = &self.stakes[stake];
        let (outpoint, status, expires_at) = (*outpoint, row.status, row.expires_at);
        let unbonding_time = u32::from(row.unbonding_time.blocks());
        let unbonding = StakeStatus::Unbonding { until: height.saturating_add(unbonding_time) };
        let (status, turn) = match (status, end) {
            (StakeStatus::Active, End::Unbonding) => (unbonding, Turn::Left { from: height }),
            (StakeStatus::Active, End::Expired) if height < expires_at => {
                return Err(BookError::NotExpired { outpoint, expires_at, height });
            }
            (StakeStatus::Active, End::Expired) => {
                let until = expires_at.saturating_add(unbonding_time);
                (StakeStatus::Expired { until }, Turn::Left { from: expires_at })
            }
            (StakeStatus::Expired { .. }, End::Unbonding) => (unbonding, Turn::Left { from: expires_at }),
            (
                StakeStatus::Active | StakeStatus::Expired { .. } | StakeStatus::Unbonding { .. },
                End::Spent,
            ) => (StakeStatus::Spent, Turn::Left { from: height }),
            _ => return Err(BookError::StakeEnded { outpoint, status }),
        };
        self.retirement(stake, status, turn, height)
    }

    /// The return of a stake to its pool, to be made.
    pub(crate) fn returned(&self, stake: u32, height: Height) -> Result<Change, BookError> {
        match self.stakes[stake].status {
            // Nothing leads out of this; what is left of it comes back nevertheless.
            StakeStatus::Slashed => Ok(Change::default()),
            _ => self.retirement(stake, StakeStatus::Returned, Turn::Gone, height),
        }
    }

    /// The end of a stake whose output has become another stake, to be made: services rely on that one from now on for what
    /// this one stood for.
    pub(crate) fn expansion(
        &self,
        old: u32,
        new: &AdmittedStake,
        height: Height,
    ) -> Result<Change, BookError> {
        let row = &self.stakes[old];
        if matches!(row.status, StakeStatus::Returned | StakeStatus::Expanded | StakeStatus::Slashed) {
            return Err(BookError::StakeEnded { outpoint: row.outpoint, status: row.status });
        }
        if row.status == StakeStatus::Spent {
            self.check_made_of(row)?;
        }
        if !new.data().spends.contains(&row.outpoint) {
            return Err(BookError::NotAnExpansion { outpoint: new.outpoint(), of: row.outpoint });
        }
        self.check_admissible(new, Some(old), height)?;
        let (index, mut change) = (
            id(self.stakes.len())?,
            self.retirement(old, StakeStatus::Expanded, Turn::Left { from: height }, height)?,
        );
        let keys = row.providers.iter().map(|provider| self.registry.providers[*provider].key);
        if !keys.into_iter().any(|key| new.data().providers.contains(&key)) {
            // Nobody who could have slashed the old one can slash the new one.
            return Ok(change);
        }
        for (service, before) in self.by_service(&row.positions).into_iter().filter(|(_, before)| *before > 0)
        {
            let terms = &self.registry.services[service].terms;
            let until = height.saturating_add(terms.unbonding_time.blocks().into());
            change.leaving.insert((index, service), Some(Leaving { nominal: before, until }));
        }
        for (service, left) in self.leaving_of(old, height) {
            let entry = change.leaving.entry((index, service)).or_default();
            *entry = Some(left.and(entry.as_ref()));
        }
        Ok(change)
    }

    /// Refuses the way back of a stake while what it was made of is there, or another stake is made of it.
    fn check_made_of(&self, row: &Stake) -> Result<(), BookError> {
        let outpoint = row.outpoint;
        self.check_inputs(&outpoint, &row.spends)?;
        let lives = |id: &u32| {
            let status = self.stakes[*id].status;
            !matches!(status, StakeStatus::Spent | StakeStatus::Returned | StakeStatus::Expanded)
        };
        match self.known(&row.spends).find(lives) {
            Some(id) => {
                let Stake { outpoint: spent, status, .. } = self.stakes[id];
                Err(BookError::SpendsStake { outpoint, spent, status })
            }
            None => Ok(()),
        }
    }

    /// The way back of a stake that was thought to be spent or expanded, to be made.
    pub(crate) fn revival(&self, stake: u32, height: Height) -> Result<Change, BookError> {
        let row = &self.stakes[stake];
        let Stake { outpoint, status, expires_at, .. } = *row;
        if !matches!(status, StakeStatus::Spent | StakeStatus::Expanded) {
            return Err(BookError::StakeLives { outpoint, status });
        }
        self.check_unspent(&outpoint, &outpoint)?;
        // So rare that it pays to look instead of keeping it beside every stake.
        if let Some((unbonding, _)) = self.unbondings.iter().find(|(_, id)| **id == stake) {
            self.check_unspent(&outpoint, unbonding)?;
        }
        self.check_made_of(row)?;
        let until = expires_at.saturating_add(row.unbonding_time.blocks().into());
        let expired = StakeStatus::Expired { until };
        let status = if height < expires_at { StakeStatus::Active } else { expired };
        self.retirement(stake, status, Turn::Left { from: height }, height)
    }

    fn retirement(
        &self,
        stake: u32,
        status: StakeStatus,
        turn: Turn,
        height: Height,
    ) -> Result<Change, BookError> {
        let mut change = Change::default();
        self.plan(&mut change, stake, self.retired(stake)?, status, turn, height)?;
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
