use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::hex::FromHex;
use bitcoin::{
    Address, Amount, Block, BlockHash, Network, OutPoint, Script, ScriptBuf, Transaction, TxOut, Txid,
};
use bitcoincore_rpc::RpcApi;
use serde_json::{Value, json};

use crate::{Bitcoind, Error};

/// The node's opinion on a transaction for its mempool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// The transaction's id.
    pub txid: Txid,
    /// The node's reason for refusing it, such as `non-BIP68-final`; none means accepted.
    pub refusal: Option<String>,
}

impl Acceptance {
    /// Whether the node would take it.
    pub fn is_accepted(&self) -> bool {
        self.refusal.is_none()
    }
}

/// An output that `scantxoutset` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unspent {
    /// Which output.
    pub outpoint: OutPoint,
    /// Its value and script.
    pub output: TxOut,
    /// Height of its block.
    pub height: u32,
    /// Whether a coinbase made it, so that it can be spent only 100 blocks later.
    pub coinbase: bool,
}

impl Bitcoind {
    /// Any call, its answer as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Rpc`]; the node's own words are in [`Error::rpc_message`].
    pub fn call(&self, method: &str, params: &[Value]) -> Result<Value, Error> {
        self.rpc().call(method, params).map_err(|source| Error::Rpc { method: method.to_owned(), source })
    }

    /// Height of the best block.
    pub fn height(&self) -> Result<u32, Error> {
        let answer = self.call("getblockcount", &[])?;
        number(&answer).ok_or_else(|| unexpected("getblockcount", &answer))
    }

    /// Hash of the best block.
    pub fn best_block_hash(&self) -> Result<BlockHash, Error> {
        parsed("getbestblockhash", &self.call("getbestblockhash", &[])?)
    }

    /// Hash of the best chain's block at a height.
    pub fn block_hash(&self, height: u32) -> Result<BlockHash, Error> {
        parsed("getblockhash", &self.call("getblockhash", &[json!(height)])?)
    }

    /// A block's 80-byte header.
    pub fn header(&self, hash: BlockHash) -> Result<Header, Error> {
        decoded("getblockheader", &self.call("getblockheader", &[json!(hash), json!(false)])?)
    }

    /// A whole block.
    pub fn block(&self, hash: BlockHash) -> Result<Block, Error> {
        decoded("getblock", &self.call("getblock", &[json!(hash), json!(0)])?)
    }

    /// A transaction of the mempool or, with the index, of the chain.
    pub fn transaction(&self, txid: Txid) -> Result<Transaction, Error> {
        decoded("getrawtransaction", &self.call("getrawtransaction", &[json!(txid)])?)
    }

    /// Whether an output is unspent, the mempool's spends counted.
    pub fn is_unspent(&self, outpoint: OutPoint) -> Result<bool, Error> {
        let found = self.call("gettxout", &[json!(outpoint.txid), json!(outpoint.vout), json!(true)])?;
        Ok(!found.is_null())
    }

    /// Ids of the transactions in the mempool.
    pub fn mempool(&self) -> Result<Vec<Txid>, Error> {
        list("getrawmempool", &self.call("getrawmempool", &[])?)
    }

    /// Mines blocks of what the mempool holds, the reward to `address`, and waits until the indexes have them.
    pub fn mine(&self, blocks: u32, address: &Address) -> Result<Vec<BlockHash>, Error> {
        // In portions, since a call that takes too long would be sent again.
        let portion = if self.network() == Network::Regtest { 1_000 } else { 10 };
        let mut hashes = Vec::new();
        let mut left = blocks;
        while left > 0 {
            let now = left.min(portion);
            // The third argument: proof of work on signet takes more tries than the default allows.
            let answer = self.call("generatetoaddress", &[json!(now), json!(address), json!(i32::MAX)])?;
            hashes.extend(list::<BlockHash>("generatetoaddress", &answer)?);
            left -= now;
        }
        self.sync()?;
        Ok(hashes)
    }

