//! Following the chain, from an Electrum server or a bitcoind.

use std::sync::Arc;

use bdk_bitcoind_rpc::Emitter;
use bdk_electrum::{BdkElectrumClient, electrum_client};
use bdk_wallet::Update;
use bitcoin::{BlockHash, Transaction};
use tapstake_chain::{Bitcoind, ChainSource, Electrum, SourceConfig, contained};

use crate::error::WalletError;
use crate::store::{Change, Meta};
use crate::wallet::Wallet;

/// How many unused addresses in a row end the search for used ones (BIP-0044).
const STOP_GAP: usize = 20;

/// Scripts asked for in one request.
const BATCH: usize = 25;

/// Blocks after which progress is written, so that a long first sync can be interrupted.
const WRITE_EVERY: u32 = 500;

/// How thoroughly to look over Electrum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scan {
    /// For used addresses the first time, later at the known addresses only.
    #[default]
    Auto,
    /// For used addresses again: when the seed is used in another wallet too.
    Full,
}

/// What a sync found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncReport {
    /// The height of the chain now.
    pub height: u32,
    /// The hash of its last block.
    pub hash: BlockHash,
    /// Transactions the wallet knows now and did not before.
    pub new_transactions: usize,
}

/// How far a sync from a bitcoind has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncProgress {
    /// The block just read.
    pub height: u32,
    /// The node's last block.
    pub tip: u32,
}

impl Wallet {
    /// Connects to whichever source is configured and syncs from it.
    ///
    /// # Errors
    ///
    /// As [`connect`](tapstake_chain::connect), [`Wallet::sync_electrum`] and [`Wallet::sync_bitcoind`].
    pub fn sync(
        &mut self,
        source: &SourceConfig,
        scan: Scan,
        progress: impl FnMut(SyncProgress),
    ) -> Result<SyncReport, WalletError> {
        match source {
            SourceConfig::Electrum(config) => {
                self.sync_electrum(&Electrum::connect(config, self.network())?, scan)
            }
            SourceConfig::Bitcoind(config) => {
                self.sync_bitcoind(&Bitcoind::connect(config, self.network())?, progress)
            }
        }
    }

    /// Syncs from an Electrum server.
    ///
    /// # Errors
    ///
    /// [`WalletError::WrongNetwork`], [`WalletError::Electrum`], [`WalletError::Chain`] (a misbehaving server
    /// among them), [`WalletError::Disconnected`].
    pub fn sync_electrum(&mut self, source: &Electrum, scan: Scan) -> Result<SyncReport, WalletError> {
        self.check_network(source)?;
        let full = scan == Scan::Full || !self.meta.scanned;
        let before = self.bdk.transactions().count();
        let client = BdkElectrumClient::new(source.bdk_client()?);
        client.populate_tx_cache(self.bdk.tx_graph().full_txs().map(|tx| Arc::clone(&tx.tx)));
        let update = contained(source.url(), || {
            Ok::<_, electrum_client::Error>(if full {
                Update::from(client.full_scan(self.bdk.start_full_scan(), STOP_GAP, BATCH, false)?)
            } else {
                Update::from(client.sync(self.bdk.start_sync_with_revealed_spks(), BATCH, false)?)
            })
        })??;
        self.bdk.apply_update(update).map_err(|error| WalletError::Disconnected(error.to_string()))?;
        self.finish_sync(before)
    }

    /// Syncs from a bitcoind: every block from the wallet's birthday on, then its mempool. Needs neither a
    /// wallet nor a transaction index there. `progress` is called for each block.
    ///
    /// # Errors
    ///
    /// [`WalletError::WrongNetwork`], [`WalletError::Node`] (a pruned block among them),
    /// [`WalletError::Chain`], [`WalletError::Disconnected`].
    pub fn sync_bitcoind(
        &mut self,
        source: &Bitcoind,
        mut progress: impl FnMut(SyncProgress),
    ) -> Result<SyncReport, WalletError> {
        self.check_network(source)?;
        let before = self.bdk.transactions().count();
        let client = source.rpc_client()?;
        let mut tip = source.tip()?.height.to_u32();
        let unconfirmed: Vec<Arc<Transaction>> = self
            .bdk
            .transactions()
            .filter(|tx| tx.chain_position.is_unconfirmed())
            .map(|tx| Arc::clone(&tx.tx_node.tx))
            .collect();
        let start = self.meta.birthday.min(tip);
        let mut emitter = Emitter::new(&client, self.bdk.latest_checkpoint(), start, unconfirmed);
        while let Some(event) = emitter.next_block()? {
            let height = event.block_height();
            self.bdk
                .apply_block_connected_to(&event.block, height, event.connected_to())
                .map_err(|error| WalletError::Disconnected(error.to_string()))?;
            tip = tip.max(height);
            progress(SyncProgress { height, tip });
            if height.is_multiple_of(WRITE_EVERY) {
                self.persist(&[])?;
            }
        }
        let mempool = emitter.mempool()?;
        self.bdk.apply_unconfirmed_txs(mempool.update);
        self.bdk.apply_evicted_txs(mempool.evicted);
        self.finish_sync(before)
    }

    fn check_network(&self, source: &dyn ChainSource) -> Result<(), WalletError> {
        let (wallet, expected) = (self.network(), source.network());
        if wallet == expected { Ok(()) } else { Err(WalletError::WrongNetwork { wallet, expected }) }
    }

    fn finish_sync(&mut self, before: usize) -> Result<SyncReport, WalletError> {
        let meta = Meta { scanned: true, ..self.meta.clone() };
        self.persist(&[Change::Meta(meta.clone())])?;
        self.meta = meta;
        let tip = self.bdk.latest_checkpoint();
        let new_transactions = self.bdk.transactions().count().saturating_sub(before);
        tracing::debug!(height = tip.height(), new_transactions, "synced");
        Ok(SyncReport { height: tip.height(), hash: tip.hash(), new_transactions })
    }
}
