//! All books together, and the one door through which they change.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use tapstake_crypto::pop::Account;
use tapstake_params::Height;

use crate::BookError;
use crate::allocation::StakeExposure;
use crate::audit::{self, Imbalance};
use crate::event::{Entry, Event};
use crate::exposure::{Exposure, Loss};
use crate::ledger::Ledger;
use crate::lrt::LrtPool;
use crate::pool::Pool;
use crate::receipts::Receipts;
use crate::registry::ServiceTerms;
use crate::rewards::Rewards;
use crate::risk::RiskReport;
use crate::shares::Nav;
use crate::stake::{AdmittedStake, End, StakeStatus};
use crate::units::{Denomination, HolderId, PartsPerMillion, PoolId, ServiceId};

/// The books of one operator: what the entries of its journal make, and nothing else.
///
/// Two books with the same entries are equal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    height: Height,
    entries: u64,
    ledger: Ledger,
    receipts: Receipts,
}

/// A registered service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceView<'a> {
    /// Its name.
    pub name: &'a ServiceId,
    /// On which terms it takes stakes.
    pub terms: &'a ServiceTerms,
    /// What secures it.
    pub exposure: Exposure,
    /// How many stakes have left it and still stand for it.
    pub leaving: u64,
    /// What a slashing of these takes at most.
    pub leaving_slashable: Amount,
}

/// A provider of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderView<'a> {
    /// The provider.
    pub provider: XOnlyPublicKey,
    /// Its part of every reward.
    pub commission: PartsPerMillion,
    /// When it was slashed, if it was.
    pub slashed: Option<Height>,
    /// Its rewards at the service.
    pub rewards: &'a Rewards,
}

/// A stake in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StakeView<'a> {
    /// The stake.
    pub outpoint: OutPoint,
    /// Its value.
    pub value: Amount,
    /// What a slashing takes at most.
    pub slashable: Amount,
    /// To whom its rewards are paid.
    pub owner: &'a Account,
    /// The first height at which it is no longer active.
    pub expires_at: Height,
    /// Where it is in its life.
    pub status: StakeStatus,
}

impl Book {
    /// Books with nothing in them.
    pub fn new() -> Self {
        Book::default()
    }

