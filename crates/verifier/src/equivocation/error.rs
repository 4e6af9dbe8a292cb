use alloc::boxed::Box;

use bitcoin::{OutPoint, Txid, XOnlyPublicKey};
use tapstake_crypto::eots::{CommitmentError, EotsError};
use tapstake_script::ParseLeafError;

use super::MAX_SERVICE_LENGTH;

/// Why a vote is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VoteError {
    /// The service's name is empty, too long or not printable.
    #[error(
        "vote: a service's name has 1 to {MAX_SERVICE_LENGTH} printable ASCII characters without blanks, not these {length} bytes"
    )]
    Service {
        /// Its length.
        length: usize,
    },
    /// The signature does not verify.
    #[error("vote: {0}")]
    Signature(#[from] EotsError),
    /// The commitment is not the provider's, or not to this randomness.
    #[error("vote: {0}")]
    Commitment(#[from] CommitmentError),
}

/// Why something is no evidence of equivocation. Each variant has a stable name: [`EvidenceError::rule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// One of the two votes is no vote.
    #[error("{} {error}", if *second { "second" } else { "first" })]
    Vote {
        /// Whether it is the second of the two.
        second: bool,
        /// What is wrong with it.
        error: VoteError,
    },
    /// Votes of two providers.
    #[error("the votes are of two providers, {} and {}", .0[0], .0[1])]
    OtherProvider(Box<[XOnlyPublicKey; 2]>),
    /// Votes for two services.
    #[error("the votes are for two services: a provider may vote for each of them")]
    OtherService,
    /// Votes at two heights.
    #[error("the votes are at two heights, {first} and {second}")]
    OtherHeight {
        /// The first vote's height.
        first: u64,
        /// The second vote's height.
        second: u64,
    },
    /// Votes with two randomnesses, from which no key can be extracted.
    #[error("the votes have two public randomnesses: no key can be extracted from them")]
    OtherRandomness,
    /// The same block twice.
    #[error("the votes are for the same block: that is no equivocation")]
    SameBlock,
    /// No key came out of two votes that verify.
    #[error(transparent)]
    NotExtracted(EotsError),
    /// The slashing transaction reveals nothing.
    #[error("slashing transaction: {0}")]
    Slashing(#[from] SlashingEvidenceError),
}

/// Why a slashing transaction does not reveal a provider's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlashingEvidenceError {
    /// A slashing transaction spends one output.
    #[error("{inputs} inputs instead of 1")]
    Inputs {
        /// The number of inputs.
        inputs: usize,
    },
    /// It spends neither the staking output nor the unbonding output of the delegation.
    #[error("it spends {spent}, which is no output of this delegation")]
    OtherStake {
        /// What it spends.
        spent: OutPoint,
    },
    /// The witness does not show a leaf and its control block.
    #[error("the witness shows no tapscript leaf that the spent output commits to")]
    Leaf,
    /// The leaf shown is none of a stake.
    #[error(transparent)]
    Parse(#[from] ParseLeafError),
    /// The leaf shown is another than the slashing leaf.
    #[error("it spends by another leaf than the slashing leaf")]
    NotSlashing,
    /// A witness of another number of items.
    #[error("witness of {actual} items instead of {expected}")]
    Items {
        /// The number of items.
        actual: usize,
        /// The number that is right.
        expected: usize,
    },
    /// A slot holds something that is neither empty nor a signature of 64 bytes that verifies.
    #[error("the signature in the slot of key {key} does not verify")]
    Signature {
        /// The slot's key.
        key: XOnlyPublicKey,
    },
    /// Not exactly as many signatures as the leaf asks for.
    #[error("{given} signatures of {group} instead of {needed}")]
    Signatures {
        /// Whose.
        group: &'static str,
        /// How many there are.
        given: usize,
        /// How many there must be.
        needed: usize,
    },
    /// The provider that the evidence names has no part in the stake.
    #[error("{claimed} is no provider of the stake that it slashes")]
    OtherProvider {
        /// The provider that the evidence names.
        claimed: XOnlyPublicKey,
    },
    /// More adaptor signatures than a committee has members.
    #[error("{given} adaptor signatures, a committee has {members} members")]
    TooManyAdaptors {
        /// How many there are.
        given: usize,
        /// The members of the committee in the leaf.
        members: usize,
    },
    /// No adaptor signature becomes one of the witness by the provider's key.
    #[error(
        "none of {given} adaptor signatures becomes a signature in {txid} by the key of provider {provider}"
    )]
    NotExtracted {
        /// How many adaptor signatures were given.
        given: usize,
        /// The slashing transaction.
        txid: Txid,
        /// The provider.
        provider: XOnlyPublicKey,
    },
}

impl EvidenceError {
    /// The stable name of the rule that was broken: what scripts may match on.
    pub fn rule(&self) -> &'static str {
        match self {
            EvidenceError::Vote { error: VoteError::Service { .. }, .. } => "vote-service",
            EvidenceError::Vote { error: VoteError::Signature(_), .. } => "vote-signature",
            EvidenceError::Vote { error: VoteError::Commitment(_), .. } => "vote-commitment",
            EvidenceError::OtherProvider(_) => "same-provider",
            EvidenceError::OtherService => "same-service",
            EvidenceError::OtherHeight { .. } => "same-height",
            EvidenceError::OtherRandomness => "same-randomness",
            EvidenceError::SameBlock => "two-blocks",
            EvidenceError::NotExtracted(_) => "extraction",
            EvidenceError::Slashing(error) => match error {
                SlashingEvidenceError::OtherStake { .. } => "slashing-outpoint",
                SlashingEvidenceError::OtherProvider { .. } => "same-provider",
                SlashingEvidenceError::TooManyAdaptors { .. }
                | SlashingEvidenceError::NotExtracted { .. } => "extraction",
                _ => "slashing-witness",
            },
        }
    }
}
