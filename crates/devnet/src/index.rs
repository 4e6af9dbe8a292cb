//! What an Electrum server looks up: transactions by id, histories and coins by script, spends by output.

use std::collections::{BTreeSet, HashMap};

use bitcoin::hashes::{Hash, sha256};
use bitcoin::{Block, BlockHash, OutPoint, Script, Txid};

use crate::coins::{BlockUndo, is_unspendable};

bitcoin::hashes::hash_newtype! {
    /// SHA-256 of an output script, displayed in reverse like a transaction id: the script hash of the Electrum protocol.
    #[hash_newtype(backward)]
    pub struct ElectrumScriptHash(sha256::Hash);
}

impl ElectrumScriptHash {
    /// Computes the script hash of an output script.
    pub fn of(script_pubkey: &Script) -> Self {
        Self::from_raw_hash(sha256::Hash::hash(script_pubkey.as_bytes()))
    }
}

/// Where a transaction is on the active chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The block that includes it.
    pub block: BlockHash,
    /// Height of the block.
    pub height: u32,
    /// Place in the block, 0 for the coinbase.
    pub index: usize,
}

#[derive(Debug, Clone, Default)]
struct ScriptEntry {
    /// Transactions that pay to the script or spend from it, in blockchain order.
    history: Vec<(u32, Txid)>,
    unspent: BTreeSet<OutPoint>,
}

/// Indexes over the blocks of the active chain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    transactions: HashMap<Txid, Position>,
    scripts: HashMap<ElectrumScriptHash, ScriptEntry>,
    spends: HashMap<OutPoint, Txid>,
}

impl Index {
    pub(crate) fn connect(
        &mut self,
        hash: BlockHash,
        block: &Block,
        txids: &[Txid],
        height: u32,
        undo: &BlockUndo,
    ) {
        for (index, (tx, txid)) in block.txdata.iter().zip(txids).enumerate() {
            self.transactions.insert(*txid, Position { block: hash, height, index });
            if index > 0 {
                for (input, coin) in tx.input.iter().zip(&undo[index - 1]) {
                    self.spends.insert(input.previous_output, *txid);
                    let entry = self.touch(&coin.output.script_pubkey, height, *txid);
                    entry.unspent.remove(&input.previous_output);
                }
            }
            for (vout, output) in (0..).zip(&tx.output) {
                // Like ElectrumX, scripts that nobody can spend have no history.
                if !is_unspendable(output) {
                    let entry = self.touch(&output.script_pubkey, height, *txid);
                    entry.unspent.insert(OutPoint { txid: *txid, vout });
                }
            }
        }
    }

    fn touch(&mut self, script: &Script, height: u32, txid: Txid) -> &mut ScriptEntry {
        let entry = self.scripts.entry(ElectrumScriptHash::of(script)).or_default();
        if entry.history.last() != Some(&(height, txid)) {
            entry.history.push((height, txid));
        }
        entry
    }

    /// Takes back what [`connect`](Self::connect) did for the block at the tip.
    pub(crate) fn disconnect(&mut self, block: &Block, txids: &[Txid], height: u32, undo: &BlockUndo) {
        for (index, (tx, txid)) in block.txdata.iter().zip(txids).enumerate().rev() {
            self.transactions.remove(txid);
            for (vout, output) in (0..).zip(&tx.output) {
                if !is_unspendable(output) {
                    let entry = self.untouch(&output.script_pubkey, height, *txid);
                    entry.unspent.remove(&OutPoint { txid: *txid, vout });
                }
            }
            if index > 0 {
                for (input, coin) in tx.input.iter().zip(&undo[index - 1]) {
                    self.spends.remove(&input.previous_output);
                    let entry = self.untouch(&coin.output.script_pubkey, height, *txid);
                    entry.unspent.insert(input.previous_output);
                }
            }
        }
    }

    fn untouch(&mut self, script: &Script, height: u32, txid: Txid) -> &mut ScriptEntry {
        let entry = self.scripts.entry(ElectrumScriptHash::of(script)).or_default();
        if entry.history.last() == Some(&(height, txid)) {
            entry.history.pop();
        }
        entry
    }

    pub(crate) fn position(&self, txid: &Txid) -> Option<Position> {
        self.transactions.get(txid).copied()
    }

    pub(crate) fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spends.get(outpoint).copied()
    }

    pub(crate) fn history(&self, script: &ElectrumScriptHash) -> &[(u32, Txid)] {
        self.scripts.get(script).map_or(&[], |entry| &entry.history)
    }

    pub(crate) fn unspent(&self, script: &ElectrumScriptHash) -> impl Iterator<Item = &OutPoint> {
        self.scripts.get(script).into_iter().flat_map(|entry| &entry.unspent)
    }
}
