//! Covenant member and finality provider: keys, policy, records, slashing protection.
#![forbid(unsafe_code)]

mod durable;
pub mod keyfile;
pub mod provider;
