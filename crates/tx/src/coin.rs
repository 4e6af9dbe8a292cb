use core::ops::Deref;

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Amount, OutPoint, Transaction, TxOut};
use tapstake_script::{
    FindError, Leaf, RefundOutput, StakeOutput, StakeTerms, StakingOutput, UnbondingOutput,
    find_output_with_value,
};

/// An output of a stake, where it lies and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin<O> {
    /// Where the output lies.
    pub outpoint: OutPoint,
    /// What it holds.
    pub value: Amount,
    /// The ways out of it.
    pub output: O,
}

impl<O: Deref<Target = StakeOutput>> Coin<O> {
    /// The output as it stands in its transaction.
    pub fn to_txout(&self) -> TxOut {
        TxOut { value: self.value, script_pubkey: self.output.script_pubkey().clone() }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for tapstake_script::StakingOutput {}
    impl Sealed for tapstake_script::UnbondingOutput {}
}

/// The outputs that a slashing can spend: staking and unbonding.
pub trait Slashable: Deref<Target = StakeOutput> + sealed::Sealed {
    /// The leaf by which it is slashed.
    fn slashing_leaf(&self) -> &Leaf;
}

impl Slashable for StakingOutput {
    fn slashing_leaf(&self) -> &Leaf {
        self.slashing()
    }
}

impl Slashable for UnbondingOutput {
    fn slashing_leaf(&self) -> &Leaf {
        self.slashing()
    }
}

/// A stake: a staking output at its outpoint, and the terms it was made under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stake {
    coin: Coin<StakingOutput>,
    terms: StakeTerms,
    refund: RefundOutput,
}

impl Stake {
    /// The stake of `value` under `terms` at `outpoint`.
    pub fn new<C: Verification>(
        secp: &Secp256k1<C>,
        terms: StakeTerms,
        outpoint: OutPoint,
        value: Amount,
    ) -> Self {
        let output = terms.staking_output(secp);
        let refund = terms.refund_output(secp);
        Stake { coin: Coin { outpoint, value, output }, terms, refund }
    }

    /// The stake of `value` that `tx` makes under `terms`.
    ///
    /// # Errors
    ///
    /// [`FindError`] unless exactly one output has that value and the staking script.
    pub fn find<C: Verification>(
        secp: &Secp256k1<C>,
        terms: StakeTerms,
        tx: &Transaction,
        value: Amount,
    ) -> Result<Self, FindError> {
        let mut stake = Stake::new(secp, terms, OutPoint::null(), value);
        let vout = find_output_with_value(tx, stake.coin.output.script_pubkey(), value)?;
        stake.coin.outpoint = OutPoint { txid: tx.compute_txid(), vout };
        Ok(stake)
    }

    /// The staking output.
    pub const fn coin(&self) -> &Coin<StakingOutput> {
        &self.coin
    }

    /// Where the stake lies.
    pub const fn outpoint(&self) -> OutPoint {
        self.coin.outpoint
    }

    /// What it holds.
    pub const fn value(&self) -> Amount {
        self.coin.value
    }

    /// The terms it was made under.
    pub const fn terms(&self) -> &StakeTerms {
        &self.terms
    }

    /// The output that any slashing of this stake refunds to.
    pub const fn refund_output(&self) -> &RefundOutput {
        &self.refund
    }
}
