use bitcoin::{BlockHash, CompactTarget, Network, Target};
use tapstake_params::Height;

/// Blocks between two retargets.
pub(crate) const PERIOD: u32 = 2016;
/// Seconds that a period should take: two weeks.
const TIMESPAN: u32 = 14 * 24 * 60 * 60;
/// A block this many seconds after its parent may have the least difficulty, on test networks.
const MIN_DIFFICULTY_DELAY: u32 = 2 * 10 * 60;
/// Seconds by which the first block of a period may be older than its parent (BIP-0094).
const MAX_TIME_WARP: u32 = 600;

/// The header rules of one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) network: Network,
    /// The hash of the block at height 0.
    pub(crate) genesis: BlockHash,
    /// The greatest target, in the form headers have it.
    pub(crate) limit: CompactTarget,
    /// Whether the target changes from period to period.
    pub(crate) retargets: bool,
    /// Whether a block 20 minutes late has the least difficulty.
    pub(crate) min_difficulty: bool,
    /// Whether retargets start from the period's first block, and its time may not warp (BIP-0094).
    pub(crate) bip94: bool,
}

impl Rules {
    /// The rules of a public network, of regtest, or of any signet: the challenge that makes a signet
    /// one's own shows in no header.
    pub(crate) fn new(network: Network) -> Self {
        let genesis = bitcoin::constants::genesis_block(network).header;
        Rules {
            network,
            genesis: genesis.block_hash(),
            // The genesis block of every network has the network's least difficulty.
            limit: genesis.bits,
            retargets: network != Network::Regtest,
            min_difficulty: matches!(network, Network::Testnet | Network::Testnet4 | Network::Regtest),
            bip94: network == Network::Testnet4,
        }
    }

    /// Whether a header may have these `bits` at all: a target above zero and not above the limit, in the
    /// one compact form that it has.
    pub(crate) fn are_bits_possible(&self, bits: CompactTarget) -> bool {
        // Canonical compact forms order as their targets do. Comparing first keeps exponents that
        // reach out of 256 bits away from the conversion.
        if bits > self.limit {
            return false;
        }
        let target = Target::from_compact(bits);
        target != Target::ZERO && target.to_compact_lossy() == bits
    }

    /// The `bits` of the first block of a period, from the last block before and the period's first one.
    pub(crate) fn retarget(&self, first: BlockTime, last: BlockTime) -> CompactTarget {
        if !self.retargets {
            return last.bits;
        }
        // BIP-0094: a period's last block may have had the least difficulty, and must not reset the real one.
        let bits = if self.bip94 { first.bits } else { last.bits };
        let seconds = i64::from(last.time) - i64::from(first.time);
        next_bits(bits, seconds, self.limit)
    }

    /// Whether a block may have the least difficulty for coming late.
    pub(crate) fn is_late(&self, time: u32, parent_time: u32) -> bool {
        self.min_difficulty && u64::from(time) > u64::from(parent_time) + u64::from(MIN_DIFFICULTY_DELAY)
    }

    /// Whether the first block of a period is older than its parent by more than the rule allows.
    pub(crate) fn warps(&self, time: u32, parent_time: u32) -> bool {
        self.bip94 && time < parent_time.saturating_sub(MAX_TIME_WARP)
    }
}

/// What a retarget needs of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockTime {
    pub(crate) time: u32,
    pub(crate) bits: CompactTarget,
}

/// Whether a block at this height opens a period.
pub(crate) const fn opens_period(height: Height) -> bool {
    height.to_u32().is_multiple_of(PERIOD)
}

/// The old target times the seconds the period took, over two weeks; clamped to a quarter and four times,
/// capped at the limit, rounded to compact form.
fn next_bits(bits: CompactTarget, seconds: i64, limit: CompactTarget) -> CompactTarget {
    let clamped = seconds.clamp(i64::from(TIMESPAN / 4), i64::from(TIMESPAN) * 4);
    let seconds = u32::try_from(clamped).expect("clamped to at most eight weeks");

    // The product of 256 and 32 bits has nine limbs; it is at most four times a target once divided.
    let target = Target::from_compact(bits).to_le_bytes();
    let mut limbs = [0u32; 9];
    let mut carry = 0u64;
    for (limb, bytes) in limbs.iter_mut().zip(target.chunks_exact(4)) {
        let digit = u32::from_le_bytes(bytes.try_into().expect("chunks of four bytes"));
        carry += u64::from(digit) * u64::from(seconds);
        *limb = low_half(carry);
        carry >>= 32;
    }
    limbs[8] = low_half(carry);

    let mut remainder = 0u64;
    for limb in limbs.iter_mut().rev() {
        let dividend = (remainder << 32) | u64::from(*limb);
        *limb = low_half(dividend / u64::from(TIMESPAN));
        remainder = dividend % u64::from(TIMESPAN);
    }

    let mut quotient = [0u8; 32];
    for (bytes, limb) in quotient.chunks_exact_mut(4).zip(limbs) {
        bytes.copy_from_slice(&limb.to_le_bytes());
    }
    let quotient = Target::from_le_bytes(quotient);
    if limbs[8] != 0 || quotient > Target::from_compact(limit) {
        return limit;
    }
    quotient.to_compact_lossy()
}

