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
//! # The way of a stake through this crate
//!
//! 1. [`Wallet::fund_stake`] chooses coins for a [`StakePlan`] and locks them: a [`PendingStake`], whose outpoint
//!    is final though nothing is signed.
//! 2. A [`Rehearsal`] has the staker's signer sign the withdrawal of that very stake, here or by PSBT: a
//!    [`RehearsedExit`]. Coins are not locked to a key that cannot move them.
//! 3. [`PendingStake::sign`], or [`PendingStake::ready`] after signing elsewhere, takes that proof and gives the
//!    [`ReadyStake`]. Doing without takes a [`SkipRehearsal`].
//! 4. [`ReadyStake::draft`] is the beginning of a [`Delegation`](tapstake_tx::delegation::Delegation): only once the
//!    covenant's quorum has signed it does that hand out the staking transaction. One that is stuck in a mempool is helped
//!    by a child: [`Wallet::fund_child`].
//! 5. A [`RecoverySheet`] says what the seed does not: with both, any miniscript wallet withdraws.
//!
//! # Secrets
//!
//! The seed file has mode 0600 and is refused when others can read it. It is not encrypted; a BIP-0039
//! passphrase is never stored, so a seed with one is worth nothing to a thief of the file. On mainnet a seed
//! without passphrase is refused unless the risk is accepted by name ([`CreateOptions`]). Types that hold secrets
//! do not print them and are wiped when dropped, as far as the libraries below allow.
//!
//! # Example
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

mod bump;
mod error;
mod expand;
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
pub use expand::{ExpansionPlan, PendingExpansion};
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
