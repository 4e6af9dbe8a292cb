//! The delegation: everything that is signed before a stake's coins are locked.
//!
//! Nobody locks coins on the word of a committee. The staking transaction is built and not sent; on its txid its unbonding
//! transaction and its two slashing transactions are built; the staker signs the slashings, the committee signs all three,
//! the slashings for each provider's key (adaptor signatures). With a quorum the stake can be ended early by its staker, and
//! slashed by anyone once a provider equivocates, and only then the staking transaction is sent.
//!
//! | state | has | can |
//! |---|---|---|
//! | [`Draft`] | the transactions | be signed by the staker |
//! | [`PreSigned`] | the staker's signatures, and proof of possession of the key | be signed by the committee |
//! | [`PartlySigned`] | fewer members than a quorum | be signed by the committee |
//! | [`Verified`] | a quorum | be sent, unbonded and slashed |
//!
//! A [`Delegation`] is in one of these states, and only [`Delegation<Verified>`] hands out the staking transaction with its
//! witnesses. A [`DelegationPackage`] is the same as plain data, a file that goes from the staker to the committee's members
//! and back; [`DelegationPackage::check`] judges every byte of it by the reader's own parameters, and says which state it
//! is in. [`DelegationParts`] are what is signed, without the staking transaction: what a stake's proof carries, too.
//! [`DelegationParts::check`] is the one function that judges them.
//!
//! Each signature can be verified by itself and on any thread: [`DelegationPackage::prepare`] lists them, and
//! [`PreparedDelegation::accept`] takes the proofs.
//!
//! ```
//! use bitcoin::key::{Keypair, Secp256k1};
//! use bitcoin::{Amount, Network};
//! use tapstake_crypto::pop::{Account, ProofOfPossession};
//! use tapstake_params::local::{self, Slashed};
//! use tapstake_params::Timelock;
//! use tapstake_script::{Providers, StakeTerms};
//! use tapstake_tx::delegation::{CheckedDelegation, Delegation, DelegationPackage};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secp = Secp256k1::new();
//! let schedule = local::schedule(&secp, Network::Regtest, Slashed::Burned)?;
//! let params = schedule.latest();
//! let staker = Keypair::from_seckey_slice(&secp, &[7; 32])?;
//! let provider = local::provider_keypair(&secp, 0).x_only_public_key().0;
//! let time = Timelock::new(144)?;
//! let terms = StakeTerms::under(params, staker.x_only_public_key().0, Providers::one(provider), time)?;
//!
//! // The staker: a transaction that the wallet funded and did not send, and what its inputs spend.
//! let (staking_tx, prevouts) = funded(&secp, &terms, Amount::ONE_BTC);
//! let fee = Amount::from_sat(2_000);
//! let draft = Delegation::build(
//!     &secp, Network::Regtest, params, terms, staking_tx, &prevouts, Amount::ONE_BTC, fee,
//! )?;
//! let account = Account::text("an account of the consumer chain")?;
//! let possession = ProofOfPossession::bip340(&secp, &staker, account, None, &[0; 32]);
//! let signed = draft.sign(&secp, &staker, &[0; 32], possession)?;
//! let file = signed.package().without_witnesses().to_bytes();
//!
//! // Three of five members: each checks the file by its own parameters and signs.
//! let package = DelegationPackage::from_bytes(&file)?;
//! package.check(&secp, &schedule)?;
//! let mut copy = package.clone();
//! for member in &local::covenant_keypairs(&secp)[..3] {
//!     let signatures = signed.covenant_signatures(&secp, member, &[0; 32]);
//!     copy.parts.covenant.insert(member.x_only_public_key().0, signatures);
//! }
//!
//! // The staker again: with the quorum, and only then, the staking transaction may be sent.
//! let combined = signed.package().combine(copy)?;
//! let CheckedDelegation::Verified(verified) = combined.check(&secp, &schedule)? else {
//!     return Err("the quorum is not there yet".into());
//! };
//! let staking_tx = verified.staking_tx()?;
//! assert_eq!(staking_tx.compute_txid(), verified.staking_txid());
//! # Ok(())
//! # }
//! # use bitcoin::{ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, WPubkeyHash, hashes::Hash};
//! # fn funded(
//! #     secp: &Secp256k1<bitcoin::secp256k1::All>, terms: &StakeTerms, value: Amount,
//! # ) -> (Transaction, Vec<TxOut>) {
//! #     let txin = TxIn { sequence: Sequence::MAX, witness: Witness::from_slice(&[[1u8; 64]]), ..TxIn::default() };
//! #     let previous_output = bitcoin::OutPoint { txid: bitcoin::Txid::all_zeros(), vout: 0 };
//! #     let script_pubkey = terms.staking_output(secp).script_pubkey().clone();
//! #     let tx = Transaction {
//! #         version: bitcoin::transaction::Version::TWO,
//! #         lock_time: bitcoin::absolute::LockTime::ZERO,
//! #         input: vec![TxIn { previous_output, ..txin }],
//! #         output: vec![TxOut { value, script_pubkey }],
//! #     };
//! #     let script_pubkey = ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros());
//! #     (tx, vec![TxOut { value: value + Amount::from_sat(500), script_pubkey }])
//! # }
//! ```

mod binary;
mod check;
mod combine;
mod error;
mod json;
mod package;
mod parts;
mod staking_tx;
mod state;
mod verified;

pub use binary::{MAGIC, MAX_PACKAGE_BYTES, MAX_PACKAGE_JSON_BYTES, PackageDecodeError};
pub use check::{PreparedParts, Proven, SignatureCheck};
pub use combine::CombineError;
pub use error::{DelegationError, SignedTx};
pub use json::PackageVersion;
pub use package::{DelegationPackage, ExpansionPart, PreparedDelegation, PreviousStake};
pub use parts::{CovenantSignatures, DelegationParts, StakerSignatures};
pub use staking_tx::StakingTx;
pub use state::{
    AwaitsCovenant, CheckedDelegation, CovenantProgress, Delegation, Draft, PartlySigned, PreSigned, State,
    Verified,
};
pub use verified::VerifiedParts;

/// The version of the delegation format that this crate writes, and the only one it reads.
pub const VERSION: u16 = 1;
