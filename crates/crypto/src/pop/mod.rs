//! Proofs of possession: the staker's key signs the account of the consumer chain that it stakes for.
//!
//! | form | signs | signature |
//! |---|---|---|
//! | [`PossessionForm::Bip340`] | SHA-256 of the account's raw bytes | 64 bytes |
//! | [`PossessionForm::Bip322`] | the account's text, as a BIP-0322 *simple* message | the witness of a P2WPKH or P2TR address of the key |
//! | [`PossessionForm::Bip137`] | the account's text, as a `signmessage` of wallets | compact ECDSA, 65 bytes |
//!
//! Deployed stakes sign the account alone, so such a proof holds for every service that takes it. With a [`Context`] the
//! message is tapstake's own, and names the service and the network too:
//!
//! ```text
//! tapstake proof of possession
//! service: <service>
//! network: <network>
//! account: <kind>:<account>
//! ```
//!
//! The text forms sign these four lines, joined by a line feed, and the plain form their hash tagged `tapstake/possession`.
//! No account has a line feed in it, so one kind of message is never the other.
//!
//! ```
//! use bitcoin::Network;
//! use bitcoin::secp256k1::{Keypair, Secp256k1};
//! use tapstake_crypto::pop::{Account, Context, ProofOfPossession};
//!
//! let secp = Secp256k1::new();
//! let staker = Keypair::from_seckey_slice(&secp, &[7; 32])?;
//! let account: Account = "hex:d8da6bf26964af9d7eed9e03e53415d37aa96045".parse()?;
//! let context = Context::new("rollup-1", Network::Bitcoin)?;
//!
//! let proof = ProofOfPossession::bip137(&secp, &staker, account, Some(context));
//! proof.verify(&secp, &staker.x_only_public_key().0)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod account;
mod bip137;
pub mod bip322;
mod context;
mod encode;
mod error;
mod proof;

pub use account::{Account, AccountError, AccountKind};
pub use bip137::CompactSignature;
pub use bip322::Bip322Witness;
pub use context::{Context, ContextError};
pub use encode::{EncodingError, MAX_SIZE};
pub use error::PossessionError;
pub use proof::{PossessionForm, PossessionFormError, PossessionSignature, ProofOfPossession, message};
