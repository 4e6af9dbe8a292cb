use alloc::vec::Vec;

use bitcoin::XOnlyPublicKey;
use bitcoin::secp256k1::{Secp256k1, Verification};
use serde::{Deserialize, Serialize};
use tapstake_params::{Quorum, QuorumError, StakingParams, Timelock};

use crate::output::{RefundOutput, StakingOutput, UnbondingOutput};

/// The finality providers of a stake: one or more distinct keys, of which any ONE completes a slashing.
///
/// Ascending by their x-only bytes. Several providers are what lets one stake secure several services.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<XOnlyPublicKey>", into = "Vec<XOnlyPublicKey>")]
pub struct Providers(Quorum);

impl Providers {
    /// A single provider.
    pub fn one(key: XOnlyPublicKey) -> Self {
        Providers(Quorum::new(1, alloc::vec![key]).expect("one of one key is a quorum"))
    }

    /// Several providers, sorted here.
    ///
    /// # Errors
    ///
    /// [`TermsError::Providers`] if there are none, too many, or one twice.
    pub fn new(keys: Vec<XOnlyPublicKey>) -> Result<Self, TermsError> {
        Quorum::new(1, keys).map(Providers).map_err(TermsError::Providers)
    }

    /// The keys, ascending by their x-only bytes; never empty.
    pub fn keys(&self) -> &[XOnlyPublicKey] {
        self.0.keys()
    }

    /// The providers as a quorum with threshold 1.
    pub const fn as_quorum(&self) -> &Quorum {
        &self.0
    }
}

impl TryFrom<Vec<XOnlyPublicKey>> for Providers {
    type Error = TermsError;

    fn try_from(keys: Vec<XOnlyPublicKey>) -> Result<Self, Self::Error> {
        Providers::new(keys)
    }
}

impl From<Providers> for Vec<XOnlyPublicKey> {
    fn from(providers: Providers) -> Self {
        providers.keys().to_vec()
    }
}

/// Everybody whose key stands in a stake's scripts, pairwise distinct.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "PartiesFields")]
pub struct Parties {
    staker: XOnlyPublicKey,
    providers: Providers,
    covenant: Quorum,
}

#[derive(Deserialize)]
struct PartiesFields {
    staker: XOnlyPublicKey,
    providers: Providers,
    covenant: Quorum,
}

impl TryFrom<PartiesFields> for Parties {
    type Error = TermsError;

    fn try_from(fields: PartiesFields) -> Result<Self, Self::Error> {
        Parties::new(fields.staker, fields.providers, fields.covenant)
    }
}

/// Why keys make no stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// The providers are no set of keys.
    #[error("finality providers: {0}")]
    Providers(#[source] QuorumError),
    /// The staker's key is also a provider's.
    #[error("key {0} is both staker and finality provider")]
    StakerIsProvider(XOnlyPublicKey),
    /// The staker's key is also a covenant member's.
    #[error("key {0} is both staker and covenant member")]
    StakerIsCovenant(XOnlyPublicKey),
    /// A provider's key is also a covenant member's.
    #[error("key {0} is both finality provider and covenant member")]
    ProviderIsCovenant(XOnlyPublicKey),
}

impl Parties {
    /// The parties of a stake.
    ///
    /// # Errors
    ///
    /// [`TermsError`] if one key has two roles.
    pub fn new(staker: XOnlyPublicKey, providers: Providers, covenant: Quorum) -> Result<Self, TermsError> {
        if providers.as_quorum().contains(&staker) {
            return Err(TermsError::StakerIsProvider(staker));
        }
        if covenant.contains(&staker) {
            return Err(TermsError::StakerIsCovenant(staker));
        }
        if let Some(key) = providers.keys().iter().find(|key| covenant.contains(key)) {
            return Err(TermsError::ProviderIsCovenant(*key));
        }
        Ok(Parties { staker, providers, covenant })
    }

    /// The staker's key.
    pub const fn staker(&self) -> XOnlyPublicKey {
        self.staker
    }

    /// The finality providers.
    pub const fn providers(&self) -> &Providers {
        &self.providers
    }

    /// The covenant committee.
    pub const fn covenant(&self) -> &Quorum {
        &self.covenant
    }
}

/// What a stake is: who, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StakeTerms {
    /// The keys in its scripts.
    pub parties: Parties,
    /// The timelock of the staking output.
    pub staking_time: Timelock,
    /// The timelock of the unbonding output and of a slashing's refund.
    pub unbonding_time: Timelock,
}

impl StakeTerms {
    /// The terms of a stake under a network's parameters, which say the committee and the unbonding time.
    ///
    /// The bounds on value and time are the caller's to check, with
    /// [`StakingParams::check_stake`]: they need the value.
    ///
    /// # Errors
    ///
    /// [`TermsError`] if one key has two roles.
    pub fn under(
        params: &StakingParams,
        staker: XOnlyPublicKey,
        providers: Providers,
        staking_time: Timelock,
    ) -> Result<Self, TermsError> {
        let parties = Parties::new(staker, providers, params.covenant.clone())?;
        Ok(StakeTerms { parties, staking_time, unbonding_time: params.unbonding_time })
    }

    /// The output that locks the stake.
    pub fn staking_output<C: Verification>(&self, secp: &Secp256k1<C>) -> StakingOutput {
        StakingOutput::new(secp, &self.parties, self.staking_time)
    }

    /// The output of the unbonding transaction.
    pub fn unbonding_output<C: Verification>(&self, secp: &Secp256k1<C>) -> UnbondingOutput {
        UnbondingOutput::new(secp, &self.parties, self.unbonding_time)
    }

    /// The output that returns to the staker what a slashing left.
    pub fn refund_output<C: Verification>(&self, secp: &Secp256k1<C>) -> RefundOutput {
        RefundOutput::new(secp, self.parties.staker, self.unbonding_time)
    }
}
