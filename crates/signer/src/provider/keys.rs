//! What a provider signs with, all of it from the 32 bytes of its key file.

use std::fmt;

use bitcoin::hashes::{Hash, HashEngine, sha256, sha256t::Tag, sha256t_hash_newtype};
use bitcoin::secp256k1::{All, Keypair, Secp256k1, SecretKey, XOnlyPublicKey};
use tapstake_crypto::eots::{SecretRandomness, Seed, randomness};
use zeroize::Zeroizing;

use super::ProviderError;
use crate::keyfile::{KeyUse, SecretBytes};

sha256t_hash_newtype! {
    struct KeyTag = hash_str("tapstake/provider/key");
    /// The secret key of a provider, from its seed and its service.
    struct KeyHash(_);

    struct RandomnessTag = hash_str("tapstake/provider/randomness");
    /// The seed of a provider's randomness, from its seed or its imported key.
    struct RandomnessHash(_);
}

/// The EOTS key pair of a provider for its one service, and the seed of its randomness; wiped when dropped.
pub(super) struct Keys {
    pub(super) keypair: Keypair,
    seed: Seed,
    service: String,
}

impl Keys {
    /// From a seed, key and randomness come by tagged hashes (BIP-0340), the key's over the service too: one seed gives
    /// each service a key of its own. An imported key is the key, and the randomness comes from it in the same way.
    pub(super) fn derive(
        secp: &Secp256k1<All>,
        key_use: KeyUse,
        secret: &SecretBytes,
        service: &str,
    ) -> Result<Self, ProviderError> {
        let bytes = match key_use {
            KeyUse::ProviderKey => Zeroizing::new(*secret.expose()),
            _ => tagged::<KeyTag>(secret, service.as_bytes()),
        };
        // A hash beyond the curve order has a chance of 2^-128; an imported key may be anything.
        let mut key = SecretKey::from_slice(&*bytes).map_err(|_| ProviderError::NoKey)?;
        let keypair = Keypair::from_secret_key(secp, &key);
        key.non_secure_erase();
        let seed = Seed::new(*tagged::<RandomnessTag>(secret, &[]));
        Ok(Keys { keypair, seed, service: service.to_owned() })
    }

    pub(super) fn public(&self) -> XOnlyPublicKey {
        self.keypair.x_only_public_key().0
    }

    /// The randomness of one height for this service, always the same.
    pub(super) fn randomness(&self, secp: &Secp256k1<All>, height: u64) -> SecretRandomness {
        randomness(secp, &self.seed, self.service.as_bytes(), height)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.keypair.non_secure_erase();
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.public())
    }
}

fn tagged<T: Tag>(secret: &SecretBytes, more: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut engine = T::engine();
    engine.input(secret.expose());
    engine.input(more);
    Zeroizing::new(sha256::Hash::from_engine(engine).to_byte_array())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_each_service_its_own_key_and_randomness() {
        let secp = Secp256k1::new();
        let secret = SecretBytes::new([1; 32]);
        let keys = |service| Keys::derive(&secp, KeyUse::ProviderSeed, &secret, service).unwrap();
        let (a, again, b) = (keys("a"), keys("a"), keys("b"));
        assert_eq!(a.public(), again.public());
        assert_ne!(a.public(), b.public());
        let r = |keys: &Keys, height| keys.randomness(&secp, height).public();
        assert_eq!(r(&a, 7), r(&again, 7));
        assert_ne!(r(&a, 7), r(&a, 8));
        assert_ne!(r(&a, 7), r(&b, 7));
    }

    #[test]
    fn an_imported_key_is_the_key_and_has_other_randomness_for_another_service() {
        let secp = Secp256k1::new();
        let key = SecretKey::from_slice(&[2; 32]).unwrap();
        let secret = SecretBytes::new(key.secret_bytes());
        let keys = |service| Keys::derive(&secp, KeyUse::ProviderKey, &secret, service).unwrap();
        assert_eq!(keys("a").public(), key.x_only_public_key(&secp).0);
        assert_ne!(keys("a").randomness(&secp, 1).public(), keys("b").randomness(&secp, 1).public());
        for no_key in [[0; 32], [0xff; 32]] {
            let derived = Keys::derive(&secp, KeyUse::ProviderKey, &SecretBytes::new(no_key), "a");
            assert!(matches!(derived, Err(ProviderError::NoKey)));
        }
    }
}