    /// Makes one entry, or changes nothing at all.
    ///
    /// Entries come in the order of their heights; one below the last is refused, for it would change what was earned since. A
    /// stake that has expired by an entry's height is ended before ([`Book::due`]). At one height the order of the entries
    /// counts, but that of slashings does not.
    ///
    /// # Errors
    ///
    /// [`BookError`] names the rule and the values.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), BookError> {
        let Entry { height, event } = entry;
        if *height < self.height {
            return Err(BookError::Late { height: *height, last: self.height });
        }
        let entries = self.entries.checked_add(1).ok_or(BookError::Overflow("the number of entries"))?;
        self.check_due(*height, event)?;
        self.change(*height, event)?;
        (self.height, self.entries) = (*height, entries);
        self.ledger.forget(*height);
        Ok(())
    }

    /// Nothing happens beside an expired stake that still counts, but its end.
    fn check_due(&self, height: Height, event: &Event) -> Result<(), BookError> {
        match self.ledger.due(height) {
            Some((outpoint, expires_at)) if !matches!(event, Event::EndStake { end: End::Expired, .. }) => {
                Err(BookError::ExpiryDue { outpoint, expires_at, height })
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, height: Height, event: &Event) -> Result<(), BookError> {
        let (ledger, receipts) = (&mut self.ledger, &mut self.receipts);
        match event {
            Event::RegisterService { service, terms } => ledger.registry.register_service(service, terms),
            Event::RegisterProvider { service, provider, commission } => {
                ledger.registry.register_provider(service, provider, *commission)
            }
            Event::SetCommission { service, provider, commission } => {
                ledger.registry.set_commission(service, provider, *commission, height)
            }
            Event::AdmitStake { stake } => self.admit(stake, height),
            Event::ExpandStake { of, stake, holder } => self.expand(of, stake, holder.as_ref(), height),
            Event::Allocate { stake, service, allocation } => {
                ledger.allocate(stake, service, allocation, height)
            }
            Event::Reward { service, provider, denomination, amount } => {
                ledger.reward(service, provider, denomination, *amount, height)
            }
            Event::GiveBack { service, provider } => ledger.give_back(service, provider),
            Event::Claim { stake, service } => ledger.claim(stake, service),
            Event::ClaimCommission { service, provider } => ledger.claim_commission(service, provider),
            Event::EndStake { stake, end } => self.end_stake(stake, *end, height),
            Event::ReviveStake { stake } => self.revive(stake, height),
            Event::Slash { provider } => self.slash(provider, height),
            Event::Mint { pool, holder, stake } => receipts.mint(ledger, pool, holder, stake, height),
            Event::ReturnStake { stake, returned } => self.take_back(stake, *returned, height),
            Event::ChooseService { pool, service, part } => receipts.choose(ledger, pool, service, *part),
            _ => receipts.change(event, height),
        }
    }

    fn end_stake(&mut self, outpoint: &OutPoint, end: End, height: Height) -> Result<(), BookError> {
        let change = self.ledger.end(outpoint, end, height)?;
        if end == End::Spent {
            self.receipts.lose_sight(&self.ledger, outpoint)?;
        }
        self.ledger.make(change, height);
        Ok(())
    }

    fn take_back(&mut self, outpoint: &OutPoint, returned: Amount, height: Height) -> Result<(), BookError> {
        let stake = self.ledger.stake_id(outpoint)?;
        let change = self.ledger.returned(stake, height)?;
        self.receipts.take_back(&self.ledger, stake, returned, height)?;
        self.ledger.make(change, height);
        Ok(())
    }

    fn admit(&mut self, stake: &AdmittedStake, height: Height) -> Result<(), BookError> {
        self.ledger.check_admissible(stake, None, height)?;
        self.check_inputs(stake, None, height)?;
        self.ledger.enter(stake, None)
    }

    /// No coin counts as what it was and as what it has become, and none is free of what it stands for by becoming another.
    fn check_inputs(
        &self,
        stake: &AdmittedStake,
        expanded: Option<u32>,
        height: Height,
    ) -> Result<(), BookError> {
        let mut inputs = self.ledger.spent_by(stake).filter(|known| Some(*known) != expanded);
        let counts = |known: &u32| {
            // An unbonding output has waited; what spends the stake itself can come in as what it has become.
            let becomes = stake.data().spends.contains(&self.ledger.stakes[*known].outpoint);
            let relied_on = becomes && self.ledger.leaving_of(*known, height).next().is_some();
            relied_on || self.receipts.counts(&self.ledger, *known)
        };
        match inputs.find(counts) {
            Some(known) => {
                let (outpoint, row) = (stake.outpoint(), &self.ledger.stakes[known]);
                Err(BookError::SpendsStake { outpoint, spent: row.outpoint, status: row.status })
            }
            None => Ok(()),
        }
    }

    fn expand(
        &mut self,
        of: &OutPoint,
        stake: &AdmittedStake,
        holder: Option<&HolderId>,
        height: Height,
    ) -> Result<(), BookError> {
        let old = self.ledger.stake_id(of)?;
        let change = self.ledger.expansion(old, stake, height)?;
        self.check_inputs(stake, Some(old), height)?;
        let mut next = self.is_slashed(&stake.data().providers).then(|| self.clone());
        let book = next.as_mut().unwrap_or(self);
        let pool = book.receipts.expand(&book.ledger, old, stake, holder, height)?;
        book.ledger.enter(stake, pool)?;
        book.ledger.make(change, height);
        self.slashed_at_once(next, stake.outpoint(), height)
    }

    /// Whether the key of one of these providers is known already.
    fn is_slashed<'a>(&self, providers: impl IntoIterator<Item = &'a XOnlyPublicKey>) -> bool {
        providers.into_iter().any(|provider| self.ledger.registry.slashed.contains_key(provider))
    }

    /// A stake that comes, or comes back, when its provider has been slashed is slashed with it, all or nothing: for so rare a
    /// case in a copy of the book.
    fn slashed_at_once(
        &mut self,
        next: Option<Book>,
        outpoint: OutPoint,
        height: Height,
    ) -> Result<(), BookError> {
        let Some(mut next) = next else { return Ok(()) };
        let stake = next.ledger.stake_id(&outpoint)?;
        let loss = next.ledger.stakes[stake].loss_now();
        let losses: Vec<_> = loss.map(|amount| (stake, Loss { outpoint, amount })).into_iter().collect();
        next.bear(&losses, height)?;
        *self = next;
        Ok(())
    }

    fn revive(&mut self, outpoint: &OutPoint, height: Height) -> Result<(), BookError> {
        let stake = self.ledger.stake_id(outpoint)?;
        let change = self.ledger.revival(stake, height)?;
        let providers = self.ledger.stakes[stake].providers.iter();
        let keys = providers.map(|provider| &self.ledger.registry.providers[*provider].key);
        let mut next = self.is_slashed(keys).then(|| self.clone());
        let book = next.as_mut().unwrap_or(self);
        book.receipts.revive(&book.ledger, stake)?;
        book.ledger.make(change, height);
        self.slashed_at_once(next, *outpoint, height)
    }

    /// One transition for every book: the services that counted the stakes, the pools that stand on them, the exits that wait.
    fn slash(&mut self, provider: &XOnlyPublicKey, height: Height) -> Result<(), BookError> {
        self.ledger.registry.not_slashed(provider)?;
        self.bear(&self.ledger.losses(provider), height)?;
        self.ledger.registry.slashed.insert(*provider, height);
        Ok(())
    }

    fn bear(&mut self, losses: &[(u32, Loss)], height: Height) -> Result<(), BookError> {
        let change = self.ledger.slashing(losses, height)?;
        let pools = self.receipts.slashed(&self.ledger, losses)?;
        self.ledger.make(change, height);
        self.receipts.make(pools);
        Ok(())
    }

    /// The height of the last entry.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The number of entries.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// The active stake that expired first, if one has by this height: its end is to be entered before anything else at or
    /// above this height.
    pub fn due(&self, height: Height) -> Option<OutPoint> {
        self.ledger.due(height).map(|(outpoint, _)| outpoint)
    }

    /// The services, by name.
    pub fn services(&self) -> impl Iterator<Item = ServiceView<'_>> {
        let left = self.ledger.left(self.height);
        self.ledger.registry.service_ids().map(move |service| self.service_view(service, &left))
    }

    /// A service.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownService`].
    pub fn service(&self, name: &ServiceId) -> Result<ServiceView<'_>, BookError> {
        let service = self.ledger.registry.service(name)?;
        Ok(self.service_view(service, &self.ledger.left(self.height)))
    }

    fn service_view(&self, id: u32, left: &BTreeMap<u32, (u64, Amount)>) -> ServiceView<'_> {
        let service = &self.ledger.registry.services[id];
        let (leaving, leaving_slashable) = left.get(&id).copied().unwrap_or_default();
        ServiceView {
            name: &service.name,
            terms: &service.terms,
            exposure: service.exposure,
            leaving,
            leaving_slashable,
        }
    }

    /// The providers of a service, in the order in which the books first saw them.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownService`].
    pub fn providers(&self, service: &ServiceId) -> Result<Vec<ProviderView<'_>>, BookError> {
        let registry = &self.ledger.registry;
        let accumulators = registry.services[registry.service(service)?].providers.values();
        Ok(accumulators.map(|accumulator| self.provider_view(*accumulator)).collect())
    }

    /// A provider of a service.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownService`] or [`BookError::UnknownProvider`].
    pub fn provider(
        &self,
        service: &ServiceId,
        provider: &XOnlyPublicKey,
    ) -> Result<ProviderView<'_>, BookError> {
        self.ledger.registry.accumulator(service, provider).map(|found| self.provider_view(found))
    }

    fn provider_view(&self, accumulator: u32) -> ProviderView<'_> {
        let accumulator = &self.ledger.registry.accumulators[accumulator];
        let provider = self.ledger.registry.providers[accumulator.provider].key;
        ProviderView {
            provider,
            commission: accumulator.commission,
            slashed: self.ledger.registry.slashed.get(&provider).copied(),
            rewards: &accumulator.rewards,
        }
    }

    /// The providers that were slashed, in the order of their keys, and when.
    pub fn slashed_providers(&self) -> impl Iterator<Item = (XOnlyPublicKey, Height)> {
        self.ledger.registry.slashed.iter().map(|(provider, height)| (*provider, *height))
    }

    /// All stakes, in the order of their admission.
    pub fn stakes(&self) -> impl Iterator<Item = StakeView<'_>> {
        self.ledger.stakes.iter().map(|stake| self.stake_view(stake))
    }

    /// A stake.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownStake`].
    pub fn stake(&self, outpoint: &OutPoint) -> Result<StakeView<'_>, BookError> {
        self.ledger.stake_id(outpoint).map(|stake| self.stake_view(&self.ledger.stakes[stake]))
    }

    fn stake_view<'a>(&'a self, stake: &crate::ledger::Stake) -> StakeView<'a> {
        StakeView {
            outpoint: stake.outpoint,
            value: stake.value,
            slashable: stake.slashable(),
            owner: &self.ledger.owners[stake.owner].account,
            expires_at: stake.expires_at,
            status: stake.status,
        }
    }

    /// What a stake counts for, beside what can be lost of it.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownStake`].
    pub fn exposure(&self, outpoint: &OutPoint) -> Result<StakeExposure, BookError> {
        self.ledger.exposure(outpoint, self.height)
    }

    /// What a stake counts for one provider of a service, in satoshi.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownStake`], [`BookError::UnknownService`] or [`BookError::UnknownProvider`].
    pub fn nominal(
        &self,
        outpoint: &OutPoint,
        service: &ServiceId,
        provider: &XOnlyPublicKey,
    ) -> Result<u64, BookError> {
        let stake = &self.ledger.stakes[self.ledger.stake_id(outpoint)?];
        let accumulator = self.ledger.registry.accumulator(service, provider)?;
        let position = stake.positions.iter().find(|position| position.accumulator == accumulator);
        Ok(position.map_or(0, |position| position.nominal))
    }

    /// What a stake's owner can claim from a service, in base units.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownStake`] or [`BookError::UnknownService`].
    pub fn claimable(&self, outpoint: &OutPoint, service: &ServiceId) -> Result<u128, BookError> {
        let (claims, service) = (self.ledger.claims(outpoint)?, self.ledger.registry.service(service)?);
        Ok(claims.get(&service).copied().unwrap_or(0))
    }

    /// What a stake's owner can claim from every service that owes it something, by its name, in base units.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownStake`].
    pub fn claims(&self, outpoint: &OutPoint) -> Result<BTreeMap<&ServiceId, u128>, BookError> {
        let claims = self.ledger.claims(outpoint)?.into_iter().filter(|(_, owed)| *owed > 0);
        Ok(claims.map(|(service, owed)| (&self.ledger.registry.services[service].name, owed)).collect())
    }

    /// What an owner was paid in one denomination by all services that pay in it, in base units. Services choose the names of their
    /// coins: two that call theirs alike may mean two coins. The most that can be counted, if it is more than that.
    pub fn paid(&self, owner: &Account, denomination: &Denomination) -> u128 {
        let paid = self.ledger.owner(owner).into_iter().flat_map(|owner| &owner.paid);
        let alike = paid.filter(|(service, _)| {
            self.ledger.registry.services[**service].terms.denomination == *denomination
        });
        alike.fold(0, |sum, (_, paid)| sum.saturating_add(*paid))
    }

    /// What an owner was paid by a service, in base units.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownService`].
    pub fn paid_by(&self, service: &ServiceId, owner: &Account) -> Result<u128, BookError> {
        let service = self.ledger.registry.service(service)?;
        Ok(self.ledger.owner(owner).and_then(|owner| owner.paid.get(&service)).copied().unwrap_or(0))
    }

    /// What a slashing of the provider would take now from which stakes.
    pub fn losses(&self, provider: &XOnlyPublicKey) -> Vec<Loss> {
        self.ledger.losses(provider).into_iter().map(|(_, loss)| loss).collect()
    }

    /// The pools over stakes, by name.
    pub fn pools(&self) -> impl Iterator<Item = (&PoolId, &Pool)> {
        self.receipts.pools()
    }

    /// A pool over stakes.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownPool`].
    pub fn pool(&self, name: &PoolId) -> Result<&Pool, BookError> {
        self.receipts.pool(name)
    }

    /// The pools over receipts, by name, each with the name of the pool beneath.
    pub fn lrt_pools(&self) -> impl Iterator<Item = (&PoolId, &PoolId, &LrtPool)> {
        self.receipts.lrt_pools()
    }

    /// A pool over receipts, and the pool beneath.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownPool`].
    pub fn lrt_pool(&self, name: &PoolId) -> Result<(&LrtPool, &Pool), BookError> {
        self.receipts.lrt_pool(name)
    }

    /// The pool that has minted receipts for a stake.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownStake`].
    pub fn minted_in(&self, outpoint: &OutPoint) -> Result<Option<&PoolId>, BookError> {
        let pool = self.ledger.stakes[self.ledger.stake_id(outpoint)?].pool;
        Ok(pool.map(|pool| self.receipts.name(pool)))
    }

    /// A pool's price, backing, queue and possible losses, at `height` or at that of the last entry if it is above.
    ///
    /// `market` is what the market pays for what opened at one satoshi.
    ///
    /// # Errors
    ///
    /// [`BookError::UnknownPool`], [`BookError::Risk`].
    pub fn risk(&self, pool: &PoolId, height: Height, market: Option<Nav>) -> Result<RiskReport, BookError> {
        self.receipts.risk(&self.ledger, pool, height.max(self.height), market)
    }

    /// Adds everything up anew, in a time that grows with the number of stakes.
    ///
    /// # Errors
    ///
    /// [`Imbalance`] if a sum that is kept is not the sum over its parts.
    pub fn check(&self) -> Result<(), Imbalance> {
        audit::check(&self.ledger, self.height)?;
        audit::check_receipts(&self.ledger, &self.receipts)
    }
}
