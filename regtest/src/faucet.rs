use std::cmp::Reverse;
use std::sync::PoisonError;

use bitcoin::absolute::LockTime;
use bitcoin::constants::COINBASE_MATURITY;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, Network, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};

use crate::{Bitcoind, Error};

/// What the faucet pays for block space: above every default of a node, below every limit.
const SAT_PER_VBYTE: u64 = 2;

/// An address whose coins anyone can spend, with no key: P2WSH of the script `OP_TRUE`. Good to mine to.
pub fn anyone_can_spend(network: Network) -> Address {
    Address::p2wsh(&witness_script(), network)
}

fn witness_script() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

impl Bitcoind {
    /// Sends new coins to a script; the transaction is in the mempool then, to be mined by whoever wants.
    ///
    /// The coins come from blocks mined to [`anyone_can_spend`]. Where those hold too little,
    /// [`Self::stock_faucet`] adds more than a hundred blocks first.
    ///
    /// # Errors
    ///
    /// [`Error::FaucetEmpty`] if that is not enough either, [`Error::Rpc`] if the node refuses the transaction.
    pub fn fund(&self, script_pubkey: &Script, value: Amount) -> Result<OutPoint, Error> {
        let output = TxOut { value, script_pubkey: script_pubkey.to_owned() };
        let transaction = self.fund_outputs(vec![output])?;
        Ok(OutPoint { txid: transaction.compute_txid(), vout: 0 })
    }

    /// Makes all these outputs, in this order, in one transaction, with a change output after them.
    ///
    /// # Errors
    ///
    /// As [`Self::fund`].
    pub fn fund_outputs(&self, outputs: Vec<TxOut>) -> Result<Transaction, Error> {
        // One at a time: two threads must not take the same coin.
        let mut change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = match self.draft(outputs.clone(), *change) {
            Err(Error::FaucetEmpty { .. }) => {
                self.stock_faucet()?;
                self.draft(outputs, *change)?
            }
            drafted => drafted?,
        };
        let txid = self.broadcast(&transaction)?;
        let last = u32::try_from(transaction.output.len() - 1).expect("a block holds fewer outputs");
        *change = Some(OutPoint { txid, vout: last });
        Ok(transaction)
    }

    fn draft(&self, outputs: Vec<TxOut>, change: Option<OutPoint>) -> Result<Transaction, Error> {
        let home = anyone_can_spend(self.network()).script_pubkey();
        let mut transaction = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: Vec::new(),
            output: outputs,
        };
        let given: Amount = transaction.output.iter().map(|output| output.value).sum();
        transaction.output.push(TxOut { value: Amount::ZERO, script_pubkey: home.clone() });

        let mut available = Amount::ZERO;
        for (outpoint, value) in self.coins(&home, change)? {
            // Asked only now: the mempool may have spent a coin that the chain still has.
            if !self.is_unspent(outpoint)? {
                continue;
            }
            available += value;
            transaction.input.push(TxIn {
                previous_output: outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::from_slice(&[witness_script()]),
            });
            let fee = Amount::from_sat(SAT_PER_VBYTE * transaction.vsize() as u64);
            let rest = available.checked_sub(given).and_then(|rest| rest.checked_sub(fee));
            if let Some(rest) = rest.filter(|rest| *rest >= home.minimal_non_dust()) {
                transaction.output.last_mut().expect("the change was pushed").value = rest;
                return Ok(transaction);
            }
        }
        Err(Error::FaucetEmpty { available, wanted: given })
    }

    /// The faucet's coins on the chain that the next block can spend, and its last change.
    ///
    /// Asked of the node each time and not remembered: a reorganisation takes coins away and brings others back.
    fn coins(&self, home: &Script, change: Option<OutPoint>) -> Result<Vec<(OutPoint, Amount)>, Error> {
        let next = self.height()? + 1;
        let mut coins = Vec::new();
        // Change that waits for its block is not in the set the node scans.
        if let Some(outpoint) = change
            && self.mempool()?.contains(&outpoint.txid)
        {
            let parent = self.transaction(outpoint.txid)?;
            coins.extend(parent.output.get(outpoint.vout as usize).map(|output| (outpoint, output.value)));
        }
        for unspent in self.unspent_of(home)? {
            let mature = !unspent.coinbase || next - unspent.height >= COINBASE_MATURITY;
            if mature {
                coins.push((unspent.outpoint, unspent.output.value));
            }
        }
        // The largest first: few inputs, even after many halvings.
        coins.sort_by_key(|(_, value)| Reverse(*value));
        Ok(coins)
    }
}
