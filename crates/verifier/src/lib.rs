//! I run a service, and somebody hands me a proof.
//!
//! They say: "this Bitcoin output is a stake, locked under these terms". The proof carries the staking
//! transaction, its place in a block, and what they claim of the terms. Nothing in it is believed: [`verify`]
//! holds it against three things that are *yours*,
//!
//! - a [`HeaderChain`](headers::HeaderChain), your light client, fed with headers from anywhere (headers
//!   prove themselves by their work);
//! - a [`Schedule`](tapstake_params::Schedule), the parameters of the staking network: covenant, quorum,
//!   unbonding time and bounds come from there, never from the proof;
//! - a [`Policy`], how deep a stake must lie before you count it,
//!
//! and answers with an [`IncludedStake`], or with a [`VerifyError`] that names the [`Rule`] that is broken.
//!
//! ```
//! use bitcoin::Network;
//! use bitcoin::key::Secp256k1;
//! use tapstake_params::{Schedule, local};
//! use tapstake_verifier::headers::{Anchor, HeaderChain};
//! use tapstake_verifier::{Depth, IncludedStake, Policy, StakeProof, VerifyError, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Once: a light client. Reorganisations up to 6 blocks are followed, deeper ones wait for a person.
//! let mut chain = HeaderChain::new(Anchor::genesis(Network::Regtest), 6);
//! # let (headers, proof_bytes) = example::story();
//! // As blocks come: hand in headers, from whichever source.
//! chain.extend(&headers)?;
//!
//! // Once: whose stakes, and how deep.
//! let secp = Secp256k1::verification_only();
//! let schedule = local::schedule(&Secp256k1::new(), Network::Regtest, local::Slashed::Burned)?;
//! let policy = Policy::new(Depth::Confirmations(6));
//!
//! // For each proof:
//! let proof = StakeProof::from_bytes(&proof_bytes)?;
//! let stake: IncludedStake = verify(&secp, &proof, &chain, &schedule, &policy)?;
//! stake.require_active()?;
//! assert_eq!(stake.value().to_sat(), 50_000);
//! assert_eq!(
//!     stake.to_string(),
//!     "included at height 2, not reported spent as of tip 7, valid until height 992"
//! );
//!
//! // Whoever claims other terms is told so.
//! let mut forged = proof.clone();
//! forged.claim.staking_time = "2000".parse::<u32>()?.try_into()?;
//! let error: VerifyError = verify(&secp, &forged, &chain, &schedule, &policy).unwrap_err();
//! assert_eq!(error.rule().to_string(), "rule 13 (staking-output)");
//! # Ok(())
//! # }
//! # mod example {
//! #     use bitcoin::block::{Header, Version};
//! #     use bitcoin::hashes::Hash;
//! #     use bitcoin::script::Builder;
//! #     use bitcoin::*;
//! #     use tapstake_params::{Height, Timelock, local};
//! #     use tapstake_script::{Providers, StakeTerms};
//! #     use tapstake_verifier::*;
//! #     pub fn story() -> (Vec<Header>, Vec<u8>) {
//! #         let secp = key::Secp256k1::new();
//! #         let schedule = local::schedule(&secp, Network::Regtest, local::Slashed::Burned).unwrap();
//! #         let claim = Claim {
//! #             staker: "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798".parse().unwrap(),
//! #             providers: Providers::one(local::provider_keypair(&secp, 0).x_only_public_key().0),
//! #             staking_time: Timelock::new(1000).unwrap(),
//! #             registration: Registration::None,
//! #         };
//! #         let params = schedule.latest();
//! #         let terms = StakeTerms::under(params, claim.staker, claim.providers.clone(), claim.staking_time);
//! #         let script_pubkey = terms.unwrap().staking_output(&secp).script_pubkey().clone();
//! #         let tx = |previous_output, script_sig| Transaction {
//! #             version: transaction::Version::TWO,
//! #             lock_time: absolute::LockTime::ZERO,
//! #             input: vec![TxIn { previous_output, script_sig, ..TxIn::default() }],
//! #             output: vec![TxOut { value: Amount::from_sat(50_000), script_pubkey: script_pubkey.clone() }],
//! #         };
//! #         let coinbase = tx(OutPoint::null(), Builder::new().push_int(2).push_slice([0; 8]).into_script());
//! #         let stake = tx(OutPoint::new(Txid::hash(b"a coin"), 0), ScriptBuf::new());
//! #         let txids = [coinbase.compute_txid(), stake.compute_txid()];
//! #         let branch = |index| MerkleBranch::from_txids(&txids, index).unwrap();
//! #         let mut headers: Vec<Header> = Vec::new();
//! #         let mut last = constants::genesis_block(Network::Regtest).header;
//! #         for height in 1..=7 {
//! #             last = Header {
//! #                 version: Version::from_consensus(0x2000_0000),
//! #                 prev_blockhash: last.block_hash(),
//! #                 merkle_root: branch(0).root(txids[0]).unwrap(),
//! #                 time: last.time + 600,
//! #                 bits: last.bits,
//! #                 nonce: 0,
//! #             };
//! #             while !last.target().is_met_by(last.block_hash()) { last.nonce += 1; }
//! #             headers.push(last);
//! #         }
//! #         let proof = StakeProof {
//! #             network: Network::Regtest,
//! #             vout: 0,
//! #             claim,
//! #             inclusion_height: Height::new(2),
//! #             header: headers[1],
//! #             inclusion: InclusionProof::new(stake, branch(1), coinbase, branch(0)),
//! #             own_headers: None,
//! #             delegation: None,
//! #         };
//! #         (headers, proof.to_bytes())
//! #     }
//! # }
//! ```
//!
//! # What the verdict means
//!
//! An [`IncludedStake`] reads: *included at height h, not reported spent as of tip t, valid until height v*.
//! The output was made, under exactly these terms, so deep. It does **not** say that the output is still
//! there: watch for its spends. Nor does it say that the stake can be slashed: that takes the delegation's
//! signatures (rules 15 to 17), which are judged on top of an `IncludedStake`. What pays or counts
//! security must not stop at this one.
//!
//! # The rooms
//!
//! | | |
//! |---|---|
//! | [`headers`] | rules 1 to 5: the chain with the most work |
//! | [`MerkleBranch`], [`InclusionProof`] | rules 7 to 11: a transaction is in a block |
//! | [`StakeProof`], [`Claim`] | the proof, in JSON and in bytes |
//! | [`Policy`], [`Depth`] | rules 6 and 12: what a service asks for |
//! | [`verify`], [`verify_with_own_headers`] | all of it, and rules 13 and 14 |
//! | [`IncludedStake`], [`active`], [`expiry`] | the verdict, and rule 18 |
//!
//! There is no clock, no network, no randomness and no float in here: the same input gives the same answer
//! everywhere. Inputs from outside never panic.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod equivocation;
pub mod headers;

mod error;
mod included;
mod inclusion;
mod merkle;
mod policy;
mod proof;
mod rule;
mod slashable;
mod stake;
mod verify;
mod version;

#[cfg(test)]
mod tests;

pub use error::VerifyError;
pub use included::{Expired, IncludedStake, Status, active, expiry};
pub use inclusion::{InclusionError, InclusionProof, Part};
pub use merkle::{MAX_DEPTH, MerkleBranch, MerkleError};
pub use policy::{Depth, Policy, ServicePolicy};
pub use proof::{Claim, DecodeError, MAGIC, OwnHeaders, ProofVersion, Registration, StakeProof, VERSION};
pub use rule::Rule;
pub use slashable::{
    VerifiedStake, verify_slashable, verify_slashable_in_trusted_block, verify_slashable_with_own_headers,
};
pub use verify::{verify, verify_in_trusted_block, verify_with_own_headers};
