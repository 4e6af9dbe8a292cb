//! The wallet itself: made, opened, asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bdk_wallet::chain::ChainPosition;
use bdk_wallet::error::{LoadError, LoadMismatch};
use bdk_wallet::{KeychainKind, LocalOutput};
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{Address, Amount, Network, OutPoint, Transaction, TxOut};
use tapstake_durable as durable;

use crate::error::{AtPath, WalletError};
use crate::keys::{self, PublicDescriptors};
use crate::lock::LockReason;
use crate::secret::{Passphrase, Secret, SecretFile, SecretText, SeedPhrase};
use crate::staker::StakerKeySource;
use crate::store::{Change, Meta, Store};

const DATABASE: &str = "wallet.sqlite";
pub(crate) const SEED: &str = "seed.json";

/// What a new wallet is made from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A mnemonic, with its BIP-0039 passphrase if it has one: a BIP-0086 wallet.
    Seed {
        /// The words.
        phrase: SeedPhrase,
        /// Never stored: needed again to sign.
        passphrase: Option<Passphrase>,
        /// The account, `86'/coin'/account'`; 0 for most people.
        account: u32,
    },
    /// Descriptors, private (they sign) or public (they watch, and another signer signs).
    Descriptors {
        /// For receiving, or for both with `<0;1>`.
        external: SecretText,
        /// For change; without one, change goes to the receiving descriptor.
        internal: Option<SecretText>,
    },
}

impl Origin {
    /// The first account of a mnemonic without passphrase.
    pub fn seed(phrase: SeedPhrase) -> Self {
        Origin::Seed { phrase, passphrase: None, account: 0 }
    }

    /// Receiving and change descriptor as text.
    pub fn descriptors(external: String, internal: Option<String>) -> Self {
        Origin::Descriptors { external: SecretText::new(external), internal: internal.map(SecretText::new) }
    }
}

/// How to make a wallet.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// The network; it cannot change later.
    pub network: Network,
    /// What from.
    pub origin: Origin,
    /// The first height that can hold coins of the wallet: the tip's for a fresh seed, 0 if unknown. Blocks
    /// below are not read from a bitcoind.
    pub birthday: u32,
    /// Whose staker key is used.
    pub staker: StakerKeySource,
    /// Lets private keys without a passphrase lie in a file on mainnet.
    pub accept_unprotected_seed: bool,
}

impl CreateOptions {
    /// A wallet with everything as most people want it.
    pub fn new(network: Network, origin: Origin) -> Self {
        CreateOptions {
            network,
            origin,
            birthday: 0,
            staker: StakerKeySource::Derived,
            accept_unprotected_seed: false,
        }
    }
}

/// A wallet in a folder: its public part. It watches, funds and exports; signing takes a
/// [`Signer`](crate::Signer), which [`Wallet::signer`] reads from the seed file when it is needed.
#[derive(Debug)]
pub struct Wallet {
    pub(crate) bdk: bdk_wallet::Wallet,
    pub(crate) store: Store,
    pub(crate) meta: Meta,
    pub(crate) locks: BTreeMap<OutPoint, LockReason>,
    pub(crate) folder: PathBuf,
}

impl Wallet {
    /// Makes a wallet in a new folder and opens it. The folder appears complete or not at all.
    ///
    /// # Errors
    ///
    /// [`WalletError::FolderInUse`] if the folder exists and is not empty,
    /// [`WalletError::UnprotectedMainnetSeed`], and everything that can be wrong with the keys.
    pub fn create(folder: &Path, options: CreateOptions) -> Result<Self, WalletError> {
        let CreateOptions { network, origin, birthday, staker, accept_unprotected_seed } = options;
        let occupied = match fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(error).at(folder),
        };
        if occupied {
            return Err(WalletError::FolderInUse(folder.to_owned()));
        }
        let (public, secret) = prepare(network, origin)?;
        let protected = match &secret {
            None => true,
            Some(file) => matches!(file.secret, Secret::Mnemonic { passphrase: true, .. }),
        };
        if network == Network::Bitcoin && !protected && !accept_unprotected_seed {
            return Err(WalletError::UnprotectedMainnetSeed);
        }
        if staker == StakerKeySource::Derived && secret.is_some() {
            // Said now rather than when coins wait to be staked. A watch-only wallet may never stake.
            keys::public_account(&public.external, &Secp256k1::new())?;
        }

