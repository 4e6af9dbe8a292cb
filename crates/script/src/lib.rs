//! Stake terms to miniscript descriptors, Taproot outputs and spend paths
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;
