use core::fmt;

use bitcoin::Sequence;
use serde::{Deserialize, Serialize};

use crate::Height;

/// A relative timelock in blocks: 1 to 65,535 (BIP-0068).
///
/// The input that spends by it carries exactly this number as its sequence, in a transaction of version 2
/// or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Timelock(u16);

/// A number of blocks that is no relative timelock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timelock of {blocks} blocks is outside 1..=65535")]
pub struct TimelockError {
    /// The number that was refused.
    pub blocks: u64,
}

impl Timelock {
    /// The longest timelock, a little over fifteen months of blocks.
    pub const MAX: Timelock = Timelock(u16::MAX);

    /// A timelock of `blocks` blocks.
    ///
    /// # Errors
    ///
    /// [`TimelockError`] for 0 and for anything above 65,535.
    pub fn new(blocks: u32) -> Result<Self, TimelockError> {
        match u16::try_from(blocks) {
            Ok(blocks) if blocks != 0 => Ok(Timelock(blocks)),
            _ => Err(TimelockError { blocks: blocks.into() }),
        }
    }

    /// The number of blocks.
    pub const fn blocks(self) -> u16 {
        self.0
    }

    /// The first block that may hold the withdrawal of an output that block `confirmed` holds (BIP-0068).
    ///
    /// Nodes take the withdrawal into their mempools once the block before is the tip. This function owns that boundary.
    pub const fn mature_at(self, confirmed: Height) -> Height {
        // Not `into`, which is no constant function; widening loses nothing.
        confirmed.saturating_add(self.0 as u32)
    }

    /// The sequence of an input that spends by this timelock (BIP-0068, block units).
    pub fn to_sequence(self) -> Sequence {
        Sequence::from_height(self.0)
    }
}

impl fmt::Display for Timelock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<u32> for Timelock {
    type Error = TimelockError;

    fn try_from(blocks: u32) -> Result<Self, Self::Error> {
        Timelock::new(blocks)
    }
}

impl From<Timelock> for u32 {
    fn from(timelock: Timelock) -> u32 {
        timelock.0.into()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn timelocks_are_one_to_65535_blocks() {
        assert_eq!(Timelock::new(0), Err(TimelockError { blocks: 0 }));
        assert_eq!(Timelock::new(1).map(Timelock::blocks), Ok(1));
        assert_eq!(Timelock::new(65_535), Ok(Timelock::MAX));
        assert_eq!(
            Timelock::new(65_536).unwrap_err().to_string(),
            "timelock of 65536 blocks is outside 1..=65535"
        );
    }

    #[test]
    fn the_sequence_is_the_number_of_blocks() {
        for blocks in [1, 16, 17, 128, 1000, 65_535] {
            assert_eq!(Timelock::new(blocks).unwrap().to_sequence().to_consensus_u32(), blocks);
        }
    }

    #[test]
    fn a_withdrawal_may_be_in_the_block_its_timelock_above() {
        assert_eq!(Timelock::new(1).unwrap().mature_at(Height::new(100)), Height::new(101));
        assert_eq!(Timelock::MAX.mature_at(Height::new(100)), Height::new(65_635));
        assert_eq!(Timelock::MAX.mature_at(Height::new(u32::MAX)), Height::new(u32::MAX));
    }

    #[test]
    fn json_refuses_what_new_refuses() {
        assert_eq!(serde_json::from_str::<Timelock>("64000").unwrap().blocks(), 64_000);
        assert!(serde_json::from_str::<Timelock>("0").is_err());
        assert!(serde_json::from_str::<Timelock>("65536").is_err());
    }
}
