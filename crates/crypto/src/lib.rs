//! Extractable one-time signatures, Schnorr adaptor signatures and proofs of possession.
//!
//! A covenant member that pre-signs a slashing transaction must not be able to slash, and neither may anyone else until a provider
//! equivocates; from then on everyone may. Two signature schemes, both BIP-0340 in the end, make it so:
//!
//! - The member signs for the *provider's* key: an [adaptor signature](adaptor), which that key's secret turns into a valid
//!   one.
//! - The provider votes with [extractable one-time signatures](eots): two votes at one height give its secret away.
//!
//! | room | holds |
//! |---|---|
//! | [`eots`] | randomness, commitments to it, votes, extraction |
//! | [`adaptor`] | sign, verify, decrypt, extract |
//! | [`pop`] | proofs that a staker has its key, in three forms |
//! | [`ExposedKey`] | the key that an equivocation revealed |
//!
//! ```
//! use bitcoin::secp256k1::{Keypair, Message, Secp256k1};
//! use tapstake_crypto::{adaptor, eots};
//!
//! let secp = Secp256k1::new();
//! let provider = Keypair::from_seckey_slice(&secp, &[1; 32])?;
//! let member = Keypair::from_seckey_slice(&secp, &[2; 32])?;
//! let (provider_key, member_key) = (provider.x_only_public_key().0, member.x_only_public_key().0);
//!
//! // A covenant member signs a slashing transaction for whoever knows the provider's secret: nobody but the provider.
//! let digest = [3; 32];
//! let encrypted = adaptor::sign(&secp, &member, &provider_key, &digest, &[0; 32]);
//! adaptor::verify(&secp, &encrypted, &member_key, &provider_key, &digest)?;
//!
//! // The provider votes for two blocks at one height, with the one randomness it has committed to.
//! let seed = eots::Seed::new([4; 32]);
//! let randomness = eots::randomness(&secp, &seed, b"rollup-1", 100);
//! let [first, second] = [[5; 32], [6; 32]].map(|block_hash| eots::Vote { height: 100, block_hash }.message());
//! let [signed_first, signed_second] = [&first, &second].map(|vote| eots::sign(&provider, &randomness, vote));
//!
//! // Now anyone has its key, and the member's signature.
//! let public = randomness.public();
//! let exposed =
//!     eots::extract(&secp, &provider_key, &public, (&first, &signed_first), (&second, &signed_second))?;
//! let signature = adaptor::decrypt(&encrypted, &provider_key, &exposed)?;
//! secp.verify_schnorr(&signature, &Message::from_digest(digest), &member_key)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All curve arithmetic is libsecp256k1's. Secrets go through its constant-time functions only, are wiped when dropped, and do not
//! print. Values that are public, such as challenges and signatures, take the fastest way.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod adaptor;
mod bytes;
mod double_mul;
pub mod eots;
mod exposed;
mod hash;
mod inverse;
pub mod pop;
mod scalar;
mod secret;

pub use bytes::HexError;
pub use exposed::{ExposedKey, ExposedKeyError};