    /// Mines one block of exactly these transactions, in this order.
    pub fn mine_transactions(
        &self,
        transactions: &[Transaction],
        address: &Address,
    ) -> Result<BlockHash, Error> {
        let raw: Vec<_> = transactions.iter().map(serialize_hex).collect();
        let answer = self.call("generateblock", &[json!(address), json!(raw)])?;
        self.sync()?;
        parsed("generateblock", &answer["hash"])
    }

    /// Hands over a block made elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::BlockRefused`] with the node's reason. A valid block that does not become the best is `inconclusive`,
    /// one the node has already is `duplicate`.
    pub fn submit_block(&self, block: &Block) -> Result<(), Error> {
        match self.call("submitblock", &[json!(serialize_hex(block))])? {
            Value::Null => self.sync(),
            Value::String(reason) => Err(Error::BlockRefused { reason }),
            other => Err(unexpected("submitblock", &other)),
        }
    }

    /// Asks whether the mempool would take a transaction, without sending it.
    pub fn test_accept(&self, transaction: &Transaction) -> Result<Acceptance, Error> {
        let mut answers = self.test_accept_package(std::slice::from_ref(transaction))?;
        answers.pop().ok_or_else(|| unexpected("testmempoolaccept", &Value::Null))
    }

    /// Asks the same of several transactions, parents before children.
    pub fn test_accept_package(&self, transactions: &[Transaction]) -> Result<Vec<Acceptance>, Error> {
        let raw: Vec<_> = transactions.iter().map(serialize_hex).collect();
        // Zero lifts the fee limit: whether a fee is sane is not the question here.
        let answer = self.call("testmempoolaccept", &[json!(raw), json!(0)])?;
        let results = answer.as_array().ok_or_else(|| unexpected("testmempoolaccept", &answer))?;
        results
            .iter()
            .map(|result| {
                let refusal = match result["allowed"].as_bool() {
                    Some(true) => None,
                    Some(false) => Some(result["reject-reason"].as_str().unwrap_or_default().to_owned()),
                    // In a package that fails as a whole a transaction may have no verdict of its own.
                    None => Some(result["package-error"].as_str().unwrap_or("not reached").to_owned()),
                };
                Ok(Acceptance { txid: parsed("testmempoolaccept", &result["txid"])?, refusal })
            })
            .collect()
    }

    /// Sends a transaction.
    pub fn broadcast(&self, transaction: &Transaction) -> Result<Txid, Error> {
        self.broadcast_burning(transaction, Amount::ZERO)
    }

    /// Sends a transaction that may put up to this value into `OP_RETURN` outputs, as a burning slashing does.
    pub fn broadcast_burning(&self, transaction: &Transaction, burned: Amount) -> Result<Txid, Error> {
        // The burned value goes as text, in bitcoin with eight digits: no float rounds it.
        let burned = format!("{:.8}", burned.display_in(bitcoin::Denomination::Bitcoin));
        let params = [json!(serialize_hex(transaction)), json!(0), json!(burned)];
        parsed("sendrawtransaction", &self.call("sendrawtransaction", &params)?)
    }

    /// Replaces a block and all above it by so many empty ones. Transactions of the blocks taken back wait in the
    /// mempool again, as far as they are still valid.
    ///
    /// The new blocks must be more than the old ones for others to follow.
    pub fn reorganise(&self, from: BlockHash, blocks: u32) -> Result<Vec<BlockHash>, Error> {
        self.invalidate_block(from)?;
        // A reward that nobody else gets: a block equal to the one taken back would be refused as that one.
        let script = bitcoin::script::Builder::new().push_slice(from.to_byte_array()).into_script();
        let address = Address::p2wsh(&script, self.network());
        (0..blocks).map(|_| self.mine_transactions(&[], &address)).collect()
    }

