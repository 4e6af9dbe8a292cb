//! The chain: blocks, coins, mempool and indexes, without threads and without a server.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::{Block, BlockHash, OutPoint, Transaction, Txid, Wtxid};

use crate::clock::Clock;
use crate::coins::{BlockUndo, Coin, CoinSet};
use crate::connect::{self, Context};
use crate::error::{BlockError, Error};
use crate::index::{ElectrumScriptHash, Index, Position};
use crate::mempool::Mempool;
use crate::tree::{BlockTree, Node};
use crate::{block_check, rules};

/// Scripts of that many transactions are remembered as verified before the memory starts anew.
const MAX_VERIFIED: usize = 200_000;

/// The block at the end of the active chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its height, 0 for the genesis block.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// What became of a submitted block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It is on the active chain.
    Connected,
    /// It is valid as far as it can be checked beside the active chain, and has not more work.
    SideBranch,
    /// It was known before.
    Duplicate,
}

/// A regtest chain in memory.
///
/// It accepts what a Bitcoin Core node on regtest accepts, and switches branches as that does.
/// Nothing in here knows what the transactions are for.
#[derive(Debug, Clone)]
pub struct Chain {
    tree: BlockTree,
    /// Hashes of the active chain, by height.
    active: Vec<BlockHash>,
    pub(crate) coins: CoinSet,
    undo: HashMap<BlockHash, BlockUndo>,
    index: Index,
    pub(crate) mempool: Mempool,
    /// Transactions whose scripts have succeeded.
    pub(crate) verified: HashSet<Wtxid>,
    clock: Clock,
    /// Number of blocks made here, so that no two coinbases are equal.
    pub(crate) extra_nonce: u64,
}

impl Chain {
    /// Starts a chain that has only the genesis block.
    pub fn new(clock: Clock) -> Self {
        let tree = BlockTree::new();
        Self {
            active: vec![tree.genesis()],
            tree,
            coins: CoinSet::default(),
            undo: HashMap::new(),
            index: Index::default(),
            mempool: Mempool::default(),
            verified: HashSet::new(),
            clock,
            extra_nonce: 0,
        }
    }

    /// Returns the end of the active chain.
    pub fn tip(&self) -> Tip {
        let hash = *self.active.last().expect("the genesis block is always there");
        Tip { height: self.tree.node(&hash).height, hash }
    }

    /// Returns the time of the chain's clock, in seconds since 1970.
    pub fn now(&self) -> u32 {
        self.clock.now()
    }

    /// Replaces the clock. Timestamps of blocks still only grow as the rules ask for.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Returns the hash of the active chain's block at a height.
    pub fn block_hash(&self, height: u32) -> Option<BlockHash> {
        self.active.get(usize::try_from(height).ok()?).copied()
    }

    /// Returns the active chain's block at a height.
    pub fn block(&self, height: u32) -> Option<Arc<Block>> {
        self.node_at(height).map(|node| Arc::clone(&node.block))
    }

    /// Returns the active chain's header at a height.
    pub fn header(&self, height: u32) -> Option<Header> {
        self.node_at(height).map(|node| node.block.header)
    }

    /// Returns a block by its hash, whether it is on the active chain or beside it.
    pub fn block_by_hash(&self, hash: &BlockHash) -> Option<Arc<Block>> {
        self.tree.get(hash).map(|node| Arc::clone(&node.block))
    }

    /// Returns the ids of the transactions of the active chain's block at a height.
    pub fn txids(&self, height: u32) -> Option<Arc<[Txid]>> {
        self.node_at(height).map(|node| Arc::clone(&node.txids))
    }

    /// Returns the median time of the active chain's block at a height and the ten before (BIP-0113).
    pub fn median_time_past(&self, height: u32) -> Option<u32> {
        self.node_at(height).map(|node| node.median_time_past)
    }

    pub(crate) fn tip_median_time_past(&self) -> u32 {
        self.tree.node(&self.tip().hash).median_time_past
    }

    fn node_at(&self, height: u32) -> Option<&Node> {
        Some(self.tree.node(&self.block_hash(height)?))
    }

    /// Returns an unspent output of the active chain; the mempool is not considered.
    pub fn coin(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.coins.get(outpoint)
    }

