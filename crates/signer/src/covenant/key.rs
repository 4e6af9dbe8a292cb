use std::fmt;

use bitcoin::key::Keypair;
use bitcoin::secp256k1::rand::random;
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{All, Message, Secp256k1, SecretKey};
use bitcoin::{TapSighash, XOnlyPublicKey};
use tapstake_crypto::adaptor::{self, AdaptorSignature};
use zeroize::Zeroize;

use crate::keyfile::SecretBytes;

/// A covenant member's key, wherever it is kept: in memory, in a hardware module, behind a connection.
///
/// Everything that is asked of it is a digest, already checked against parameters and policy; what it answers is
/// verified before it is used, so a device that fails or lies is found out here. A signature that was handed out is
/// kept in the member's record: the key need not be deterministic.
pub trait CovenantKey {
    /// The key as it stands in the committee.
    fn public_key(&self) -> XOnlyPublicKey;

    /// A BIP-0340 signature over `digest`.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the key cannot be reached or refuses.
    fn sign(&self, digest: TapSighash) -> Result<Signature, KeyError>;

    /// An adaptor signature over `digest` that only the secret key of `encryption_key` makes a BIP-0340 signature.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the key cannot be reached or refuses.
    fn adaptor_sign(
        &self,
        digest: TapSighash,
        encryption_key: &XOnlyPublicKey,
    ) -> Result<AdaptorSignature, KeyError>;
}

/// Why a key gave no signature.
#[derive(Debug, thiserror::Error)]
#[error("the covenant key gave no signature: {0}")]
pub struct KeyError(#[from] Box<dyn std::error::Error + Send + Sync>);

impl KeyError {
    /// A failure of a key that is elsewhere.
    pub fn new(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        KeyError(reason.into())
    }
}

/// A covenant member's secret key in this process's memory, wiped when dropped.
pub struct LocalKey {
    secp: Secp256k1<All>,
    keypair: Keypair,
}

/// 32 bytes that are no secret key: zero, or not below the order of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these 32 bytes are no secret key")]
pub struct NoSecretKey;

impl LocalKey {
    /// The key pair of a member.
    pub fn new(keypair: Keypair) -> Self {
        LocalKey { secp: Secp256k1::new(), keypair }
    }

    /// The key of these secret bytes.
    ///
    /// # Errors
    ///
    /// [`NoSecretKey`] if they are out of range.
    pub fn from_secret(secret: &SecretBytes) -> Result<Self, NoSecretKey> {
        let secp = Secp256k1::new();
        let mut key = SecretKey::from_slice(secret.expose()).map_err(|_| NoSecretKey)?;
        let keypair = Keypair::from_secret_key(&secp, &key);
        key.non_secure_erase();
        Ok(LocalKey { secp, keypair })
    }
}

impl CovenantKey for LocalKey {
    fn public_key(&self) -> XOnlyPublicKey {
        self.keypair.x_only_public_key().0
    }

    fn sign(&self, digest: TapSighash) -> Result<Signature, KeyError> {
        let mut aux: [u8; 32] = random();
        let signature = self.secp.sign_schnorr_with_aux_rand(&Message::from(digest), &self.keypair, &aux);
        aux.zeroize();
        Ok(signature)
    }

    fn adaptor_sign(
        &self,
        digest: TapSighash,
        encryption_key: &XOnlyPublicKey,
    ) -> Result<AdaptorSignature, KeyError> {
        let mut aux: [u8; 32] = random();
        let message = Message::from(digest);
        let signature = adaptor::sign(&self.secp, &self.keypair, encryption_key, message.as_ref(), &aux);
        aux.zeroize();
        Ok(signature)
    }
}

impl Drop for LocalKey {
    fn drop(&mut self) {
        self.keypair.non_secure_erase();
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalKey({})", self.public_key())
    }
}
