//! An Electrum server as a chain source.

mod endpoint;
mod lookup;
mod stream;
mod wire;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bitcoin::block::Header;
use bitcoin::consensus::encode;
use bitcoin::constants::genesis_block;
use bitcoin::{Amount, Block, BlockHash, FeeRate, Network, OutPoint, Script, Transaction, Txid};
use serde_json::{Value, json};
use tapstake_params::Height;

use crate::config::backoff;
use crate::refusal::is_refusal;
use crate::{BlockId, ChainError, ChainSource, ElectrumConfig, Inclusion, Spend, TxInfo, check};
use endpoint::Endpoint;
use wire::{Refusal, Wire, WireError};

/// The most headers a server gives at once.
const HEADERS_BATCH: u32 = 2_016;
/// Calls sent at once on one connection. Together they stay far below what a socket buffers.
const CALLS_BATCH: usize = 50;

/// An Electrum server, by TCP or TLS, protocol 1.4 to 1.6.
///
/// The server is not believed where it can be checked: every transaction is hashed, every confirmation it
/// claims has to come with a Merkle branch that leads to the block's header.
///
/// Calls take turns on one connection, which is made anew when it breaks.
pub struct Electrum {
    endpoint: Endpoint,
    config: ElectrumConfig,
    network: Network,
    wire: Mutex<Option<Wire>>,
}

impl Electrum {
    /// Connects and checks the network by the genesis block.
    ///
    /// # Errors
    ///
    /// As [`connect`](crate::connect()).
    pub fn connect(config: &ElectrumConfig, network: Network) -> Result<Self, ChainError> {
        let endpoint = Endpoint::parse(config)?;
        let source = Electrum { endpoint, config: config.clone(), network, wire: Mutex::new(None) };
        let found = source.genesis_hash()?;
        let wanted = genesis_block(network).block_hash();
        if found != wanted {
            let url = config.url.clone();
            return Err(ChainError::WrongNetwork { url, expected: network, wanted, found });
        }
        Ok(source)
    }

    /// A client of the `electrum-client` crate on a connection of its own, as configured: for wallets that
    /// sync with `bdk_electrum`. Run what uses it inside [`contained`].
    ///
    /// # Errors
    ///
    /// [`ChainError::Unreachable`], [`ChainError::Misbehaving`].
    pub fn bdk_client(&self) -> Result<electrum_client::Client, ChainError> {
        let socks5 = self.config.proxy.as_deref().map(electrum_client::Socks5Config::new);
        let config = electrum_client::Config::builder()
            .timeout(Some(self.config.timeout()))
            .retry(u8::try_from(self.config.attempts.saturating_sub(1)).unwrap_or(u8::MAX))
            .validate_domain(!self.config.accept_any_certificate)
            .socks5(socks5)
            .build();
        contained(&self.config.url, || electrum_client::Client::from_config(&self.config.url, config))?
            .map_err(|error| self.lost(self.config.attempts.max(1), &error.to_string()))
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.config.url
    }

    fn lost(&self, attempts: u32, reason: &str) -> ChainError {
        ChainError::Unreachable { url: self.config.url.clone(), attempts, reason: reason.to_owned() }
    }

    fn misbehaving(&self, what: impl Into<String>) -> ChainError {
        ChainError::Misbehaving { url: self.config.url.clone(), what: what.into() }
    }

    fn refused(&self, method: &str, refusal: Refusal) -> ChainError {
        let Refusal { code, message } = refusal;
        ChainError::Server { url: self.config.url.clone(), method: method.to_owned(), code, message }
    }

    /// One call; the inner result is the server's refusal.
    fn ask(&self, method: &str, params: Value) -> Result<Result<Value, Refusal>, ChainError> {
        let mut answers = self.ask_all(&[(method, params)])?;
        answers.pop().ok_or_else(|| self.misbehaving(format!("{method} brought no answer")))
    }

    /// One call whose refusal has no meaning of its own to the caller.
    fn call(&self, method: &str, params: Value) -> Result<Value, ChainError> {
        self.ask(method, params)?.map_err(|refusal| self.refused(method, refusal))
    }

    /// Several calls, answers in their order. All our calls can be repeated, broadcasts too: what arrived
    /// already is known, and says so.
    fn ask_all(&self, calls: &[(&str, Value)]) -> Result<Vec<Result<Value, Refusal>>, ChainError> {
        let mut answers = Vec::with_capacity(calls.len());
        for batch in calls.chunks(CALLS_BATCH) {
            answers.extend(self.on_wire(|wire| wire.ask(batch))?);
        }
        Ok(answers)
    }

