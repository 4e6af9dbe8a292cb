use alloc::string::String;

use bitcoin::XOnlyPublicKey;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Secp256k1, Verification};
use serde::{Deserialize, Serialize};
use tapstake_crypto::eots::{self, CommitmentProof, EotsSignature, PublicRandomness, SignedCommitment, Vote};
use tapstake_crypto::pop::Context;

use super::VoteError;
use crate::version::FileVersion;

/// The version of the vote file that this crate writes, and the only one it reads.
pub const VOTE_VERSION: u16 = 1;

/// The most bytes of a service's name.
pub const MAX_SERVICE_LENGTH: usize = Context::MAX_SERVICE;

/// A provider's signature on a block of a service's chain: what `tapstake provider vote` writes.
///
/// Plain data; [`SignedVote::check`] judges it. The service is a name for people: the signature covers height and
/// block hash, and it is the randomness that belongs to one service.
///
/// It is read and written as JSON through serde, with `version` first and without any other field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct SignedVote {
    /// The secured network that the vote is for: 1 to 64 printable ASCII characters without blanks.
    pub service: String,
    /// The provider's key.
    pub provider: XOnlyPublicKey,
    /// The block voted for.
    pub vote: Vote,
    /// The public randomness of that height.
    pub public_randomness: PublicRandomness,
    /// That the provider committed to this randomness beforehand.
    pub committed: Option<CommittedRandomness>,
    /// The signature on [`Vote::message`].
    pub signature: EotsSignature,
}

/// A provider's commitment to the randomness of many heights, and the path to one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommittedRandomness {
    /// The commitment, signed by the provider.
    pub commitment: SignedCommitment,
    /// The path from the vote's randomness to its root.
    pub proof: CommitmentProof,
}

impl SignedVote {
    /// Checks the signature and, if it is there, the commitment to the randomness.
    ///
    /// # Errors
    ///
    /// [`VoteError`] names what is wrong.
    pub fn check<C: Verification>(&self, secp: &Secp256k1<C>) -> Result<(), VoteError> {
        check_service(&self.service)?;
        eots::verify(secp, &self.provider, &self.public_randomness, &self.vote.message(), &self.signature)?;
        if let Some(committed) = &self.committed {
            committed.commitment.verify(secp, &self.provider)?;
            let commitment = &committed.commitment.commitment;
            commitment.check(self.vote.height, &self.public_randomness, &committed.proof)?;
        }
        Ok(())
    }
}

/// Refuses what is no name of a service: 1 to 64 printable ASCII characters without blanks. These are the names that a proof
/// of possession takes too: they print as they are, in terminals and logs.
///
/// # Errors
///
/// [`VoteError::Service`].
pub fn check_service(service: &str) -> Result<(), VoteError> {
    let allowed = (1..=MAX_SERVICE_LENGTH).contains(&service.len())
        && service.bytes().all(|byte| byte.is_ascii_graphic());
    if !allowed {
        return Err(VoteError::Service { length: service.len() });
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    // First in the file, so that a newer version is what its reader is told about.
    version: FileVersion<VOTE_VERSION>,
    service: String,
    provider: XOnlyPublicKey,
    height: u64,
    /// Not always SHA-256 of something, but 32 bytes in the order they are written.
    block_hash: sha256::Hash,
    public_randomness: PublicRandomness,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    committed: Option<CommittedRandomness>,
    signature: EotsSignature,
}

impl From<SignedVote> for Fields {
    fn from(signed: SignedVote) -> Self {
        Fields {
            version: FileVersion,
            service: signed.service,
            provider: signed.provider,
            height: signed.vote.height,
            block_hash: sha256::Hash::from_byte_array(signed.vote.block_hash),
            public_randomness: signed.public_randomness,
            committed: signed.committed,
            signature: signed.signature,
        }
    }
}

impl TryFrom<Fields> for SignedVote {
    type Error = VoteError;

    fn try_from(fields: Fields) -> Result<Self, VoteError> {
        check_service(&fields.service)?;
        Ok(SignedVote {
            service: fields.service,
            provider: fields.provider,
            vote: Vote { height: fields.height, block_hash: fields.block_hash.to_byte_array() },
            public_randomness: fields.public_randomness,
            committed: fields.committed,
            signature: fields.signature,
        })
    }
}
