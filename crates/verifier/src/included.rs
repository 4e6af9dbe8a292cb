use alloc::vec::Vec;
use core::fmt;

use bitcoin::{Amount, BlockHash, Network, OutPoint};
use tapstake_params::{Height, Timelock, Window};
use tapstake_script::StakeTerms;

use crate::{Registration, Rule};

/// The first height of the tip at which a stake is no longer active (rule 18).
///
/// A stake is active while `inclusion <= tip` and `tip + unbonding_time < inclusion + staking_time`: from
/// then on its staker could withdraw sooner by the staking timelock than by unbonding, too soon to be
/// slashed. This function and [`active`], which asks it, own that boundary.
pub fn expiry(inclusion: Height, staking_time: Timelock, unbonding_time: Timelock) -> Height {
    inclusion.saturating_add(staking_time.blocks().saturating_sub(unbonding_time.blocks()).into())
}

/// Whether a stake is active when the chain's tip is `tip` (rule 18).
pub fn active(inclusion: Height, tip: Height, staking_time: Timelock, unbonding_time: Timelock) -> bool {
    inclusion <= tip && tip < expiry(inclusion, staking_time, unbonding_time)
}

/// A stake that is on Bitcoin, under these terms: rules 1 to 14 hold.
///
/// Only the verifier makes one. It says that the stake was included, **not that it is unspent**, and nothing
/// about the signatures without which it cannot be slashed: what pays or counts security needs those checked
/// as well (rules 15 to 17), and takes a [`VerifiedStake`](crate::VerifiedStake).
///
/// Displayed, it reads as the whole verdict: included at height h, not reported spent as of tip t, valid
/// until height v.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludedStake {
    pub(crate) network: Network,
    pub(crate) outpoint: OutPoint,
    pub(crate) spends: Vec<OutPoint>,
    pub(crate) value: Amount,
    pub(crate) terms: StakeTerms,
    pub(crate) registration: Registration,
    pub(crate) params_version: u32,
    pub(crate) cap: Option<Window>,
    pub(crate) inclusion_height: Height,
    pub(crate) block_hash: BlockHash,
    pub(crate) tip: (Height, BlockHash),
}

/// Where a stake is in its time, by rule 18.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Active at the tip.
    Active,
    /// The tip has reached its expiry.
    Expired,
}

/// A stake whose time is over at the tip (rule 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stake {outpoint} is not active at tip {tip}: it expired at height {expires_at}")]
pub struct Expired {
    /// The stake.
    pub outpoint: OutPoint,
    /// The height of the tip.
    pub tip: Height,
    /// The first height of the tip at which it is no longer active.
    pub expires_at: Height,
}

impl Expired {
    /// The rule that was broken.
    pub const fn rule(&self) -> Rule {
        Rule::Active
    }
}

impl IncludedStake {
    /// The network.
    pub const fn network(&self) -> Network {
        self.network
    }

    /// The staking output: what a stake is known by, everywhere. One transaction can hold several stakes, so
    /// a txid is not enough.
    pub const fn outpoint(&self) -> OutPoint {
        self.outpoint
    }

    /// The outputs that the staking transaction spends, in the order of its inputs. For an expansion, the stake that it
    /// ends is the first.
    pub fn spends(&self) -> &[OutPoint] {
        &self.spends
    }

    /// The value of the staking output.
    pub const fn value(&self) -> Amount {
        self.value
    }

    /// The terms of the stake: keys, covenant and timelocks.
    pub const fn terms(&self) -> &StakeTerms {
        &self.terms
    }

    /// How the proof chose the parameters version.
    pub const fn registration(&self) -> Registration {
        self.registration
    }

    /// The parameters version that the stake was judged by.
    pub const fn params_version(&self) -> u32 {
        self.params_version
    }

    /// For phase-1 stakes, whether the version's cap leaves room for it: a cap on the sum over all stakes
    /// cannot be judged from one proof.
    pub const fn cap(&self) -> Option<Window> {
        self.cap
    }

    /// The height of the block that includes the stake.
    pub const fn inclusion_height(&self) -> Height {
        self.inclusion_height
    }

    /// The hash of the block that includes the stake.
    pub const fn block_hash(&self) -> BlockHash {
        self.block_hash
    }

    /// The height and hash of the tip at which the stake was verified.
    pub const fn tip(&self) -> (Height, BlockHash) {
        self.tip
    }

    /// The confirmations at that tip: `tip - inclusion + 1`.
    pub const fn confirmations(&self) -> u32 {
        self.inclusion_height.confirmations(self.tip.0)
    }

    /// The first height of the tip at which the stake is no longer active.
    pub fn expires_at(&self) -> Height {
        expiry(self.inclusion_height, self.terms.staking_time, self.terms.unbonding_time)
    }

    /// Whether the stake is active at some tip, if it is not spent.
    pub fn is_active_at(&self, tip: Height) -> bool {
        active(self.inclusion_height, tip, self.terms.staking_time, self.terms.unbonding_time)
    }

    /// Where the stake is in its time, at the tip at which it was verified.
    pub fn status(&self) -> Status {
        if self.is_active_at(self.tip.0) { Status::Active } else { Status::Expired }
    }

    /// Refuses a stake whose time is over at the tip at which it was verified (rule 18).
    ///
    /// # Errors
    ///
    /// [`Expired`] names the heights.
    pub fn require_active(&self) -> Result<(), Expired> {
        match self.status() {
            Status::Active => Ok(()),
            Status::Expired => {
                Err(Expired { outpoint: self.outpoint, tip: self.tip.0, expires_at: self.expires_at() })
            }
        }
    }
}

impl fmt::Display for IncludedStake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (height, tip, end) = (self.inclusion_height, self.tip.0, self.expires_at());
        write!(f, "included at height {height}, not reported spent as of tip {tip}, ")?;
        match self.status() {
            Status::Active => write!(f, "valid until height {end}"),
            Status::Expired => write!(f, "expired at height {end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(count: u32) -> Timelock {
        Timelock::new(count).unwrap()
    }

    #[test]
    fn a_stake_is_active_from_its_block_to_just_before_its_expiry() {
        let at = |tip| active(Height::new(1000), Height::new(tip), blocks(150), blocks(50));
        assert!(!at(999));
        assert!(at(1000));
        assert!(at(1099), "1099 + 50 < 1000 + 150");
        assert!(!at(1100), "1100 + 50 is not less");
    }

    #[test]
    fn a_stake_no_longer_than_its_unbonding_is_never_active() {
        for staking_time in [1, 49, 50] {
            assert!(!active(Height::new(7), Height::new(7), blocks(staking_time), blocks(50)));
        }
        assert!(active(Height::new(7), Height::new(7), blocks(51), blocks(50)));
    }

    proptest! {
        #[test]
        fn the_boundary_is_the_formula(
            inclusion in 0u32..200_000, tip in 0u32..300_000,
            staking in 1u32..=65_535, unbonding in 1u32..=65_535,
        ) {
            let formula = inclusion <= tip && tip + unbonding < inclusion + staking;
            let ours = active(Height::new(inclusion), Height::new(tip), blocks(staking), blocks(unbonding));
            prop_assert_eq!(ours, formula);
        }
    }
}
