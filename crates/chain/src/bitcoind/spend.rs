//! What spends an outpoint, asked of a node that may or may not have an index for it.

use bitcoin::{BlockHash, OutPoint, Script, Transaction, Txid};
use serde::Deserialize;
use serde_json::{Value, json};
use tapstake_params::Height;

use super::Bitcoind;
use super::rpc::code;
use crate::{BlockId, ChainError, ChainSource as _, Spend, check};

/// An entry of `gettxspendingprevout`. Before version 31 it knows the mempool only.
#[derive(Deserialize)]
struct Spender {
    spendingtxid: Option<Txid>,
    blockhash: Option<BlockHash>,
}

impl Bitcoind {
    /// Cheapest first: the mempool and the spender index, then the set of unspent outputs, then blocks.
    pub(super) fn find_spend(
        &self,
        outpoint: &OutPoint,
        script_pubkey: &Script,
        since: Option<Height>,
    ) -> Result<Option<Spend>, ChainError> {
        if let Some(spend) = self.indexed_spend(outpoint)? {
            return Ok(Some(spend));
        }
        if self.is_unspent(outpoint, script_pubkey)? {
            return Ok(None);
        }
        if self.has_spender_index()? {
            // The index knows every spend. Unless a block has come since we asked it, there was no such output.
            let unknown = ChainError::UnknownOutpoint { outpoint: *outpoint };
            return self.indexed_spend(outpoint)?.map(Some).ok_or(unknown);
        }
        self.scan_for_spend(outpoint, since)
    }

    fn indexed_spend(&self, outpoint: &OutPoint) -> Result<Option<Spend>, ChainError> {
        let asked = json!([{ "txid": outpoint.txid, "vout": outpoint.vout }]);
        let found: Vec<Spender> = match self.rpc.ask("gettxspendingprevout", &[asked])? {
            Ok(found) => found,
            // The index is still being built.
            Err(refusal) if i64::from(refusal.code) == code::MISC => return Ok(None),
            Err(refusal) => return Err(self.rpc.refused("gettxspendingprevout", refusal)),
        };
        let Some(Spender { spendingtxid: Some(txid), blockhash }) = found.into_iter().next() else {
            return Ok(None);
        };
        let (tx, block) = match blockhash {
            // Asked with its block, a transaction is found without a transaction index.
            Some(hash) => (self.raw_transaction(&txid, &[json!(hash)])?, Some(self.locate(hash)?)),
            None => (self.raw_transaction(&txid, &[])?, None),
        };
        let Some(input_index) = input_of(&tx, outpoint) else {
            let what = format!("it says that {txid} spends {outpoint}, which it does not");
            return Err(self.rpc.misbehaving(what));
        };
        Ok(Some(Spend { txid, tx, input_index, block }))
    }

    fn raw_transaction(&self, txid: &Txid, block: &[Value]) -> Result<Transaction, ChainError> {
        let mut params = vec![json!(txid), json!(0)];
        params.extend_from_slice(block);
        let text: String = self.rpc.call("getrawtransaction", &params)?;
        check::transaction(&text, txid).map_err(|what| self.rpc.misbehaving(what))
    }

    fn is_unspent(&self, outpoint: &OutPoint, script_pubkey: &Script) -> Result<bool, ChainError> {
        // With the mempool, an output that waits there is found; without it, one that the mempool began
        // to spend since we asked.
        for include_mempool in [true, false] {
            let params = [json!(outpoint.txid), json!(outpoint.vout), json!(include_mempool)];
            let output: Value = self.rpc.call("gettxout", &params)?;
            if output.is_null() {
                continue;
            }
            if output["scriptPubKey"]["hex"].as_str() != Some(script_pubkey.to_hex_string().as_str()) {
                return Err(ChainError::UnknownOutpoint { outpoint: *outpoint });
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn has_spender_index(&self) -> Result<bool, ChainError> {
        let indexes: Value = self.rpc.call("getindexinfo", &[])?;
        Ok(indexes["txospenderindex"]["synced"].as_bool() == Some(true))
    }

    /// Reads blocks from the outpoint's own on, until one spends it.
    fn scan_for_spend(
        &self,
        outpoint: &OutPoint,
        since: Option<Height>,
    ) -> Result<Option<Spend>, ChainError> {
        let start = match since {
            Some(height) => height,
            None => match self.find(&outpoint.txid)?.and_then(|info| info.block) {
                Some(block) => block.height,
                None => return Err(ChainError::UnknownOutpoint { outpoint: *outpoint }),
            },
        };
        let tip = self.height()?;
        let mut height = start;
        while height <= tip {
            let block = self.block(height)?;
            let spender = block
                .txdata
                .iter()
                .find_map(|tx| input_of(tx, outpoint).map(|input_index| (tx.clone(), input_index)));
            if let Some((tx, input_index)) = spender {
                let block = Some(BlockId { height, hash: block.block_hash() });
                return Ok(Some(Spend { txid: tx.compute_txid(), tx, input_index, block }));
            }
            height = height.saturating_add(1);
        }
        Err(ChainError::UnknownOutpoint { outpoint: *outpoint })
    }
}

fn input_of(tx: &Transaction, outpoint: &OutPoint) -> Option<usize> {
    tx.input.iter().position(|input| input.previous_output == *outpoint)
}
