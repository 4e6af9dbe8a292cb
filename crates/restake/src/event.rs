//! What happens, in the order in which it is entered.

use alloc::boxed::Box;

use bitcoin::{OutPoint, XOnlyPublicKey};
use serde::{Deserialize, Serialize};
use tapstake_params::Height;
use tapstake_verifier::VerifiedStake;
use tapstake_verifier::equivocation::VerifiedEquivocation;

use crate::allocation::Allocation;
use crate::registry::ServiceTerms;
use crate::stake::{AdmittedStake, End};
use crate::units::{Denomination, PartsPerMillion, ServiceId};

/// An event and the Bitcoin height at which it takes effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The height. No entry is below the one before it; at one height, the order of the entries counts.
    pub height: Height,
    /// The event.
    pub event: Event,
}

/// Everything that changes a book.
///
/// In JSON an object with one field, the event's name, as in `{"claim": {"stake": "…:0", "service": "a"}}`. Amounts of bitcoin are
/// numbers of satoshi; amounts of rewards and shares are texts of decimal digits, for they may exceed 2^53.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Event {
    /// A service offers to be secured.
    RegisterService {
        /// Its name.
        service: ServiceId,
        /// On which terms it takes stakes.
        terms: ServiceTerms,
    },
    /// A provider opts in to a service.
    RegisterProvider {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
        /// Its part of every reward.
        commission: PartsPerMillion,
    },
    /// A verified stake comes into the books.
    AdmitStake {
        /// The stake.
        stake: Box<AdmittedStake>,
    },
    /// A stake begins, changes or ends to count for a service. Whatever it has earned stays.
    Allocate {
        /// The stake.
        stake: OutPoint,
        /// The service.
        service: ServiceId,
        /// How it counts.
        allocation: Allocation,
    },
    /// A service pays for the stakes behind a provider.
    Reward {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
        /// What it is counted in.
        denomination: Denomination,
        /// How many base units.
        #[serde(with = "crate::units::decimal")]
        amount: u128,
    },
    /// Everything that a stake has earned at a service is paid to its owner.
    Claim {
        /// The stake.
        stake: OutPoint,
        /// The service.
        service: ServiceId,
    },
    /// All commission of a provider at a service is paid to it.
    ClaimCommission {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
    },
    /// A stake ends without being slashed, once.
    EndStake {
        /// The stake.
        stake: OutPoint,
        /// How.
        end: End,
    },
    /// A provider has equivocated: every stake that its key can slash is slashed, for all services at once.
    Slash {
        /// The provider.
        provider: XOnlyPublicKey,
    },
}

impl Event {
    /// A verified stake comes into the books.
    pub fn admit(stake: &VerifiedStake) -> Self {
        Event::AdmitStake { stake: Box::new(AdmittedStake::from(stake)) }
    }

    /// A provider has equivocated.
    pub fn slash(equivocation: &VerifiedEquivocation) -> Self {
        Event::Slash { provider: equivocation.provider() }
    }
}
