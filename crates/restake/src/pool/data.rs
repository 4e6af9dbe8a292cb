//! What pools tell about themselves.

use bitcoin::Amount;
use serde::Serialize;

use crate::units::{HolderId, PartsPerMillion};

/// Where a stake of a pool is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PooledStatus {
    /// It backs the pool.
    Live,
    /// It was slashed; what was left of it backs the pool.
    Slashed,
    /// It has left. It stays known, since nothing is minted for it again.
    Ended,
}

/// A stake of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PooledStake {
    /// What it contributes to the reserves, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub value: Amount,
    /// What it contributed before it was slashed or ended, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub whole: Amount,
    /// Where it is in its life.
    pub status: PooledStatus,
}

impl PooledStake {
    pub(crate) const fn ended(self) -> Self {
        PooledStake { value: Amount::ZERO, status: PooledStatus::Ended, ..self }
    }
}

/// What a pool has against what it owes, in satoshi.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Backing {
    /// Stakes that live, and cash.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub reserves: Amount,
    /// The value of the shares, and the exits that wait.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub issued: Amount,
}

impl Backing {
    /// What is missing.
    pub fn missing(&self) -> Amount {
        self.issued.checked_sub(self.reserves).unwrap_or(Amount::ZERO)
    }

    /// What there is and nobody is owed: a loss that was none, or more than was missing.
    pub fn surplus(&self) -> Amount {
        self.reserves.checked_sub(self.issued).unwrap_or(Amount::ZERO)
    }

    /// Reserves over receipts, rounded down. `None` while nothing is issued.
    pub fn ratio_floor(&self) -> Option<PartsPerMillion> {
        PartsPerMillion::ratio_floor(self.reserves.to_sat().into(), self.issued.to_sat().into())
    }
}

/// Everything that ever went through a pool, in satoshi.
///
/// Always `minted + rewards + recovered = assets + queued + lost + paid`, and
/// `rewards + returned + made_good = cash + taken + paid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Flows {
    /// Stakes that receipts were minted for.
    #[serde(with = "crate::units::decimal")]
    pub minted: u128,
    /// Rewards, but for those that were taken back.
    #[serde(with = "crate::units::decimal")]
    pub rewards: u128,
    /// Slashed, and written down.
    #[serde(with = "crate::units::decimal")]
    pub lost: u128,
    /// Losses that were none after all.
    #[serde(with = "crate::units::decimal")]
    pub recovered: u128,
    /// Paid to exits.
    #[serde(with = "crate::units::decimal")]
    pub paid: u128,
    /// Stakes that came back as cash.
    #[serde(with = "crate::units::decimal")]
    pub returned: u128,
    /// Cash for what was missing.
    #[serde(with = "crate::units::decimal")]
    pub made_good: u128,
    /// Cash that left other than to exits.
    #[serde(with = "crate::units::decimal")]
    pub taken: u128,
}

/// What a slashing took beyond what nobody was owed, and from whom: the parts are the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PoolLoss {
    /// From the shares.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub shares: Amount,
    /// From the exits that wait.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub queue: Amount,
}

/// An exit that was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaidExit {
    /// To whom.
    pub holder: HolderId,
    /// What was worth so much at the request, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub quoted: Amount,
    /// What was paid, in satoshi.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub paid: Amount,
}
