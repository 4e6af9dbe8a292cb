//! I run a service, and somebody hands me a proof.
//!
//! They say: "this Bitcoin output is a stake, locked under these terms, and it can be slashed if my provider
//! betrays you". The proof carries the staking transaction, its place in a block, what they claim of the terms,
//! and everything that was signed in advance. Nothing in it is believed: [`verify_slashable`] holds it against
//! three things that are *yours*,
//!
//! - a [`HeaderChain`](headers::HeaderChain), your light client, fed with headers from anywhere (headers
//!   prove themselves by their work);
//! - a [`Schedule`](tapstake_params::Schedule), the parameters of the staking network: covenant, quorum,
//!   unbonding time, fees, slashing and bounds come from there, never from the proof;
//! - a [`ServicePolicy`], how deep a stake must lie before you count it, whose stakes secure you, and how a
//!   staker proves that the account to be paid is theirs,
//!
//! and answers with a [`VerifiedStake`], or with a [`VerifyError`] that names the [`Rule`] that is broken.
//!
//! ```
//! use bitcoin::Network;
//! use bitcoin::key::Secp256k1;
//! use tapstake_params::{Schedule, local};
//! use tapstake_verifier::equivocation::Evidence;
//! use tapstake_verifier::headers::{Anchor, HeaderChain};
//! use tapstake_verifier::{Depth, Policy, ServicePolicy, StakeProof, VerifiedStake, VerifyError, verify_slashable};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Once: a light client. Reorganisations up to 6 blocks are followed, deeper ones wait for a person.
//! let mut chain = HeaderChain::new(Anchor::genesis(Network::Regtest), 6);
//! # let (headers, proof_bytes, provider) = example::story();
//! // As blocks come: hand in headers, from whichever source.
//! chain.extend(&headers)?;
//!
//! // Once: whose stakes, how deep, and who votes for the service.
//! let secp = Secp256k1::new();
//! let schedule = local::schedule(&secp, Network::Regtest, local::Slashed::Burned)?;
//! let mut policy = ServicePolicy::new(Policy::new(Depth::Confirmations(6)), [provider]);
//!
//! // For each proof:
//! let proof = StakeProof::from_bytes(&proof_bytes)?;
//! let stake: VerifiedStake = verify_slashable(&secp, &proof, &chain, &schedule, &policy)?;
//! stake.included().require_active()?;
//! assert_eq!(stake.included().value().to_sat(), 50_000);
//! assert_eq!(
//!     stake.to_string(),
//!     "slashable for 4900 sat, included at height 2, not reported spent as of tip 7, valid until height 992"
//! );
//! // Pay this account, and when the stake becomes active ask about its providers once more.
//! assert_eq!(stake.account().as_text(), "0xabababababababababababababababababababab");
//! let stake = stake.recheck_providers(&policy)?;
//!
//! // Whoever claims other terms is told so, and whoever shows no signatures as well.
//! let mut forged = proof.clone();
//! forged.claim.staking_time = "2000".parse::<u32>()?.try_into()?;
//! let error: VerifyError = verify_slashable(&secp, &forged, &chain, &schedule, &policy).unwrap_err();
//! assert_eq!(error.rule().to_string(), "rule 13 (staking-output)");
//! let mut bare = proof.clone();
//! bare.delegation = None;
//! let error = verify_slashable(&secp, &bare, &chain, &schedule, &policy).unwrap_err();
//! assert_eq!(error.rule().to_string(), "rule 15 (delegation)");
//!
//! // The day the provider votes for two blocks at one height, anybody has its key, and slashes.
//! # let votes = example::votes();
//! let equivocation = Evidence::TwoVotes(Box::new(votes)).verify(&secp)?;
//! let slashing = stake.delegation().slash(&secp, equivocation.exposed_key())?;
//! assert_eq!(slashing.output[0].value.to_sat(), 5_000);
//! policy.slashed_providers.insert(equivocation.provider());
//! let error = stake.recheck_providers(&policy).unwrap_err();
//! assert_eq!(error.rule().to_string(), "rule 17 (slashed-provider)");
//! # Ok(())
//! # }
//! # mod example {
//! #     use bitcoin::block::{Header, Version};
//! #     use bitcoin::hashes::Hash;
//! #     use bitcoin::key::{Keypair, Secp256k1};
//! #     use bitcoin::script::Builder;
//! #     use bitcoin::*;
//! #     use tapstake_crypto::eots::{self, Seed, Vote};
//! #     use tapstake_crypto::pop::{Account, ProofOfPossession};
//! #     use tapstake_params::{Height, Timelock, local};
//! #     use tapstake_script::{Providers, StakeTerms};
//! #     use tapstake_tx::delegation::{Delegation, Draft};
//! #     use tapstake_verifier::equivocation::SignedVote;
//! #     use tapstake_verifier::*;
//! #     fn provider() -> Keypair { local::provider_keypair(&Secp256k1::new(), 0) }
//! #     pub fn votes() -> [SignedVote; 2] {
//! #         let randomness = eots::randomness(&Secp256k1::new(), &Seed::new([6; 32]), b"a-service", 7);
//! #         [[1; 32], [2; 32]].map(|block_hash| {
//! #             let vote = Vote { height: 7, block_hash };
//! #             SignedVote {
//! #                 service: "a-service".into(),
//! #                 provider: provider().x_only_public_key().0,
//! #                 vote,
//! #                 public_randomness: randomness.public(),
//! #                 committed: None,
//! #                 signature: eots::sign(&provider(), &randomness, &vote.message()),
//! #             }
//! #         })
//! #     }
//! #     pub fn story() -> (Vec<Header>, Vec<u8>, XOnlyPublicKey) {
//! #         let secp = Secp256k1::new();
//! #         let schedule = local::schedule(&secp, Network::Regtest, local::Slashed::Burned).unwrap();
//! #         let staker = Keypair::from_seckey_slice(&secp, &[3; 32]).unwrap();
//! #         let provider = provider().x_only_public_key().0;
//! #         let claim = Claim {
//! #             staker: staker.x_only_public_key().0,
//! #             providers: Providers::one(provider),
//! #             staking_time: Timelock::new(1000).unwrap(),
//! #             registration: Registration::None,
//! #         };
//! #         let params = schedule.latest();
//! #         let terms = StakeTerms::under(params, claim.staker, claim.providers.clone(), claim.staking_time).unwrap();
//! #         let script_pubkey = terms.staking_output(&secp).script_pubkey().clone();
//! #         let value = Amount::from_sat(50_000);
//! #         let tx = |previous_output, script_sig| Transaction {
//! #             version: transaction::Version::TWO,
//! #             lock_time: absolute::LockTime::ZERO,
//! #             input: vec![TxIn { previous_output, script_sig, ..TxIn::default() }],
//! #             output: vec![TxOut { value, script_pubkey: script_pubkey.clone() }],
//! #         };
//! #         let coinbase = tx(OutPoint::null(), Builder::new().push_int(2).push_slice([0; 8]).into_script());
//! #         let stake = tx(OutPoint::new(Txid::hash(b"a coin"), 0), ScriptBuf::new());
//! #         let coin = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(b"a key"));
//! #         let prevouts = [TxOut { value: Amount::from_sat(51_000), script_pubkey: coin }];
//! #         let fee = params.slashing.as_ref().unwrap().min_fee;
//! #         let network = Network::Regtest;
//! #         let draft =
//! #             Delegation::<Draft>::build(&secp, network, params, terms, stake.clone(), &prevouts, value, fee);
//! #         let account = Account::from_raw(&[0xab; 20]).unwrap();
//! #         let possession = ProofOfPossession::bip340(&secp, &staker, account, None, &[0; 32]);
//! #         let signed = draft.unwrap().sign(&secp, &staker, &[0; 32], possession).unwrap();
//! #         let mut parts = signed.package().parts;
//! #         for member in &local::covenant_keypairs(&secp)[..3] {
//! #             let given = signed.covenant_signatures(&secp, member, &[0; 32]);
//! #             parts.covenant.insert(member.x_only_public_key().0, given);
//! #         }
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
//! #             network,
//! #             vout: 0,
//! #             claim,
//! #             inclusion_height: Height::new(2),
//! #             header: headers[1],
//! #             inclusion: InclusionProof::new(stake, branch(1), coinbase, branch(0)),
//! #             own_headers: None,
//! #             delegation: Some(parts),
//! #         };
//! #         (headers, proof.to_bytes(), provider)
//! #     }
//! # }
//! ```
//!
//! # What the verdict means
//!
//! An [`IncludedStake`] ([`verify`]) reads: *included at height h, not reported spent as of tip t, valid until
//! height v*. The output was made, under exactly these terms, so deep. It does **not** say that the stake can be
//! slashed: what pays or counts security must not stop there.
//!
//! A [`VerifiedStake`] ([`verify_slashable`]) adds: *slashable for n sat*. A quorum of the covenant and the staker
//! have signed both slashings, so that nothing is missing but the key of one of the stake's providers, which is what
//! an equivocation gives away; the staker holds the staker's key; a provider of the service is among the providers,
//! and none of them is slashed.
//!
//! Neither says that the output is still there: watch for its spends.
//!
//! # The rooms
//!
//! | | |
//! |---|---|
//! | [`headers`] | rules 1 to 5: the chain with the most work |
//! | [`MerkleBranch`], [`InclusionProof`] | rules 7 to 11: a transaction is in a block |
//! | [`StakeProof`], [`Claim`] | the proof, in JSON and in bytes |
//! | [`Policy`], [`Depth`], [`ServicePolicy`] | rules 6, 12, 16 and 17: what a service asks for |
//! | [`verify`] and its kin | rules 1 to 14: an [`IncludedStake`] |
//! | [`verify_slashable`] and its kin | rules 15 to 17: a [`VerifiedStake`] |
//! | [`active`], [`expiry`] | rule 18 |
//! | [`equivocation`] | a provider's key out of what it signed |
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

mod account_rule;
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

pub use account_rule::{AccountRule, AccountRuleError};
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
