//! Header chain, inclusion proofs and stake proofs, for services that must not be fooled
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod merkle;

pub use merkle::{MAX_DEPTH, MerkleBranch, MerkleError};