    /// Throws a block and all above it out of the best chain.
    ///
    /// Mining on from there to the same address in the same second makes the very block that was thrown out, which
    /// the node refuses: [`Self::reorganise`] minds that.
    pub fn invalidate_block(&self, hash: BlockHash) -> Result<(), Error> {
        self.call("invalidateblock", &[json!(hash)])?;
        self.sync()
    }

    /// Takes that back.
    pub fn reconsider_block(&self, hash: BlockHash) -> Result<(), Error> {
        self.call("reconsiderblock", &[json!(hash)])?;
        self.sync()
    }

    /// The node's own inclusion proof: a `CMerkleBlock`, serialised.
    pub fn txout_proof(&self, txid: Txid, block: BlockHash) -> Result<Vec<u8>, Error> {
        let answer = self.call("gettxoutproof", &[json!([txid]), json!(block)])?;
        let text = answer.as_str().ok_or_else(|| unexpected("gettxoutproof", &answer))?;
        Ok(Vec::from_hex(text)?)
    }

    /// Looks for outputs of these descriptors among all unspent outputs of the chain (not the mempool).
    pub fn scan_txoutset(&self, descriptors: &[String]) -> Result<Vec<Unspent>, Error> {
        let answer = self.call("scantxoutset", &[json!("start"), json!(descriptors)])?;
        let found = answer["unspents"].as_array().ok_or_else(|| unexpected("scantxoutset", &answer))?;
        found
            .iter()
            .map(|unspent| {
                let wrong = || unexpected("scantxoutset", unspent);
                Ok(Unspent {
                    outpoint: OutPoint {
                        txid: parsed("scantxoutset", &unspent["txid"])?,
                        vout: number(&unspent["vout"]).ok_or_else(wrong)?,
                    },
                    output: TxOut {
                        value: amount(&unspent["amount"]).ok_or_else(wrong)?,
                        script_pubkey: ScriptBuf::from_hex(
                            unspent["scriptPubKey"].as_str().ok_or_else(wrong)?,
                        )?,
                    },
                    height: number(&unspent["height"]).ok_or_else(wrong)?,
                    coinbase: unspent["coinbase"].as_bool().ok_or_else(wrong)?,
                })
            })
            .collect()
    }

    /// Unspent outputs of one script on the chain.
    pub fn unspent_of(&self, script_pubkey: &Script) -> Result<Vec<Unspent>, Error> {
        self.scan_txoutset(&[format!("raw({script_pubkey:x})")])
    }

    /// Sets the node's clock, in seconds since 1970; zero gives it back the real one. Regtest only.
    pub fn set_time(&self, seconds: u64) -> Result<(), Error> {
        self.call("setmocktime", &[json!(seconds)]).map(drop)
    }

    /// Waits until mempool and indexes have heard of all blocks: they follow the chain a moment later.
    pub fn sync(&self) -> Result<(), Error> {
        self.call("syncwithvalidationinterfacequeue", &[]).map(drop)
    }
}

fn unexpected(method: &str, answer: &Value) -> Error {
    Error::UnexpectedAnswer { method: method.to_owned(), answer: answer.to_string() }
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

/// The node writes bitcoin with eight digits; a double holds any value below 21 million of them to better than half a
/// satoshi, so that rounding gives the exact one back.
fn amount(value: &Value) -> Option<Amount> {
    Amount::from_str_in(&format!("{:.8}", value.as_f64()?), bitcoin::Denomination::Bitcoin).ok()
}

fn parsed<T: std::str::FromStr>(method: &str, value: &Value) -> Result<T, Error> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| unexpected(method, value))
}

fn list<T: std::str::FromStr>(method: &str, value: &Value) -> Result<Vec<T>, Error> {
    value
        .as_array()
        .ok_or_else(|| unexpected(method, value))?
        .iter()
        .map(|item| parsed(method, item))
        .collect()
}

fn decoded<T: bitcoin::consensus::Decodable>(method: &str, value: &Value) -> Result<T, Error> {
    let text = value.as_str().ok_or_else(|| unexpected(method, value))?;
    deserialize_hex(text).map_err(|_| unexpected(method, value))
}
