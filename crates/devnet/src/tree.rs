//! Every block ever accepted, on the active chain or beside it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bitcoin::{Block, BlockHash, Txid};

use crate::rules::{MEDIAN_TIME_SPAN, genesis_block};

/// A block and what is known about its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) block: Arc<Block>,
    pub(crate) txids: Arc<[Txid]>,
    pub(crate) height: u32,
    /// Median timestamp of this block and the ten before (BIP-0113).
    pub(crate) median_time_past: u32,
    /// The block breaks a rule, builds on one that does, or was invalidated by hand.
    pub(crate) invalid: bool,
    /// Number of blocks seen before: of branches of equal work the first seen wins.
    sequence: usize,
    children: Vec<BlockHash>,
}

/// All blocks by hash. Every block but the first has its parent here.
#[derive(Debug, Clone)]
pub(crate) struct BlockTree {
    nodes: HashMap<BlockHash, Node>,
    /// Blocks with a valid header whose transactions are wrong on every chain.
    refused: HashSet<BlockHash>,
    genesis: BlockHash,
}

impl BlockTree {
    pub(crate) fn new() -> Self {
        let block = genesis_block();
        let genesis = block.block_hash();
        let node = Node {
            txids: block.txdata.iter().map(bitcoin::Transaction::compute_txid).collect(),
            height: 0,
            median_time_past: block.header.time,
            invalid: false,
            sequence: 0,
            children: Vec::new(),
            block: Arc::new(block),
        };
        Self { nodes: HashMap::from([(genesis, node)]), refused: HashSet::new(), genesis }
    }

    pub(crate) fn genesis(&self) -> BlockHash {
        self.genesis
    }

    pub(crate) fn get(&self, hash: &BlockHash) -> Option<&Node> {
        self.nodes.get(hash)
    }

    /// Returns a block that is known to be here, such as one of the active chain.
    pub(crate) fn node(&self, hash: &BlockHash) -> &Node {
        self.nodes.get(hash).expect("blocks of the chain are in the tree")
    }

    pub(crate) fn parent(&self, hash: &BlockHash) -> BlockHash {
        self.node(hash).block.header.prev_blockhash
    }

    /// Adds a block whose parent is here.
    pub(crate) fn insert(&mut self, hash: BlockHash, block: Block, txids: Vec<Txid>) {
        let parent_hash = block.header.prev_blockhash;
        let median_time_past = self.median_with(&parent_hash, block.header.time);
        let sequence = self.nodes.len();
        let parent = self.nodes.get_mut(&parent_hash).expect("the parent is checked before a block is added");
        parent.children.push(hash);
        let height = parent.height + 1;
        let node = Node {
            block: Arc::new(block),
            txids: txids.into(),
            height,
            median_time_past,
            invalid: false,
            sequence,
            children: Vec::new(),
        };
        self.nodes.insert(hash, node);
    }

    fn median_with(&self, parent: &BlockHash, time: u32) -> u32 {
        let mut times = vec![time];
        let mut hash = *parent;
        while let (Some(node), true) = (self.nodes.get(&hash), times.len() < MEDIAN_TIME_SPAN) {
            times.push(node.block.header.time);
            hash = node.block.header.prev_blockhash;
        }
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// Remembers a block that can never be valid.
    pub(crate) fn refuse(&mut self, hash: BlockHash) {
        self.refused.insert(hash);
    }

    pub(crate) fn is_invalid(&self, hash: &BlockHash) -> bool {
        self.refused.contains(hash) || self.nodes.get(hash).is_some_and(|node| node.invalid)
    }

    /// Marks a block and everything built on it as invalid.
    pub(crate) fn mark_invalid(&mut self, hash: &BlockHash) {
        self.mark(hash, true);
    }

    /// Takes the mark from a block, from everything built on it, and from everything it builds on.
    pub(crate) fn mark_valid(&mut self, hash: &BlockHash) {
        self.mark(hash, false);
        let mut ancestor = *hash;
        while let Some(node) = self.nodes.get_mut(&ancestor) {
            node.invalid = false;
            ancestor = node.block.header.prev_blockhash;
        }
    }

    fn mark(&mut self, hash: &BlockHash, invalid: bool) {
        let mut todo = vec![*hash];
        while let Some(hash) = todo.pop() {
            if let Some(node) = self.nodes.get_mut(&hash) {
                node.invalid = invalid;
                todo.extend_from_slice(&node.children);
            }
        }
    }

    /// Returns the valid block with the most work: on regtest that is the greatest height, since
    /// every block has the same target. Among equals the first seen wins.
    pub(crate) fn best(&self) -> BlockHash {
        self.nodes
            .iter()
            .filter(|(_, node)| !node.invalid)
            .max_by_key(|(_, node)| (node.height, std::cmp::Reverse(node.sequence)))
            .map_or(self.genesis, |(hash, _)| *hash)
    }
}