        let parent = durable::folder_of(folder);
        durable::create_folders(parent).at(parent)?;
        let mut name = folder.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let unfinished = parent.join(name);
        let result =
            fill(&unfinished, network, &public, secret.as_ref(), &Meta { birthday, scanned: false, staker })
                .and_then(|()| fs::rename(&unfinished, folder).at(folder))
                .and_then(|()| durable::sync_folder(parent).at(parent));
        if let Err(error) = result {
            let _ = fs::remove_dir_all(&unfinished);
            return Err(error);
        }
        Wallet::open(folder, network)
    }

    /// Opens the wallet in a folder, for the network it was made for.
    ///
    /// # Errors
    ///
    /// [`WalletError::NoWallet`], [`WalletError::WrongNetwork`], [`WalletError::Busy`] if another process
    /// has it open, [`WalletError::Damaged`] or [`WalletError::NewerFormat`] for files that cannot be read.
    pub fn open(folder: &Path, network: Network) -> Result<Self, WalletError> {
        let path = folder.join(DATABASE);
        if !path.is_file() {
            return Err(WalletError::NoWallet(folder.to_owned()));
        }
        let (store, opened) = Store::open(&path)?;
        let damaged = |reason: String| WalletError::Damaged { file: path.display().to_string(), reason };
        let bdk = bdk_wallet::Wallet::load()
            .check_network(network)
            .load_wallet_no_persist(opened.changes)
            .map_err(|error| match error {
                LoadError::Mismatch(LoadMismatch::Network { loaded, expected }) => {
                    WalletError::WrongNetwork { wallet: loaded, expected }
                }
                other => damaged(other.to_string()),
            })?
            .ok_or_else(|| damaged("it is empty".into()))?;
        let mut wallet =
            Wallet { bdk, store, meta: opened.meta, locks: opened.locks, folder: folder.to_owned() };
        wallet.persist(&[])?;
        Ok(wallet)
    }

    /// The network of the wallet.
    pub fn network(&self) -> Network {
        self.bdk.network()
    }

    /// The folder it lies in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The first height that can hold coins of the wallet.
    pub fn birthday(&self) -> u32 {
        self.meta.birthday
    }

    /// The height of the last block the wallet has seen; 0 before the first sync.
    pub fn height(&self) -> u32 {
        self.bdk.latest_checkpoint().height()
    }

    /// Whether private keys lie beside the database.
    pub fn has_private_keys(&self) -> bool {
        self.folder.join(SEED).is_file()
    }

    /// The public descriptors, receiving first, with their checksums.
    pub fn descriptors(&self) -> Vec<String> {
        self.bdk.keychains().map(|(_, descriptor)| descriptor.to_string()).collect()
    }

    /// The next receiving address that nobody has paid to: the same one until it is used.
    ///
    /// # Errors
    ///
    /// [`WalletError::Database`].
    pub fn next_unused_address(&mut self) -> Result<AddressEntry, WalletError> {
        let address = self.bdk.next_unused_address(KeychainKind::External);
        self.persist(&[])?;
        Ok(self.entry(address))
    }

    /// A fresh receiving address, one further each time.
    ///
    /// # Errors
    ///
    /// [`WalletError::Database`].
    pub fn new_address(&mut self) -> Result<AddressEntry, WalletError> {
        let address = self.bdk.reveal_next_address(KeychainKind::External);
        self.persist(&[])?;
        Ok(self.entry(address))
    }

    /// The next unused change address, for withdrawals and refunds.
    ///
    /// # Errors
    ///
    /// [`WalletError::Database`].
    pub fn next_change_address(&mut self) -> Result<AddressEntry, WalletError> {
        let address = self.bdk.next_unused_address(KeychainKind::Internal);
        self.persist(&[])?;
        Ok(self.entry(address))
    }

    /// All receiving addresses handed out so far.
    pub fn addresses(&self) -> Vec<AddressEntry> {
        match self.bdk.derivation_index(KeychainKind::External) {
            None => Vec::new(),
            Some(last) => (0..=last)
                .map(|index| self.entry(self.bdk.peek_address(KeychainKind::External, index)))
                .collect(),
        }
    }

    fn entry(&self, info: bdk_wallet::AddressInfo) -> AddressEntry {
        let used = self.bdk.spk_index().is_used(info.keychain, info.index);
        AddressEntry { address: info.address, index: info.index, change: is_change(info.keychain), used }
    }

    /// Whether an output script is the wallet's.
    pub fn is_mine(&self, script_pubkey: &bitcoin::Script) -> bool {
        self.bdk.is_mine(script_pubkey.to_owned())
    }

    /// What the wallet has.
    pub fn balance(&self) -> Balance {
        let balance = self.bdk.balance();
        let locked = self.coins().iter().filter(|coin| coin.lock.is_some()).map(|coin| coin.value).sum();
        Balance {
            confirmed: balance.confirmed,
            trusted_pending: balance.trusted_pending,
            untrusted_pending: balance.untrusted_pending,
            immature: balance.immature,
            locked,
        }
    }

    /// All unspent coins, oldest first.
    pub fn coins(&self) -> Vec<Coin> {
        let mut coins: Vec<Coin> = self.bdk.list_unspent().map(|output| self.coin(&output)).collect();
        coins.sort_by_key(|coin| (std::cmp::Reverse(coin.confirmations), coin.outpoint));
        coins
    }

    /// One unspent coin.
    pub fn get_coin(&self, outpoint: OutPoint) -> Option<Coin> {
        self.bdk.get_utxo(outpoint).map(|output| self.coin(&output))
    }

    fn coin(&self, output: &LocalOutput) -> Coin {
        let tip = self.height();
        let confirmations = match &output.chain_position {
            ChainPosition::Confirmed { anchor, .. } => (tip + 1).saturating_sub(anchor.block_id.height),
            ChainPosition::Unconfirmed { .. } => 0,
        };
        let coinbase = self.bdk.get_tx(output.outpoint.txid).is_some_and(|tx| tx.tx_node.tx.is_coinbase());
        Coin {
            outpoint: output.outpoint,
            value: output.txout.value,
            address: Address::from_script(&output.txout.script_pubkey, self.network()).ok(),
            confirmations,
            change: is_change(output.keychain),
            // With 100 confirmations the next block, 100 above its own, may spend it.
            immature: coinbase && confirmations < bitcoin::constants::COINBASE_MATURITY,
            lock: self.lock_reason(output.outpoint),
        }
    }

    /// A transaction that the wallet has seen.
    pub fn transaction(&self, txid: bitcoin::Txid) -> Option<Arc<Transaction>> {
        self.bdk.get_tx(txid).map(|tx| Arc::clone(&tx.tx_node.tx))
    }

    /// The output an outpoint names, if the wallet knows its transaction.
    pub(crate) fn known_output(&self, outpoint: OutPoint) -> Option<TxOut> {
        self.bdk.tx_graph().get_txout(outpoint).cloned()
    }

    /// Notes a transaction that was just broadcast, seen at `now` (seconds since 1970): what it spends is
    /// spent, its change can be used, without waiting for the next sync.
    ///
    /// # Errors
    ///
    /// [`WalletError::Database`].
    pub fn note_broadcast(&mut self, tx: Transaction, now: u64) -> Result<(), WalletError> {
        self.bdk.apply_unconfirmed_txs([(tx, now)]);
        self.persist(&[])
    }

    /// Writes what BDK has staged, and changes of ours, in one database transaction.
    pub(crate) fn persist(&mut self, ours: &[Change]) -> Result<(), WalletError> {
        self.store.write(self.bdk.staged(), ours)?;
        self.bdk.take_staged();
        Ok(())
    }
}

