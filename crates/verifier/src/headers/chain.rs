use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use bitcoin::block::Header;
use bitcoin::{BlockHash, Network, Work};
use tapstake_params::Height;

use crate::headers::validator::work_of;
use crate::headers::{Anchor, HeaderError, HeaderValidator};

/// A light client: the headers with the most work above an anchor.
///
/// It keeps 80 bytes for each block, 72 MB for 900,000 of them. Branches that lose are not kept: a branch is
/// judged by the headers handed in with one call, from the fork on.
#[derive(Debug, Clone)]
pub struct HeaderChain {
    anchor: Anchor,
    tip: HeaderValidator,
    /// From the anchor to the tip. A block's hash stands in the header above it.
    headers: Vec<Header>,
    max_reorg_depth: u32,
    frozen: Option<DeepReorganisation>,
}

/// What new headers did to a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Every header was known.
    Unchanged,
    /// The chain grew above its old tip.
    Extended {
        /// The number of new blocks.
        connected: u32,
    },
    /// A branch with more work has replaced the blocks above `fork`.
    Reorganised {
        /// The last common block.
        fork: Height,
        /// The hashes of the blocks that are undone, from `fork + 1` up.
        disconnected: Vec<BlockHash>,
        /// The number of new blocks.
        connected: u32,
    },
    /// A valid branch that has no more work than the chain above `fork`; it is forgotten.
    Outweighed {
        /// The last common block.
        fork: Height,
    },
}

/// A valid branch with more work that would undo more blocks than the policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeepReorganisation {
    /// The last common block.
    pub fork: Height,
    /// The number of blocks that would be undone.
    pub depth: u32,
    /// The number that the policy allows.
    pub max_depth: u32,
    /// The tip of the branch.
    pub branch_tip: BlockHash,
}

impl fmt::Display for DeepReorganisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeepReorganisation { fork, depth, max_depth, branch_tip } = self;
        write!(
            f,
            "branch {branch_tip} with more work would undo {depth} blocks above height {fork}, more than {max_depth}; a person must decide"
        )
    }
}

impl HeaderChain {
    /// A chain of one block, the anchor. Reorganisations up to `max_reorg_depth` blocks are followed,
    /// deeper ones freeze the chain.
    pub fn new(anchor: Anchor, max_reorg_depth: u32) -> Self {
        let tip = HeaderValidator::new(&anchor);
        let headers = vec![*anchor.header()];
        HeaderChain { anchor, tip, headers, max_reorg_depth, frozen: None }
    }

    /// Takes in consecutive headers, by the rules that need no clock.
    ///
    /// The first must be the child of some block of the chain; headers already known are passed over. A
    /// branch beside the chain must come whole, from the fork to its tip, and wins only with strictly more
    /// work. On any error the chain stays as it was.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] names the header and the rule it breaks. [`HeaderError::Frozen`] if the reorganisation
    /// is too deep, and from then on for every call until [`HeaderChain::unfreeze`].
    pub fn extend(&mut self, headers: &[Header]) -> Result<Update, HeaderError> {
        self.extend_by(headers, None)
    }

    /// The same, and refuses headers more than two hours ahead of `now`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// As [`HeaderChain::extend`].
    pub fn extend_at(&mut self, headers: &[Header], now: u32) -> Result<Update, HeaderError> {
        self.extend_by(headers, Some(now))
    }

    fn extend_by(&mut self, headers: &[Header], now: Option<u32>) -> Result<Update, HeaderError> {
        if let Some(reorganisation) = self.frozen {
            return Err(HeaderError::Frozen(reorganisation));
        }
        let (kept, branch) = self.locate(headers)?;
        if branch.is_empty() {
            return Ok(Update::Unchanged);
        }
        let mut tip = self.tip.clone();
        if kept < self.headers.len() {
            tip.rewind(&self.anchor, &self.headers, kept);
        }
        let fork = tip.height();
        for header in branch {
            tip.push(header, now)?;
        }
        let connected = count(branch.len());
        let depth = count(self.headers.len() - kept);
        if depth == 0 {
            self.tip = tip;
            self.headers.extend_from_slice(branch);
            return Ok(Update::Extended { connected });
        }
        if tip.total_work() <= self.tip.total_work() {
            return Ok(Update::Outweighed { fork });
        }
        let max_depth = self.max_reorg_depth;
        if depth > max_depth {
            let reorganisation = DeepReorganisation { fork, depth, max_depth, branch_tip: tip.hash() };
            self.frozen = Some(reorganisation);
            return Err(HeaderError::Frozen(reorganisation));
        }
        let above_fork = self.headers[kept..].iter().skip(1).map(|header| header.prev_blockhash);
        let disconnected = above_fork.chain([self.tip.hash()]).collect();
        self.tip = tip;
        self.headers.truncate(kept);
        self.headers.extend_from_slice(branch);
        Ok(Update::Reorganised { fork, disconnected, connected })
    }

