use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Transaction, TxOut};
use tapstake_params::{DustError, check_not_dust};
use tapstake_script::UnbondingOutput;

use crate::coin::{Coin, Stake};
use crate::shape::{self, ShapeError};
use crate::spend::{LeafSpend, Signatures, WitnessError};

/// The one unbonding transaction of a stake, unsigned.
///
/// Version 2, no lock time, one final input that spends the staking output, one unbonding output that holds the
/// stake less exactly the parameters' fee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnbondingTx {
    tx: Transaction,
    coin: Coin<UnbondingOutput>,
}

/// Why a transaction is not the unbonding transaction of a stake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnbondingError {
    /// Version, lock time, input or number of outputs.
    #[error("unbonding transaction: {0}")]
    Shape(#[from] ShapeError),
    /// The output pays to another script.
    #[error("unbonding transaction: the output is not the unbonding output of the stake")]
    Script,
    /// The fee is not the parameters' fee.
    #[error("unbonding transaction: output of {} sat instead of {} sat, the stake less the fee", actual.to_sat(), expected.to_sat())]
    Fee {
        /// The output's value.
        actual: Amount,
        /// The value that is right.
        expected: Amount,
    },
    /// The stake does not pay for its own unbonding.
    #[error("unbonding transaction: stake of {} sat does not cover the fee of {} sat", value.to_sat(), fee.to_sat())]
    TooSmall {
        /// The stake's value.
        value: Amount,
        /// The unbonding fee.
        fee: Amount,
    },
    /// What is left after the fee is dust.
    #[error("unbonding transaction: {0}")]
    Dust(#[from] DustError),
}

impl UnbondingTx {
    /// Builds the unbonding transaction of `stake`, at the parameters' `fee`.
    ///
    /// # Errors
    ///
    /// [`UnbondingError::TooSmall`] or [`UnbondingError::Dust`] if too little is left.
    pub fn build<C: Verification>(
        secp: &Secp256k1<C>,
        stake: &Stake,
        fee: Amount,
    ) -> Result<Self, UnbondingError> {
        let value = stake.value();
        let left = value.checked_sub(fee).ok_or(UnbondingError::TooSmall { value, fee })?;
        let output = stake.terms().unbonding_output(secp);
        let txout = TxOut { value: left, script_pubkey: output.script_pubkey().clone() };
        check_not_dust(left, &txout.script_pubkey)?;
        let tx = shape::build(stake.outpoint(), alloc::vec![txout]);
        let outpoint = OutPoint { txid: tx.compute_txid(), vout: 0 };
        Ok(UnbondingTx { tx, coin: Coin { outpoint, value: left, output } })
    }

    /// Takes a transaction that somebody else built, witness disregarded, if it is the unbonding transaction of
    /// `stake`.
    ///
    /// # Errors
    ///
    /// [`UnbondingError`] names the rule it breaks.
    pub fn check<C: Verification>(
        secp: &Secp256k1<C>,
        stake: &Stake,
        fee: Amount,
        tx: &Transaction,
    ) -> Result<Self, UnbondingError> {
        if tx.version != Version::TWO {
            return Err(ShapeError::Version { actual: tx.version.0, any_of_two: false }.into());
        }
        shape::check(tx, stake.outpoint(), 1)?;
        let right = Self::build(secp, stake, fee)?;
        let (actual, expected) = (&tx.output[0], &right.tx.output[0]);
        if actual.script_pubkey != expected.script_pubkey {
            return Err(UnbondingError::Script);
        }
        if actual.value != expected.value {
            return Err(UnbondingError::Fee { actual: actual.value, expected: expected.value });
        }
        debug_assert_eq!(tx.compute_txid(), right.tx.compute_txid());
        Ok(right)
    }

    /// The unsigned transaction.
    pub const fn tx(&self) -> &Transaction {
        &self.tx
    }

    /// The unbonding output, to be withdrawn or slashed.
    pub const fn coin(&self) -> &Coin<UnbondingOutput> {
        &self.coin
    }

    /// What staker and covenant sign.
    pub fn spend<'s>(&self, stake: &'s Stake) -> LeafSpend<'s> {
        LeafSpend::digest(
            &mut SighashCache::new(&self.tx),
            0,
            &[stake.coin().to_txout()],
            stake.coin().output.unbonding(),
        )
    }

    /// The transaction with its witness.
    ///
    /// # Errors
    ///
    /// [`WitnessError`] if a signature does not verify, or if the staker's or a quorum's are missing.
    pub fn finish<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        stake: &Stake,
        signatures: &Signatures,
    ) -> Result<Transaction, WitnessError> {
        let mut tx = self.tx.clone();
        tx.input[0].witness = self.spend(stake).witness(secp, signatures)?;
        Ok(tx)
    }
}
