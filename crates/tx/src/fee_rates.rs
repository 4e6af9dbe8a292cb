use alloc::vec::Vec;
use core::fmt;

use bitcoin::{Amount, FeeRate, Transaction, Weight};
use tapstake_script::Leaf;

use crate::coin::{Slashable, Stake};
use crate::delegation::SignedTx;
use crate::fee::PerVb;
use crate::slashing::SlashingTx;
use crate::unbonding::UnbondingTx;

/// What the transactions pay that are signed in advance, at the weight they have once signed. None of them can be bumped by
/// its signers: their fees are what they are on the day they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresignedFeeRates {
    /// Of the unbonding transaction; its output is locked, so no child pays for it.
    pub unbonding: PresignedFee,
    /// Of the slashing transaction of the staking output.
    pub slashing: PresignedFee,
    /// Of the slashing transaction of the unbonding output.
    pub unbonding_slashing: PresignedFee,
}

/// What one transaction pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresignedFee {
    /// Which it is.
    pub tx: SignedTx,
    /// Its fee.
    pub fee: Amount,
    /// Its weight with a complete witness, in weight units.
    pub weight: Weight,
}

impl PresignedFee {
    fn new(tx: SignedTx, unsigned: &Transaction, leaf: &Leaf, value: Amount) -> Self {
        let paid: Amount = unsigned.output.iter().map(|output| output.value).sum();
        let fee = value.checked_sub(paid).expect("checked transactions do not overspend");
        // Two weight units of marker and flag.
        PresignedFee { tx, fee, weight: unsigned.weight() + leaf.witness_weight() + Weight::from_wu(2) }
    }

    /// The fee rate, rounded down.
    pub fn rate(&self) -> FeeRate {
        self.fee / self.weight
    }
}

/// A transaction that pays less than a mempool takes at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BelowMinimum {
    /// Which it is, and what it pays.
    pub paid: PresignedFee,
    /// The mempool's minimum.
    pub minimum: FeeRate,
}

impl fmt::Display for BelowMinimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, minimum) = (PerVb(self.paid.rate()), PerVb(self.minimum));
        write!(
            f,
            "the {} pays {rate} sat/vB, the mempool takes {minimum} sat/vB and more at present",
            self.paid.tx
        )
    }
}

impl PresignedFeeRates {
    pub(crate) fn new(
        stake: &Stake,
        unbonding: &UnbondingTx,
        slashing: &SlashingTx,
        unbonding_slashing: &SlashingTx,
    ) -> Self {
        let (coin, unbonded) = (stake.coin(), unbonding.coin());
        let fee = PresignedFee::new;
        PresignedFeeRates {
            unbonding: fee(SignedTx::Unbonding, unbonding.tx(), coin.output.unbonding(), coin.value),
            slashing: fee(SignedTx::Slashing, slashing.tx(), coin.output.slashing_leaf(), coin.value),
            unbonding_slashing: fee(
                SignedTx::UnbondingSlashing,
                unbonding_slashing.tx(),
                unbonded.output.slashing_leaf(),
                unbonded.value,
            ),
        }
    }

    /// The three, in the order of the fields.
    pub const fn all(&self) -> [PresignedFee; 3] {
        [self.unbonding, self.slashing, self.unbonding_slashing]
    }

    /// Those that a mempool with this minimum would not take at present: to be said before coins are locked.
    pub fn check_against_mempool_minimum(&self, minimum: FeeRate) -> Vec<BelowMinimum> {
        let below = self.all().into_iter().filter(|paid| paid.rate() < minimum);
        below.map(|paid| BelowMinimum { paid, minimum }).collect()
    }
}