    /// How many of the chain's headers stay below the new ones, and which of those are new.
    fn locate<'a>(&self, mut headers: &'a [Header]) -> Result<(usize, &'a [Header]), HeaderError> {
        if headers.first() == Some(self.anchor.header()) {
            headers = &headers[1..];
            if headers.first().is_some_and(|next| next.prev_blockhash != self.anchor.hash()) {
                return Err(HeaderError::Link {
                    height: self.anchor.height().saturating_add(1),
                    expected: self.anchor.hash(),
                    found: headers[0].prev_blockhash,
                });
            }
        }
        let Some(first) = headers.first() else {
            return Ok((self.headers.len(), headers));
        };
        let parent = first.prev_blockhash;
        let Some(parent_index) = self.index_of(parent) else {
            let (anchor, tip) = (self.anchor.height(), self.tip.height());
            return Err(HeaderError::UnknownParent { parent, anchor, tip });
        };
        let above = &self.headers[parent_index + 1..];
        let known = above.iter().zip(headers).take_while(|(ours, theirs)| ours == theirs).count();
        Ok((parent_index + 1 + known, &headers[known..]))
    }

    /// The network.
    pub const fn network(&self) -> Network {
        self.tip.network()
    }

    /// The block that the chain hangs on.
    pub const fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// The height and hash of the last block.
    pub const fn tip(&self) -> (Height, BlockHash) {
        (self.tip.height(), self.tip.hash())
    }

    /// The work of the whole chain up to and with the tip.
    pub const fn total_work(&self) -> Work {
        self.tip.total_work()
    }

    /// The header at a height between anchor and tip.
    pub fn header_at(&self, height: Height) -> Option<&Header> {
        self.headers.get(self.index_at(height)?)
    }

    /// The hash of the block at a height between anchor and tip.
    pub fn hash_at(&self, height: Height) -> Option<BlockHash> {
        if height == self.tip.height() {
            return Some(self.tip.hash());
        }
        let above = self.headers.get(self.index_at(height)? + 1)?;
        Some(above.prev_blockhash)
    }

    /// The height of a block of the chain. It is looked for from the tip down, without an index: about a
    /// millisecond for every million blocks.
    pub fn height_of(&self, hash: BlockHash) -> Option<Height> {
        let index = u32::try_from(self.index_of(hash)?).ok()?;
        self.anchor.height().checked_add(index)
    }

    /// Whether a block is in the chain.
    pub fn contains(&self, hash: BlockHash) -> bool {
        self.index_of(hash).is_some()
    }

    /// The work of the block at `height` and all above it, up to the tip.
    pub fn work_from(&self, height: Height) -> Option<Work> {
        let from = self.index_at(height)?;
        let headers = self.headers.get(from..).filter(|headers| !headers.is_empty())?;
        Some(work_of(headers))
    }

    /// The reorganisation that froze the chain, if one did.
    pub const fn frozen(&self) -> Option<&DeepReorganisation> {
        self.frozen.as_ref()
    }

    /// Clears a freeze: a person has looked into it. From now on reorganisations up to `max_reorg_depth`
    /// blocks are followed. Who accepts the branch gives at least its depth and hands its headers in again;
    /// who does not gives the old depth, and the same branch freezes the chain again.
    pub fn unfreeze(&mut self, max_reorg_depth: u32) {
        self.frozen = None;
        self.max_reorg_depth = max_reorg_depth;
    }

    fn index_at(&self, height: Height) -> Option<usize> {
        usize::try_from(height.blocks_since(self.anchor.height())?).ok()
    }

    fn index_of(&self, hash: BlockHash) -> Option<usize> {
        if hash == self.tip.hash() {
            return Some(self.headers.len() - 1);
        }
        // The hash below the anchor is named by the anchor's header, but is not in the chain.
        self.headers[1..].iter().rposition(|header| header.prev_blockhash == hash)
    }
}

/// Chains of more headers than heights do not fit in memory.
fn count(headers: usize) -> u32 {
    u32::try_from(headers).unwrap_or(u32::MAX)
}
