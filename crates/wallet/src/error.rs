use std::io;
use std::path::PathBuf;

use bitcoin::bip32::{DerivationPath, Fingerprint};
use bitcoin::{Amount, Network, OutPoint, Txid, XOnlyPublicKey};

/// Why a wallet refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    // Opening and creating.
    /// The folder holds something already.
    #[error("{} is not empty: a wallet is made in a new folder only", .0.display())]
    FolderInUse(PathBuf),
    /// There is no wallet in the folder.
    #[error("no wallet in {}", .0.display())]
    NoWallet(PathBuf),
    /// Another process has the wallet open.
    #[error("wallet in {} is open in another process", .0.display())]
    Busy(PathBuf),
    /// The wallet belongs to another network.
    #[error("wallet is for {wallet}, not for {expected}")]
    WrongNetwork {
        /// The network the wallet was made for.
        wallet: Network,
        /// The network asked for.
        expected: Network,
    },
    /// A file was written by a newer version of tapstake.
    #[error("{file} has format {found}, this version reads up to {supported}")]
    NewerFormat {
        /// Which file.
        file: String,
        /// The format found.
        found: u32,
        /// The newest format known here.
        supported: u32,
    },
    /// A file is damaged.
    #[error("{file} is damaged: {reason}")]
    Damaged {
        /// Which file.
        file: String,
        /// What is wrong in it.
        reason: String,
    },
    /// The database failed.
    #[error("wallet database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    // Keys.
    /// The words are no BIP-0039 mnemonic.
    #[error("not a mnemonic: {0}")]
    Mnemonic(#[from] bip39::Error),
    /// A mnemonic of a length that is not offered.
    #[error("mnemonic of {0} words: 12 or 24 are accepted")]
    MnemonicLength(usize),
    /// A descriptor does not parse or cannot be used.
    #[error("descriptor refused: {0}")]
    Descriptor(String),
    /// Coins of this descriptor have a script_sig, so transaction ids would not be final before signing.
    #[error(
        "descriptor {0} is not native segwit (wpkh, wsh or tr): its transactions change their id when signed"
    )]
    NotNativeSegwit(String),
    /// A key in a descriptor is for another kind of network.
    #[error("descriptor holds a key for another network than {0}")]
    KeyNetwork(Network),
    /// Real money behind an unprotected file.
    #[error(
        "seed would lie unencrypted in a file on mainnet: protect it with a passphrase, sign elsewhere, or accept the risk explicitly"
    )]
    UnprotectedMainnetSeed,
    /// The seed file can be read by others.
    #[error("{} is readable by others (mode {mode:o}): make it 600", path.display())]
    OpenToOthers {
        /// The seed file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The wallet has no private keys here.
    #[error("wallet holds no private keys: sign the PSBT elsewhere")]
    WatchOnly,
    /// The mnemonic needs its passphrase.
    #[error("seed is protected by a passphrase: it is needed to sign")]
    PassphraseNeeded,
    /// The passphrase leads to other keys.
    #[error("wrong passphrase: it gives a wallet with fingerprint {derived}, this one is {expected}")]
    WrongPassphrase {
        /// Fingerprint of the keys the passphrase gives.
        derived: Fingerprint,
        /// Fingerprint of this wallet.
        expected: Fingerprint,
    },
    /// The private keys are not those of the wallet.
    #[error("private keys do not belong to this wallet: they give descriptor {0}")]
    ForeignKeys(String),
    /// The wallet's descriptor has no account from which a staker key could be derived.
    #[error("no staker key: descriptor {0} is not of the form .../0/*; name an external staker key")]
    NoStakerKey(String),
    /// The staker key is not derived from this wallet's seed.
    #[error("this wallet does not have staker key {key}: its own are derived from the master key {wallet}")]
    ForeignStakerKey {
        /// The staker key.
        key: Box<XOnlyPublicKey>,
        /// Fingerprint of this wallet's master key.
        wallet: Fingerprint,
    },
    /// The wallet was made from descriptors, or watches.
    #[error("this wallet has no words here: it was made from descriptors")]
    NoWords,
    /// The staker key is held outside of this wallet.
    #[error("staker key is external: sign the PSBT where it is held")]
    ExternalStakerKey,

    // Funding.
    /// Fewer coins than needed.
    #[error(
        "insufficient funds: {} sat missing ({} sat needed with fees, {} sat available; {} sat locked and {} sat too young not counted)",
        missing.to_sat(), needed.to_sat(), available.to_sat(), locked.to_sat(), immature.to_sat()
    )]
    InsufficientFunds {
        /// What is missing, before the fee for spending the coin that brings it.
        missing: Amount,
        /// What the transaction needs, fee included.
        needed: Amount,
        /// What could be spent for it.
        available: Amount,
        /// Coins left out because they are locked.
        locked: Amount,
        /// Coins left out because they have too few confirmations or are young coinbase outputs.
        immature: Amount,
    },
    /// A fee rate nobody means.
    #[error(transparent)]
    FeeRate(#[from] tapstake_tx::FeeRateError),
    /// No unspent output of a waiting transaction is the wallet's, so no child can pay for it.
    #[error("transaction {0} has no unspent change of this wallet, so no child can pay for it")]
    NoChange(Txid),
    /// The change of a waiting transaction does not cover what a child must pay.
    #[error("change of {} sat does not cover a child's fee of {} sat", change.to_sat(), fee.to_sat())]
    SmallChange {
        /// The change.
        change: Amount,
        /// What the child must pay.
        fee: Amount,
    },
    /// No single coin pays for an expansion.
    #[error("no single spendable coin pays {} sat and the fee: an expansion takes exactly one", missing.to_sat())]
    NoFundingCoin {
        /// What the new stake holds more than the old one.
        missing: Amount,
    },
    /// An expansion breaks a rule.
    #[error(transparent)]
    Expansion(#[from] tapstake_tx::ExpansionError),
    /// The stake's delegation breaks a rule.
    #[error(transparent)]
    Delegation(#[from] tapstake_tx::delegation::DelegationError),
    /// A child has nothing to pay for.
    #[error(transparent)]
    Cpfp(#[from] tapstake_tx::CpfpError),
    /// A fee nobody means.
    #[error("fee of {} sat is above the limit of {} sat", fee.to_sat(), limit.to_sat())]
    FeeTooHigh {
        /// The fee.
        fee: Amount,
        /// The limit.
        limit: Amount,
    },
    /// An output that nodes do not relay.
    #[error("output {index}: {source}")]
    Dust {
        /// Which recipient, from 0.
        index: usize,
        /// The rule and its values.
        source: tapstake_params::DustError,
    },
    /// Value in an output that nobody can spend.
    #[error("output {index} burns {} sat in an OP_RETURN", value.to_sat())]
    Burns {
        /// Which recipient, from 0.
        index: usize,
        /// Its value.
        value: Amount,
    },
    /// No recipient at all, or an index of none.
    #[error("no recipient {index}: the transaction has {count}")]
    NoRecipient {
        /// The recipient asked for, from 0.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// Outputs worth more than all bitcoin.
    #[error("outputs are worth more than 21 million bitcoin")]
    ValueOutOfRange,
    /// A coin that is not the wallet's, or spent.
    #[error("coin {0} is not an unspent coin of this wallet")]
    UnknownCoin(OutPoint),
    /// A coin that is set aside.
    #[error("coin {outpoint} is locked: {reason}")]
    LockedCoin {
        /// The coin.
        outpoint: OutPoint,
        /// Why it is locked.
        reason: String,
    },
    /// A coin that cannot or should not be spent yet.
    #[error("coin {outpoint} has {confirmations} confirmations, {required} are required")]
    YoungCoin {
        /// The coin.
        outpoint: OutPoint,
        /// The confirmations it has.
        confirmations: u32,
        /// The confirmations it needs.
        required: u32,
    },
    /// The transaction builder failed.
    #[error("transaction could not be built: {0}")]
    Build(String),

    // PSBTs and signing.
    /// Bytes that are no PSBT.
    #[error("not a PSBT (BIP-0174): {0}")]
    NotAPsbt(String),
    /// PSBTs of different transactions.
    #[error("PSBTs do not belong together: {0}")]
    Combine(String),
    /// An input lacks a signature.
    #[error("transaction is not fully signed: input {input}, {reason}")]
    NotFullySigned {
        /// The first input that lacks one.
        input: usize,
        /// What is missing.
        reason: String,
    },
    /// The PSBT states a coin differently from the chain.
    #[error("input {input} of the PSBT states another value or script for {outpoint} than the wallet knows")]
    CoinMismatch {
        /// The input, from 0.
        input: usize,
        /// The coin it spends.
        outpoint: OutPoint,
    },
    /// The PSBT does not say what an input spends.
    #[error("input {0} of the PSBT lacks the output it spends")]
    MissingPrevout(usize),
    /// A signature that covers less than the whole transaction is asked for.
    #[error("input {input} asks for signature hash type {sighash}: only DEFAULT and ALL are signed")]
    SighashType {
        /// The input, from 0.
        input: usize,
        /// The type asked for.
        sighash: u32,
    },
    /// Signing failed.
    #[error("input {input} could not be signed: {reason}")]
    Signing {
        /// The input, from 0.
        input: usize,
        /// Why.
        reason: String,
    },
    /// The PSBT names our derivation path for a key that is not ours.
    #[error("input {input} claims derivation {path} for a key that is not derived there")]
    ForgedOrigin {
        /// The input, from 0.
        input: usize,
        /// The path claimed.
        path: DerivationPath,
    },
    /// The leaf to be signed is not part of the output that is spent.
    #[error("input {input}: leaf is not committed to by the output it spends")]
    UncommittedLeaf {
        /// The input, from 0.
        input: usize,
    },
    /// The PSBT is of another transaction.
    #[error("the PSBT is of transaction {actual}, not of {expected}")]
    OtherTransaction {
        /// The transaction expected.
        expected: Txid,
        /// The transaction given.
        actual: Txid,
    },

    // Syncing.
    /// The source of chain data failed, refused or misbehaved.
    #[error(transparent)]
    Chain(#[from] tapstake_chain::ChainError),
    /// An Electrum server failed or answered with an error.
    #[error("electrum server: {0}")]
    Electrum(Box<bdk_electrum::electrum_client::Error>),
    /// A node failed or answered with an error.
    #[error("bitcoind: {0}")]
    Node(Box<bdk_bitcoind_rpc::bitcoincore_rpc::Error>),
    /// The chain the source follows does not connect to what the wallet knows.
    #[error("chain of the source does not connect to the wallet's: {0}")]
    Disconnected(String),

    // Staking.
    /// A rule for staking transactions is broken.
    #[error(transparent)]
    Staking(#[from] tapstake_tx::StakingError),
    /// The stake does not fit the parameters.
    #[error(transparent)]
    Bounds(#[from] tapstake_params::BoundsError),
    /// The transaction does not make the stake.
    #[error(transparent)]
    NotTheStake(#[from] tapstake_script::FindError),
    /// The withdrawal cannot be made.
    #[error(transparent)]
    Withdrawal(#[from] tapstake_tx::WithdrawalError),
    /// A PSBT of a stake's transaction is not in order.
    #[error(transparent)]
    Psbt(#[from] tapstake_tx::psbt::PsbtError),
    /// A recovery sheet is not in order.
    #[error(transparent)]
    Sheet(Box<crate::recovery::SheetError>),
    /// The stake belongs to another staker key.
    #[error("stake belongs to staker key {expected}, not to {actual}")]
    OtherStakerKey {
        /// The key of the stake.
        expected: Box<XOnlyPublicKey>,
        /// The key given.
        actual: Box<XOnlyPublicKey>,
    },
    /// The exit rehearsal failed: the coins must not be locked.
    #[error("exit rehearsal failed, nothing may be locked: {0}")]
    Rehearsal(String),
    /// The proof of rehearsal is for another stake.
    #[error("rehearsal was made for stake {rehearsed}, not for {given}")]
    OtherRehearsal {
        /// The stake rehearsed.
        rehearsed: OutPoint,
        /// The stake given.
        given: OutPoint,
    },
}

impl From<crate::recovery::SheetError> for WalletError {
    fn from(error: crate::recovery::SheetError) -> Self {
        WalletError::Sheet(Box::new(error))
    }
}

impl From<bdk_electrum::electrum_client::Error> for WalletError {
    fn from(error: bdk_electrum::electrum_client::Error) -> Self {
        WalletError::Electrum(Box::new(error))
    }
}

impl From<bdk_bitcoind_rpc::bitcoincore_rpc::Error> for WalletError {
    fn from(error: bdk_bitcoind_rpc::bitcoincore_rpc::Error) -> Self {
        WalletError::Node(Box::new(error))
    }
}

/// Attaches the path to an I/O error.
pub(crate) trait AtPath<T> {
    fn at(self, path: &std::path::Path) -> Result<T, WalletError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: &std::path::Path) -> Result<T, WalletError> {
        self.map_err(|source| WalletError::File { path: path.to_owned(), source })
    }
}
