//! Scalars that are secret: wiped when dropped, and moved only by libsecp256k1's constant-time functions.

use bitcoin::secp256k1::{Keypair, Parity, Scalar, SecretKey};

use crate::scalar::PublicScalar;

/// A secret scalar, 1 to n - 1.
pub(crate) struct SecretScalar(SecretKey);

impl SecretScalar {
    /// Takes a scalar over; `key` is `Copy`, so a caller that owns the original wipes it.
    pub(crate) fn new(key: SecretKey) -> Self {
        SecretScalar(key)
    }

    /// The secret of a key pair in the form whose public key has even Y (BIP-0340).
    pub(crate) fn even(keypair: &Keypair) -> Self {
        SecretScalar(keypair.secret_key()).negated_if_odd(keypair.x_only_public_key().1)
    }

    /// Reduces a hash to a scalar; `None` if it is a multiple of n, which nobody can bring about.
    pub(crate) fn reduce(mut hash: [u8; 32]) -> Option<Self> {
        use zeroize::Zeroize;
        // The branch tells that the hash is one of the 2^128 above n: a chance of 2^-128, and nothing else.
        let key = match SecretKey::from_slice(&hash) {
            Ok(key) => Some(key),
            Err(_) => {
                let reduced = PublicScalar::reduce(hash).to_be_bytes();
                SecretKey::from_slice(&reduced).ok()
            }
        };
        hash.zeroize();
        key.map(SecretScalar)
    }

    pub(crate) fn key(&self) -> &SecretKey {
        &self.0
    }

    /// Negates the scalar if its point has odd Y. A point is public, so its parity may steer a branch.
    pub(crate) fn negated_if_odd(self, parity: Parity) -> Self {
        match parity {
            Parity::Even => self,
            Parity::Odd => SecretScalar(self.0.negate()),
        }
    }

    /// `self + e * factor`; `None` if that is zero.
    pub(crate) fn plus_product(&self, e: &PublicScalar, factor: &SecretScalar) -> Option<SecretScalar> {
        // A product with e = 0 is refused by libsecp256k1: nothing to add then.
        match factor.0.mul_tweak(&e.as_scalar()) {
            Ok(product) => self.plus(&SecretScalar(product)),
            Err(_) => Some(SecretScalar(self.0)),
        }
    }

    /// `self + other`; `None` if that is zero.
    pub(crate) fn plus(&self, other: &SecretScalar) -> Option<SecretScalar> {
        let mut tweak = Scalar::from(other.0);
        let sum = self.0.add_tweak(&tweak).ok().map(SecretScalar);
        tweak.non_secure_erase();
        sum
    }
}

impl Drop for SecretScalar {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}
