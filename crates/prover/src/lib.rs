//! From chain data to stake proofs.
//!
//! A [`StakeProof`] is a transaction, two Merkle branches and a claim. This crate collects them: from a live
//! [`ChainSource`] ([`prove`], with [`wait_for_confirmations`] before it) or offline from a raw block
//! ([`prove_in_block`]). It judges nothing: whoever receives the proof does, with `tapstake-verifier` and headers of
//! their own ([`sync_headers`] follows a source's). A stake that says what it is in an OP_RETURN needs no claim from the
//! caller ([`claim_from_op_return`]), nor does one whose delegation file is at hand ([`claim_from_delegation`]); what is signed
//! in advance goes into the proof by [`carry_delegation`].
//!
//! ```
//! use bitcoin::blockdata::constants::genesis_block;
//! use bitcoin::{Network, OutPoint};
//! use tapstake_params::{Height, Timelock};
//! use tapstake_prover::{ProveError, prove_in_block};
//! use tapstake_script::Providers;
//! use tapstake_verifier::{Claim, Registration};
//!
//! // A block whose only transaction is its coinbase proves no stake.
//! let block = genesis_block(Network::Regtest);
//! let key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798".parse()?;
//! let provider = "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5".parse()?;
//! let claim = Claim {
//!     staker: key,
//!     providers: Providers::one(provider),
//!     staking_time: Timelock::new(100)?,
//!     registration: Registration::None,
//! };
//! let refusal = prove_in_block(&block, Height::GENESIS, Network::Regtest, OutPoint::null(), claim);
//! assert!(matches!(refusal, Err(ProveError::NotInBlock { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod delegation;
mod error;
mod headers;
mod prove;
mod scan;
mod wait;

pub use delegation::{as_phase_1, carry_delegation, claim_from_delegation};
pub use error::ProveError;
pub use headers::{own_headers, sync_headers};
pub use prove::{claim_from_op_return, find_stake, prove, prove_in_block};
pub use scan::scan_blocks;
pub use tapstake_chain::ChainSource;
pub use tapstake_verifier::StakeProof;
pub use wait::{Wait, wait_for_confirmations};
