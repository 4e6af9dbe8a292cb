//! Following the chain, from an Electrum server or a bitcoind.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bdk_bitcoind_rpc::Emitter;
use bdk_bitcoind_rpc::bitcoincore_rpc::RpcApi;
use bdk_electrum::BdkElectrumClient;
use bdk_electrum::electrum_client::ElectrumApi;
use bdk_wallet::Update;
use bitcoin::constants::genesis_block;
use bitcoin::{BlockHash, Transaction};

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
    /// Syncs from an Electrum server.
    ///
    /// # Errors
    ///
    /// [`WalletError::ServerNetwork`], [`WalletError::Electrum`], [`WalletError::Misbehaved`] if the client
    /// library could not cope with an answer, [`WalletError::Disconnected`].
    pub fn sync_electrum<E: ElectrumApi>(
        &mut self,
        client: E,
        scan: Scan,
    ) -> Result<SyncReport, WalletError> {
        let full = scan == Scan::Full || !self.meta.scanned;
        let before = self.bdk.transactions().count();
        // electrum-client indexes into answers without looking at their length.
        let update = contained(|| {
            self.check_genesis(client.block_header(0)?.block_hash())?;
            let client = BdkElectrumClient::new(client);
            client.populate_tx_cache(self.bdk.tx_graph().full_txs().map(|tx| Arc::clone(&tx.tx)));
            Ok(if full {
                Update::from(client.full_scan(self.bdk.start_full_scan(), STOP_GAP, BATCH, false)?)
            } else {
                Update::from(client.sync(self.bdk.start_sync_with_revealed_spks(), BATCH, false)?)
            })
        })?;
        self.bdk.apply_update(update).map_err(|error| WalletError::Disconnected(error.to_string()))?;
        self.finish_sync(before)
    }

    /// Syncs from a bitcoind: every block from the wallet's birthday on, then its mempool. Needs neither a
    /// wallet nor a transaction index there. `progress` is called for each block.
    ///
    /// # Errors
    ///
    /// [`WalletError::ServerNetwork`], [`WalletError::Node`] (a pruned block among them),
    /// [`WalletError::Disconnected`].
    pub fn sync_bitcoind<C>(
        &mut self,
        client: C,
        mut progress: impl FnMut(SyncProgress),
    ) -> Result<SyncReport, WalletError>
    where
        C: Deref,
        C::Target: RpcApi,
    {
        let before = self.bdk.transactions().count();
        self.check_genesis(client.get_block_hash(0)?)?;
        let height = |count: u64| {
            u32::try_from(count).map_err(|_| WalletError::Misbehaved(format!("it has {count} blocks")))
        };
        let mut tip = height(client.get_block_count()?)?;
        let unconfirmed: Vec<Arc<Transaction>> = self
            .bdk
            .transactions()
            .filter(|tx| tx.chain_position.is_unconfirmed())
            .map(|tx| Arc::clone(&tx.tx_node.tx))
            .collect();
        let start = self.meta.birthday.min(tip);
        let mut emitter = Emitter::new(&*client, self.bdk.latest_checkpoint(), start, unconfirmed);
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

    fn check_genesis(&self, found: BlockHash) -> Result<(), WalletError> {
        let wallet = self.network();
        if found == genesis_block(wallet).block_hash() {
            Ok(())
        } else {
            Err(WalletError::ServerNetwork { found, wallet })
        }
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

/// Runs `work`, and turns a panic in it into an error.
fn contained<T>(work: impl FnOnce() -> Result<T, WalletError>) -> Result<T, WalletError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(WalletError::Misbehaved(format!("its answer made the client library panic: {words}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_a_bad_answer_is_an_error() {
        let result: Result<(), _> = contained(|| panic!("range end index 80 out of range"));
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with("server misbehaved") && message.contains("index 80"), "{message}");
    }
}
