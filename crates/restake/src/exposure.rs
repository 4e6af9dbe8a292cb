//! What a service counts, and what can really be lost.

use bitcoin::{Amount, OutPoint};

use crate::BookError;

/// What secures a service, and what it has lost. The two numbers stand side by side, for they differ: nominal counts a stake
/// once for every provider and for every service, and a UTXO is slashed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// The stakes that count for the service.
    pub stakes: u64,
    /// What the service counts, in satoshi: the sum over its providers.
    pub nominal: u128,
    /// What a slashing of all of them takes at most.
    pub slashable: Amount,
    /// What slashings took from stakes while they counted for the service, or it could still rely on them.
    pub lost: Amount,
}

/// What a slashing took from one stake, for all services together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The stake.
    pub outpoint: OutPoint,
    /// Its value less the refund, as pre-signed.
    pub amount: Amount,
}

impl Exposure {
    pub(crate) const NONE: Exposure =
        Exposure { stakes: 0, nominal: 0, slashable: Amount::ZERO, lost: Amount::ZERO };

    /// With what one stake counts for changed from `before` to `after`, each a nominal.
    pub(crate) fn with_nominal(
        self,
        slashable: Amount,
        before: u128,
        after: u128,
    ) -> Result<Exposure, BookError> {
        let overflow = || BookError::Overflow("what a service counts");
        let less = self.nominal.checked_sub(before);
        let nominal = less.and_then(|less| less.checked_add(after)).ok_or_else(overflow)?;
        let (stakes, slashable) = match (before > 0, after > 0) {
            (false, true) => (self.stakes.checked_add(1), self.slashable.checked_add(slashable)),
            (true, false) => (self.stakes.checked_sub(1), self.slashable.checked_sub(slashable)),
            _ => (Some(self.stakes), Some(self.slashable)),
        };
        Ok(Exposure {
            stakes: stakes.ok_or_else(overflow)?,
            nominal,
            slashable: slashable.ok_or_else(overflow)?,
            lost: self.lost,
        })
    }

    /// With a loss.
    pub(crate) fn with_loss(self, loss: Amount) -> Result<Exposure, BookError> {
        let lost = self.lost.checked_add(loss).ok_or(BookError::Overflow("what a service has lost"))?;
        Ok(Exposure { lost, ..self })
    }
}
