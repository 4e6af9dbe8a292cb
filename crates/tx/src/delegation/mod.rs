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