/// An address of the wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressEntry {
    /// The address.
    pub address: Address,
    /// Its derivation index.
    pub index: u32,
    /// Whether it is for change.
    pub change: bool,
    /// Whether anything was paid to it.
    pub used: bool,
}

/// What a wallet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Balance {
    /// In blocks, coinbase outputs only once mature.
    pub confirmed: Amount,
    /// Unconfirmed change of our own transactions.
    pub trusted_pending: Amount,
    /// Unconfirmed, from others: they can take it back.
    pub untrusted_pending: Amount,
    /// Coinbase outputs younger than 100 blocks.
    pub immature: Amount,
    /// The part of all the above that is locked.
    pub locked: Amount,
}

impl Balance {
    /// Everything, spendable or not.
    pub fn total(&self) -> Amount {
        self.confirmed + self.trusted_pending + self.untrusted_pending + self.immature
    }
}

/// An unspent coin of the wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coin {
    /// Where it is.
    pub outpoint: OutPoint,
    /// Its value.
    pub value: Amount,
    /// Its address.
    pub address: Option<Address>,
    /// Blocks since and with its own; 0 if unconfirmed.
    pub confirmations: u32,
    /// Whether it came as change.
    pub change: bool,
    /// A coinbase output younger than 100 blocks.
    pub immature: bool,
    /// Why it is locked, if it is.
    pub lock: Option<LockReason>,
}

