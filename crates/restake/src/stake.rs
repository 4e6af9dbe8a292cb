//! A stake as the books know it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use serde::{Deserialize, Serialize};
use tapstake_crypto::pop::Account;
use tapstake_params::{Height, Timelock};
use tapstake_verifier::VerifiedStake;

/// A verified stake, reduced to what the books need of it.
///
/// Made of a [`VerifiedStake`], or read from the operator's own journal, where one was written before
/// ([`JournalledStake`]): whoever writes the journal is believed, so a stake that a stranger hands in comes as a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "JournalledStake", into = "JournalledStake")]
pub struct AdmittedStake(JournalledStake);

/// The data of an [`AdmittedStake`], as a journal has it. Amounts are in satoshi.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalledStake {
    /// The staking output, which is what a stake is known by.
    pub outpoint: OutPoint,
    /// What the staking transaction spends: another stake among it is one that this stake expands.
    pub spends: Vec<OutPoint>,
    /// The output into which its unbonding transaction moves it.
    pub unbonding: OutPoint,
    /// Its value.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub value: Amount,
    /// What the slashing of the staking output sends to the slashing script: the part that the rate asks for.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub slashed: Amount,
    /// What the slashing of the staking output gives back to the staker, as pre-signed.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub refund: Amount,
    /// What the slashing of the unbonding output gives back to the staker, as pre-signed.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub unbonding_refund: Amount,
    /// The account that the staker has named, to which rewards are paid.
    pub owner: Account,
    /// The finality providers, ascending.
    pub providers: Vec<XOnlyPublicKey>,
    /// The height of the block that includes the stake.
    pub inclusion_height: Height,
    /// The first height at which it is no longer active.
    pub expires_at: Height,
    /// The blocks for which it stays slashable after its unbonding began, or after it expired.
    pub unbonding_time: Timelock,
}

/// Why data is no stake that a verifier could have made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StakeDataError {
    /// No value, or more than there is.
    #[error("stake {outpoint}: {} sat is not a value of an output", value.to_sat())]
    Value {
        /// The stake.
        outpoint: OutPoint,
        /// The value.
        value: Amount,
    },
    /// The slashed part and either refund do not fit into the value.
    #[error("stake {outpoint}: slashed part and refund are not within its {} sat", value.to_sat())]
    Slashing {
        /// The stake.
        outpoint: OutPoint,
        /// The value.
        value: Amount,
    },
    /// Nothing is spent, or something twice, or an output of the stake's own.
    #[error(
        "stake {outpoint}: what its transaction spends is not at least one output, distinct and of other stakes"
    )]
    Spends {
        /// The stake.
        outpoint: OutPoint,
    },
    /// No providers, or not in ascending order without repetition.
    #[error("stake {outpoint}: providers are not at least one, distinct and ascending")]
    Providers {
        /// The stake.
        outpoint: OutPoint,
    },
    /// Never active.
    #[error("stake {outpoint}: included at height {inclusion}, it expires at height {expires_at} already")]
    NeverActive {
        /// The stake.
        outpoint: OutPoint,
        /// The height of its block.
        inclusion: Height,
        /// The first height at which it is not active.
        expires_at: Height,
    },
}

impl AdmittedStake {
    /// The data.
    pub const fn data(&self) -> &JournalledStake {
        &self.0
    }

    /// The staking output.
    pub const fn outpoint(&self) -> OutPoint {
        self.0.outpoint
    }

    /// The value of the staking output.
    pub const fn value(&self) -> Amount {
        self.0.value
    }

    /// What a slashing takes: value less refund, fees included, be it slashed before or after its unbonding, whichever
    /// takes more. A UTXO is slashed once, so no sum of slashes exceeds this.
    pub fn slashable(&self) -> Amount {
        self.loss().max(self.loss_in_unbonding())
    }

    /// What a slashing of the staking output takes: value less refund.
    pub fn loss(&self) -> Amount {
        self.0.value.checked_sub(self.0.refund).unwrap_or(self.0.value)
    }

    /// What a slashing of the unbonding output takes off the stake: value less refund, the unbonding's fee included.
    pub fn loss_in_unbonding(&self) -> Amount {
        self.0.value.checked_sub(self.0.unbonding_refund).unwrap_or(self.0.value)
    }
}

