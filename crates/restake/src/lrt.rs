//! Receipts over receipts: shares of a pool's shares, with exposure to chosen services.
//!
//! Whoever deposits pool shares here stands for the services that this pool has chosen. A service counts its part of the
//! deposit, several services count the same satoshi several times, and still each can be lost once only: a slashing
//! reaches these receipts through the value of the pool shares beneath them, and in no other way.

use alloc::collections::BTreeMap;

use bitcoin::Amount;
use serde::Serialize;

use crate::pool::{Pool, PoolError};
use crate::shares::{Nav, ShareError, Shares, VIRTUAL_SHARES};
use crate::units::{HolderId, PartsPerMillion, ServiceId, mul_div_floor};

/// Why receipts over receipts do not move. Neither pool has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LrtError {
    /// The shares of this pool do not move.
    #[error(transparent)]
    Shares(#[from] ShareError),
    /// The shares beneath do not move.
    #[error("the pool beneath: {0}")]
    Pool(#[from] PoolError),
    /// Shares that this pool counts have left its account.
    #[error("account {account} has {balance} shares of the {counted} that are counted")]
    Unbacked {
        /// The account in the pool beneath.
        account: HolderId,
        /// What it has.
        balance: u128,
        /// What it should have.
        counted: u128,
    },
    /// A deposit from the account that holds the deposits.
    #[error("{0} is the account of this pool")]
    OwnAccount(HolderId),
    /// More than the whole for one service, or nothing.
    #[error("{service} would count {part} of the deposits, not more than none and at most 100%")]
    Part {
        /// The service.
        service: ServiceId,
        /// The part.
        part: PartsPerMillion,
    },
    /// The services together would count more than this pool allows.
    #[error("with {service} the services would count more than {limit} of the deposits")]
    Leverage {
        /// The service.
        service: ServiceId,
        /// The limit.
        limit: PartsPerMillion,
    },
    /// The service was not chosen.
    #[error("{0} is not among the chosen services")]
    UnknownService(ServiceId),
}

/// What the services count, and what can be lost, in satoshi.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LrtExposure {
    /// What each service counts, rounded down.
    pub nominal: BTreeMap<ServiceId, u64>,
    /// The sum of that.
    #[serde(with = "crate::units::decimal")]
    pub nominal_sum: u128,
    /// What the deposits are worth, and therefore the most that all the services together can take.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub value: Amount,
    /// The sum of the parts that the services count: 1,000,000 for the deposits once.
    pub leverage: PartsPerMillion,
}

/// A pool of the shares of a [`Pool`], which it holds there in an account of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LrtPool {
    account: HolderId,
    limit: PartsPerMillion,
    services: BTreeMap<ServiceId, PartsPerMillion>,
    shares: Shares,
}

impl LrtPool {
    /// An empty pool that holds its shares in `account`, and whose services count at most `limit` of the deposits together.
    pub fn new(account: HolderId, limit: PartsPerMillion) -> Self {
        LrtPool { account, limit, services: BTreeMap::new(), shares: Shares::default() }
    }

    /// Chooses a service, which counts `part` of the deposits; chosen before, its part changes.
    ///
    /// # Errors
    ///
    /// [`LrtError::Part`], [`LrtError::Leverage`].
    pub fn choose(&mut self, service: ServiceId, part: PartsPerMillion) -> Result<(), LrtError> {
        if part == PartsPerMillion::ZERO || part > PartsPerMillion::ONE {
            return Err(LrtError::Part { service, part });
        }
        if self.leverage_with(&service, part).is_none_or(|sum| sum > self.limit) {
            return Err(LrtError::Leverage { service, limit: self.limit });
        }
        self.services.insert(service, part);
        Ok(())
    }

    /// What the services count together, if `service` counts `part`. `None` if that does not fit.
    pub(crate) fn leverage_with(
        &self,
        service: &ServiceId,
        part: PartsPerMillion,
    ) -> Option<PartsPerMillion> {
        let mut others = self.services.iter().filter(|(other, _)| *other != service);
        others.try_fold(part, |sum, (_, part)| sum.checked_add(*part))
    }

    /// Leaves a service.
    ///
    /// # Errors
    ///
    /// [`LrtError::UnknownService`].
    pub fn leave(&mut self, service: &ServiceId) -> Result<(), LrtError> {
        let part = self.services.remove(service);
        part.map(drop).ok_or_else(|| LrtError::UnknownService(service.clone()))
    }

    /// Takes `deposit` shares of `pool` from `holder` and mints shares of this pool for them, rounded down.
    ///
    /// # Errors
    ///
    /// [`LrtError::Pool`] if the holder has not got them or `pool` is frozen, [`LrtError::Shares`] if they are worth no share
    /// here, [`LrtError::Unbacked`] if the account is short after it, [`LrtError::OwnAccount`].
    pub fn deposit(&mut self, pool: &mut Pool, holder: &HolderId, deposit: u128) -> Result<u128, LrtError> {
        self.check_foreign(holder)?;
        pool.transfer(holder, &self.account, deposit)?;
        let minted =
            self.check_backed(pool, deposit).and_then(|()| Ok(self.shares.deposit(holder, deposit)?));
        if minted.is_err() {
            pool.transfer(&self.account, holder, deposit)?;
        }
        minted
    }

