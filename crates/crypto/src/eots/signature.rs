use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Keypair, Message, Secp256k1, Verification, XOnlyPublicKey, schnorr};

use super::{EotsError, PublicRandomness, SecretRandomness};
use crate::bytes::fixed_bytes;
use crate::exposed::{ExposedKey, even_point, point_of};
use crate::hash::challenge;
use crate::scalar::PublicScalar;
use crate::secret::SecretScalar;

/// An extractable one-time signature: a scalar from 1 to n - 1, 32 bytes big endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EotsSignature([u8; 32]);

impl EotsSignature {
    /// Reads 32 bytes.
    ///
    /// # Errors
    ///
    /// [`EotsError::Scalar`] if they are zero, or from the curve order on.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, EotsError> {
        match PublicScalar::from_be_bytes(bytes) {
            Some(scalar) if !scalar.is_zero() => Ok(EotsSignature(bytes)),
            _ => Err(EotsError::Scalar),
        }
    }

    /// The 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// The BIP-0340 signature, 64 bytes, that this is together with its randomness.
    pub fn to_schnorr(self, randomness: &PublicRandomness) -> schnorr::Signature {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&randomness.to_bytes());
        bytes[32..].copy_from_slice(&self.0);
        schnorr::Signature::from_slice(&bytes).expect("any 64 bytes are taken")
    }

    fn scalar(self) -> PublicScalar {
        PublicScalar::from_be_bytes(self.0).expect("a signature is below the curve order by construction")
    }
}

impl TryFrom<[u8; 32]> for EotsSignature {
    type Error = EotsError;

    fn try_from(bytes: [u8; 32]) -> Result<Self, EotsError> {
        EotsSignature::from_bytes(bytes)
    }
}

fixed_bytes!(EotsSignature, 32, "an EOTS signature");

/// Signs a message with the randomness of its height.
///
/// The caller sees to it that a randomness signs one message only: a second one gives the key away. All that is
/// secret passes through libsecp256k1's constant-time functions only.
pub fn sign(provider: &Keypair, randomness: &SecretRandomness, message: &[u8]) -> EotsSignature {
    let key = provider.x_only_public_key().0;
    let e = challenge(&randomness.public().to_bytes(), &key, &digest(message));
    let s = randomness
        .even()
        .plus_product(&e, &SecretScalar::even(provider))
        .expect("the challenge is a hash, so nobody makes k + e·d zero");
    EotsSignature(s.key().secret_bytes())
}

/// Checks a signature: BIP-0340 verification of `(r, s)` over `SHA256(message)`.
///
/// # Errors
///
/// [`EotsError::Signature`] if it is not one of this provider, randomness and message.
pub fn verify<C: Verification>(
    secp: &Secp256k1<C>,
    provider: &XOnlyPublicKey,
    randomness: &PublicRandomness,
    message: &[u8],
    signature: &EotsSignature,
) -> Result<(), EotsError> {
    let digest = Message::from_digest(digest(message));
    secp.verify_schnorr(&signature.to_schnorr(randomness), &digest, provider)
        .map_err(|_| EotsError::Signature { provider: *provider })
}

/// The provider's secret key out of its signatures on two messages with one randomness.
///
/// With `s1 = k + e1·d` and `s2 = k + e2·d`, `d = (s1 - s2) / (e1 - e2)`. The provider's key and its nonce may each have
/// a point of odd Y, which makes four combinations; signing has negated both to their even forms, `r` names the same even
/// nonce in both signatures, and so the nonce cancels and `d` is the even form in all four.
///
/// What comes out is checked: `d·G` is the provider's key and `(s1 - e1·d)·G` is the randomness, both with even Y. Then both
/// are valid signatures, and a caller need not verify them beforehand.
///
/// # Errors
///
/// [`EotsError::SameMessage`], or [`EotsError::NotExtracted`] if one of the two is not a signature of this provider with this
/// randomness on its message.
pub fn extract<C: Verification>(
    secp: &Secp256k1<C>,
    provider: &XOnlyPublicKey,
    randomness: &PublicRandomness,
    (message_1, signature_1): (&[u8], &EotsSignature),
    (message_2, signature_2): (&[u8], &EotsSignature),
) -> Result<ExposedKey, EotsError> {
    if message_1 == message_2 {
        return Err(EotsError::SameMessage);
    }
    let not_extracted = EotsError::NotExtracted { provider: *provider };
    let r = randomness.to_bytes();
    let e1 = challenge(&r, provider, &digest(message_1));
    let e2 = challenge(&r, provider, &digest(message_2));
    let (s1, s2) = (signature_1.scalar(), signature_2.scalar());
    // Equal challenges of unequal messages would be a collision of SHA-256; the inverse of zero is zero then, and so
    // is d, which is no key.
    let d = s1.sub(s2).mul(e1.sub(e2).invert());
    let nonce = s1.sub(e1.mul(d));
    let nonce_is_right = nonce.to_key().is_some_and(|nonce| point_of(secp, &nonce) == even_point(&r));
    match ExposedKey::extracted(secp, d, provider) {
        Some(key) if nonce_is_right => Ok(key),
        _ => Err(not_extracted),
    }
}

fn digest(message: &[u8]) -> [u8; 32] {
    sha256::Hash::hash(message).to_byte_array()
}
