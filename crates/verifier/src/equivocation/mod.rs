//! A provider that signed two blocks at one height, or slashed a staker of its own, has given its key away.
//!
//! An [`Evidence`] is plain data from anybody. [`Evidence::verify`] extracts the provider's secret key from it, and
//! the result is proven by itself: the key that comes out is the provider's, whoever handed in the evidence. No
//! parameters, no chain and no clock are needed.
//!
//! - **Two votes** ([`SignedVote`]) with one public randomness on two blocks: an extractable one-time signature
//!   signs once (`tapstake_crypto::eots`).
//! - **Selective slashing** ([`SelectiveSlashing`]): a provider that completes the slashing of one of its own stakers
//!   puts the covenant's decrypted signatures into the witness, and next to the adaptor signatures of the delegation
//!   they give the decryption key, which is the provider's own (`tapstake_crypto::adaptor`). The same comes out
//!   of every slashing, so that it says nothing new after an equivocation.
//!
//! ```
//! use bitcoin::key::{Keypair, Secp256k1};
//! use tapstake_crypto::eots::{self, Seed, Vote};
//! use tapstake_verifier::equivocation::{Evidence, SignedVote};
//!
//! let secp = Secp256k1::new();
//! let provider = Keypair::from_seckey_slice(&secp, &[5; 32])?;
//! let randomness = eots::randomness(&secp, &Seed::new([6; 32]), b"a-service", 1000);
//! let vote = |block_hash| {
//!     let vote = Vote { height: 1000, block_hash };
//!     SignedVote {
//!         service: "a-service".into(),
//!         provider: provider.x_only_public_key().0,
//!         vote,
//!         public_randomness: randomness.public(),
//!         committed: None,
//!         signature: eots::sign(&provider, &randomness, &vote.message()),
//!     }
//! };
//! let evidence = Evidence::TwoVotes(Box::new([vote([1; 32]), vote([2; 32])]));
//! let equivocation = evidence.verify(&secp)?;
//! assert_eq!(equivocation.provider(), provider.x_only_public_key().0);
//! assert_eq!(equivocation.exposed_key().public_key(), provider.x_only_public_key().0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod evidence;
mod slashing;
#[cfg(test)]
mod tests;
mod vote;

pub use error::{EvidenceError, SlashingEvidenceError, VoteError};
pub use evidence::{EVIDENCE_VERSION, Equivocation, Evidence, VerifiedEquivocation};
pub use slashing::SelectiveSlashing;
pub use vote::{CommittedRandomness, MAX_SERVICE_LENGTH, SignedVote, VOTE_VERSION, check_service};
