use bitcoin::{CompactTarget, Target, Work};

/// No work at all.
pub(crate) fn none() -> Work {
    Work::from_be_bytes([0; 32])
}

/// The work that a block with these `bits` stands for: 2^256 / (target + 1).
pub(crate) fn of_bits(bits: CompactTarget) -> Work {
    Target::from_compact(bits).to_work()
}

/// The sum, saturating. The library's own addition wraps or panics, and an anchor's total work is the
/// caller's number.
pub(crate) fn add(a: Work, b: Work) -> Work {
    let ((a_high, a_low), (b_high, b_low)) = (halves(a), halves(b));
    let (low, carry) = a_low.overflowing_add(b_low);
    let high = a_high.checked_add(b_high).and_then(|high| high.checked_add(carry.into()));
    match high {
        Some(high) => from_halves(high, low),
        None => from_halves(u128::MAX, u128::MAX),
    }
}

/// The difference, or no work if `b` is the greater.
pub(crate) fn sub(a: Work, b: Work) -> Work {
    if a < b { none() } else { a - b }
}

/// The work of so many blocks, by doubling.
pub(crate) fn of_blocks(bits: CompactTarget, blocks: u32) -> Work {
    (0..u32::BITS).rev().fold(none(), |sum, bit| {
        let doubled = add(sum, sum);
        if blocks >> bit & 1 == 1 { add(doubled, of_bits(bits)) } else { doubled }
    })
}

fn halves(work: Work) -> (u128, u128) {
    let bytes = work.to_be_bytes();
    let (halves, _) = bytes.as_chunks::<16>();
    (u128::from_be_bytes(halves[0]), u128::from_be_bytes(halves[1]))
}

fn from_halves(high: u128, low: u128) -> Work {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&high.to_be_bytes());
    bytes[16..].copy_from_slice(&low.to_be_bytes());
    Work::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_carries_and_saturates() {
        let low = from_halves(0, u128::MAX);
        let one = from_halves(0, 1);
        let most = from_halves(u128::MAX, u128::MAX);
        assert_eq!(add(low, one), from_halves(1, 0));
        assert_eq!(add(most, one), most);
        assert_eq!(add(from_halves(u128::MAX, 5), from_halves(1, 0)), most);
        assert_eq!(add(none(), low), low);
        assert_eq!(sub(from_halves(1, 0), one), low);
        assert_eq!(sub(one, low), none());
    }

    #[test]
    fn the_least_difficulty_of_mainnet_is_2_to_the_32_hashes_and_a_little() {
        // 0x100010001, as every node reports for the genesis block.
        assert_eq!(of_bits(CompactTarget::from_consensus(0x1d00_ffff)), from_halves(0, 0x1_0001_0001));
    }
}
