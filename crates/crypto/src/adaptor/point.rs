//! The scheme of the BlockstreamResearch schnorr-adaptor module for any encryption point.
//!
//! Nothing in the protocol encrypts to a point of odd Y; the published test vectors do.

use bitcoin::hashes::{Hash, HashEngine, sha256, sha256t::Tag};
use bitcoin::secp256k1::{
    Keypair, PublicKey, Secp256k1, SecretKey, Signing, Verification, XOnlyPublicKey, schnorr,
};
use zeroize::Zeroizing;

use super::{AdaptorError, AdaptorSignature};
use crate::double_mul::sub_mul;
use crate::exposed::point_of;
use crate::hash::{AdaptorAuxTag, AdaptorNonceTag, challenge};
use crate::scalar::PublicScalar;
use crate::secret::SecretScalar;

/// Signs `message` for the secret of the point `encryption_key`.
pub fn sign<C: Signing>(
    secp: &Secp256k1<C>,
    signer: &Keypair,
    encryption_key: &PublicKey,
    message: &[u8; 32],
    aux: &[u8; 32],
) -> AdaptorSignature {
    let key = signer.x_only_public_key().0;
    let d = SecretScalar::even(signer);
    let k = nonce(&d, &key, encryption_key, message, aux);
    // The encryption key went into the hash that gave the nonce, so nobody chooses it to be -k·G.
    let r0 = k
        .key()
        .public_key(secp)
        .combine(encryption_key)
        .expect("a nonce hashed from the encryption key is not its negative");
    let (r0_x, parity) = r0.x_only_public_key();
    let r0_x = r0_x.serialize();
    let e = challenge(&r0_x, &key, message);
    let s = k
        .negated_if_odd(parity)
        .plus_product(&e, &d)
        .expect("the challenge is a hash, so nobody makes k + e·d zero");
    AdaptorSignature::new(parity, r0_x, s.key().secret_bytes())
}

fn nonce(
    d: &SecretScalar,
    key: &XOnlyPublicKey,
    encryption_key: &PublicKey,
    message: &[u8; 32],
    aux: &[u8; 32],
) -> SecretScalar {
    let mut engine = AdaptorAuxTag::engine();
    engine.input(aux);
    let mask = sha256::Hash::from_engine(engine).to_byte_array();
    let mut masked = Zeroizing::new(d.key().secret_bytes());
    for (byte, mask) in masked.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    let mut engine = AdaptorNonceTag::engine();
    engine.input(&*masked);
    engine.input(&encryption_key.serialize());
    engine.input(&key.serialize());
    engine.input(message);
    SecretScalar::reduce(sha256::Hash::from_engine(engine).to_byte_array())
        .expect("nobody makes a hash a multiple of the curve order")
}

/// Checks an adaptor signature for the point `encryption_key`.
///
/// The nonce point is computed and compared, so it is neither parsed nor decompressed: what is not on the curve is
/// not equal.
///
/// # Errors
///
/// [`AdaptorError::Signature`] if it does not verify.
pub fn verify<C: Verification>(
    secp: &Secp256k1<C>,
    signature: &AdaptorSignature,
    signer: &XOnlyPublicKey,
    encryption_key: &PublicKey,
    message: &[u8; 32],
) -> Result<(), AdaptorError> {
    let e = challenge(signature.nonce_x(), signer, message);
    let nonce_point = sub_mul(secp, &signature.scalar(), &e, signer)
        .map(|r| if signature.nonce_is_odd() { r.negate(secp) } else { r })
        .and_then(|r| encryption_key.combine(&r).ok());
    match nonce_point {
        Some(point) if point.serialize() == *signature.nonce() => Ok(()),
        _ => Err(AdaptorError::Signature { signer: *signer }),
    }
}

/// The BIP-0340 signature that an adaptor signature encrypts, if `decryption_key` is the secret of its encryption point.
///
/// Whether it is, the caller checks.
///
/// # Errors
///
/// [`AdaptorError::ZeroDecrypted`].
pub fn decrypt(
    signature: &AdaptorSignature,
    decryption_key: &SecretKey,
) -> Result<schnorr::Signature, AdaptorError> {
    decrypt_scalar(signature, &SecretScalar::new(*decryption_key))
}

pub(super) fn decrypt_scalar(
    signature: &AdaptorSignature,
    y: &SecretScalar,
) -> Result<schnorr::Signature, AdaptorError> {
    let s = SecretScalar::new(signature.scalar().to_key().ok_or(AdaptorError::Scalar)?);
    let y = SecretScalar::new(*y.key()).negated_if_odd(signature.nonce_parity());
    let decrypted = s.plus(&y).ok_or(AdaptorError::ZeroDecrypted)?;
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(signature.nonce_x());
    bytes[32..].copy_from_slice(&decrypted.key().secret_bytes());
    Ok(schnorr::Signature::from_slice(&bytes).expect("any 64 bytes are taken"))
}

/// The secret of the point `encryption_key` out of an adaptor signature and the signature it became; both are public, and so
/// is what comes out.
///
/// # Errors
///
/// [`AdaptorError::Nonce`] if the two do not share their nonce, [`AdaptorError::NotExtracted`] if what comes out is not
/// the secret of the point.
pub fn extract<C: Verification>(
    secp: &Secp256k1<C>,
    signature: &AdaptorSignature,
    decrypted: &schnorr::Signature,
    encryption_key: &PublicKey,
) -> Result<SecretKey, AdaptorError> {
    extract_scalar(signature, decrypted)?
        .to_key()
        .filter(|key| point_of(secp, key) == encryption_key.serialize())
        .ok_or(AdaptorError::NotExtracted { encryption_key: encryption_key.x_only_public_key().0 })
}

pub(super) fn extract_scalar(
    signature: &AdaptorSignature,
    decrypted: &schnorr::Signature,
) -> Result<PublicScalar, AdaptorError> {
    let bytes = decrypted.serialize();
    let (nonce_x, s) = bytes.split_at(32);
    if nonce_x != signature.nonce_x() {
        return Err(AdaptorError::Nonce);
    }
    let mut scalar = [0; 32];
    scalar.copy_from_slice(s);
    let decrypted = PublicScalar::from_be_bytes(scalar).ok_or(AdaptorError::Scalar)?;
    let difference = decrypted.sub(signature.scalar());
    Ok(if signature.nonce_is_odd() { difference.negate() } else { difference })
}
