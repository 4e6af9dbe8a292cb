//! `s·G - e·P`, what every check of a Schnorr-like signature comes down to.
//!
//! libsecp256k1 offers that double multiplication through one door only, the recovery of the public key of an ECDSA
//! signature (SEC 1, section 4.1.6): from (r, σ) on the digest z it computes `Q = r⁻¹·(σ·R - z·G)`, where R is the
//! point with x coordinate r. With R = P, σ = -e·r and z = -s·r, that is `Q = -e·P + s·G`.

use bitcoin::secp256k1::constants::CURVE_ORDER;
use bitcoin::secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use bitcoin::secp256k1::{Message, Parity, PublicKey, Secp256k1, Verification, XOnlyPublicKey};

use crate::scalar::PublicScalar;

/// `s·G - e·P` for the point P with even Y; `None` if that is the point at infinity.
pub(crate) fn sub_mul<C: Verification>(
    secp: &Secp256k1<C>,
    s: &PublicScalar,
    e: &PublicScalar,
    key: &XOnlyPublicKey,
) -> Option<PublicKey> {
    // Recovery refuses what is no ECDSA signature (e = 0, or P.x = n) and the point at infinity; the other way tells
    // which of them it is.
    one_multiplication(secp, s, e, key).or_else(|| two_multiplications(secp, s, e, key))
}

/// By public-key recovery; `None` if that cannot give the point, or the point is the one at infinity.
fn one_multiplication<C: Verification>(
    secp: &Secp256k1<C>,
    s: &PublicScalar,
    e: &PublicScalar,
    key: &XOnlyPublicKey,
) -> Option<PublicKey> {
    let x = key.serialize();
    let r = PublicScalar::reduce(x);
    // Bit 1 of the recovery id says that x is r + n, bit 0 that Y is odd: taking -P instead of P, σ is e·r.
    let id = RecoveryId::from_i32(if x < CURVE_ORDER { 1 } else { 3 }).ok()?;
    let digest = s.mul(r).negate();
    let mut compact = [0; 64];
    compact[..32].copy_from_slice(&r.to_be_bytes());
    compact[32..].copy_from_slice(&e.mul(r).to_be_bytes());
    let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
    secp.recover_ecdsa(&Message::from_digest(digest.to_be_bytes()), &signature).ok()
}

/// By two multiplications; `None` if the point is the one at infinity.
fn two_multiplications<C: Verification>(
    secp: &Secp256k1<C>,
    s: &PublicScalar,
    e: &PublicScalar,
    key: &XOnlyPublicKey,
) -> Option<PublicKey> {
    let key = key.public_key(Parity::Even);
    match e.is_zero() {
        // s·G = (P + s·G) - P.
        true => key.add_exp_tweak(secp, &s.as_scalar()).ok()?.combine(&key.negate(secp)).ok(),
        false => key.mul_tweak(secp, &e.negate().as_scalar()).ok()?.add_exp_tweak(secp, &s.as_scalar()).ok(),
    }
}
