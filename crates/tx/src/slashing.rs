use bitcoin::policy::MAX_STANDARD_TX_WEIGHT;
use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{Amount, FeeRate, OutPoint, Transaction, TxOut, Weight};
use tapstake_params::{DustError, Slashing, check_not_dust};
use tapstake_script::RefundOutput;

use crate::coin::{Coin, Slashable};
use crate::fee::{MAX_SENT_FEE_RATE, MIN_FEE_RATE, PerVb};
use crate::shape::{self, ShapeError};
use crate::spend::{LeafSpend, Signatures, WitnessError};

/// A slashing transaction of a staking or an unbonding output, unsigned.
///
/// No lock time, one final input, two outputs: the slashed part to the parameters' script, and the rest, less the
/// fee, to the staker's refund output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlashingTx {
    tx: Transaction,
    refund: Coin<RefundOutput>,
}

/// Why a transaction is not a slashing transaction of an output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlashingError {
    /// Version, lock time, input or number of outputs.
    #[error("slashing transaction: {0}")]
    Shape(#[from] ShapeError),
    /// The slashed part goes elsewhere.
    #[error("slashing transaction: output 0 does not pay to the slashing script")]
    SlashedScript,
    /// Less is slashed than the rate asks for.
    #[error("slashing transaction: {} sat slashed, {} sat are due", actual.to_sat(), due.to_sat())]
    SlashedValue {
        /// What output 0 holds.
        actual: Amount,
        /// What the rate asks for.
        due: Amount,
    },
    /// The rest goes elsewhere than to the staker, or under another timelock.
    #[error("slashing transaction: output 1 is not the refund output of the stake")]
    RefundScript,
    /// The fee is below the parameters' least.
    #[error("slashing transaction: fee {} sat is below the least of {} sat", actual.to_sat(), least.to_sat())]
    Fee {
        /// The fee.
        actual: Amount,
        /// The least fee.
        least: Amount,
    },
    /// Nodes would not relay the signed transaction at this fee rate, or would take it for a mistake.
    #[error(
        "slashing transaction: fee {} sat for {weight} weight units is outside {}..={} sat/vB",
        fee.to_sat(), PerVb(MIN_FEE_RATE), PerVb(MAX_SENT_FEE_RATE)
    )]
    FeeRate {
        /// The fee.
        fee: Amount,
        /// The weight with a complete witness, in weight units.
        weight: u64,
    },
    /// The outputs hold more than the input.
    #[error("slashing transaction: outputs and fee ask for more than the {} sat of the input", value.to_sat())]
    Overspent {
        /// The input's value.
        value: Amount,
    },
    /// An output holds nothing.
    #[error("slashing transaction: output {vout} holds nothing")]
    Empty {
        /// The output.
        vout: usize,
    },
    /// An output is dust.
    #[error("slashing transaction: {0}")]
    Dust(#[from] DustError),
    /// Heavier than nodes relay.
    #[error("slashing transaction: weight {weight} is above 400000")]
    Weight {
        /// The weight, in weight units.
        weight: u64,
    },
}

impl SlashingTx {
    /// Builds the slashing transaction of `coin` for the stake that refunds to `refund`, with this fee.
    ///
    /// # Errors
    ///
    /// [`SlashingError`] if the fee is below the parameters' least, out of reason or leaves too little.
    pub fn build<O: Slashable>(
        coin: &Coin<O>,
        refund: &RefundOutput,
        params: &Slashing,
        fee: Amount,
    ) -> Result<Self, SlashingError> {
        let slashed = params.rate.slashed_part(coin.value);
        let left = coin.value.checked_sub(slashed).and_then(|rest| rest.checked_sub(fee));
        let left = left.ok_or(SlashingError::Overspent { value: coin.value })?;
        let outputs = alloc::vec![
            TxOut { value: slashed, script_pubkey: params.pk_script.clone() },
            TxOut { value: left, script_pubkey: refund.script_pubkey().clone() },
        ];
        let tx = shape::build(coin.outpoint, outputs);
        Self::check(coin, refund, params, &tx)
    }

