//! A wallet that funds stakes and signs for them.
//!
//! It is a [BDK](bdk_wallet) wallet in a folder: a SQLite database with everything public, and beside it, if
//! the wallet signs by itself, a seed file that only its owner can read. [`Wallet`] is the public side:
//! addresses, coins, sync, funding, PSBTs. [`Signer`] is the private side: it is read from the seed file when
//! something is to be signed, and wiped when dropped. A wallet made from public descriptors has no signer;
//! its PSBTs are signed elsewhere.
//!
//! The *staker key* is the key that a stake's scripts name, and that gets the coins out again. By default it
//! is derived from the wallet's account on a chain of its own, `86'/coin'/account'/2/index`
//! ([`STAKER_CHAIN`]): below the account's extended public key, so that a watch-only wallet knows it, and
//! with an origin that every miniscript wallet with the same seed can follow.
//!
//! ```
//! use bitcoin::Network;
//! use tapstake_wallet::{CreateOptions, Origin, SeedPhrase, Wallet};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("alice");
//! let phrase = SeedPhrase::generate(12)?;
//! let mut wallet = Wallet::create(&folder, CreateOptions::new(Network::Regtest, Origin::seed(phrase)))?;
//! println!("pay to {}", wallet.next_unused_address()?.address);
//!
//! let staker = wallet.staker_key(0)?;
//! let signer = wallet.signer(None)?;
//! assert_eq!(signer.staker_keypair(0)?.x_only(), staker.x_only);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod file;
mod fund;
mod keys;
mod lock;
mod psbt;
mod recovery;
mod rehearsal;
mod secret;
mod sign;
mod stake;
mod staker;
mod staker_key;
mod store;
mod sync;
#[cfg(test)]
mod testing;
mod wallet;

pub use error::WalletError;
pub use fund::{CoinSelection, FundRequest, Funded};
pub use keys::STAKER_CHAIN;
pub use lock::LockReason;
pub use psbt::{PsbtFormat, combine_psbts, extract_tx, parse_psbt, read_psbt, stable_txid, write_psbt};
pub use recovery::{RecoverySheet, SheetError, SheetOutput, StakeFacts};
pub use rehearsal::{Rehearsal, RehearsedExit};
pub use secret::{Passphrase, SecretText, SeedPhrase};
pub use sign::{AuxRandomness, Signer, StakerKeypair};
pub use stake::{Exit, PendingStake, ReadyStake, SkipRehearsal, StakePlan, StakeValue};
pub use staker::StakerKeySource;
pub use staker_key::{KeyOrigin, StakerKey, StakerKeyError};
pub use sync::{Scan, SyncProgress, SyncReport};
pub use wallet::{AddressEntry, Balance, Coin, CreateOptions, Origin, Wallet};
