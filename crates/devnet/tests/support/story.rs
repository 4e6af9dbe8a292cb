//! A long random story: payments with and without locks, blocks, and switches of branches.

use bitcoin::{Amount, Block, BlockHash, OutPoint, Sequence, Transaction, absolute};
use tapstake_devnet::Chain;

use super::{Rng, anyone, spend};

/// Something that happened.
pub(crate) enum Event {
    /// A transaction was offered to the mempool, which took it, or refused it for a reason.
    Offered(Transaction, Result<(), String>),
    /// A block was mined, at that time on the tip.
    Mined(Block),
    /// A block was invalidated.
    Invalidated(BlockHash),
    /// An invalidation was taken back.
    Reconsidered(BlockHash),
}

/// A chain to which things happen.
pub(crate) struct Story {
    pub(crate) chain: Chain,
    rng: Rng,
    /// Blocks that are invalidated at the moment.
    invalidated: Vec<BlockHash>,
    /// Every block that was ever mined, in order.
    pub(crate) blocks: Vec<Block>,
    /// Transactions that the mempool took.
    pub(crate) accepted: Vec<Transaction>,
}

impl Story {
    /// Begins a story on a chain whose coinbases go to [`anyone`].
    pub(crate) fn new(chain: Chain, seed: u64) -> Self {
        let blocks =
            (1..=chain.tip().height).map(|height| chain.block(height).unwrap().as_ref().clone()).collect();
        Self { chain, rng: Rng(seed), invalidated: Vec::new(), blocks, accepted: Vec::new() }
    }

    /// Lets one thing happen.
    pub(crate) fn step(&mut self) -> Vec<Event> {
        match self.rng.below(20) {
            0..=12 => self.pay().into_iter().collect(),
            13..=17 => vec![self.mine()],
            18 => self.switch_branch(),
            _ => self.reconsider().into_iter().collect(),
        }
    }

    fn mine(&mut self) -> Event {
        let hash = self.chain.mine(&anyone()).unwrap();
        let block = self.chain.block_by_hash(&hash).unwrap().as_ref().clone();
        self.blocks.push(block.clone());
        Event::Mined(block)
    }

    /// Forgets up to three blocks, and mines a branch that may get longer.
    fn switch_branch(&mut self) -> Vec<Event> {
        let depth = u32::try_from(self.rng.below(3)).unwrap() + 1;
        let Some(hash) = self.chain.block_hash(self.chain.tip().height - depth + 1) else {
            return Vec::new();
        };
        self.chain.invalidate_block(&hash).unwrap();
        self.invalidated.push(hash);
        let mut events = vec![Event::Invalidated(hash)];
        for _ in 0..self.rng.below(u64::from(depth) + 2) {
            events.push(self.mine());
        }
        events
    }

    /// Takes back an invalidation: a branch that is longer, or as long and older, wins again.
    fn reconsider(&mut self) -> Option<Event> {
        let hash = self.invalidated.pop()?;
        self.chain.reconsider_block(&hash).unwrap();
        Some(Event::Reconsidered(hash))
    }

    /// Tries to spend one to three outputs, confirmed or not, mature or not, with random locks. What
    /// is refused is refused: others check that with the reason.
    fn pay(&mut self) -> Option<Event> {
        let mut coins = self.candidates();
        if coins.is_empty() {
            return None;
        }
        let count = 1 + self.rng.below(3);
        let mut inputs: Vec<OutPoint> = Vec::new();
        let mut value = 0;
        for _ in 0..count.min(coins.len() as u64) {
            let index = usize::try_from(self.rng.below(coins.len() as u64)).unwrap();
            let (outpoint, sat) = coins.swap_remove(index);
            inputs.push(outpoint);
            value += sat;
        }
        let fee = 500 + self.rng.below(2_000);
        let left = value.checked_sub(fee)?;
        let parts = 1 + self.rng.below(4);
        let values = vec![left / parts; usize::try_from(parts).unwrap()];
        let mut tx = spend(&inputs, &values);
        for input in &mut tx.input {
            input.sequence = Sequence(match self.rng.below(8) {
                0 => u32::try_from(self.rng.below(6)).unwrap(),
                1 => (1 << 22) | u32::try_from(self.rng.below(2)).unwrap(),
                2 => 0xffff_fffe,
                3 => 0xffff_ffff,
                _ => 0xffff_fffd,
            });
        }
        if self.rng.below(4) == 0 {
            let height = u64::from(self.chain.tip().height) - 2 + self.rng.below(5);
            tx.lock_time = absolute::LockTime::from_consensus(u32::try_from(height).unwrap());
        }
        let verdict =
            self.chain.test_accept(&tx, Amount::ZERO).map(|_| ()).map_err(|error| error.reject_reason());
        if verdict.is_ok() {
            self.chain.accept(&tx, Amount::ZERO).unwrap();
            self.accepted.push(tx.clone());
        }
        Some(Event::Offered(tx, verdict))
    }

    /// Outputs of some value, in an order that does not depend on a hash map.
    fn candidates(&mut self) -> Vec<(OutPoint, u64)> {
        // Mostly mature coins, but not always: what cannot be spent yet must be refused.
        let hasty = self.rng.below(8) == 0;
        let height = self.chain.tip().height;
        let confirmed = self
            .chain
            .coins()
            .filter(|(_, coin)| hasty || !coin.coinbase || height - coin.height >= 99)
            .map(|(outpoint, coin)| (*outpoint, coin.output.value.to_sat()));
        let mempool = self.chain.mempool();
        let waiting = mempool.iter().flat_map(|(txid, entry)| {
            let outputs = entry.tx.output.clone();
            (0..).zip(outputs).map(move |(vout, output)| (OutPoint { txid, vout }, output.value.to_sat()))
        });
        let mut coins: Vec<_> = confirmed.chain(waiting).filter(|(_, sat)| *sat > 2_000).collect();
        // Mostly leave spends of the mempool alone, but not always: replacements are part of a story.
        if self.rng.below(8) != 0 {
            coins.retain(|(outpoint, _)| mempool.spender(outpoint).is_none());
        }
        coins.sort_unstable();
        coins
    }
}