    /// Takes a transaction that somebody else built, witness disregarded, if it slashes `coin` as the parameters
    /// say: at least the due part slashed, at least the least fee, the rest refunded. The fee rate of the signed
    /// transaction is 0.1 to 10,000 sat per virtual byte: what nodes relay without being told to.
    ///
    /// # Errors
    ///
    /// [`SlashingError`] names the rule it breaks.
    pub fn check<O: Slashable>(
        coin: &Coin<O>,
        refund: &RefundOutput,
        params: &Slashing,
        tx: &Transaction,
    ) -> Result<Self, SlashingError> {
        if !matches!(tx.version, Version::ONE | Version::TWO) {
            return Err(ShapeError::Version { actual: tx.version.0, any_of_two: true }.into());
        }
        shape::check(tx, coin.outpoint, 2)?;
        let (slashed, rest) = (&tx.output[0], &tx.output[1]);
        if slashed.script_pubkey != params.pk_script {
            return Err(SlashingError::SlashedScript);
        }
        if rest.script_pubkey != *refund.script_pubkey() {
            return Err(SlashingError::RefundScript);
        }
        if let Some(vout) = tx.output.iter().position(|output| output.value == Amount::ZERO) {
            return Err(SlashingError::Empty { vout });
        }
        let due = params.rate.slashed_part(coin.value);
        if slashed.value < due {
            return Err(SlashingError::SlashedValue { actual: slashed.value, due });
        }
        let paid = slashed.value.checked_add(rest.value);
        let fee = paid.and_then(|paid| coin.value.checked_sub(paid));
        let fee = fee.ok_or(SlashingError::Overspent { value: coin.value })?;
        if fee < params.min_fee {
            return Err(SlashingError::Fee { actual: fee, least: params.min_fee });
        }
        for output in &tx.output {
            check_not_dust(output.value, &output.script_pubkey)?;
        }
        let mut unsigned = tx.clone();
        unsigned.input[0].witness.clear();
        // Marker and flag count once there is a witness.
        let weight = unsigned.weight().to_wu() + 2 + coin.output.slashing_leaf().witness_weight().to_wu();
        if weight > u64::from(MAX_STANDARD_TX_WEIGHT) {
            return Err(SlashingError::Weight { weight });
        }
        if !within(MIN_FEE_RATE, MAX_SENT_FEE_RATE, fee, Weight::from_wu(weight)) {
            return Err(SlashingError::FeeRate { fee, weight });
        }
        let outpoint = OutPoint { txid: unsigned.compute_txid(), vout: 1 };
        let refund = Coin { outpoint, value: rest.value, output: refund.clone() };
        Ok(SlashingTx { tx: unsigned, refund })
    }

    /// The unsigned transaction.
    pub const fn tx(&self) -> &Transaction {
        &self.tx
    }

    /// The part that is slashed.
    pub fn slashed(&self) -> Amount {
        self.tx.output[0].value
    }

    /// Whether the slashed part is burned, in an OP_RETURN. Nodes take such a transaction only when told how much
    /// may be burned (`sendrawtransaction`'s `maxburnamount`).
    pub fn burns(&self) -> bool {
        self.tx.output[0].script_pubkey.is_op_return()
    }

    /// The refund output, to be withdrawn after its timelock.
    pub const fn refund(&self) -> &Coin<RefundOutput> {
        &self.refund
    }

    /// What staker, one provider and the covenant sign.
    pub fn spend<'c, O: Slashable>(&self, coin: &'c Coin<O>) -> LeafSpend<'c> {
        LeafSpend::digest(
            &mut SighashCache::new(&self.tx),
            0,
            &[coin.to_txout()],
            coin.output.slashing_leaf(),
        )
    }

    /// The transaction with its witness.
    ///
    /// # Errors
    ///
    /// [`WitnessError`] if a signature does not verify, or if the staker's, a provider's or a quorum's are missing.
    pub fn finish<O: Slashable, C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        coin: &Coin<O>,
        signatures: &Signatures,
    ) -> Result<Transaction, WitnessError> {
        let mut tx = self.tx.clone();
        tx.input[0].witness = self.spend(coin).witness(secp, signatures)?;
        Ok(tx)
    }
}

/// Whether a fee lies between these rates, both included and rounded up to whole sat.
fn within(least: FeeRate, most: FeeRate, fee: Amount, weight: Weight) -> bool {
    let at = |rate: FeeRate| rate.fee_wu(weight);
    at(least).is_some_and(|least| fee >= least) && at(most).is_none_or(|most| fee <= most)
}
