//! Headers really mined, under rules easy enough to mine whole periods.

use alloc::vec::Vec;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Network, Target, TxMerkleNode};
use tapstake_params::Height;

use super::rules::Rules;
use super::{Anchor, HeaderChain, HeaderValidator, work};

pub(crate) const START: u32 = 1_700_000_000;

/// Mainnet's rules with regtest's limit: retargets, no exceptions.
pub(crate) fn easy_rules() -> Rules {
    rules_with_limit(CompactTarget::from_consensus(0x207f_ffff))
}

pub(crate) fn rules_with_limit(limit: CompactTarget) -> Rules {
    let mut rules = Rules { limit, ..Rules::new(Network::Bitcoin) };
    rules.genesis = genesis(&rules).block_hash();
    rules
}

fn genesis(rules: &Rules) -> Header {
    mine(Header {
        version: Version::from_consensus(4),
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: TxMerkleNode::all_zeros(),
        time: START,
        bits: rules.limit,
        nonce: 0,
    })
}

/// Finds a nonce that meets the header's own target.
pub(crate) fn mine(mut header: Header) -> Header {
    let target = Target::from_compact(header.bits);
    while !target.is_met_by(header.block_hash()) {
        header.nonce += 1;
    }
    header
}

/// Finds a nonce that meets `above` but not the header's own target.
pub(crate) fn mine_too_little(mut header: Header, above: CompactTarget) -> Header {
    let (target, above) = (Target::from_compact(header.bits), Target::from_compact(above));
    while target.is_met_by(header.block_hash()) || !above.is_met_by(header.block_hash()) {
        header.nonce += 1;
    }
    header
}

/// A chain that grows by mining, and the validator that has taken every header.
#[derive(Debug, Clone)]
pub(crate) struct Miner {
    pub(crate) anchor: Anchor,
    pub(crate) headers: Vec<Header>,
    pub(crate) validator: HeaderValidator,
}

impl Miner {
    pub(crate) fn new(rules: Rules) -> Self {
        let header = genesis(&rules);
        let total = work::of_bits(header.bits);
        let anchor = Anchor::with_rules(rules, Height::GENESIS, header, total, Vec::new()).unwrap();
        let validator = HeaderValidator::new(&anchor);
        Miner { anchor, headers: alloc::vec![header], validator }
    }

    pub(crate) fn last(&self) -> &Header {
        self.headers.last().unwrap()
    }

    /// The next header at this time, with the `bits` that the rules ask for, not yet mined.
    pub(crate) fn draft(&self, time: u32) -> Header {
        let height = self.validator.height().saturating_add(1);
        Header {
            version: Version::from_consensus(4),
            prev_blockhash: self.validator.hash(),
            merkle_root: TxMerkleNode::from_byte_array([7; 32]),
            time,
            bits: self.validator.next_bits(height, time).0,
            nonce: 0,
        }
    }

    pub(crate) fn mine_at(&mut self, time: u32) -> Header {
        let header = mine(self.draft(time));
        self.validator.push(&header, None).unwrap();
        self.headers.push(header);
        header
    }

    /// Mines `blocks` blocks, each `seconds` after the last.
    pub(crate) fn mine_blocks(&mut self, blocks: u32, seconds: u32) {
        for _ in 0..blocks {
            self.mine_at(self.last().time + seconds);
        }
    }

    /// Mines up to this height, each block `seconds` after the last.
    pub(crate) fn mine_to(&mut self, height: u32, seconds: u32) {
        self.mine_blocks(height - self.validator.height().to_u32(), seconds);
    }

    pub(crate) fn chain(&self, max_reorg_depth: u32) -> HeaderChain {
        let mut chain = HeaderChain::new(self.anchor.clone(), max_reorg_depth);
        chain.extend(&self.headers).unwrap();
        chain
    }
}
