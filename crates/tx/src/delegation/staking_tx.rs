use alloc::vec::Vec;
use core::ops::Deref;

use bitcoin::{Transaction, Witness};

use super::DelegationError;

/// A staking transaction on its way to its committee: everybody sees it without its witnesses, which only a verified
/// delegation hands out.
///
/// What a txid commits to is all that others sign on. Every input of a checked delegation needs a witness, for those older
/// than SegWit are refused ([`check_txid_final`](crate::check_txid_final)): without witnesses nobody can send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StakingTx {
    unsigned: Transaction,
    /// One for each input, empty where it is not signed.
    witnesses: Vec<Witness>,
}

impl From<Transaction> for StakingTx {
    fn from(mut tx: Transaction) -> Self {
        let witnesses = tx.input.iter_mut().map(|input| core::mem::take(&mut input.witness)).collect();
        StakingTx { unsigned: tx, witnesses }
    }
}

impl Deref for StakingTx {
    type Target = Transaction;

    /// The transaction without witnesses.
    fn deref(&self) -> &Transaction {
        &self.unsigned
    }
}

impl StakingTx {
    /// The transaction without witnesses.
    pub const fn unsigned(&self) -> &Transaction {
        &self.unsigned
    }

    /// Drops the witnesses, for a copy that nobody can send.
    #[must_use]
    pub fn without_witnesses(mut self) -> Self {
        self.witnesses.iter_mut().for_each(Witness::clear);
        self
    }

    /// Whether this input carries a witness.
    pub fn has_witness(&self, input: usize) -> bool {
        self.witnesses.get(input).is_some_and(|witness| !witness.is_empty())
    }

    /// The witnesses, one for each input.
    pub(super) fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    pub(super) fn witnesses_mut(&mut self) -> &mut [Witness] {
        &mut self.witnesses
    }

    /// Takes the witnesses of `signed`, the same transaction, where there are any.
    pub(super) fn take_witnesses(&mut self, signed: &Transaction) -> Result<(), DelegationError> {
        let (actual, expected) = (signed.compute_txid(), self.unsigned.compute_txid());
        if actual != expected {
            return Err(DelegationError::OtherTransaction { actual, expected });
        }
        for (own, input) in self.witnesses.iter_mut().zip(&signed.input) {
            if !input.witness.is_empty() {
                *own = input.witness.clone();
            }
        }
        Ok(())
    }

    /// The transaction with the witnesses it has so far.
    pub(super) fn to_transaction(&self) -> Transaction {
        let mut tx = self.unsigned.clone();
        for (input, witness) in tx.input.iter_mut().zip(&self.witnesses) {
            input.witness = witness.clone();
        }
        tx
    }

    /// The first input, counted from `from` on, that is not signed. Whether a signature is right is for nodes to say.
    pub(super) fn unsigned_input(&self, from: usize) -> Option<usize> {
        self.witnesses.iter().skip(from).position(Witness::is_empty).map(|position| position + from)
    }
}
