use bitcoin::{BlockHash, CompactTarget, Network};
use tapstake_params::Height;

use crate::Rule;
use crate::headers::DeepReorganisation;

/// Why a block cannot be the one that a header chain hangs on (rule 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// On a network that retargets, the anchor does not open a period.
    #[error("anchor at height {height} is no retarget boundary of {network}: a multiple of 2016 is")]
    NotABoundary {
        /// The anchor's height.
        height: Height,
        /// The network.
        network: Network,
    },
    /// The block at height 0 is another network's.
    #[error("block {found} at height 0 is not the genesis block {expected} of {network}")]
    NotGenesis {
        /// The genesis block's hash.
        expected: BlockHash,
        /// The hash given.
        found: BlockHash,
        /// The network.
        network: Network,
    },
    /// No block of the network can have these `bits`.
    #[error("anchor bits {:#010x} cannot occur on {network}", bits.to_consensus())]
    Bits {
        /// The header's `bits`.
        bits: CompactTarget,
        /// The network.
        network: Network,
    },
    /// The anchor's hash is above its own target.
    #[error("anchor {hash} does not meet its own target {:#010x}", bits.to_consensus())]
    ProofOfWork {
        /// The header's hash.
        hash: BlockHash,
        /// The header's `bits`.
        bits: CompactTarget,
    },
    /// Neither none nor all of the earlier timestamps that the median needs.
    #[error(
        "anchor at height {height} comes with {found} earlier timestamps: all {expected} or none are needed"
    )]
    PreviousTimes {
        /// The anchor's height.
        height: Height,
        /// As many as there are, up to 10.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// A height that no chain reaches.
    #[error("anchor height {height} is out of reason")]
    Height {
        /// The height given.
        height: Height,
    },
}

/// Why headers do not extend a header chain (rules 2 to 5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The header does not name the block before as its parent.
    #[error("header {height} follows {found}, not the block before it, {expected}")]
    Link {
        /// The header's height.
        height: Height,
        /// The hash of the block before.
        expected: BlockHash,
        /// The parent that the header names.
        found: BlockHash,
    },
    /// The header's hash is above its target.
    #[error("header {height} has hash {hash}, above its target {:#010x}", bits.to_consensus())]
    ProofOfWork {
        /// The header's height.
        height: Height,
        /// The header's hash.
        hash: BlockHash,
        /// The header's `bits`.
        bits: CompactTarget,
    },
    /// The header's `bits` are not those that the chain asks for.
    #[error("header {height} has bits {:#010x} where {rule} asks for {:#010x}", found.to_consensus(), expected.to_consensus())]
    Bits {
        /// The header's height.
        height: Height,
        /// The `bits` computed from the headers before.
        expected: CompactTarget,
        /// The header's `bits`.
        found: CompactTarget,
        /// What the expectation comes from: [`Rule::Bits`], [`Rule::Retarget`] or [`Rule::MinDifficulty`].
        rule: Rule,
    },
    /// The header is not younger than the median of the 11 before.
    #[error("header {height} has time {time}, not above the median {median} of the last 11 headers")]
    MedianTime {
        /// The header's height.
        height: Height,
        /// The header's time, in seconds since 1970.
        time: u32,
        /// The median.
        median: u32,
    },
    /// The first header of a period is more than 600 s older than its parent (BIP-0094).
    #[error("header {height} has time {time}, more than 600 s before its parent's {parent_time} (BIP-0094)")]
    TimeWarp {
        /// The header's height.
        height: Height,
        /// The header's time, in seconds since 1970.
        time: u32,
        /// The parent's time.
        parent_time: u32,
    },
    /// The header is more than two hours ahead of the caller's clock.
    #[error("header {height} has time {time}, more than two hours after now, {now}")]
    FutureTime {
        /// The header's height.
        height: Height,
        /// The header's time, in seconds since 1970.
        time: u32,
        /// The caller's clock.
        now: u32,
    },
    /// The first header's parent is not in the chain: a gap, another chain, or a fork below the anchor.
    #[error("header follows {parent}, which is not in the chain from height {anchor} to {tip}")]
    UnknownParent {
        /// The parent that the header names.
        parent: BlockHash,
        /// The anchor's height.
        anchor: Height,
        /// The tip's height.
        tip: Height,
    },
    /// A valid branch with more work would undo more blocks than the policy allows. The chain stays as it
    /// was and takes no headers until a person has called
    /// [`unfreeze`](crate::headers::HeaderChain::unfreeze).
    #[error("chain is frozen: {0}")]
    Frozen(DeepReorganisation),
    /// There is no header to start from.
    #[error("no headers at all")]
    Empty,
    /// The first header is no possible anchor.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
}

impl HeaderError {
    /// The rule that was broken.
    pub const fn rule(&self) -> Rule {
        match self {
            HeaderError::Link { .. } | HeaderError::UnknownParent { .. } => Rule::Link,
            HeaderError::ProofOfWork { .. } => Rule::ProofOfWork,
            HeaderError::Bits { rule, .. } => *rule,
            HeaderError::MedianTime { .. } => Rule::MedianTime,
            HeaderError::TimeWarp { .. } => Rule::TimeWarp,
            HeaderError::FutureTime { .. } => Rule::FutureTime,
            HeaderError::Frozen(_) => Rule::ReorganisationDepth,
            HeaderError::Empty | HeaderError::Anchor(_) => Rule::Anchor,
        }
    }
}
