//! Finding transactions, their blocks and their spends, and checking what the server says of them.
//!
//! The protocol has no call from a txid to its block. It has the history of a script: so a transaction's block
//! is looked up in the history of a script it pays to or spends from.

use std::thread::sleep;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::hex::DisplayHex as _;
use bitcoin::{OutPoint, Script, Transaction, TxMerkleNode, Txid};
use serde::Deserialize;
use serde_json::{Value, json};
use tapstake_params::Height;
use tapstake_verifier::MerkleBranch;

use super::{Electrum, REORG_PAUSE, Refusal};
use crate::{BlockId, ChainError, Inclusion, Spend, TxInfo, check};

/// One line of a script's history.
#[derive(Debug, Deserialize)]
struct HistoryItem {
    tx_hash: Txid,
    /// 0 or -1 in the mempool.
    height: i64,
}

#[derive(Deserialize)]
struct BranchAnswer {
    #[serde(rename = "merkle")]
    siblings: Vec<TxMerkleNode>,
    pos: u32,
}

#[derive(Deserialize)]
struct PositionAnswer {
    tx_hash: Txid,
    merkle: Vec<TxMerkleNode>,
}

impl Electrum {
    /// Asks a second time where the answers did not fit together: a reorganisation between two calls looks
    /// like a lie, but only once.
    pub(super) fn settled<T>(&self, mut ask: impl FnMut() -> Result<T, ChainError>) -> Result<T, ChainError> {
        match ask() {
            Err(ChainError::Misbehaving { .. } | ChainError::Reorganised { .. }) => {
                sleep(REORG_PAUSE);
                ask()
            }
            answer => answer,
        }
    }

    pub(super) fn raw_transaction(&self, txid: &Txid) -> Result<Option<Transaction>, ChainError> {
        match self.ask("blockchain.transaction.get", json!([txid]))? {
            Ok(answer) => self.parse_transaction(&answer, txid).map(Some),
            Err(refusal) if says_unknown(&refusal) => Ok(None),
            Err(refusal) => Err(self.refused("blockchain.transaction.get", refusal)),
        }
    }

    fn parse_transaction(&self, answer: &Value, txid: &Txid) -> Result<Transaction, ChainError> {
        let text =
            answer.as_str().ok_or_else(|| self.misbehaving(format!("transaction {txid} that is no text")))?;
        check::transaction(text, txid).map_err(|what| self.misbehaving(what))
    }

    fn history(&self, script: &Script) -> Result<Vec<HistoryItem>, ChainError> {
        // The protocol's name of a script: its SHA-256, printed in reverse.
        let mut hash = sha256::Hash::hash(script.as_bytes()).to_byte_array();
        hash.reverse();
        let answer = self.call("blockchain.scripthash.get_history", json!([hash.to_lower_hex_string()]))?;
        self.parse("blockchain.scripthash.get_history", answer)
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, method: &str, answer: Value) -> Result<T, ChainError> {
        serde_json::from_value(answer)
            .map_err(|error| self.misbehaving(format!("the answer to {method} has another form ({error})")))
    }

    pub(super) fn find(&self, txid: &Txid) -> Result<Option<TxInfo>, ChainError> {
        let Some(tx) = self.raw_transaction(txid)? else { return Ok(None) };
        let block = match self.height_of(&tx, txid)? {
            Some(height) => Some(self.confirmed_in(txid, height)?),
            None => None,
        };
        Ok(Some(TxInfo { tx, block }))
    }

    pub(super) fn find_inclusion(&self, txid: &Txid) -> Result<Option<Inclusion>, ChainError> {
        let Some(tx) = self.raw_transaction(txid)? else { return Ok(None) };
        match self.height_of(&tx, txid)? {
            Some(height) => self.inclusion_of(txid, tx, height),
            None => Ok(None),
        }
    }

    pub(super) fn inclusion_at(&self, txid: &Txid, height: Height) -> Result<Option<Inclusion>, ChainError> {
        let tip = crate::ChainSource::tip(self)?.height;
        if height > tip {
            return Err(ChainError::NoSuchBlock { height, tip });
        }
        match self.raw_transaction(txid)? {
            Some(tx) => self.inclusion_of(txid, tx, height),
            None => Ok(None),
        }
    }

    /// The height the server claims for a transaction; `None` in the mempool.
    fn height_of(&self, tx: &Transaction, txid: &Txid) -> Result<Option<Height>, ChainError> {
        for output in tx.output.iter().filter(|output| !output.script_pubkey.is_op_return()) {
            if let Some(height) = self.height_in_history(&output.script_pubkey, txid)? {
                return Ok(height);
            }
        }
        // All outputs burn: servers keep no history of those, but of what was spent they do.
        for input in tx.input.iter().filter(|input| !input.previous_output.is_null()) {
            let OutPoint { txid: parent, vout } = input.previous_output;
            let Some(parent) = self.raw_transaction(&parent)? else { continue };
            let Some(output) = parent.output.get(vout as usize) else { continue };
            if let Some(height) = self.height_in_history(&output.script_pubkey, txid)? {
                return Ok(height);
            }
        }
        Ok(None)
    }

    /// `None` if the history does not have it, `Some(None)` if it has it in the mempool.
    #[allow(clippy::option_option, reason = "not listed and listed as unconfirmed are different answers")]
    fn height_in_history(&self, script: &Script, txid: &Txid) -> Result<Option<Option<Height>>, ChainError> {
        let item = self.history(script)?.into_iter().find(|item| item.tx_hash == *txid);
        Ok(item.map(|item| block_height(&item)))
    }

