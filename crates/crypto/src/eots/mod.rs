//! Extractable one-time signatures: a provider that signs two messages with one randomness reveals its key.
//!
//! A provider with the secret key `d` (even-Y form) commits in advance to one public randomness `r`, the x coordinate
//! of `k·G`, for each height, and signs the message of that height with it:
//!
//! ```text
//! e = BIP0340/challenge(r ‖ P ‖ SHA256(m))        s = k + e·d    (k negated if k·G has odd Y)
//! ```
//!
//! The signature is `s` alone, 32 bytes; `(r, s)` is a BIP-0340 signature of `SHA256(m)`.
//!
//! | to | use |
//! |---|---|
//! | draw the randomness of a height | [`Seed`], [`randomness`] |
//! | commit to the randomness of many heights | [`CommitmentTree`], [`SignedCommitment`] |
//! | vote | [`Vote`], [`sign`] |
//! | check a vote | [`verify`], [`Commitment::check`] |
//! | expose an equivocation | [`extract`] |

mod commitment;
mod error;
mod randomness;
mod signature;
mod tree;
mod vote;

pub use commitment::{Commitment, SignedCommitment};
pub use error::{CommitmentError, EotsError};
pub use randomness::{PublicRandomness, SecretRandomness, Seed, randomness};
pub use signature::{EotsSignature, extract, sign, verify};
pub use tree::{CommitmentProof, CommitmentTree, MAX_COUNT};
pub use vote::Vote;
