use alloc::vec::Vec;

use bitcoin::block::Header;
use bitcoin::{BlockHash, Network, Target, Work};
use tapstake_params::Height;

use crate::headers::AnchorError;
use crate::headers::rules::{Rules, opens_period};
use crate::headers::times::LastTimes;
use crate::headers::work;

/// The block that a header chain hangs on, and what the rules need to know of the blocks below it.
///
/// An anchor is trusted: nothing below it is looked at. On networks that retarget it opens a period
/// (`height % 2016 == 0`), so that the next retarget is computed from headers that are all there. The median
/// time needs the timestamps of the 10 blocks below the anchor too: an anchor has all of them, and the rule
/// holds from the first header on, or none, and the rule starts with the 11th header above the anchor.
/// A genesis block has nothing below and needs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    rules: Rules,
    height: Height,
    header: Header,
    hash: BlockHash,
    total_work: Work,
    previous_times: Vec<u32>,
}

/// Heights from here on are refused: two thousand years of blocks.
const HEIGHT_LIMIT: u32 = 1 << 27;

impl Anchor {
    /// The genesis block of a network.
    ///
    /// All signets share one genesis block: which signet it is shows only in the signatures inside its
    /// blocks, which no header chain carries.
    pub fn genesis(network: Network) -> Self {
        let rules = Rules::new(network);
        let header = bitcoin::constants::genesis_block(network).header;
        let total_work = work::of_bits(header.bits);
        Anchor {
            rules,
            height: Height::GENESIS,
            header,
            hash: rules.genesis,
            total_work,
            previous_times: Vec::new(),
        }
    }

    /// A block that the caller trusts.
    ///
    /// `total_work` is the work of the whole chain up to and with this block (`chainwork` in Bitcoin Core);
    /// it is only ever compared and reported. `previous_times` are the timestamps of the 10 blocks below,
    /// oldest first, or empty if they are not at hand.
    ///
    /// # Errors
    ///
    /// [`AnchorError`] if the height is no retarget boundary, if the header's `bits` cannot occur on the
    /// network or its hash does not meet them, or if some but not all timestamps are given.
    pub fn new(
        network: Network,
        height: Height,
        header: Header,
        total_work: Work,
        previous_times: Vec<u32>,
    ) -> Result<Self, AnchorError> {
        Self::with_rules(Rules::new(network), height, header, total_work, previous_times)
    }

    pub(crate) fn with_rules(
        rules: Rules,
        height: Height,
        header: Header,
        total_work: Work,
        previous_times: Vec<u32>,
    ) -> Result<Self, AnchorError> {
        let network = rules.network;
        let hash = header.block_hash();
        if height.to_u32() >= HEIGHT_LIMIT {
            return Err(AnchorError::Height { height });
        }
        if height == Height::GENESIS && hash != rules.genesis {
            return Err(AnchorError::NotGenesis { expected: rules.genesis, found: hash, network });
        }
        if rules.retargets && !opens_period(height) {
            return Err(AnchorError::NotABoundary { height, network });
        }
        let bits = header.bits;
        if !rules.are_bits_possible(bits) || (!rules.retargets && bits != rules.limit) {
            return Err(AnchorError::Bits { bits, network });
        }
        if !Target::from_compact(bits).is_met_by(hash) {
            return Err(AnchorError::ProofOfWork { hash, bits });
        }
        let expected = (LastTimes::SPAN - 1).min(usize::try_from(height.to_u32()).unwrap_or(usize::MAX));
        let found = previous_times.len();
        if found != 0 && found != expected {
            return Err(AnchorError::PreviousTimes { height, expected, found });
        }
        Ok(Anchor { rules, height, header, hash, total_work, previous_times })
    }

    /// The network.
    pub const fn network(&self) -> Network {
        self.rules.network
    }

    /// The anchor's height.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The anchor's header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The anchor's hash.
    pub const fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The work of the whole chain up to and with the anchor.
    pub const fn total_work(&self) -> Work {
        self.total_work
    }

    /// The first height whose time is held against the median of the 11 headers before.
    pub fn median_time_from(&self) -> Height {
        let knows_all_below = self.height == Height::GENESIS || !self.previous_times.is_empty();
        self.height.saturating_add(if knows_all_below { 1 } else { 11 })
    }

    pub(crate) const fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn previous_times(&self) -> &[u32] {
        &self.previous_times
    }
}
