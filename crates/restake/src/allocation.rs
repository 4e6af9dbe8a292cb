//! How a stake counts for a service.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bitcoin::{Amount, XOnlyPublicKey};
use serde::{Deserialize, Serialize};
use tapstake_params::Height;

use crate::units::{PartsPerMillion, ServiceId, mul_div_floor};

/// How a stake counts for one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Allocation {
    /// Every provider of the stake that serves the service counts the whole stake.
    Shared,
    /// Each provider counts a part; together they are at most the stake.
    Exclusive(Vec<Part>),
    /// It does not count any more. What it has earned stays, and so does what it has stood for, until the service's
    /// unbonding time is over.
    Withdrawn,
}

/// A provider's part of a stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The provider.
    pub provider: XOnlyPublicKey,
    /// The part, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub amount: Amount,
}

/// What a stake counts for, and what can be lost of it, side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StakeExposure {
    /// The stake's value.
    pub value: Amount,
    /// What a slashing takes, once, whatever the number of services.
    pub slashable: Amount,
    /// What each service counts, in satoshi.
    pub nominal: BTreeMap<ServiceId, u128>,
    /// What services have counted that the stake has left, in whole or in part, and can still rely on.
    pub leaving: BTreeMap<ServiceId, Leaving>,
}

/// What a stake has counted for at a service. It earns nothing there any more, and stands for it below a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// What the service has counted, in satoshi.
    pub nominal: u128,
    /// The first height at which it is free of it: the service's unbonding time after it left.
    pub until: Height,
}

impl Leaving {
    /// This and what was left before: the more of it, for the longer time.
    pub(crate) fn and(self, before: Option<&Leaving>) -> Self {
        before.map_or(self, |before| Leaving {
            nominal: self.nominal.max(before.nominal),
            until: self.until.max(before.until),
        })
    }
}

impl StakeExposure {
    /// The sum of what the services count, or have counted and can still rely on, whichever is more at each.
    pub fn nominal_total(&self) -> u128 {
        let left = |service| self.leaving.get(service).map_or(0, |leaving| leaving.nominal);
        let counting = self.nominal.iter().map(|(service, nominal)| (*nominal).max(left(service)));
        let gone = self.leaving.iter().filter(|(service, _)| !self.nominal.contains_key(*service));
        counting.chain(gone.map(|(_, leaving)| leaving.nominal)).fold(0, u128::saturating_add)
    }

    /// The sum of what the services count, divided by the stake and rounded down: 100 % is once. `None` if it does not fit.
    pub fn leverage_floor(&self) -> Option<PartsPerMillion> {
        PartsPerMillion::ratio_floor(self.nominal_total(), self.value.to_sat().into())
    }
}

/// Whether a sum of nominals is within a limit, without rounding.
pub(crate) fn within_limit(nominal: u128, value: Amount, limit: PartsPerMillion) -> bool {
    // For whole satoshi this is exact: what exceeds the quotient exceeds its floor.
    let most = mul_div_floor(value.to_sat().into(), limit.to_u32().into(), 1_000_000);
    most.is_none_or(|most| nominal <= most)
}