#[allow(clippy::cast_possible_truncation)] // the low half is what is asked for
const fn low_half(value: u64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use bitcoin::params::Params;
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u32 = 0x1d00_ffff;

    fn retarget(bits: u32, first: u32, last: u32) -> u32 {
        let bits = CompactTarget::from_consensus(bits);
        let block = |time| BlockTime { time, bits };
        Rules::new(Network::Bitcoin).retarget(block(first), block(last)).to_consensus()
    }

    #[test]
    fn the_first_retarget_of_mainnet_comes_out_as_it_did() {
        // Blocks 30240 and 32255; block 32256 was the first above difficulty 1.
        assert_eq!(retarget(0x1d00_ffff, 1_261_130_161, 1_262_152_739), 0x1d00_d86a);
    }

    #[test]
    fn a_retarget_is_capped_at_the_limit() {
        // Blocks 0 and 2015: more than two weeks at the least difficulty.
        assert_eq!(retarget(0x1d00_ffff, 1_231_006_505, 1_233_061_996), 0x1d00_ffff);
    }

    #[test]
    fn a_retarget_is_clamped_to_a_quarter() {
        // Blocks 66528 and 68543 were 3.3 days apart.
        assert_eq!(retarget(0x1c05_a3f4, 1_279_008_237, 1_279_297_671), 0x1c01_68fd);
        // A period that ends before it began counts as the shortest, not as the longest.
        assert_eq!(retarget(0x1c05_a3f4, 1_279_297_671, 1_279_008_237), 0x1c01_68fd);
    }

    #[test]
    fn a_retarget_is_clamped_to_four_times() {
        // Block 46367, ten weeks after an invented first block of its period.
        assert_eq!(retarget(0x1c38_7f6f, 1_263_163_443, 1_269_211_443), 0x1d00_e1fd);
    }

    #[test]
    fn a_product_above_256_bits_is_capped_not_wrapped() {
        let limit = CompactTarget::from_consensus(0x207f_ffff);
        assert_eq!(next_bits(limit, i64::from(TIMESPAN) * 4, limit), limit);
        assert_eq!(next_bits(limit, i64::from(TIMESPAN), limit), limit);
        assert_eq!(next_bits(limit, i64::from(TIMESPAN / 4), limit).to_consensus(), 0x201f_ffff);
    }

    #[test]
    fn bits_that_no_header_can_have_are_known() {
        let mainnet = Rules::new(Network::Bitcoin);
        let possible = |bits| mainnet.are_bits_possible(CompactTarget::from_consensus(bits));
        assert!(possible(0x1d00_ffff) && possible(0x1d00_d86a) && possible(0x1702_f128));
        assert!(!possible(0x1d01_0000), "above the limit");
        assert!(!possible(0xff12_3456), "out of 256 bits");
        assert!(!possible(0x1c00_00ff), "not the shortest form");
        assert!(!possible(0x1cff_ffff), "negative");
        assert!(!possible(0) && !possible(0x1c00_0000), "zero");
    }

    #[test]
    fn networks_have_the_limits_of_bitcoin_core() {
        let limit = |network| Rules::new(network).limit.to_consensus();
        assert_eq!(limit(Network::Bitcoin), LIMIT);
        assert_eq!(limit(Network::Testnet), LIMIT);
        assert_eq!(limit(Network::Testnet4), LIMIT);
        assert_eq!(limit(Network::Signet), 0x1e03_77ae);
        assert_eq!(limit(Network::Regtest), 0x207f_ffff);
    }

    proptest! {
        #[test]
        fn retargets_agree_with_the_bitcoin_library(
            exponent in 0x10u32..=0x1c,
            mantissa in 0x0000_8000u32..=0x007f_ffff,
            seconds in 0u32..10_000_000,
        ) {
            let bits = CompactTarget::from_consensus((exponent << 24) | mantissa);
            let theirs = CompactTarget::from_next_work_required(bits, seconds.into(), Params::MAINNET);
            let ours = next_bits(bits, seconds.into(), CompactTarget::from_consensus(LIMIT));
            prop_assert_eq!(ours, theirs);
        }
    }
}
