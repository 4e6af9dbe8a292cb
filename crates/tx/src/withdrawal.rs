use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Deref;

use bitcoin::absolute::LockTime;
use bitcoin::policy::MAX_STANDARD_TX_WEIGHT;
use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{Amount, FeeRate, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Weight, Witness};
use tapstake_params::{DustError, Height, Timelock, check_not_dust};
use tapstake_script::{LeafName, StakeOutput};

use crate::coin::Coin;
use crate::fee::{FeeRateError, check_fee_rate};
use crate::spend::{LeafSpend, Signatures, WitnessError};

/// A staking, unbonding or refund output, about to be withdrawn by its timelock leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawable {
    coin: Coin<alloc::boxed::Box<StakeOutput>>,
    time: Timelock,
}

/// A transaction that withdraws outputs after their timelocks, unsigned.
///
/// Version 2; each input's sequence is its output's timelock (BIP-0068).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    tx: Transaction,
    coins: Vec<Withdrawable>,
    prevouts: Vec<TxOut>,
    fee: Amount,
}

/// Why outputs are not withdrawn like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WithdrawalError {
    /// There is nothing to withdraw.
    #[error("withdrawal of no outputs")]
    Nothing,
    /// One output is named twice.
    #[error("withdrawal spends {0} twice")]
    Duplicate(OutPoint),
    /// A fee rate out of reason.
    #[error(transparent)]
    FeeRate(#[from] FeeRateError),
    /// The fee eats up everything.
    #[error("withdrawal of {} sat does not cover its fee of {} sat", value.to_sat(), fee.to_sat())]
    TooSmall {
        /// What the outputs hold.
        value: Amount,
        /// The fee at the given rate.
        fee: Amount,
    },
    /// What is left after the fee is dust.
    #[error("withdrawal: {0}")]
    Dust(#[from] DustError),
    /// Heavier than nodes relay: withdraw in several transactions.
    #[error("withdrawal of {inputs} outputs has weight {weight}, above 400000: withdraw fewer at once")]
    Weight {
        /// The number of inputs.
        inputs: usize,
        /// The weight, in weight units.
        weight: u64,
    },
    /// The timelock has not run out.
    #[error("output {outpoint} is withdrawn from height {mature} on, the next block is {next}")]
    Immature {
        /// The output.
        outpoint: OutPoint,
        /// The height of the first block that a withdrawal can be in.
        mature: Height,
        /// The height of the next block.
        next: Height,
    },
    /// Not one set of signatures for each input.
    #[error("signatures for {given} inputs given, {inputs} needed")]
    Signatures {
        /// The number of inputs.
        inputs: usize,
        /// The number of sets of signatures.
        given: usize,
    },
    /// A signature is missing or wrong.
    #[error("withdrawal input {input}: {source}")]
    Witness {
        /// The position of the input.
        input: usize,
        /// What is wrong.
        source: WitnessError,
    },
}

impl<O: Deref<Target = StakeOutput>> From<&Coin<O>> for Withdrawable {
    fn from(coin: &Coin<O>) -> Self {
        let output = alloc::boxed::Box::new(StakeOutput::clone(&coin.output));
        let time = output.leaf(LeafName::Timelock).and_then(tapstake_script::Leaf::timelock);
        let time = time.expect("every output of a stake has a timelock leaf");
        Withdrawable { coin: Coin { outpoint: coin.outpoint, value: coin.value, output }, time }
    }
}

impl Withdrawable {
    /// Where the output lies.
    pub const fn outpoint(&self) -> OutPoint {
        self.coin.outpoint
    }

    /// What it holds.
    pub const fn value(&self) -> Amount {
        self.coin.value
    }

    /// The timelock: a withdrawal may be in the block so many above the output's own.
    pub const fn timelock(&self) -> Timelock {
        self.time
    }

    /// The height of the first block that can hold a withdrawal of this output from the block at `included`.
    pub fn mature_at(&self, included: Height) -> Height {
        self.time.mature_at(included)
    }

    /// Checks that the block after `tip` can hold a withdrawal of this output from the block at `included`.
    ///
    /// # Errors
    ///
    /// [`WithdrawalError::Immature`] if it is too early: nodes call such a transaction not final (BIP-0068).
    pub fn check_mature(&self, included: Height, tip: Height) -> Result<(), WithdrawalError> {
        let (mature, next) = (self.mature_at(included), tip.saturating_add(1));
        if next < mature {
            return Err(WithdrawalError::Immature { outpoint: self.outpoint(), mature, next });
        }
        Ok(())
    }

    /// The output with its leaves.
    pub fn output(&self) -> &StakeOutput {
        &self.coin.output
    }

    /// The output as it stands in its transaction.
    pub fn to_txout(&self) -> TxOut {
        self.coin.to_txout()
    }

    /// The leaf it is withdrawn by.
    pub fn leaf(&self) -> &tapstake_script::Leaf {
        self.coin.output.leaf(LeafName::Timelock).expect("every output of a stake has a timelock leaf")
    }
}

impl Withdrawal {
    /// Withdraws `coins` in full to `destination`, at `fee_rate`.
    ///
    /// # Errors
    ///
    /// [`WithdrawalError`] if there is nothing to withdraw, if an output is named twice, if the fee rate is out
    /// of reason, or if too little is left.
    pub fn build(
        coins: Vec<Withdrawable>,
        destination: ScriptBuf,
        fee_rate: FeeRate,
    ) -> Result<Self, WithdrawalError> {
        check_fee_rate(fee_rate)?;
        if coins.is_empty() {
            return Err(WithdrawalError::Nothing);
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = coins.iter().find(|coin| !seen.insert(coin.outpoint())) {
            return Err(WithdrawalError::Duplicate(twice.outpoint()));
        }
        let input = coins.iter().map(|coin| TxIn {
            previous_output: coin.outpoint(),
            script_sig: ScriptBuf::new(),
            sequence: coin.time.to_sequence(),
            witness: Witness::new(),
        });
        let mut tx = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: input.collect(),
            output: alloc::vec![TxOut { value: Amount::ZERO, script_pubkey: destination }],
        };
        // Two weight units of marker and flag.
        let witnesses: Weight = coins.iter().map(|coin| coin.leaf().witness_weight()).sum();
        let weight = tx.weight() + witnesses + Weight::from_wu(2);
        if weight.to_wu() > u64::from(MAX_STANDARD_TX_WEIGHT) {
            return Err(WithdrawalError::Weight { inputs: coins.len(), weight: weight.to_wu() });
        }
        let value = coins.iter().try_fold(Amount::ZERO, |sum, coin| sum.checked_add(coin.value()));
        // No sum of real outputs overflows; one of made-up outputs is not withdrawn either.
        let value = value.unwrap_or(Amount::ZERO);
        let fee = fee_rate.fee_wu(weight).unwrap_or(Amount::MAX_MONEY);
        let left = value.checked_sub(fee).ok_or(WithdrawalError::TooSmall { value, fee })?;
        tx.output[0].value = left;
        check_not_dust(left, &tx.output[0].script_pubkey)?;
        let prevouts = coins.iter().map(|coin| coin.coin.to_txout()).collect();
        Ok(Withdrawal { tx, coins, prevouts, fee })
    }

    /// The unsigned transaction.
    pub const fn tx(&self) -> &Transaction {
        &self.tx
    }

    /// The outputs withdrawn, in the order of the inputs.
    pub fn coins(&self) -> &[Withdrawable] {
        &self.coins
    }

    /// The outputs withdrawn as they stand in their transactions, in the order of the inputs.
    pub fn prevouts(&self) -> &[TxOut] {
        &self.prevouts
    }

    /// The fee.
    pub const fn fee(&self) -> Amount {
        self.fee
    }

    /// What the staker signs, in the order of the inputs.
    pub fn spends(&self) -> Vec<LeafSpend<'_>> {
        let mut cache = SighashCache::new(&self.tx);
        self.coins
            .iter()
            .enumerate()
            .map(|(input, coin)| LeafSpend::digest(&mut cache, input, &self.prevouts, coin.leaf()))
            .collect()
    }

    /// The transaction with its witnesses, from one set of signatures for each input.
    ///
    /// # Errors
    ///
    /// [`WithdrawalError::Witness`] if a signature does not verify or is missing.
    pub fn finish<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        signatures: &[Signatures],
    ) -> Result<Transaction, WithdrawalError> {
        let (inputs, given) = (self.coins.len(), signatures.len());
        if inputs != given {
            return Err(WithdrawalError::Signatures { inputs, given });
        }
        let mut tx = self.tx.clone();
        for (input, (spend, signatures)) in self.spends().into_iter().zip(signatures).enumerate() {
            let witness = spend.witness(secp, signatures);
            tx.input[input].witness = witness.map_err(|source| WithdrawalError::Witness { input, source })?;
        }
        Ok(tx)
    }
}
