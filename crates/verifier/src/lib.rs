//! Header chain, inclusion proofs and stake proofs, for services that must not be fooled
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod headers;

mod error;
mod included;
mod inclusion;
mod merkle;
mod policy;
mod proof;
mod rule;
mod stake;
mod verify;

#[cfg(test)]
mod tests;

pub use error::VerifyError;
pub use included::{Expired, IncludedStake, Status, active, expiry};
pub use inclusion::{InclusionError, InclusionProof, Part};
pub use merkle::{MAX_DEPTH, MerkleBranch, MerkleError};
pub use policy::{Depth, Policy};
pub use proof::{Claim, DecodeError, MAGIC, OwnHeaders, ProofVersion, Registration, StakeProof, VERSION};
pub use rule::Rule;
pub use verify::{verify, verify_with_own_headers};
