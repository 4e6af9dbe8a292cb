//! Where blocks come from and transactions go: bitcoind and Electrum behind one trait
#![forbid(unsafe_code)]

mod error;
mod source;

pub use error::ChainError;
pub use source::{BlockId, ChainSource, Inclusion, Spend, TxInfo};
