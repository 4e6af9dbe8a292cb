//! Schnorr adaptor signatures: signatures encrypted to a provider's key, which only its equivocation decrypts.
//!
//! A covenant member pre-signs a slashing transaction for the encryption key `T`, the provider's public key with even Y. What
//! it gives away can be checked by anyone, and is worth nothing until the provider's secret key is known; a signature that
//! appears on the chain gives, together with its adaptor signature, that secret key away.
//!
//! ```text
//! sign     R0 = k·G + T, k negated if R0 has odd Y;  e = BIP0340/challenge(R0.x ‖ P ‖ m);  s = k + e·d
//! verify   R0 = T + (s·G - e·P) for even R0,  R0 = T - (s·G - e·P) for odd R0
//! decrypt  s' = s + y for even R0,  s - y for odd R0;  (R0.x, s') is a BIP-0340 signature of m
//! extract  y = ±(s' - s)
//! ```
//!
//! The functions here take a provider's x-only key. [`point`] is the same scheme for any encryption point, even or odd, as
//! the published test vectors have it; and whoever has many signatures for one provider to check saves a square root for each
//! (3 of about 32 µs) by lifting the key once, with `key.public_key(Parity::Even)`, and calling [`point::verify`].

mod error;
pub mod point;
mod signature;

use bitcoin::secp256k1::{Keypair, Parity, Secp256k1, Signing, Verification, XOnlyPublicKey, schnorr};

use crate::exposed::ExposedKey;

pub use error::AdaptorError;
pub use signature::AdaptorSignature;

/// Signs `message` for the secret of `encryption_key`, with 32 bytes of auxiliary randomness (zeros will do).
pub fn sign<C: Signing>(
    secp: &Secp256k1<C>,
    signer: &Keypair,
    encryption_key: &XOnlyPublicKey,
    message: &[u8; 32],
    aux: &[u8; 32],
) -> AdaptorSignature {
    point::sign(secp, signer, &encryption_key.public_key(Parity::Even), message, aux)
}

/// Checks that `signature` becomes a signature of `signer` on `message` once it is decrypted.
///
/// It costs one double multiplication, as a BIP-0340 verification does.
///
/// # Errors
///
/// [`AdaptorError::Signature`] if it does not.
pub fn verify<C: Verification>(
    secp: &Secp256k1<C>,
    signature: &AdaptorSignature,
    signer: &XOnlyPublicKey,
    encryption_key: &XOnlyPublicKey,
    message: &[u8; 32],
) -> Result<(), AdaptorError> {
    point::verify(secp, signature, signer, &encryption_key.public_key(Parity::Even), message)
}

/// The BIP-0340 signature that `signature` encrypts.
///
/// It is valid if and only if the adaptor signature verifies for the same encryption key, so [`verify`] goes before.
///
/// # Errors
///
/// [`AdaptorError::DecryptionKey`] if the key is not that of `encryption_key`.
pub fn decrypt(
    signature: &AdaptorSignature,
    encryption_key: &XOnlyPublicKey,
    decryption_key: &ExposedKey,
) -> Result<schnorr::Signature, AdaptorError> {
    if decryption_key.public_key() != *encryption_key {
        return Err(AdaptorError::DecryptionKey { encryption_key: *encryption_key });
    }
    point::decrypt_scalar(signature, decryption_key.scalar())
}

/// The secret of `encryption_key` out of an adaptor signature and the signature it became.
///
/// # Errors
///
/// [`AdaptorError::Nonce`] if the two do not share their nonce, [`AdaptorError::NotExtracted`] if what comes out is not
/// the key.
pub fn extract<C: Verification>(
    secp: &Secp256k1<C>,
    signature: &AdaptorSignature,
    decrypted: &schnorr::Signature,
    encryption_key: &XOnlyPublicKey,
) -> Result<ExposedKey, AdaptorError> {
    let scalar = point::extract_scalar(signature, decrypted)?;
    ExposedKey::extracted(secp, scalar, encryption_key)
        .ok_or(AdaptorError::NotExtracted { encryption_key: *encryption_key })
}