    /// Returns all unspent outputs of the active chain, in no order.
    pub fn coins(&self) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.coins.iter()
    }

    /// Returns where a transaction is on the active chain.
    pub fn position(&self, txid: &Txid) -> Option<Position> {
        self.index.position(txid)
    }

    /// Returns a transaction of the active chain or of the mempool.
    pub fn transaction(&self, txid: &Txid) -> Option<Transaction> {
        if let Some(entry) = self.mempool.get(txid) {
            return Some(entry.tx.as_ref().clone());
        }
        let position = self.index.position(txid)?;
        self.tree.node(&position.block).block.txdata.get(position.index).cloned()
    }

    /// Returns the transaction that spends an output, on the active chain or in the mempool.
    pub fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.index.spender(outpoint).or_else(|| self.mempool.spender(outpoint))
    }

    /// Returns height and id of the confirmed transactions that touch a script, in blockchain order.
    pub fn history(&self, script: &ElectrumScriptHash) -> &[(u32, Txid)] {
        self.index.history(script)
    }

    /// Returns the unspent outputs of a script on the active chain, in blockchain order.
    pub fn unspent(&self, script: &ElectrumScriptHash) -> Vec<(OutPoint, &Coin)> {
        let mut unspent: Vec<(OutPoint, &Coin)> = self
            .index
            .unspent(script)
            .map(|outpoint| (*outpoint, self.coins.get(outpoint).expect("the index follows the coins")))
            .collect();
        unspent.sort_by_key(|(outpoint, coin)| {
            let index = self.index.position(&outpoint.txid).map(|position| position.index);
            (coin.height, index, outpoint.vout)
        });
        unspent
    }

    /// Returns the transactions that wait for a block.
    pub fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// Takes a block, from here or from elsewhere, and makes the valid branch with the most work the
    /// active one.
    ///
    /// # Errors
    ///
    /// Returns the first rule the block breaks, in the order in which Bitcoin Core checks them. On a
    /// branch with less work than the active one, rules about coins wait until the branch wins.
    pub fn submit_block(&mut self, block: Block) -> Result<Submitted, BlockError> {
        let hash = block.block_hash();
        if self.tree.is_invalid(&hash) {
            return Err(BlockError::KnownInvalid { hash });
        }
        if self.tree.get(&hash).is_some() {
            return Ok(Submitted::Duplicate);
        }
        let txids: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
        block_check::check_block(&block, &txids)?;
        let previous = block.header.prev_blockhash;
        if self.tree.is_invalid(&previous) {
            return Err(BlockError::BadPrevious { previous });
        }
        let parent = self.tree.get(&previous).ok_or(BlockError::UnknownPrevious { previous })?;
        block_check::check_header_context(&block.header, parent.median_time_past, self.now())?;
        let height = parent.height + 1;
        if let Err(error) = block_check::check_block_context(&block, &txids, height, parent.median_time_past)
        {
            // A wrong witness leaves the hash of the block as it is: the true block may still come.
            let mutated = matches!(
                error,
                BlockError::UnexpectedWitness { .. }
                    | BlockError::WitnessNonceSize
                    | BlockError::WitnessMerkleMismatch { .. }
            );
            if !mutated {
                self.tree.refuse(hash);
            }
            return Err(error);
        }
        self.tree.insert(hash, block, txids);
        if height <= self.tip().height {
            return Ok(Submitted::SideBranch);
        }
        match self.activate(hash).into_iter().next() {
            None => Ok(Submitted::Connected),
            Some((failed, error)) if failed == hash => Err(error),
            Some((failed, _)) => Err(BlockError::BadPrevious { previous: failed }),
        }
    }

    /// Declares a block and everything built on it invalid, and switches to the best branch without it.
    ///
    /// # Errors
    ///
    /// Returns an error if the block is not known, or is the first of all.
    pub fn invalidate_block(&mut self, hash: &BlockHash) -> Result<(), Error> {
        let node = self.tree.get(hash).ok_or(Error::UnknownBlock(*hash))?;
        if node.height == 0 {
            return Err(Error::Genesis);
        }
        let height = node.height;
        self.tree.mark_invalid(hash);
        // Like Bitcoin Core block by block: a transaction that is not valid on one of the tips in between
        // leaves the mempool, even if the best branch in the end would allow it again.
        while self.block_hash(height) == Some(*hash) {
            let block = self.disconnect_tip();
            self.refill_mempool(&[block]);
        }
        let best = self.tree.best();
        self.activate(best);
        Ok(())
    }

    /// Takes back an [invalidation](Self::invalidate_block), for the block, all it builds on and all
    /// built on it. What is really invalid turns out so again.
    ///
    /// # Errors
    ///
    /// Returns an error if the block is not known.
    pub fn reconsider_block(&mut self, hash: &BlockHash) -> Result<(), Error> {
        self.tree.get(hash).ok_or(Error::UnknownBlock(*hash))?;
        self.tree.mark_valid(hash);
        let best = self.tree.best();
        self.activate(best);
        Ok(())
    }

    /// Makes `best` the tip, or the next best branch if that one turns out to be invalid. Returns
    /// the blocks that did.
    fn activate(&mut self, mut best: BlockHash) -> Vec<(BlockHash, BlockError)> {
        let mut failed = Vec::new();
        let mut disconnected = Vec::new();
        while best != self.tip().hash {
            let path = self.path_from_active(best);
            let fork = path.last().map_or(best, |last| self.tree.parent(last));
            while self.tip().hash != fork {
                disconnected.push(self.disconnect_tip());
            }
            let Some((hash, error)) = self.connect_path(path) else { break };
            tracing::debug!(%hash, %error, "block is invalid");
            self.tree.mark_invalid(&hash);
            failed.push((hash, error));
            best = self.tree.best();
        }
        if !disconnected.is_empty() {
            self.refill_mempool(&disconnected);
        }
        failed
    }

    /// Connects blocks, the last of the list first. Returns the one that turns out to be invalid.
    fn connect_path(&mut self, path: Vec<BlockHash>) -> Option<(BlockHash, BlockError)> {
        path.into_iter().rev().find_map(|hash| Some((hash, self.connect_to_tip(hash).err()?)))
    }

    /// Returns the blocks from `hash` down to the first one that is not on the active chain.
    fn path_from_active(&self, hash: BlockHash) -> Vec<BlockHash> {
        let mut path = Vec::new();
        let mut hash = hash;
        while self.block_hash(self.tree.node(&hash).height) != Some(hash) {
            path.push(hash);
            hash = self.tree.parent(&hash);
        }
        path
    }

    fn connect_to_tip(&mut self, hash: BlockHash) -> Result<(), BlockError> {
        let node = self.tree.node(&hash);
        let (tree, active) = (&self.tree, &self.active);
        let context = Context {
            height: node.height,
            median_time_past: tree.node(&node.block.header.prev_blockhash).median_time_past,
            median_time_at: |height: u32| {
                let hash = usize::try_from(height).ok().and_then(|height| active.get(height));
                hash.map_or(0, |hash| tree.node(hash).median_time_past)
            },
            verified: &self.verified,
        };
        let undo = connect::connect(&mut self.coins, &node.block, &node.txids, &context)?;
        self.index.connect(hash, &node.block, &node.txids, node.height, &undo);
        self.mempool.remove_confirmed(&node.block, &node.txids);
        self.undo.insert(hash, undo);
        self.active.push(hash);
        Ok(())
    }

    fn disconnect_tip(&mut self) -> Arc<Block> {
        let hash = self.tip().hash;
        self.active.pop();
        let undo = self.undo.remove(&hash).expect("connected blocks can be undone");
        let node = self.tree.node(&hash);
        self.index.disconnect(&node.block, &node.txids, node.height, &undo);
        connect::disconnect(&mut self.coins, &node.block, &node.txids, undo);
        Arc::clone(&node.block)
    }

    /// Remembers that the scripts of a transaction have succeeded.
    pub(crate) fn remember_verified(&mut self, wtxid: Wtxid) {
        if self.verified.len() >= MAX_VERIFIED {
            self.verified.clear();
        }
        self.verified.insert(wtxid);
    }

    /// Takes back into the mempool what is still valid of the transactions that lost their block, and
    /// of those that were waiting. The block that was last on the chain is the first of the list.
    fn refill_mempool(&mut self, disconnected: &[Arc<Block>]) {
        let waiting = self.mempool.take_all();
        let returning = disconnected.iter().rev().flat_map(|block| block.txdata.iter().skip(1));
        for tx in returning.chain(&waiting) {
            if let Err(error) = self.accept_after_reorg(tx) {
                tracing::debug!(txid = %tx.compute_txid(), %error, "transaction leaves the mempool");
            }
        }
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new(Clock::System)
    }
}

impl From<&Chain> for Header {
    /// Returns the header of the tip.
    fn from(chain: &Chain) -> Self {
        chain.tree.node(&chain.tip().hash).block.header
    }
}

/// Coins that the rules create out of nothing, up to and with the block at `height`.
pub fn total_subsidy(height: u32) -> bitcoin::Amount {
    (1..=height).map(rules::subsidy).sum()
}
