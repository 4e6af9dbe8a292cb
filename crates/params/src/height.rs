use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The height of a block: the genesis block is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Height(u32);

impl Height {
    /// The genesis block's height.
    pub const GENESIS: Height = Height(0);

    /// A height of `blocks` above the genesis block.
    pub const fn new(blocks: u32) -> Self {
        Height(blocks)
    }

    /// The height as a plain number of blocks.
    pub const fn to_u32(self) -> u32 {
        self.0
    }

    /// The height `blocks` above this one, saturating at `u32::MAX`: no chain gets there.
    #[must_use]
    pub const fn saturating_add(self, blocks: u32) -> Self {
        Height(self.0.saturating_add(blocks))
    }

    /// The height `blocks` above this one.
    pub const fn checked_add(self, blocks: u32) -> Option<Self> {
        match self.0.checked_add(blocks) {
            Some(height) => Some(Height(height)),
            None => None,
        }
    }

    /// The height `blocks` below this one.
    pub const fn checked_sub(self, blocks: u32) -> Option<Self> {
        match self.0.checked_sub(blocks) {
            Some(height) => Some(Height(height)),
            None => None,
        }
    }

    /// The blocks from `other` up to this height, if this height is not the lower one.
    pub const fn blocks_since(self, other: Height) -> Option<u32> {
        self.0.checked_sub(other.0)
    }

    /// Confirmations of a block at `self` when the chain's tip is `tip`: `tip - height + 1`, and 0 above
    /// the tip. This is the one place where that convention lives.
    pub const fn confirmations(self, tip: Height) -> u32 {
        match tip.0.checked_sub(self.0) {
            Some(depth) => depth.saturating_add(1),
            None => 0,
        }
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Height {
    type Err = core::num::ParseIntError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(Height)
    }
}

impl From<u32> for Height {
    fn from(blocks: u32) -> Self {
        Height(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tip_block_has_one_confirmation() {
        let height = Height::new(100);
        assert_eq!(height.confirmations(Height::new(99)), 0);
        assert_eq!(height.confirmations(Height::new(100)), 1);
        assert_eq!(height.confirmations(Height::new(109)), 10);
        assert_eq!(Height::GENESIS.confirmations(Height::new(u32::MAX)), u32::MAX);
    }
}