impl From<&VerifiedStake> for AdmittedStake {
    fn from(stake: &VerifiedStake) -> Self {
        let (included, delegation) = (stake.included(), stake.delegation());
        AdmittedStake(JournalledStake {
            outpoint: included.outpoint(),
            spends: included.spends().to_vec(),
            unbonding: delegation.unbonding().coin().outpoint,
            value: included.value(),
            slashed: delegation.slashing().slashed(),
            refund: delegation.slashing().refund().value,
            unbonding_refund: delegation.unbonding_slashing().refund().value,
            owner: stake.account().clone(),
            providers: included.terms().parties.providers().keys().to_vec(),
            inclusion_height: included.inclusion_height(),
            expires_at: included.expires_at(),
            unbonding_time: included.terms().unbonding_time,
        })
    }
}

impl TryFrom<JournalledStake> for AdmittedStake {
    type Error = StakeDataError;

    fn try_from(data: JournalledStake) -> Result<Self, StakeDataError> {
        let (outpoint, value) = (data.outpoint, data.value);
        if value == Amount::ZERO || value > Amount::MAX_MONEY {
            return Err(StakeDataError::Value { outpoint, value });
        }
        // The part that is slashed shrinks with the unbonding's fee by no more than that fee, which is not refunded.
        let mut refunds = [data.refund, data.unbonding_refund].into_iter();
        let fits = refunds.all(|refund| data.slashed.checked_add(refund).is_some_and(|paid| paid <= value));
        if data.slashed == Amount::ZERO || !fits {
            return Err(StakeDataError::Slashing { outpoint, value });
        }
        let own = |spent: &OutPoint| spent.txid == outpoint.txid || spent.txid == data.unbonding.txid;
        let distinct: BTreeSet<_> = data.spends.iter().collect();
        let repeats = distinct.len() < data.spends.len();
        if data.spends.is_empty()
            || repeats
            || data.spends.iter().any(own)
            || data.unbonding.txid == outpoint.txid
        {
            return Err(StakeDataError::Spends { outpoint });
        }
        if data.providers.is_empty() || !data.providers.is_sorted_by(|a, b| a.serialize() < b.serialize()) {
            return Err(StakeDataError::Providers { outpoint });
        }
        let (inclusion, expires_at) = (data.inclusion_height, data.expires_at);
        if expires_at <= inclusion {
            return Err(StakeDataError::NeverActive { outpoint, inclusion, expires_at });
        }
        Ok(AdmittedStake(data))
    }
}

impl From<AdmittedStake> for JournalledStake {
    fn from(stake: AdmittedStake) -> Self {
        stake.0
    }
}

/// Where a stake is in its life. A stake can be slashed until its output is known to be spent, for so it is on Bitcoin:
/// from `until` on its staker can withdraw it, and a slashing may come too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StakeStatus {
    /// It secures the services to which it is allocated.
    Active,
    /// Its staker has begun to unbond it: it secures nothing new.
    Unbonding {
        /// The first height at which it can be withdrawn.
        until: Height,
    },
    /// Its time is over: it secures nothing new.
    Expired {
        /// The first height at which it can be withdrawn: there its timelock opens.
        until: Height,
    },
    /// It was withdrawn, and came back to its pool.
    Returned,
    /// Its output was spent, and where it went the books do not know.
    Spent,
    /// It has become another stake.
    Expanded,
    /// One of its providers equivocated. Nothing leads out of this.
    Slashed,
}

/// How a stake ends, as an operator reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its staker unbonds it, while it is active or has expired.
    Unbonding,
    /// Its expiry is reached.
    Expired,
    /// Its output is spent, at any time: withdrawn, or in a way that the books do not follow.
    Spent,
}

impl fmt::Display for StakeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StakeStatus::Active => f.write_str("active"),
            StakeStatus::Unbonding { until } => write!(f, "unbonding, locked below height {until}"),
            StakeStatus::Expired { until } => write!(f, "expired, locked below height {until}"),
            StakeStatus::Returned => f.write_str("returned"),
            StakeStatus::Spent => f.write_str("spent"),
            StakeStatus::Expanded => f.write_str("expanded"),
            StakeStatus::Slashed => f.write_str("slashed"),
        }
    }
}
