use core::fmt;

use bitcoin::secp256k1::constants::{GENERATOR_X, GENERATOR_Y};
use bitcoin::secp256k1::{
    Keypair, Parity, PublicKey, Secp256k1, SecretKey, Signing, Verification, XOnlyPublicKey,
};
use zeroize::Zeroizing;

use crate::scalar::PublicScalar;
use crate::secret::SecretScalar;

/// A provider's secret key that equivocation made public knowledge, in the form whose public key has even Y.
///
/// It comes out of [`eots::extract`](crate::eots::extract) and [`adaptor::extract`](crate::adaptor::extract), or out of
/// bytes that are proven to be the key of a given public key. Anyone may know it, yet who extracted it first
/// may want to be first to use it: it is wiped when dropped and does not print itself.
pub struct ExposedKey {
    secret: SecretScalar,
    public: XOnlyPublicKey,
}

/// Bytes that are not the secret key of the public key they are given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the secret key of {public}")]
pub struct ExposedKeyError {
    /// The public key.
    pub public: XOnlyPublicKey,
}

impl ExposedKey {
    /// Reads 32 bytes that must be the secret key of `public`, in either form.
    ///
    /// # Errors
    ///
    /// [`ExposedKeyError`] if they are not.
    pub fn from_bytes<C: Verification>(
        secp: &Secp256k1<C>,
        bytes: &[u8; 32],
        public: &XOnlyPublicKey,
    ) -> Result<Self, ExposedKeyError> {
        let secret = SecretKey::from_slice(bytes)
            .map(SecretScalar::new)
            .map_err(|_| ExposedKeyError { public: *public })?;
        let [prefix, x @ ..] = point_of(secp, secret.key());
        if x != public.serialize() {
            return Err(ExposedKeyError { public: *public });
        }
        let parity = if prefix == 2 { Parity::Even } else { Parity::Odd };
        Ok(ExposedKey { secret: secret.negated_if_odd(parity), public: *public })
    }

    /// Takes an extracted scalar if it is the even form of the key of `public`.
    pub(crate) fn extracted<C: Verification>(
        secp: &Secp256k1<C>,
        scalar: PublicScalar,
        public: &XOnlyPublicKey,
    ) -> Option<Self> {
        let secret = SecretScalar::new(scalar.to_key()?);
        (point_of(secp, secret.key()) == even_point(&public.serialize()))
            .then_some(ExposedKey { secret, public: *public })
    }

    /// The provider's public key.
    pub fn public_key(&self) -> XOnlyPublicKey {
        self.public
    }

    /// The key pair, to sign with as the provider would.
    pub fn keypair<C: Signing>(&self, secp: &Secp256k1<C>) -> Keypair {
        Keypair::from_secret_key(secp, self.secret.key())
    }

    /// The 32 bytes of the secret key, in the form whose public key has even Y.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.key().secret_bytes())
    }

    pub(crate) fn scalar(&self) -> &SecretScalar {
        &self.secret
    }
}

/// `key·G` for a key that is public knowledge, compressed.
///
/// It is computed as `G + (key - 1)·G`, for which a context that can only verify is enough.
pub(crate) fn point_of<C: Verification>(secp: &Secp256k1<C>, key: &SecretKey) -> [u8; 33] {
    let generator = PublicKey::from_slice(&GENERATOR).expect("the generator is a point");
    let minus_one = PublicScalar::ONE.negate().as_scalar();
    // Key 1 less one is zero, which is no key: the point is G itself.
    match key.add_tweak(&minus_one) {
        Err(_) => generator.serialize(),
        Ok(rest) => generator
            .add_exp_tweak(secp, &rest.into())
            .expect("key·G is the point at infinity for key 0 only, which is no key")
            .serialize(),
    }
}

/// A point with even Y, compressed.
pub(crate) fn even_point(x: &[u8; 32]) -> [u8; 33] {
    let mut point = [2; 33];
    point[1..].copy_from_slice(x);
    point
}

/// The generator, uncompressed, so that parsing it takes no square root.
const GENERATOR: [u8; 65] = {
    let mut bytes = [4; 65];
    let mut i = 0;
    while i < 32 {
        bytes[1 + i] = GENERATOR_X[i];
        bytes[33 + i] = GENERATOR_Y[i];
        i += 1;
    }
    bytes
};

impl Clone for ExposedKey {
    fn clone(&self) -> Self {
        ExposedKey { secret: SecretScalar::new(*self.secret.key()), public: self.public }
    }
}

impl PartialEq for ExposedKey {
    /// A public key has one even secret, so the public keys decide.
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

impl Eq for ExposedKey {}

impl fmt::Debug for ExposedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExposedKey(..)")
    }
}