    /// The block at `height`, after the server has proven that it holds the transaction.
    fn confirmed_in(&self, txid: &Txid, height: Height) -> Result<BlockId, ChainError> {
        let calls = [
            ("blockchain.block.header", json!([height])),
            ("blockchain.transaction.get_merkle", json!([txid, height])),
        ];
        let [header, branch] = self.all(&calls)?;
        let header = self.parse_header(&header)?;
        let branch = self.parse_branch(branch)?;
        check::branch(&branch, txid, &header).map_err(|what| self.misbehaving(what))?;
        Ok(BlockId { height, hash: header.block_hash() })
    }

    fn inclusion_of(
        &self,
        txid: &Txid,
        tx: Transaction,
        height: Height,
    ) -> Result<Option<Inclusion>, ChainError> {
        let branch = match self.ask("blockchain.transaction.get_merkle", json!([txid, height]))? {
            Ok(branch) => self.parse_branch(branch)?,
            Err(refusal) if says_unknown(&refusal) => return Ok(None),
            Err(refusal) => return Err(self.refused("blockchain.transaction.get_merkle", refusal)),
        };
        let calls = [
            ("blockchain.block.header", json!([height])),
            ("blockchain.transaction.id_from_pos", json!([height, 0, true])),
        ];
        let [header, first] = self.all(&calls)?;
        let header = self.parse_header(&header)?;
        let first: PositionAnswer = self.parse("blockchain.transaction.id_from_pos", first)?;
        let coinbase_branch =
            MerkleBranch::new(0, first.merkle).map_err(|error| self.misbehaving(error.to_string()))?;
        check::branch(&branch, txid, &header).map_err(|what| self.misbehaving(what))?;
        check::branch(&coinbase_branch, &first.tx_hash, &header).map_err(|what| self.misbehaving(what))?;
        if branch.depth() != coinbase_branch.depth() {
            let (own, other) = (branch.depth(), coinbase_branch.depth());
            return Err(self.misbehaving(format!("branches of {own} and {other} siblings in one block")));
        }
        let coinbase = self
            .raw_transaction(&first.tx_hash)?
            .ok_or_else(|| self.misbehaving(format!("it does not have the coinbase {}", first.tx_hash)))?;
        if !coinbase.is_coinbase() {
            return Err(self.misbehaving(format!("the first transaction {} is no coinbase", first.tx_hash)));
        }
        let block = BlockId { height, hash: header.block_hash() };
        Ok(Some(Inclusion { block, header, tx, branch, coinbase, coinbase_branch }))
    }

    fn parse_branch(&self, answer: Value) -> Result<MerkleBranch, ChainError> {
        let BranchAnswer { siblings, pos } = self.parse("blockchain.transaction.get_merkle", answer)?;
        MerkleBranch::new(pos, siblings).map_err(|error| self.misbehaving(error.to_string()))
    }

    /// A fixed number of calls in one round trip, none of which may be refused.
    fn all<const N: usize>(&self, calls: &[(&str, Value); N]) -> Result<[Value; N], ChainError> {
        let answers = self
            .ask_all(calls)?
            .into_iter()
            .zip(calls)
            .map(|(answer, (method, _))| answer.map_err(|refusal| self.refused(method, refusal)))
            .collect::<Result<Vec<_>, _>>()?;
        answers.try_into().map_err(|_| self.misbehaving("another number of answers than of calls"))
    }

    pub(super) fn find_spend(
        &self,
        outpoint: &OutPoint,
        script_pubkey: &Script,
        since: Option<Height>,
    ) -> Result<Option<Spend>, ChainError> {
        let unknown = || ChainError::UnknownOutpoint { outpoint: *outpoint };
        let history = self.history(script_pubkey)?;
        if !history.iter().any(|item| item.tx_hash == outpoint.txid) {
            return Err(unknown());
        }
        let funding = self.raw_transaction(&outpoint.txid)?.ok_or_else(unknown)?;
        let output = funding.output.get(outpoint.vout as usize).ok_or_else(unknown)?;
        if output.script_pubkey.as_script() != script_pubkey {
            return Err(unknown());
        }
        let candidates: Vec<&HistoryItem> = history
            .iter()
            .filter(|item| item.tx_hash != outpoint.txid)
            .filter(|item| block_height(item).is_none_or(|height| since.is_none_or(|since| height >= since)))
            .collect();
        for item in candidates {
            let txid = item.tx_hash;
            let Some(tx) = self.raw_transaction(&txid)? else { continue };
            let spends = tx.input.iter().position(|input| input.previous_output == *outpoint);
            if let Some(input_index) = spends {
                let block = block_height(item).map(|height| self.confirmed_in(&txid, height)).transpose()?;
                return Ok(Some(Spend { txid, tx, input_index, block }));
            }
        }
        Ok(None)
    }
}

fn block_height(item: &HistoryItem) -> Option<Height> {
    u32::try_from(item.height).ok().filter(|height| *height > 0).map(Height::new)
}

/// Whether a refusal says that there is no such thing. The protocol has no number for it.
fn says_unknown(refusal: &Refusal) -> bool {
    let text = refusal.message.to_lowercase();
    ["no such", "not found", "not in block", "missing transaction"].iter().any(|words| text.contains(words))
}
