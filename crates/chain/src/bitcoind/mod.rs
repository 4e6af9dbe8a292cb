//! A Bitcoin Core node as a chain source.

mod rpc;
mod spend;

use std::fmt;

use bitcoin::block::Header;
use bitcoin::consensus::encode;
use bitcoin::constants::genesis_block;
use bitcoin::{Amount, Block, BlockHash, FeeRate, Network, OutPoint, Script, Transaction, Txid};
use serde::Deserialize;
use serde_json::{Value, json};
use tapstake_params::Height;

use crate::{BitcoindConfig, BlockId, ChainError, ChainSource, Inclusion, Spend, TxInfo, check};
use rpc::{Rpc, code};

/// The most headers asked for in one round trip.
const HEADERS_BATCH: u32 = 500;
/// How often a question is asked again because the chain changed between its calls.
const REORG_ATTEMPTS: u32 = 3;

/// A Bitcoin Core node (version 25 or later) by JSON-RPC. It needs no wallet.
///
/// To look up confirmed transactions by txid, the node needs `-txindex=1`. With `-txospenderindex=1`
/// (from version 31) it answers [`ChainSource::spend`] at once; without, blocks are scanned from the
/// outpoint's height on, which takes about 50 ms a full block.
pub struct Bitcoind {
    rpc: Rpc,
    network: Network,
}

#[derive(Deserialize)]
struct VerboseTx {
    hex: String,
    blockhash: Option<BlockHash>,
}

#[derive(Deserialize)]
struct HeaderInfo {
    height: u32,
    /// -1 for a block beside the best chain.
    confirmations: i64,
}

#[derive(Deserialize)]
struct FeeEstimate {
    feerate: Option<f64>,
}

#[derive(Deserialize)]
struct MempoolInfo {
    mempoolminfee: f64,
    minrelaytxfee: f64,
}

impl Bitcoind {
    /// Connects and checks the network by the genesis block.
    ///
    /// # Errors
    ///
    /// As [`connect`](crate::connect()).
    pub fn connect(config: &BitcoindConfig, network: Network) -> Result<Self, ChainError> {
        let rpc = Rpc::new(config)?;
        let found: BlockHash = rpc.call("getblockhash", &[json!(0)])?;
        let wanted = genesis_block(network).block_hash();
        if found != wanted {
            let url = rpc.url().to_owned();
            return Err(ChainError::WrongNetwork { url, expected: network, wanted, found });
        }
        Ok(Bitcoind { rpc, network })
    }

    /// An RPC client on a connection of its own, with the configured credentials: for wallets that sync
    /// with `bdk_bitcoind_rpc`.
    ///
    /// # Errors
    ///
    /// [`ChainError::Config`] if the cookie file cannot be read any more.
    pub fn rpc_client(&self) -> Result<bitcoincore_rpc::Client, ChainError> {
        self.rpc.another_client()
    }

    fn height(&self) -> Result<Height, ChainError> {
        self.rpc.call::<u32>("getblockcount", &[]).map(Height::new)
    }

    fn hash_at(&self, height: Height) -> Result<BlockHash, ChainError> {
        match self.rpc.ask("getblockhash", &[json!(height)])? {
            Ok(hash) => Ok(hash),
            Err(refusal) if i64::from(refusal.code) == code::INVALID_PARAMETER => {
                Err(ChainError::NoSuchBlock { height, tip: self.height()? })
            }
            Err(refusal) => Err(self.rpc.refused("getblockhash", refusal)),
        }
    }

    fn block_by_hash(&self, hash: BlockHash) -> Result<Block, ChainError> {
        let text: String = match self.rpc.ask("getblock", &[json!(hash), json!(0)])? {
            Ok(text) => text,
            // "Block not available (pruned data)": the number alone does not tell.
            Err(refusal) if i64::from(refusal.code) == code::MISC && refusal.message.contains("pruned") => {
                return Err(ChainError::Pruned { block: hash });
            }
            Err(refusal) => return Err(self.rpc.refused("getblock", refusal)),
        };
        let block: Block = encode::deserialize_hex(&text)
            .map_err(|error| self.rpc.misbehaving(format!("block {hash} cannot be read ({error})")))?;
        if block.block_hash() != hash {
            return Err(self
                .rpc
                .misbehaving(format!("asked for block {hash} it sent {}", block.block_hash())));
        }
        check::block(block).map_err(|what| self.rpc.misbehaving(what))
    }

