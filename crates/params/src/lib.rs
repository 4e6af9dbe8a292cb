//! Network parameters of Bitcoin staking, chosen by height
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;
