//! When an output may be withdrawn.

use tapstake_params::{Height, Timelock};

/// The first block that may hold a withdrawal of an output in block `confirmed` under `timelock`:
/// `confirmed + timelock` (BIP-0068).
///
/// A mempool, which asks for what may be in the next block, takes the withdrawal once the tip is one below. The
/// boundary is [`Timelock::mature_at`]'s.
pub fn withdrawable_at(confirmed: Height, timelock: Timelock) -> Height {
    timelock.mature_at(confirmed)
}

/// Whether the block after `tip` may hold the withdrawal, and so whether a mempool takes it now.
pub fn is_withdrawable(confirmed: Height, timelock: Timelock, tip: Height) -> bool {
    tip.saturating_add(1) >= withdrawable_at(confirmed, timelock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawal_may_be_in_the_block_its_timelock_above() {
        let (height, timelock) = (Height::new(100), Timelock::new(20).unwrap());
        assert_eq!(withdrawable_at(height, timelock), Height::new(120));
        assert!(!is_withdrawable(height, timelock, Height::new(118)));
        assert!(is_withdrawable(height, timelock, Height::new(119)));
        // With a timelock of one block, the very next block.
        assert!(is_withdrawable(height, Timelock::new(1).unwrap(), height));
    }
}
