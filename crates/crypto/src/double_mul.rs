//! `s·G - e·P`, what every check of a Schnorr-like signature comes down to.

use bitcoin::secp256k1::{Parity, PublicKey, Secp256k1, Verification, XOnlyPublicKey};

use crate::scalar::PublicScalar;

/// `s·G - e·P` for the point P with even Y; `None` if that is the point at infinity.
pub(crate) fn sub_mul<C: Verification>(
    secp: &Secp256k1<C>,
    s: &PublicScalar,
    e: &PublicScalar,
    key: &XOnlyPublicKey,
) -> Option<PublicKey> {
    two_multiplications(secp, s, e, key)
}

/// `s·G - e·P` in two multiplications; `None` if that is the point at infinity.
pub(crate) fn two_multiplications<C: Verification>(
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
