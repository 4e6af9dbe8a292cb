//! A chain with its Electrum server and its faucet, as one handle.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bitcoin::{Amount, Block, BlockHash, Network, OutPoint, Script, Transaction, Txid};

use crate::accept::Accepted;
use crate::chain::{Chain, Submitted, Tip};
use crate::clock::Clock;
use crate::electrum::Server;
use crate::error::{AcceptError, BlockError, Error};
use crate::faucet::Faucet;
use crate::index::Position;
use crate::shared::Shared;

/// How to start a devnet.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the time comes from.
    pub clock: Clock,
    /// Where the Electrum server listens: a loopback address, with port 0 for a free one.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self { clock: Clock::System, listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
    }
}

/// A running devnet. Clones are handles to the same one; it stops when the last is dropped.
#[derive(Debug, Clone)]
pub struct Devnet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    faucet: Arc<Faucet>,
    server: Server,
    /// Counts calls of `set_automine`, so that an earlier timer knows that it is replaced.
    automine_round: Arc<AtomicU64>,
    automine: Mutex<Option<JoinHandle<()>>>,
}

impl Devnet {
    /// Starts a chain with only the genesis block, and its Electrum server.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not a loopback address or not free.
    pub fn start(config: &Config) -> Result<Self, Error> {
        Self::with_chain(Chain::new(config.clock), config.listen)
    }

