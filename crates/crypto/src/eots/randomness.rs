use core::fmt;

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use bitcoin::secp256k1::{Keypair, Secp256k1, SecretKey, Signing, XOnlyPublicKey};
use zeroize::Zeroizing;

use super::EotsError;
use crate::bytes::fixed_bytes;
use crate::secret::SecretScalar;

/// The 32 secret bytes that all randomness of a provider is drawn from.
///
/// Wiped when dropped. Whoever has them and one signature has the provider's key.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Takes 32 bytes of uniform randomness.
    pub fn new(bytes: [u8; 32]) -> Self {
        Seed(Zeroizing::new(bytes))
    }

    /// The bytes, to be kept in an encrypted file.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// The secret nonce of one height; wiped when dropped. It must never sign two messages.
pub struct SecretRandomness {
    even: SecretScalar,
    public: PublicRandomness,
}

impl SecretRandomness {
    /// What the provider commits to.
    pub fn public(&self) -> PublicRandomness {
        self.public
    }

    fn new<C: Signing>(secp: &Secp256k1<C>, key: &SecretKey) -> Self {
        let mut keypair = Keypair::from_secret_key(secp, key);
        let public = PublicRandomness(keypair.x_only_public_key().0.serialize());
        let even = SecretScalar::even(&keypair);
        keypair.non_secure_erase();
        SecretRandomness { even, public }
    }

    pub(super) fn even(&self) -> &SecretScalar {
        &self.even
    }
}

impl fmt::Debug for SecretRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretRandomness(..)")
    }
}

/// The public randomness of one height: the x coordinate of a point on the curve, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicRandomness([u8; 32]);

impl PublicRandomness {
    /// Reads 32 bytes.
    ///
    /// # Errors
    ///
    /// [`EotsError::Randomness`] if they are not the x coordinate of a point.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, EotsError> {
        match XOnlyPublicKey::from_slice(&bytes) {
            Ok(_) => Ok(PublicRandomness(bytes)),
            Err(_) => Err(EotsError::Randomness),
        }
    }

    /// The 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl TryFrom<[u8; 32]> for PublicRandomness {
    type Error = EotsError;

    fn try_from(bytes: [u8; 32]) -> Result<Self, EotsError> {
        PublicRandomness::from_bytes(bytes)
    }
}

fixed_bytes!(PublicRandomness, 32, "a public randomness");

/// Sets these HMACs apart from any other use of the seed.
const DOMAIN: &[u8] = b"tapstake/eots/randomness/v1";

/// Draws the randomness of one height for one service, always the same one.
///
/// It is HMAC-SHA256 with the seed as key over a domain, the service with its length (64 bits), the height (64 bits)
/// and a counter (8 bits), all big endian; the counter rises from 0 until the result is a scalar from 1 to n - 1.
pub fn randomness<C: Signing>(
    secp: &Secp256k1<C>,
    seed: &Seed,
    service: &[u8],
    height: u64,
) -> SecretRandomness {
    let mut engine = HmacEngine::<sha256::Hash>::new(seed.expose());
    engine.input(DOMAIN);
    engine.input(&(service.len() as u64).to_be_bytes());
    engine.input(service);
    engine.input(&height.to_be_bytes());
    let secret = (0..=u8::MAX)
        .find_map(|counter| {
            let mut engine = engine.clone();
            engine.input(&[counter]);
            let hash = Zeroizing::new(Hmac::from_engine(engine).to_byte_array());
            SecretKey::from_slice(&*hash).ok().map(SecretScalar::new)
        })
        .expect("256 hashes in a row from the curve order on have a chance of 2^-32768");
    SecretRandomness::new(secp, secret.key())
}