    /// The height of a block of the best chain.
    fn locate(&self, hash: BlockHash) -> Result<BlockId, ChainError> {
        let info: HeaderInfo = self.rpc.call("getblockheader", &[json!(hash)])?;
        let height = Height::new(info.height);
        if info.confirmations < 0 {
            return Err(ChainError::Reorganised { height });
        }
        Ok(BlockId { height, hash })
    }

    /// Why a lookup by txid found nothing: `Ok` if there is nothing to be found.
    fn explain_absence(&self, txid: &Txid) -> Result<(), ChainError> {
        let indexes: Value = self.rpc.call("getindexinfo", &[json!("txindex")])?;
        match indexes["txindex"]["synced"].as_bool() {
            Some(true) => Ok(()),
            Some(false) => Err(ChainError::TxIndexSyncing { txid: *txid }),
            None => Err(ChainError::TxIndexMissing { txid: *txid }),
        }
    }

    fn find(&self, txid: &Txid) -> Result<Option<TxInfo>, ChainError> {
        let found: VerboseTx = match self.rpc.ask("getrawtransaction", &[json!(txid), json!(1)])? {
            Ok(found) => found,
            Err(refusal) if i64::from(refusal.code) == code::NOT_FOUND => {
                return self.explain_absence(txid).map(|()| None);
            }
            Err(refusal) => return Err(self.rpc.refused("getrawtransaction", refusal)),
        };
        let tx = check::transaction(&found.hex, txid).map_err(|what| self.rpc.misbehaving(what))?;
        let block = found.blockhash.map(|hash| self.locate(hash)).transpose()?;
        Ok(Some(TxInfo { tx, block }))
    }

    fn inclusion_in_block(&self, txid: &Txid, block: BlockId) -> Result<Option<Inclusion>, ChainError> {
        let whole = self.block_by_hash(block.hash)?;
        check::inclusion_from_block(&whole, block.height, txid)
    }

    fn headers_once(&self, from: Height, count: u32) -> Result<Vec<Header>, ChainError> {
        let Some(above) = self.height()?.blocks_since(from) else { return Ok(Vec::new()) };
        let end = from.saturating_add(count.min(above.saturating_add(1)));
        let mut headers = Vec::new();
        let mut next = from;
        while let Some(left) = end.blocks_since(next).filter(|left| *left > 0) {
            let batch = left.min(HEADERS_BATCH);
            let heights: Vec<_> = (0..batch).map(|i| vec![json!(next.saturating_add(i))]).collect();
            let hashes: Vec<BlockHash> = self.rpc.call_all("getblockhash", &heights)?;
            let calls: Vec<_> = hashes.iter().map(|hash| vec![json!(hash), json!(false)]).collect();
            for (text, hash) in self.rpc.call_all::<String>("getblockheader", &calls)?.iter().zip(&hashes) {
                let header = check::header(text, self.network).map_err(|what| self.rpc.misbehaving(what))?;
                if header.block_hash() != *hash {
                    let what = format!("asked for header {hash} it sent {}", header.block_hash());
                    return Err(self.rpc.misbehaving(what));
                }
                headers.push(header);
            }
            next = next.saturating_add(batch);
        }
        match check::first_broken_link(&headers) {
            None => Ok(headers),
            Some(at) => {
                let height = from.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
                Err(ChainError::Reorganised { height })
            }
        }
    }

