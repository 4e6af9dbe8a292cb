//! A light client: which headers make the chain with the most work.
//!
//! For most cases [`HeaderChain`] is the one to use: start it at an [`Anchor`], hand it headers as they come,
//! ask it which block stands at a height. [`HeaderValidator`] applies the same rules to a stream in constant
//! memory, and [`verify_headers`] to a file.
//!
//! ```
//! use bitcoin::Network;
//! use tapstake_verifier::headers::{Anchor, HeaderChain};
//!
//! let chain = HeaderChain::new(Anchor::genesis(Network::Bitcoin), 6);
//! assert_eq!(chain.tip().1.to_string(), "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f");
//! ```
//!
//! What a header must obey:
//!
//! - it names its parent; its hash is at or below its target; its `bits` equal the ones computed from the
//!   headers before, retargets, clamps and compact rounding included;
//! - its time is above the median of the 11 headers before, and with a clock at hand not more than two
//!   hours ahead;
//! - testnet3 and testnet4 have the 20-minute rule, testnet4 also BIP-0094; regtest never retargets.
//!
//! A header chain says how much work stands behind a block, on mainnet, testnet and regtest. **On a signet it
//! does not prove blocks**: their right to exist is a signature in the coinbase transaction, which headers do
//! not carry, and their difficulty is low. Take signet headers only from a node that you trust.

mod anchor;
mod chain;
mod error;
mod rules;
mod stream;
mod times;
mod validator;
mod work;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use anchor::Anchor;
pub use chain::{DeepReorganisation, HeaderChain, Update};
pub use error::{AnchorError, HeaderError};
pub use stream::{HeadersSummary, verify_headers};
pub use validator::HeaderValidator;

pub(crate) use work::{none as no_work, of_blocks as work_of_blocks};