fn is_change(keychain: KeychainKind) -> bool {
    keychain == KeychainKind::Internal
}

/// The public descriptors of an origin, and what goes into the seed file.
fn prepare(network: Network, origin: Origin) -> Result<(PublicDescriptors, Option<SecretFile>), WalletError> {
    let secp = Secp256k1::new();
    match origin {
        Origin::Seed { phrase, passphrase, account } => {
            let (parsed, fingerprint) = keys::bip86(&phrase, passphrase.as_ref(), network, account, &secp)?;
            let secret = Secret::Mnemonic {
                words: SecretText::new(phrase.words().to_string()),
                passphrase: passphrase.is_some(),
                account,
            };
            Ok((parsed.public, Some(SecretFile::new(network, Some(fingerprint), secret))))
        }
        Origin::Descriptors { external, internal } => {
            let parsed = keys::parse(&external, internal.as_ref(), network, &secp)?;
            let secret = (!parsed.keys.map.is_empty())
                .then(|| SecretFile::new(network, None, Secret::Descriptors { external, internal }));
            Ok((parsed.public, secret))
        }
    }
}

/// Fills the folder of a new wallet.
fn fill(
    folder: &Path,
    network: Network,
    public: &PublicDescriptors,
    secret: Option<&SecretFile>,
    meta: &Meta,
) -> Result<(), WalletError> {
    // Left over from a process with the same id that died in the middle; it never was a wallet.
    let _ = fs::remove_dir_all(folder);
    durable::create_folders(folder).at(folder)?;
    if let Some(secret) = secret {
        secret.write(&folder.join(SEED))?;
    }
    let params = match &public.internal {
        Some(internal) => bdk_wallet::Wallet::create(public.external.clone(), internal.clone()),
        None => bdk_wallet::Wallet::create_single(public.external.clone()),
    };
    let mut bdk = params
        .network(network)
        .create_wallet_no_persist()
        .map_err(|error| WalletError::Descriptor(error.to_string()))?;
    let mut store = Store::create(&folder.join(DATABASE))?;
    store.write(bdk.take_staged().as_ref(), &[Change::Meta(meta.clone())])?;
    drop(store);
    durable::sync_folder(folder).at(folder)
}

#[cfg(test)]
mod tests;
