use core::fmt;

use bitcoin::secp256k1::{Keypair, Parity, Secp256k1, SecretKey, Signing, Verification, XOnlyPublicKey};
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
        if is_key_of(secp, secret.key(), &public.public_key(Parity::Even)) {
            return Ok(ExposedKey { secret, public: *public });
        }
        if is_key_of(secp, secret.key(), &public.public_key(Parity::Odd)) {
            return Ok(ExposedKey { secret: secret.negated_if_odd(Parity::Odd), public: *public });
        }
        Err(ExposedKeyError { public: *public })
    }

    /// Takes an extracted scalar if it is the even form of the key of `public`.
    pub(crate) fn extracted<C: Verification>(
        secp: &Secp256k1<C>,
        scalar: PublicScalar,
        public: &XOnlyPublicKey,
    ) -> Option<Self> {
        let secret = SecretScalar::new(scalar.to_key()?);
        is_key_of(secp, secret.key(), &public.public_key(Parity::Even))
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

/// Whether `key·G = point`, for a key that is public knowledge.
///
/// `point - key·G` is the point at infinity then, the one result that libsecp256k1 refuses to give; so a
/// context that can only verify is enough.
pub(crate) fn is_key_of<C: Verification>(
    secp: &Secp256k1<C>,
    key: &SecretKey,
    point: &bitcoin::secp256k1::PublicKey,
) -> bool {
    point.add_exp_tweak(secp, &key.negate().into()).is_err()
}

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