    /// Does something on the connection, on a new one if it is broken; as often as configured, but no longer
    /// than two timeouts together.
    fn on_wire<T>(&self, mut act: impl FnMut(&mut Wire) -> Result<T, WireError>) -> Result<T, ChainError> {
        let mut guard = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = self.config.attempts.max(1);
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            // Taken out, so that a connection in an unknown state is never used again.
            let wire = guard.take().map_or_else(|| Wire::open(&self.endpoint, self.config.timeout()), Ok);
            let outcome = wire.and_then(|mut wire| act(&mut wire).map(|done| (wire, done)));
            match outcome {
                Ok((wire, done)) => {
                    *guard = Some(wire);
                    return Ok(done);
                }
                Err(WireError::Nonsense(what)) => return Err(self.misbehaving(what)),
                Err(WireError::Lost(error))
                    if attempt >= attempts
                        || started.elapsed() >= 2 * self.config.timeout()
                        || is_final(&error) =>
                {
                    return Err(self.lost(attempt, &error.to_string()));
                }
                Err(WireError::Lost(error)) => {
                    tracing::debug!(url = self.config.url, attempt, %error, "electrum server lost");
                    sleep(backoff(attempt));
                    attempt += 1;
                }
            }
        }
    }

    fn version(&self) -> Result<(u32, u32), ChainError> {
        self.on_wire(|wire| Ok(wire.version()))
    }

    /// The hash of the server's block 0, of whatever network.
    fn genesis_hash(&self) -> Result<BlockHash, ChainError> {
        let answer = self.call("blockchain.block.header", json!([0]))?;
        answer
            .as_str()
            .and_then(|text| encode::deserialize_hex::<Header>(text).ok())
            .map(|header| header.block_hash())
            .ok_or_else(|| self.misbehaving("a genesis block that is no block header"))
    }

    fn parse_header(&self, answer: &Value) -> Result<Header, ChainError> {
        let text = answer.as_str().ok_or_else(|| self.misbehaving("a block header that is no text"))?;
        check::header(text, self.network).map_err(|what| self.misbehaving(what))
    }

    /// Headers of one answer: a list (1.6) or one text with a count (1.4).
    fn parse_headers(&self, answer: &Value, most: u32) -> Result<Vec<Header>, ChainError> {
        let texts: Vec<&str> = if let Some(list) = answer["headers"].as_array() {
            list.iter().filter_map(Value::as_str).collect()
        } else {
            let text = answer["hex"].as_str().unwrap_or_default();
            if !text.is_ascii() || !text.len().is_multiple_of(160) {
                return Err(
                    self.misbehaving(format!("{} digits of headers, which have 160 each", text.len()))
                );
            }
            text.as_bytes().chunks(160).filter_map(|chunk| std::str::from_utf8(chunk).ok()).collect()
        };
        if answer["count"].as_u64() != Some(texts.len() as u64) || texts.len() > most as usize {
            let what = format!(
                "{} headers where it says {} and {most} were asked for",
                texts.len(),
                answer["count"]
            );
            return Err(self.misbehaving(what));
        }
        texts
            .into_iter()
            .map(|text| check::header(text, self.network).map_err(|what| self.misbehaving(what)))
            .collect()
    }

    fn find_headers(&self, from: Height, count: u32) -> Result<Vec<Header>, ChainError> {
        let Some(above) = self.tip()?.height.blocks_since(from) else { return Ok(Vec::new()) };
        let wanted = count.min(above.saturating_add(1));
        let mut headers: Vec<Header> = Vec::new();
        let mut left = wanted;
        while left > 0 {
            let next = from.saturating_add(wanted - left);
            let most = left.min(HEADERS_BATCH);
            let answer = self.call("blockchain.block.headers", json!([next, most]))?;
            let batch = self.parse_headers(&answer, most)?;
            if let Some(at) = check::first_broken_link(&batch) {
                return Err(self.misbehaving(format!(
                    "header {at} above height {next} does not link to the one before"
                )));
            }
            let Some(first) = batch.first() else {
                return Err(
                    self.misbehaving(format!("no headers at height {next}, though its tip is higher"))
                );
            };
            if headers.last().is_some_and(|last| first.prev_blockhash != last.block_hash()) {
                return Err(ChainError::Reorganised { height: next });
            }
            left -= u32::try_from(batch.len()).unwrap_or(left).min(left);
            headers.extend(batch);
        }
        Ok(headers)
    }

    fn send(&self, tx: &Transaction) -> Result<Txid, ChainError> {
        let txid = tx.compute_txid();
        let hex = encode::serialize_hex(tx);
        let burned = check::burned(tx);
        if burned > Amount::ZERO {
            return Err(ChainError::BurnNeedsNode { txid, burned, hex });
        }
        match self.ask("blockchain.transaction.broadcast", json!([hex]))? {
            Ok(sent) if sent.as_str() == Some(txid.to_string().as_str()) => Ok(txid),
            Ok(sent) => Err(self.misbehaving(format!("sent transaction {txid}, it answered {sent}"))),
            // Servers word it in their own ways when a transaction is known already: ask for it.
            Err(refusal) => match (self.raw_transaction(&txid), rejection(&refusal.message)) {
                (Ok(Some(_)), _) => Ok(txid),
                // Only a node's own words say that it is not on its way; and where inputs are gone and nobody
                // can say by what, it may have been this very transaction.
                (Ok(None), reason) if is_refusal(&reason) => Err(ChainError::Rejected { txid, reason }),
                _ => Err(self.refused("blockchain.transaction.broadcast", refusal)),
            },
        }
    }
}