    /// `max_fee_rate` in BTC/kvB; null leaves it to the node's limit, zero lifts that.
    fn send(&self, tx: &Transaction, max_burn: Amount, max_fee_rate: Value) -> Result<Txid, ChainError> {
        let txid = tx.compute_txid();
        let burned = check::burned(tx);
        if burned > max_burn {
            return Err(ChainError::BurnsTooMuch { txid, burned, max_burn });
        }
        // As text with eight digits, so that no float rounds it.
        let burn = format!("{:.8}", burned.display_in(bitcoin::Denomination::Bitcoin));
        let mut params = vec![json!(encode::serialize_hex(tx)), max_fee_rate];
        // Nodes of versions before 25 do not know the argument.
        if burned > Amount::ZERO {
            params.push(json!(burn));
        }
        match self.rpc.ask::<Txid>("sendrawtransaction", &params)? {
            Ok(sent) if sent == txid => Ok(txid),
            Ok(sent) => Err(self.rpc.misbehaving(format!("sent transaction {txid}, it answered {sent}"))),
            Err(refusal) => match refusal.code.into() {
                code::ALREADY_IN_UTXO_SET => Ok(txid),
                // A transaction whose outputs are all spent is refused for its missing inputs. It arrived.
                number @ (code::VERIFY | code::VERIFY_REJECTED) => match self.find(&txid) {
                    Ok(Some(_)) => Ok(txid),
                    // Missing inputs, and no telling what spent them: it may have been this very transaction.
                    Err(_) if number == code::VERIFY => Err(self.rpc.refused("sendrawtransaction", refusal)),
                    _ => Err(ChainError::Rejected { txid, reason: refusal.message }),
                },
                _ => Err(self.rpc.refused("sendrawtransaction", refusal)),
            },
        }
    }
}

/// Asks again while the chain changes between the calls of one question.
fn settled<T>(mut ask: impl FnMut() -> Result<T, ChainError>) -> Result<T, ChainError> {
    for _ in 1..REORG_ATTEMPTS {
        match ask() {
            Err(ChainError::Reorganised { .. }) => {}
            answer => return answer,
        }
    }
    ask()
}

impl ChainSource for Bitcoind {
    fn network(&self) -> Network {
        self.network
    }

    fn tip(&self) -> Result<BlockId, ChainError> {
        settled(|| self.locate(self.rpc.call("getbestblockhash", &[])?))
    }

    fn headers(&self, from: Height, count: u32) -> Result<Vec<Header>, ChainError> {
        settled(|| self.headers_once(from, count))
    }

    fn block(&self, height: Height) -> Result<Block, ChainError> {
        self.block_by_hash(self.hash_at(height)?)
    }

    fn transaction(&self, txid: &Txid) -> Result<Option<TxInfo>, ChainError> {
        settled(|| self.find(txid))
    }

    fn inclusion(&self, txid: &Txid) -> Result<Option<Inclusion>, ChainError> {
        settled(|| match self.find(txid)?.and_then(|info| info.block) {
            Some(block) => self.inclusion_in_block(txid, block),
            None => Ok(None),
        })
    }

    fn inclusion_in(&self, txid: &Txid, height: Height) -> Result<Option<Inclusion>, ChainError> {
        self.inclusion_in_block(txid, BlockId { height, hash: self.hash_at(height)? })
    }

    fn spend(
        &self,
        outpoint: &OutPoint,
        script_pubkey: &Script,
        since: Option<Height>,
    ) -> Result<Option<Spend>, ChainError> {
        settled(|| self.find_spend(outpoint, script_pubkey, since))
    }

    fn broadcast(&self, tx: &Transaction) -> Result<Txid, ChainError> {
        self.send(tx, Amount::ZERO, Value::Null)
    }

    fn broadcast_presigned(&self, tx: &Transaction, max_burn: Amount) -> Result<Txid, ChainError> {
        self.send(tx, max_burn, json!(0))
    }

    fn fee_rate(&self, target_blocks: u16) -> Result<Option<FeeRate>, ChainError> {
        let estimate: FeeEstimate =
            self.rpc.call("estimatesmartfee", &[json!(target_blocks.clamp(1, 1_008))])?;
        Ok(estimate.feerate.and_then(check::fee_rate))
    }

    fn relay_fee(&self) -> Result<FeeRate, ChainError> {
        let info: MempoolInfo = self.rpc.call("getmempoolinfo", &[])?;
        let fee = info.mempoolminfee.max(info.minrelaytxfee);
        check::fee_rate(fee).ok_or_else(|| self.rpc.misbehaving(format!("a relay fee of {fee} BTC/kvB")))
    }
}

impl fmt::Debug for Bitcoind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bitcoind").field("url", &self.rpc.url()).field("network", &self.network).finish()
    }
}
