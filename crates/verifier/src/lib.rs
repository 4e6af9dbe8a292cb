//! Header chain, inclusion proofs and stake proofs, for services that must not be fooled
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod headers;
mod merkle;
mod rule;

pub use merkle::{MAX_DEPTH, MerkleBranch, MerkleError};
pub use rule::Rule;