/// The node's reason out of a server's words around it: an introduction, an empty line, the reason, and the
/// whole transaction in brackets.
fn rejection(message: &str) -> String {
    let reason = message.split_once("\n\n").map_or(message, |(_, reason)| reason);
    reason.split_once("\n[").map_or(reason, |(reason, _)| reason).trim().to_owned()
}

/// Whether trying again is in vain: a bad certificate stays one.
fn is_final(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Runs what uses `electrum-client` on a foreign server, whose short answers make that crate panic.
///
/// The panic becomes [`ChainError::Misbehaving`]; its message still goes to the panic hook. The client must
/// not be used afterwards: drop it and make another.
///
/// # Errors
///
/// [`ChainError::Misbehaving`] if `act` panics.
pub fn contained<T>(url: &str, act: impl FnOnce() -> T) -> Result<T, ChainError> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic");
        ChainError::Misbehaving { url: url.to_owned(), what: format!("its answer broke the client ({said})") }
    })
}

impl ChainSource for Electrum {
    fn network(&self) -> Network {
        self.network
    }

    fn tip(&self) -> Result<BlockId, ChainError> {
        let answer = self.call("blockchain.headers.subscribe", json!([]))?;
        let height = answer["height"]
            .as_u64()
            .and_then(|height| u32::try_from(height).ok())
            .ok_or_else(|| self.misbehaving(format!("a tip at height {}", answer["height"])))?;
        let header = self.parse_header(&answer["hex"])?;
        Ok(BlockId { height: Height::new(height), hash: header.block_hash() })
    }

    fn headers(&self, from: Height, count: u32) -> Result<Vec<Header>, ChainError> {
        self.settled(|| self.find_headers(from, count))
    }

    fn block(&self, _: Height) -> Result<Block, ChainError> {
        Err(ChainError::Unsupported {
            what: "a whole block",
            source_kind: "an Electrum server",
            instead: "a bitcoind, or a block file",
        })
    }

    fn transaction(&self, txid: &Txid) -> Result<Option<TxInfo>, ChainError> {
        self.settled(|| self.find(txid))
    }

    fn inclusion(&self, txid: &Txid) -> Result<Option<Inclusion>, ChainError> {
        self.settled(|| self.find_inclusion(txid))
    }

    fn inclusion_in(&self, txid: &Txid, height: Height) -> Result<Option<Inclusion>, ChainError> {
        self.settled(|| self.inclusion_at(txid, height))
    }

    fn spend(
        &self,
        outpoint: &OutPoint,
        script_pubkey: &Script,
        since: Option<Height>,
    ) -> Result<Option<Spend>, ChainError> {
        self.settled(|| self.find_spend(outpoint, script_pubkey, since))
    }

    fn broadcast(&self, tx: &Transaction) -> Result<Txid, ChainError> {
        self.send(tx)
    }

    fn broadcast_presigned(&self, tx: &Transaction, max_burn: Amount) -> Result<Txid, ChainError> {
        let burned = check::burned(tx);
        if burned > max_burn {
            return Err(ChainError::BurnsTooMuch { txid: tx.compute_txid(), burned, max_burn });
        }
        self.send(tx)
    }

    fn fee_rate(&self, target_blocks: u16) -> Result<Option<FeeRate>, ChainError> {
        let answer = self.call("blockchain.estimatefee", json!([target_blocks.clamp(1, 1_008)]))?;
        // -1 where there is no estimate.
        Ok(answer.as_f64().and_then(check::fee_rate).filter(|rate| *rate > FeeRate::ZERO))
    }

    fn relay_fee(&self) -> Result<FeeRate, ChainError> {
        let fee = if self.version()? >= (1, 6) {
            let info = self.call("mempool.get_info", json!([]))?;
            match (info["mempoolminfee"].as_f64(), info["minrelaytxfee"].as_f64()) {
                (Some(now), Some(always)) => Some(now.max(always)),
                _ => None,
            }
        } else {
            self.call("blockchain.relayfee", json!([]))?.as_f64()
        };
        fee.and_then(check::fee_rate).ok_or_else(|| self.misbehaving("a relay fee that is no fee rate"))
    }
}

/// How long one settling question waits for a reorganisation to be over.
const REORG_PAUSE: Duration = Duration::from_millis(200);

impl fmt::Debug for Electrum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Electrum { endpoint, network, .. } = self;
        f.debug_struct("Electrum")
            .field("endpoint", endpoint)
            .field("network", network)
            .finish_non_exhaustive()
    }
}
