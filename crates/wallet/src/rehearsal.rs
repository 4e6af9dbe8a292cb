//! The exit rehearsal: before coins are locked, the signer that must get them out signs their withdrawal.

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::sighash::SighashCache;
use bitcoin::{FeeRate, OutPoint, Psbt, ScriptBuf, Transaction};
use tapstake_tx::psbt::{self, Spent};
use tapstake_tx::{LeafSpend, Stake, Withdrawable, Withdrawal};

use crate::error::WalletError;
use crate::sign::{AuxRandomness, Signer};
use crate::staker_key::StakerKey;

/// The withdrawal of a stake that is not on the chain yet, to be signed and kept.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    stake: Stake,
    withdrawal: Withdrawal,
}

/// The proof that the staker's signer can move a stake: its withdrawal, signed, every signature verified.
///
/// The transaction is worth keeping. It is valid once the timelock has passed, whatever becomes of the signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RehearsedExit {
    outpoint: OutPoint,
    withdrawal: Transaction,
}

impl Rehearsal {
    /// The withdrawal of `stake` by its timelock leaf, in full, to `destination`.
    ///
    /// # Errors
    ///
    /// [`WalletError::Withdrawal`] if the fee rate is out of reason or too little is left.
    pub fn new(stake: &Stake, destination: ScriptBuf, fee_rate: FeeRate) -> Result<Self, WalletError> {
        let withdrawal = Withdrawal::build(vec![Withdrawable::from(stake.coin())], destination, fee_rate)?;
        Ok(Rehearsal { stake: stake.clone(), withdrawal })
    }

    /// The withdrawal as a PSBT for the signer of `staker`.
    ///
    /// # Errors
    ///
    /// [`WalletError::OtherStakerKey`] if the stake is not that key's.
    pub fn psbt(&self, staker: &StakerKey) -> Result<Psbt, WalletError> {
        let expected = self.stake.terms().parties.staker();
        if staker.x_only != expected {
            return Err(WalletError::OtherStakerKey {
                expected: expected.into(),
                actual: staker.x_only.into(),
            });
        }
        let coin = self.stake.coin();
        let spent = [Spent { txout: coin.to_txout(), output: &coin.output, leaf: coin.output.timelock() }];
        psbt::create(self.withdrawal.tx().clone(), &spent, &staker.origins()).map_err(WalletError::from)
    }

    /// Has the wallet's own signer sign, by the same PSBT that an external signer gets.
    ///
    /// # Errors
    ///
    /// [`WalletError::ExternalStakerKey`], [`WalletError::Rehearsal`].
    pub fn sign<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        signer: &Signer,
        staker: &StakerKey,
    ) -> Result<RehearsedExit, WalletError> {
        let mut psbt = self.psbt(staker)?;
        signer.sign_leaves(&mut psbt, AuxRandomness::Fresh)?;
        self.accept(secp, &psbt)
    }

    /// Takes the PSBT back from the signer, signed or finalized, and verifies it.
    ///
    /// # Errors
    ///
    /// [`WalletError::Rehearsal`] with what is missing or wrong.
    pub fn accept<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        signed: &Psbt,
    ) -> Result<RehearsedExit, WalletError> {
        let failed = |reason: &dyn std::fmt::Display| WalletError::Rehearsal(reason.to_string());
        let unsigned = self.withdrawal.tx();
        let leaf = self.stake.coin().output.timelock();
        let signatures = psbt::signatures(signed, unsigned, 0, leaf).map_err(|error| failed(&error))?;
        let tx = match signed.inputs.first().and_then(|input| input.final_script_witness.clone()) {
            Some(witness) => {
                let mut tx = unsigned.clone();
                tx.input[0].witness = witness;
                tx
            }
            None => self.withdrawal.finish(secp, &[signatures]).map_err(|error| failed(&error))?,
        };
        RehearsedExit::check(secp, &self.stake, tx)
    }
}

impl RehearsedExit {
    /// Verifies a withdrawal, fresh or kept from earlier: one input that spends `stake` by its timelock leaf,
    /// with the staker's signature over the whole transaction.
    ///
    /// # Errors
    ///
    /// [`WalletError::Rehearsal`] with what is wrong.
    pub fn check<C: Verification>(
        secp: &Secp256k1<C>,
        stake: &Stake,
        withdrawal: Transaction,
    ) -> Result<Self, WalletError> {
        let failed = |reason: &dyn std::fmt::Display| WalletError::Rehearsal(reason.to_string());
        let outpoint = stake.outpoint();
        let [input] = withdrawal.input.as_slice() else {
            return Err(failed(&format_args!("withdrawal has {} inputs, not 1", withdrawal.input.len())));
        };
        if input.previous_output != outpoint {
            return Err(failed(&format_args!("it spends {}, not {outpoint}", input.previous_output)));
        }
        let leaf = stake.coin().output.timelock();
        let prevouts = [stake.coin().to_txout()];
        LeafSpend::new(secp, &mut SighashCache::new(&withdrawal), 0, &prevouts, leaf)
            .map_err(|error| failed(&error))?
            .check_witness(secp, &input.witness)
            .map_err(|error| failed(&error))?;
        Ok(RehearsedExit { outpoint, withdrawal })
    }

    /// The stake that can be moved.
    pub const fn outpoint(&self) -> OutPoint {
        self.outpoint
    }

    /// The signed withdrawal, valid once the timelock has passed.
    pub const fn withdrawal(&self) -> &Transaction {
        &self.withdrawal
    }
}

#[cfg(test)]
mod tests;
