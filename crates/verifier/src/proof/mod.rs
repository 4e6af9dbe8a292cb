//! The proof of a stake, and its two encodings (`docs/proof-format.md`).

mod binary;
mod json;

use alloc::vec::Vec;

use bitcoin::block::Header;
use bitcoin::{BlockHash, Network, XOnlyPublicKey};
use serde::{Deserialize, Serialize};
use tapstake_params::{Height, Timelock};
use tapstake_script::Providers;
use tapstake_tx::delegation::DelegationParts;

pub use binary::{DecodeError, MAGIC};
pub use json::ProofVersion;

use crate::InclusionProof;

/// The newest version of the proof format that this crate reads: that of proofs with a delegation. Without one a proof
/// is still written as version 1.
pub const VERSION: u16 = 2;

/// The version of proofs without a delegation.
const WITHOUT_DELEGATION: u16 = 1;

/// What somebody hands to a service: "this output is a stake under these terms, here is its block, and here is what
/// was signed in advance so that it can be slashed".
///
/// Nothing in it is believed. Covenant, quorum and unbonding time are not part of it: they come from the
/// service's own parameters.
///
/// It is read and written as JSON through serde, and as bytes by [`StakeProof::to_bytes`] and
/// [`StakeProof::from_bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "json::Fields", into = "json::Fields")]
pub struct StakeProof {
    /// The network that the block is on.
    pub network: Network,
    /// Which output of the transaction is the stake.
    pub vout: u32,
    /// The terms claimed.
    pub claim: Claim,
    /// The height of the block.
    pub inclusion_height: Height,
    /// The block's header.
    pub header: Header,
    /// The staking transaction in that block.
    pub inclusion: InclusionProof,
    /// Headers around the block, for verifiers that have none of their own.
    pub own_headers: Option<OwnHeaders>,
    /// Everything that is signed in advance on top of the stake. Without it the stake can be shown to be on Bitcoin, but
    /// not to be slashable.
    pub delegation: Option<DelegationParts>,
}

impl StakeProof {
    /// The hash of the block that the proof is about.
    pub fn block_hash(&self) -> BlockHash {
        self.header.block_hash()
    }

    /// The version that the proof is written as.
    pub const fn version(&self) -> u16 {
        if self.delegation.is_some() { VERSION } else { WITHOUT_DELEGATION }
    }
}

/// What a proof says of a stake's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The staker's key.
    pub staker: XOnlyPublicKey,
    /// The finality providers.
    pub providers: Providers,
    /// The timelock of the staking output.
    pub staking_time: Timelock,
    /// What chooses the parameters version.
    pub registration: Registration,
}

/// What chooses the parameters version of a stake, and how its output is told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// The version at the inclusion height.
    None,
    /// The version at this height, the light client's tip when the stake was registered. Not proven: the
    /// policy bounds how far it may lie below the inclusion.
    At(Height),
    /// A phase-1 stake: the version at the inclusion height, and the transaction carries one OP_RETURN that
    /// says the same as this claim.
    #[serde(rename = "phase_1")]
    Phase1,
}

/// Consecutive headers that come with a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnHeaders {
    /// The height of the first: on networks that retarget, a multiple of 2016.
    pub start_height: Height,
    /// The headers, the stake's block among them.
    pub headers: Vec<Header>,
}