    /// Gives up `shares` of this pool for shares of `pool`, rounded down. Who leaves shares behind leaves them at least one
    /// share of `pool`, since the rate of this pool never falls.
    ///
    /// # Errors
    ///
    /// [`LrtError::Shares`] if the holder has not got the shares or they are worth nothing, [`LrtError::Pool`] if `pool` is
    /// frozen or the account has been emptied, [`LrtError::OwnAccount`].
    pub fn redeem(&mut self, pool: &mut Pool, holder: &HolderId, shares: u128) -> Result<u128, LrtError> {
        self.check_foreign(holder)?;
        self.shares.check(holder, shares)?;
        let worth = self.shares.assets_for_floor(shares);
        let assets = worth.ok_or(ShareError::Overflow("the value of shares"))?.min(self.shares.assets());
        if assets == 0 {
            return Err(ShareError::NoAssets { shares }.into());
        }
        pool.transfer(&self.account, holder, assets)?;
        self.shares.redeem(holder, shares, assets)?;
        Ok(assets)
    }

    /// Moves shares of this pool to another holder.
    ///
    /// # Errors
    ///
    /// [`LrtError::Shares`] if `from` has not got them.
    pub fn transfer(&mut self, from: &HolderId, to: &HolderId, shares: u128) -> Result<(), LrtError> {
        Ok(self.shares.transfer(from, to, shares)?)
    }

    /// Rewards of the chosen services, brought as shares of `pool`: every share of this pool earns alike.
    ///
    /// # Errors
    ///
    /// [`PoolError::NoHolders`] while nobody could earn it, [`LrtError::Pool`] if `from` has not got them, and
    /// [`LrtError::OwnAccount`].
    pub fn reward(&mut self, pool: &mut Pool, from: &HolderId, reward: u128) -> Result<(), LrtError> {
        self.check_foreign(from)?;
        if self.shares.supply() == 0 {
            return Err(PoolError::NoHolders.into());
        }
        pool.transfer(from, &self.account, reward)?;
        // Within the pool's own supply, which fits.
        Ok(self.shares.gain(reward)?)
    }

    /// What the services count and what can be lost, while `pool` is worth what it is worth.
    ///
    /// # Errors
    ///
    /// [`ShareError::Overflow`] if the shares would be worth more than all bitcoin.
    pub fn exposure(&self, pool: &Pool) -> Result<LrtExposure, LrtError> {
        let overflow = || ShareError::Overflow("the value of the deposits");
        let value = pool.value_floor(self.shares.assets()).ok_or_else(overflow)?;
        let mut nominal = BTreeMap::new();
        for (service, part) in &self.services {
            let counted = part.of_floor(value.to_sat().into()).and_then(|sat| u64::try_from(sat).ok());
            nominal.insert(service.clone(), counted.ok_or_else(overflow)?);
        }
        let nominal_sum = nominal.values().map(|sat| u128::from(*sat)).sum();
        let mut parts = self.services.values();
        let leverage = parts.try_fold(PartsPerMillion::ZERO, |sum, part| sum.checked_add(*part));
        Ok(LrtExposure { nominal, nominal_sum, value, leverage: leverage.ok_or_else(overflow)? })
    }

    /// What shares bring that opened at one share of `pool`, which opened at one satoshi, rounded down. `None` if that does not fit.
    pub fn nav_floor(&self, pool: &Pool) -> Option<Nav> {
        let one = Nav::ONE.millionths();
        let millionths = self.redemption_floor(VIRTUAL_SHARES * one)?;
        mul_div_floor(pool.nav_floor().millionths(), millionths, one).map(Nav::new)
    }

    /// The shares of the pool beneath that this pool counts. What is sent to its account unasked is not among them.
    pub const fn assets(&self) -> u128 {
        self.shares.assets()
    }

    /// The shares that holders have.
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

    /// The account in the pool beneath.
    pub const fn account(&self) -> &HolderId {
        &self.account
    }

    /// The chosen services and the parts that they count.
    pub const fn services(&self) -> &BTreeMap<ServiceId, PartsPerMillion> {
        &self.services
    }

    /// The shares of the pool beneath that `shares` would bring.
    pub fn redemption_floor(&self, shares: u128) -> Option<u128> {
        self.shares.assets_for_floor(shares)
    }

    /// The shares that a deposit would bring.
    pub fn deposit_floor(&self, deposit: u128) -> Option<u128> {
        self.shares.shares_for_floor(deposit)
    }

    fn check_foreign(&self, holder: &HolderId) -> Result<(), LrtError> {
        if *holder == self.account { Err(LrtError::OwnAccount(holder.clone())) } else { Ok(()) }
    }

    /// Whether the account has what this pool will count with `more`.
    fn check_backed(&self, pool: &Pool, more: u128) -> Result<(), LrtError> {
        let balance = pool.balance(&self.account);
        let counted =
            self.shares.assets().checked_add(more).ok_or(ShareError::Overflow("the sum of assets"))?;
        if balance < counted {
            return Err(LrtError::Unbacked { account: self.account.clone(), balance, counted });
        }
        Ok(())
    }
}

#[cfg(test)]
impl LrtPool {
    pub(crate) fn tamper_shares(&mut self) -> &mut Shares {
        &mut self.shares
    }
}
