//! What services pay, and to whom.

use alloc::collections::BTreeMap;

use bitcoin::{OutPoint, XOnlyPublicKey};
use tapstake_params::Height;

use super::Ledger;
use crate::BookError;
use crate::units::{Denomination, ServiceId};

impl Ledger {
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

    /// What the stake's owner can claim now, by service.
    pub(crate) fn claims(&self, outpoint: &OutPoint) -> Result<BTreeMap<u32, u128>, BookError> {
        let mut sums = BTreeMap::<u32, u128>::new();
        for position in &self.stakes[self.stake_id(outpoint)?].positions {
            let accumulator = &self.registry.accumulators[position.accumulator];
            let owed = position.settled(&accumulator.rewards)?.owed;
            let sum = sums.entry(accumulator.service).or_default();
            *sum = sum.checked_add(owed).ok_or(BookError::Overflow("a claim"))?;
        }
        Ok(sums)
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
}