    /// Serves a chain that exists already.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not a loopback address or not free.
    pub fn with_chain(chain: Chain, listen: SocketAddr) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(chain));
        let server = Server::start(Arc::clone(&shared), listen)?;
        Ok(Self(Arc::new(Inner {
            shared,
            faucet: Arc::new(Faucet::new()),
            server,
            automine_round: Arc::new(AtomicU64::new(0)),
            automine: Mutex::new(None),
        })))
    }

    /// Returns the network the chain belongs to.
    pub fn network(&self) -> Network {
        Network::Regtest
    }

    /// Returns the address of the Electrum server.
    pub fn addr(&self) -> SocketAddr {
        self.0.server.addr()
    }

    /// Returns the address of the Electrum server as clients take it, such as `tcp://127.0.0.1:50001`.
    pub fn electrum_url(&self) -> String {
        format!("tcp://{}", self.addr())
    }

    /// Calls a function with the chain, for all that has no method here.
    pub fn with<T>(&self, read: impl FnOnce(&Chain) -> T) -> T {
        self.0.shared.read(read)
    }

    /// Calls a function that may change the chain; subscribers are told what has changed.
    pub fn with_mut<T>(&self, update: impl FnOnce(&mut Chain) -> T) -> T {
        self.0.shared.update(update)
    }

    /// Mines `count` blocks; subsidy and fees go to the faucet. Returns the hashes.
    ///
    /// # Errors
    ///
    /// Returns an error if the blocks came too fast for the clock, see [`Chain::mine`].
    pub fn mine(&self, count: u32) -> Result<Vec<BlockHash>, Error> {
        self.mine_to(count, self.0.faucet.script_pubkey())
    }

    /// Mines `count` blocks; subsidy and fees go to a script. Returns the hashes.
    ///
    /// # Errors
    ///
    /// Returns an error if the blocks came too fast for the clock, see [`Chain::mine`].
    pub fn mine_to(&self, count: u32, script_pubkey: &Script) -> Result<Vec<BlockHash>, Error> {
        // The lock is taken for each block, so that the server answers in between.
        (0..count).map(|_| Ok(self.with_mut(|chain| chain.mine(script_pubkey))?)).collect()
    }

    /// Mines until the tip has the given height; does nothing if it has.
    ///
    /// # Errors
    ///
    /// Returns an error if the blocks came too fast for the clock, see [`Chain::mine`].
    pub fn mine_to_height(&self, height: u32) -> Result<Tip, Error> {
        while self.tip().height < height {
            self.mine(1)?;
        }
        Ok(self.tip())
    }

    /// Pays an amount to a script, see [`Faucet::fund`]. The payment waits in the mempool.
    ///
    /// # Errors
    ///
    /// Returns an error if the faucet has not enough, or the payment is none that a mempool takes.
    pub fn fund(&self, script_pubkey: &Script, amount: Amount) -> Result<Txid, Error> {
        self.with_mut(|chain| self.0.faucet.fund(chain, script_pubkey, amount))
    }

    /// Takes a transaction into the mempool that burns nothing.
    ///
    /// # Errors
    ///
    /// Returns the first rule the transaction breaks.
    pub fn broadcast(&self, tx: &Transaction) -> Result<Txid, AcceptError> {
        self.broadcast_burning(tx, Amount::ZERO)
    }

    /// Takes a transaction into the mempool whose outputs that nobody can spend are worth up to
    /// `max_burn` each: the third argument of the node call `sendrawtransaction`.
    ///
    /// # Errors
    ///
    /// Returns the first rule the transaction breaks.
    pub fn broadcast_burning(&self, tx: &Transaction, max_burn: Amount) -> Result<Txid, AcceptError> {
        self.with_mut(|chain| chain.accept(tx, max_burn)).map(|accepted| accepted.txid)
    }

    /// Says what a broadcast would, and changes nothing.
    ///
    /// # Errors
    ///
    /// Returns the first rule the transaction breaks.
    pub fn test_accept(&self, tx: &Transaction, max_burn: Amount) -> Result<Accepted, AcceptError> {
        self.with(|chain| chain.test_accept(tx, max_burn))
    }

    /// Returns the end of the active chain.
    pub fn tip(&self) -> Tip {
        self.with(Chain::tip)
    }

    /// Returns the active chain's block at a height.
    pub fn block(&self, height: u32) -> Option<Arc<Block>> {
        self.with(|chain| chain.block(height))
    }

    /// Returns a block by its hash, on the active chain or beside it.
    pub fn block_by_hash(&self, hash: &BlockHash) -> Option<Arc<Block>> {
        self.with(|chain| chain.block_by_hash(hash))
    }

    /// Returns a transaction of the active chain or of the mempool.
    pub fn transaction(&self, txid: &Txid) -> Option<Transaction> {
        self.with(|chain| chain.transaction(txid))
    }

    /// Returns where a transaction is on the active chain.
    pub fn position(&self, txid: &Txid) -> Option<Position> {
        self.with(|chain| chain.position(txid))
    }

    /// Returns the transaction that spends an output, confirmed or not.
    pub fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.with(|chain| chain.spender(outpoint))
    }

    /// Returns the ids of the transactions that wait for a block, parents first.
    pub fn mempool(&self) -> Vec<Txid> {
        self.with(|chain| chain.mempool().iter().map(|(txid, _)| txid).collect())
    }

    /// Takes a block, see [`Chain::submit_block`].
    ///
    /// # Errors
    ///
    /// Returns the first rule the block breaks.
    pub fn submit_block(&self, block: Block) -> Result<Submitted, BlockError> {
        self.with_mut(|chain| chain.submit_block(block))
    }

    /// Declares a block invalid, see [`Chain::invalidate_block`].
    ///
    /// # Errors
    ///
    /// Returns an error if the block is not known, or is the first of all.
    pub fn invalidate_block(&self, hash: &BlockHash) -> Result<(), Error> {
        self.with_mut(|chain| chain.invalidate_block(hash))
    }

    /// Takes back an invalidation, see [`Chain::reconsider_block`].
    ///
    /// # Errors
    ///
    /// Returns an error if the block is not known.
    pub fn reconsider_block(&self, hash: &BlockHash) -> Result<(), Error> {
        self.with_mut(|chain| chain.reconsider_block(hash))
    }

    /// Replaces the clock.
    pub fn set_clock(&self, clock: Clock) {
        self.with_mut(|chain| chain.set_clock(clock));
    }

    /// Mines one block to the faucet in every interval from now on, or no more if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started.
    pub fn set_automine(&self, interval: Option<Duration>) -> Result<(), Error> {
        let round = self.0.automine_round.fetch_add(1, Ordering::SeqCst) + 1;
        let mut automine = self.0.automine.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.shared.wake();
        if let Some(thread) = automine.take() {
            join(thread);
        }
        let Some(interval) = interval else { return Ok(()) };
        let (shared, faucet) = (Arc::clone(&self.0.shared), Arc::clone(&self.0.faucet));
        let rounds = Arc::clone(&self.0.automine_round);
        let run = move || {
            let replaced = || rounds.load(Ordering::SeqCst) != round;
            while !shared.sleep(interval, replaced) {
                if let Err(error) = shared.update(|chain| chain.mine(faucet.script_pubkey())) {
                    tracing::warn!(%error, "no block");
                }
            }
        };
        let thread =
            thread::Builder::new().name("devnet-automine".to_owned()).spawn(run).map_err(Error::Thread)?;
        *automine = Some(thread);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.stop();
        let automine = self.automine.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = automine.take() {
            join(thread);
        }
    }
}

/// Waits for the end of a thread. If it panicked the panic has been printed by its hook.
pub(crate) fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the devnet panicked");
    }
}
