use core::ops::RangeInclusive;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Keypair, Message, Secp256k1, Signing, Verification, XOnlyPublicKey, schnorr};
use serde::{Deserialize, Serialize};

use super::{CommitmentError, CommitmentProof, MAX_COUNT, PublicRandomness};

/// A provider's commitment to the public randomness of `count` heights from `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitment {
    /// The first height.
    pub start: u64,
    /// The number of heights.
    pub count: u64,
    /// The root of the tree, see [`CommitmentTree`](super::CommitmentTree).
    #[serde(with = "crate::bytes::hex32")]
    pub root: [u8; 32],
}

impl Commitment {
    /// The bytes of a commitment.
    pub const SIZE: usize = 48;

    /// Refuses a range that is empty, absurd or past the greatest height.
    pub(super) fn check_range(start: u64, count: u64) -> Result<(), CommitmentError> {
        if count == 0 || count > MAX_COUNT {
            return Err(CommitmentError::Count { count });
        }
        start.checked_add(count - 1).map(|_| ()).ok_or(CommitmentError::Overflow { start, count })
    }

    /// The heights committed to.
    ///
    /// # Errors
    ///
    /// [`CommitmentError::Count`] or [`CommitmentError::Overflow`] if there can be no such commitment.
    pub fn heights(&self) -> Result<RangeInclusive<u64>, CommitmentError> {
        Self::check_range(self.start, self.count)?;
        Ok(self.start..=self.start + (self.count - 1))
    }

    /// The place of a height among the leaves.
    pub(super) fn index(&self, height: u64) -> Result<u64, CommitmentError> {
        if self.heights()?.contains(&height) {
            return Ok(height - self.start);
        }
        Err(CommitmentError::Height { height, start: self.start, count: self.count })
    }

    /// Checks that `randomness` is the one committed to for `height`.
    ///
    /// # Errors
    ///
    /// [`CommitmentError`] if the commitment cannot be, the height is outside, or the proof is not one of this randomness at
    /// this height.
    pub fn check(
        &self,
        height: u64,
        randomness: &PublicRandomness,
        proof: &CommitmentProof,
    ) -> Result<(), CommitmentError> {
        let index = self.index(height)?;
        if proof.root(randomness, index, self.count)? != self.root {
            return Err(CommitmentError::Root { height });
        }
        Ok(())
    }

    /// `start ‖ count ‖ root`: 8 and 8 bytes big endian, and 32.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.start.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.count.to_be_bytes());
        bytes[16..].copy_from_slice(&self.root);
        bytes
    }

    /// Reads what [`Commitment::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`CommitmentError::Count`] or [`CommitmentError::Overflow`] if there can be no such commitment.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Result<Self, CommitmentError> {
        let number =
            |at: usize| bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (start, count) = (number(0), number(8));
        Self::check_range(start, count)?;
        let mut root = [0; 32];
        root.copy_from_slice(&bytes[16..]);
        Ok(Commitment { start, count, root })
    }

    /// The digest that the provider signs: SHA-256 of [`Commitment::to_bytes`].
    pub fn digest(&self) -> [u8; 32] {
        sha256::Hash::hash(&self.to_bytes()).to_byte_array()
    }

    /// Signs the commitment (BIP-0340, with auxiliary randomness `aux`).
    pub fn sign<C: Signing>(
        self,
        secp: &Secp256k1<C>,
        provider: &Keypair,
        aux: &[u8; 32],
    ) -> SignedCommitment {
        let message = Message::from_digest(self.digest());
        SignedCommitment {
            commitment: self,
            signature: secp.sign_schnorr_with_aux_rand(&message, provider, aux),
        }
    }
}

/// A commitment and the provider's BIP-0340 signature on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedCommitment {
    /// The commitment.
    pub commitment: Commitment,
    /// The signature on [`Commitment::digest`].
    pub signature: schnorr::Signature,
}

impl SignedCommitment {
    /// Checks range and signature.
    ///
    /// # Errors
    ///
    /// [`CommitmentError::Count`], [`CommitmentError::Overflow`] or [`CommitmentError::Signature`].
    pub fn verify<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        provider: &XOnlyPublicKey,
    ) -> Result<(), CommitmentError> {
        self.commitment.heights()?;
        let message = Message::from_digest(self.commitment.digest());
        secp.verify_schnorr(&self.signature, &message, provider)
            .map_err(|_| CommitmentError::Signature { provider: *provider })
    }
}
