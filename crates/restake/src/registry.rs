//! Who consumes security, and who votes for it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bitcoin::XOnlyPublicKey;
use serde::{Deserialize, Serialize};
use tapstake_params::{Height, SlashingRate, Timelock};

use crate::BookError;
use crate::exposure::Exposure;
use crate::rewards::Rewards;
use crate::table::{Table, id};
use crate::units::{Denomination, PartsPerMillion, ServiceId};

/// On which terms a service takes stakes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceTerms {
    /// What its rewards are counted in.
    pub denomination: Denomination,
    /// What an equivocation costs. The slashings that a stake has pre-signed must be at this rate.
    pub slashing_rate: SlashingRate,
    /// The blocks for which a stake must stay slashable after it ended.
    pub unbonding_time: Timelock,
    /// How often a stake may count, over all services together: 100 % is once.
    pub leverage_limit: PartsPerMillion,
}

/// A registered service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: ServiceId,
    pub(crate) terms: ServiceTerms,
    /// The accumulators of its providers, by provider.
    pub(crate) providers: BTreeMap<u32, u32>,
    pub(crate) exposure: Exposure,
    /// All that it ever paid, so that no sum of its rewards exceeds what can be counted.
    pub(crate) put_in: u128,
}

/// A provider, of whichever services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provider {
    pub(crate) key: XOnlyPublicKey,
    /// All stakes that can be slashed with its key, in the order of their admission.
    pub(crate) stakes: Vec<u32>,
}

/// A provider at a service, and its rewards there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accumulator {
    pub(crate) service: u32,
    pub(crate) provider: u32,
    pub(crate) commission: PartsPerMillion,
    pub(crate) rewards: Rewards,
    /// When the last time a stake began to count here, or to count for more, or the commission changed: a reward of that
    /// height would be divided by what it has not seen.
    pub(crate) changed_at: Option<Height>,
}

/// Services and providers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Registry {
    pub(crate) services: Table<Service>,
    pub(crate) providers: Table<Provider>,
    pub(crate) accumulators: Table<Accumulator>,
    /// Slashed is slashed: once in, never out. By key, so that the order of slashings leaves no trace, also for providers
    /// that were never seen otherwise.
    pub(crate) slashed: BTreeMap<XOnlyPublicKey, Height>,
    service_ids: BTreeMap<ServiceId, u32>,
    provider_ids: BTreeMap<[u8; 32], u32>,
}

impl Registry {
    pub(crate) fn service(&self, name: &ServiceId) -> Result<u32, BookError> {
        self.service_ids.get(name).copied().ok_or_else(|| BookError::UnknownService(name.clone()))
    }

    /// The numbers of the services, by name.
    pub(crate) fn service_ids(&self) -> impl Iterator<Item = u32> {
        self.service_ids.values().copied()
    }

    pub(crate) fn provider(&self, key: &XOnlyPublicKey) -> Option<u32> {
        self.provider_ids.get(&key.serialize()).copied()
    }

    /// Refuses a provider that was slashed.
    pub(crate) fn not_slashed(&self, key: &XOnlyPublicKey) -> Result<(), BookError> {
        match self.slashed.get(key) {
            Some(height) => Err(BookError::SlashedProvider { provider: *key, height: *height }),
            None => Ok(()),
        }
    }

    /// The accumulator of a provider at a service.
    pub(crate) fn accumulator(&self, service: &ServiceId, key: &XOnlyPublicKey) -> Result<u32, BookError> {
        let providers = &self.services[self.service(service)?].providers;
        let found = self.provider(key).and_then(|provider| providers.get(&provider).copied());
        found.ok_or_else(|| BookError::UnknownProvider { service: service.clone(), provider: *key })
    }

    pub(crate) fn register_service(
        &mut self,
        name: &ServiceId,
        terms: &ServiceTerms,
    ) -> Result<(), BookError> {
        if self.service_ids.contains_key(name) {
            return Err(BookError::ServiceExists(name.clone()));
        }
        let (name, terms) = (name.clone(), terms.clone());
        let index = id(self.services.len())?;
        self.service_ids.insert(name.clone(), index);
        let (providers, exposure) = (BTreeMap::new(), Exposure::NONE);
        self.services.push(Service { name, terms, providers, exposure, put_in: 0 });
        Ok(())
    }

    pub(crate) fn register_provider(
        &mut self,
        service: &ServiceId,
        key: &XOnlyPublicKey,
        commission: PartsPerMillion,
    ) -> Result<(), BookError> {
        check_commission(commission)?;
        self.not_slashed(key)?;
        let index = self.service(service)?;
        if self.accumulator(service, key).is_ok() {
            return Err(BookError::ProviderExists { service: service.clone(), provider: *key });
        }
        let accumulator = id(self.accumulators.len())?;
        let provider = self.intern(key)?;
        let (rewards, changed_at) = (Rewards::NONE, None);
        self.accumulators.push(Accumulator { service: index, provider, commission, rewards, changed_at });
        self.services[index].providers.insert(provider, accumulator);
        Ok(())
    }

    pub(crate) fn set_commission(
        &mut self,
        service: &ServiceId,
        key: &XOnlyPublicKey,
        commission: PartsPerMillion,
        height: Height,
    ) -> Result<(), BookError> {
        check_commission(commission)?;
        let accumulator = self.accumulator(service, key)?;
        self.not_slashed(key)?;
        let accumulator = &mut self.accumulators[accumulator];
        (accumulator.commission, accumulator.changed_at) = (commission, Some(height));
        Ok(())
    }

    /// The provider's number, a new one if it was never seen. Seen does not mean that it serves anybody.
    pub(crate) fn intern(&mut self, key: &XOnlyPublicKey) -> Result<u32, BookError> {
        if let Some(provider) = self.provider(key) {
            return Ok(provider);
        }
        let provider = id(self.providers.len())?;
        self.provider_ids.insert(key.serialize(), provider);
        self.providers.push(Provider { key: *key, stakes: Vec::new() });
        Ok(provider)
    }
}

fn check_commission(commission: PartsPerMillion) -> Result<(), BookError> {
    if commission > PartsPerMillion::ONE { Err(BookError::Commission(commission)) } else { Ok(()) }
}
