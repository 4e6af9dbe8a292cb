use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use bitcoin::{Work, XOnlyPublicKey};
use tapstake_crypto::pop::{Context, PossessionForm};
use tapstake_params::Height;

use crate::AccountRule;

/// What a service asks of a proof beyond the rules that are the same for everybody.
///
/// ```
/// use tapstake_verifier::{Depth, Policy};
///
/// let policy = Policy { max_registration_gap: 100, ..Policy::new(Depth::Confirmations(10)) };
/// assert_eq!(policy.least_work, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How deep the stake's block must lie (rule 12).
    pub depth: Depth,
    /// The least work of the stake's block and all above it (rule 6). With `None`, none is asked of the
    /// service's own chain, and proofs are not judged by headers that they bring.
    ///
    /// A forger mines headers at whatever difficulty the first of them claims. The work asked for is the
    /// price of a forgery, so let it be that of `depth` blocks at today's difficulty or thereabouts:
    /// [`Policy::work_of_blocks`]. It matters for every chain whose headers came from one place alone: a
    /// proof, a file, a single server.
    pub least_work: Option<Work>,
    /// Takes phase-1 stakes only, those that say in an OP_RETURN what they are (rule 14). Otherwise such a
    /// stake may also be claimed without a registration, and is then judged by its script alone.
    pub only_phase_1: bool,
    /// How far a claimed registration may lie below the inclusion, in blocks (rule 14). The claim is not
    /// proven, and it chooses the parameters: 0 unless the service knows better.
    pub max_registration_gap: u32,
    /// The clock, in seconds since 1970, that headers brought by a proof may be at most two hours ahead of;
    /// without one there is no such rule.
    pub now: Option<u32>,
}

/// What a service asks of a stake that it counts or pays for.
///
/// ```
/// use tapstake_verifier::{Depth, Policy, ServicePolicy};
///
/// let provider = "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5".parse()?;
/// let policy = ServicePolicy::new(Policy::new(Depth::Confirmations(10)), [provider]);
/// assert!(policy.slashed_providers.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePolicy {
    /// What it asks of any stake on Bitcoin.
    pub stake: Policy,
    /// The providers that vote for the service (rule 17): a stake needs one of them at least.
    pub providers: BTreeSet<XOnlyPublicKey>,
    /// Providers that are slashed, for whichever service (rule 17): no stake may have one of them, for anyone can slash
    /// it.
    pub slashed_providers: BTreeSet<XOnlyPublicKey>,
    /// The forms of a proof of possession that it takes (rule 16).
    pub possession_forms: Vec<PossessionForm>,
    /// What the proof of possession must name beside the account (rule 16): service and network, exactly these; or, with
    /// `None`, nothing.
    pub possession_context: Option<Context>,
    /// Which accounts it takes (rule 16). A proof that names the account alone does not say of which kind it is: name the one
    /// that the service has.
    pub accounts: AccountRule,
}

impl ServicePolicy {
    /// A policy for stakes of these providers that takes proofs of possession of every form that name the account alone, as
    /// deployed stakes have them, and accounts of every kind.
    pub fn new(stake: Policy, providers: impl IntoIterator<Item = XOnlyPublicKey>) -> Self {
        ServicePolicy {
            stake,
            providers: providers.into_iter().collect(),
            slashed_providers: BTreeSet::new(),
            possession_forms: PossessionForm::ALL.to_vec(),
            possession_context: None,
            accounts: AccountRule::Any,
        }
    }
}

/// How deep a block must lie.
///
/// Two conventions are in use, one apart. Phase 1 counts confirmations, Babylon's chain counts the blocks
/// above: `Depth::Above(k)` is `Depth::Confirmations(k + 1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// At least this many confirmations, `tip - height + 1`.
    Confirmations(u32),
    /// At least this many blocks above, `tip - height`.
    Above(u32),
}

impl Depth {
    /// The least number of confirmations; a block of the chain has one at least.
    pub fn confirmations(self) -> u32 {
        match self {
            Depth::Confirmations(confirmations) => confirmations.max(1),
            Depth::Above(blocks) => blocks.saturating_add(1),
        }
    }

    /// Whether a block at `height` lies this deep below `tip`.
    pub fn is_reached(self, height: Height, tip: Height) -> bool {
        height.confirmations(tip) >= self.confirmations()
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Depth::Confirmations(confirmations) => write!(f, "{confirmations} confirmations"),
            Depth::Above(blocks) => write!(f, "{blocks} blocks above"),
        }
    }
}

impl Policy {
    /// A policy that asks for this depth and no work, takes no headers from proofs, no registration below the
    /// inclusion, and has no clock.
    pub const fn new(depth: Depth) -> Self {
        Policy { depth, least_work: None, only_phase_1: false, max_registration_gap: 0, now: None }
    }

    /// The work of `blocks` blocks with these `bits`: a least work for [`Policy::least_work`].
    pub fn work_of_blocks(bits: bitcoin::CompactTarget, blocks: u32) -> Work {
        crate::headers::work_of_blocks(bits, blocks)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use bitcoin::CompactTarget;

    use super::*;

    #[test]
    fn confirmations_and_blocks_above_are_one_apart() {
        let height = Height::new(100);
        assert!(!Depth::Confirmations(10).is_reached(height, Height::new(108)));
        assert!(Depth::Confirmations(10).is_reached(height, Height::new(109)));
        assert!(!Depth::Above(10).is_reached(height, Height::new(109)));
        assert!(Depth::Above(10).is_reached(height, Height::new(110)));
    }

    #[test]
    fn a_block_above_the_tip_is_never_deep_enough() {
        assert!(!Depth::Confirmations(0).is_reached(Height::new(5), Height::new(4)));
        assert!(Depth::Confirmations(0).is_reached(Height::new(5), Height::new(5)));
        assert!(Depth::Above(0).is_reached(Height::new(5), Height::new(5)));
        assert!(!Depth::Above(u32::MAX).is_reached(Height::new(0), Height::new(1 << 20)));
    }

    #[test]
    fn work_of_blocks_is_the_sum() {
        let bits = CompactTarget::from_consensus(0x207f_ffff);
        let work = |blocks| Policy::work_of_blocks(bits, blocks).to_be_bytes()[30..].to_vec();
        assert_eq!(work(0), [0, 0]);
        assert_eq!(work(6), [0, 12]);
        assert_eq!(work(1000), [7, 208]);
        let limit = CompactTarget::from_consensus(0x1d00_ffff);
        assert!(Policy::work_of_blocks(limit, u32::MAX).to_string().len() > 19);
    }
}
