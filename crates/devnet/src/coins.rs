//! Unspent outputs, and what it takes to restore them.

use std::collections::HashMap;

use bitcoin::{OutPoint, Transaction, TxOut, Txid};

/// An unspent output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    /// The output itself.
    pub output: TxOut,
    /// Height of the block that created it.
    pub height: u32,
    /// Whether a coinbase created it.
    pub coinbase: bool,
}

/// The coins that one transaction spent, in the order of its inputs.
pub(crate) type TxUndo = Vec<Coin>;

/// The coins that the transactions of one block spent; the coinbase, which spends none, is left out.
pub(crate) type BlockUndo = Vec<TxUndo>;

/// All unspent outputs of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CoinSet(HashMap<OutPoint, Coin>);

impl CoinSet {
    pub(crate) fn get(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.0.get(outpoint)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.0.iter()
    }

    /// Spends the inputs of a transaction and adds its outputs. Returns the coins spent.
    ///
    /// # Panics
    ///
    /// Panics if an input is not there: whoever applies a transaction has checked its inputs.
    pub(crate) fn apply(&mut self, tx: &Transaction, txid: Txid, height: u32) -> TxUndo {
        let coinbase = tx.is_coinbase();
        let spent = if coinbase {
            Vec::new()
        } else {
            tx.input
                .iter()
                .map(|input| {
                    self.0.remove(&input.previous_output).expect("inputs are checked before they are spent")
                })
                .collect()
        };
        for (vout, output) in (0..).zip(&tx.output) {
            if !is_unspendable(output) {
                self.0.insert(OutPoint { txid, vout }, Coin { output: output.clone(), height, coinbase });
            }
        }
        spent
    }

    /// Takes back what [`apply`](Self::apply) did.
    pub(crate) fn revert(&mut self, tx: &Transaction, txid: Txid, spent: TxUndo) {
        for (vout, _) in (0..).zip(&tx.output) {
            self.0.remove(&OutPoint { txid, vout });
        }
        for (input, coin) in tx.input.iter().zip(spent) {
            self.0.insert(input.previous_output, coin);
        }
    }
}

/// Returns whether no input can ever spend the output, so that it is not worth remembering.
pub(crate) fn is_unspendable(output: &TxOut) -> bool {
    /// Scripts above this size never run.
    const MAX_SCRIPT_SIZE: usize = 10_000;
    output.script_pubkey.is_op_return() || output.script_pubkey.len() > MAX_SCRIPT_SIZE
}
