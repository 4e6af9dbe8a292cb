//! Stake terms to miniscript descriptors, Taproot outputs and spend paths.
//!
//! A stake is an output that can leave in three ways: its staker alone after a timelock, staker and covenant
//! committee early (*unbonding*), or staker, provider and committee together (*slashing*). Each way is one
//! tapscript leaf (BIP-0342), each leaf is miniscript, and each output is one standard descriptor over an
//! internal key that nobody can sign for ([`nums_key`]):
//!
//! | output | tree |
//! |---|---|
//! | [`StakingOutput`] | `{{timelock,unbonding},slashing}` |
//! | [`UnbondingOutput`] | `{timelock,slashing}` |
//! | [`RefundOutput`] | `timelock` |
//!
//! [`Parties`] are the distinct keys of a stake, [`StakeTerms`] add its two timelocks. From terms come
//! outputs, from outputs come [`Leaf`]s with script, leaf hash, control block and weight. The way back:
//! [`ParsedLeaf`] says which leaf of which terms a script from a witness is, [`find_output`] finds the
//! staking output in a transaction, and [`scan_transaction`] finds phase-1 stakes by their OP_RETURN.
//!
//! ```
//! use bitcoin::key::Secp256k1;
//! use bitcoin::{Network, XOnlyPublicKey};
//! use tapstake_params::{Schedule, Timelock};
//! use tapstake_script::{LeafName, ParsedLeaf, Providers, StakeTerms};
//!
//! let secp = Secp256k1::new();
//! let key = |hex: &str| hex.parse::<XOnlyPublicKey>();
//! let staker = key("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")?;
//! let provider = key("c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5")?;
//!
//! let babylon = Schedule::bbn_1();
//! let terms = StakeTerms::under(babylon.latest(), staker, Providers::one(provider), Timelock::new(64_000)?)?;
//! let staking = terms.staking_output(&secp);
//! assert!(staking.address(Network::Bitcoin).to_string().starts_with("bc1p"));
//!
//! // Staker and six of nine members sign: seven signatures of 1 + 64 bytes, three empty slots of 1, the
//! // leaf of 3 + 342 bytes, a control block of 1 + 97, and 1 byte for the number of items.
//! let unbonding = staking.unbonding();
//! assert_eq!(unbonding.witness_weight().to_wu(), 7 * 65 + 3 + (3 + 342) + (1 + 97) + 1);
//!
//! // Any leaf says what it is.
//! assert_eq!(ParsedLeaf::parse(&unbonding.script)?.name(), LeafName::Unbonding);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod find;
mod leaf;
mod op_return;
mod output;
mod parse;
mod scan;
mod terms;

pub use find::{FindError, find_output, find_output_with_value};
pub use leaf::{Leaf, LeafName};
pub use op_return::{OpReturn, OpReturnError};
pub use output::{RefundOutput, StakeOutput, StakingOutput, UnbondingOutput, nums_key};
pub use parse::{ParseLeafError, ParsedLeaf};
pub use scan::{Scanned, ScannedStake, StakeFault, scan_transaction};
pub use terms::{Parties, Providers, StakeTerms, TermsError};
