//! The transactions of a stake: built, checked, signed for and satisfied
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;
