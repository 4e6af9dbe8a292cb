//! The numbers of Bitcoin's consensus rules, as regtest sets them.

use bitcoin::{Amount, Block, CompactTarget, Network};

/// The subsidy of the first blocks, before any halving.
const INITIAL_SUBSIDY: Amount = Amount::from_sat(50 * 100_000_000);

/// Blocks between two halvings of the subsidy on regtest (210,000 on mainnet).
pub const SUBSIDY_HALVING_INTERVAL: u32 = 150;

/// Blocks on top of a coinbase before its outputs may be spent, counting the spending block.
pub const COINBASE_MATURITY: u32 = 100;

/// Largest weight of a block, in weight units (BIP-0141).
pub const MAX_BLOCK_WEIGHT: u64 = 4_000_000;

/// Largest cost of the signature operations of a block (BIP-0141: a legacy operation costs four).
pub const MAX_BLOCK_SIGOPS_COST: usize = 80_000;

/// How far the timestamp of a block may lie ahead of the clock, in seconds.
pub const MAX_FUTURE_BLOCK_TIME: u32 = 2 * 60 * 60;

/// Number of blocks whose median timestamp bounds the next timestamp from below (BIP-0113).
pub const MEDIAN_TIME_SPAN: usize = 11;

/// Weight units of one byte outside of witnesses (BIP-0141).
pub(crate) const WITNESS_SCALE_FACTOR: u64 = 4;

/// The compact target of every regtest block: difficulty never changes there.
pub fn pow_bits() -> CompactTarget {
    CompactTarget::from_consensus(0x207f_ffff)
}

/// The first block of regtest, the same for every node of the world.
pub fn genesis_block() -> Block {
    bitcoin::constants::genesis_block(Network::Regtest)
}

/// The new coins that the block at `height` may create, fees not included.
pub fn subsidy(height: u32) -> Amount {
    let halvings = height / SUBSIDY_HALVING_INTERVAL;
    // After 64 halvings a shift is not defined any more, and the subsidy has long been zero.
    Amount::from_sat(INITIAL_SUBSIDY.to_sat().checked_shr(halvings).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsidy_halves_every_150_blocks_until_nothing_is_left() {
        assert_eq!(subsidy(1).to_sat(), 5_000_000_000);
        assert_eq!(subsidy(149).to_sat(), 5_000_000_000);
        assert_eq!(subsidy(150).to_sat(), 2_500_000_000);
        assert_eq!(subsidy(300).to_sat(), 1_250_000_000);
        assert_eq!(subsidy(150 * 32).to_sat(), 1);
        assert_eq!(subsidy(150 * 33).to_sat(), 0);
        assert_eq!(subsidy(u32::MAX).to_sat(), 0);
    }

    #[test]
    fn genesis_is_the_one_of_bitcoin_core() {
        assert_eq!(
            genesis_block().block_hash().to_string(),
            "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
        );
        assert_eq!(genesis_block().header.bits, pow_bits());
    }
}
