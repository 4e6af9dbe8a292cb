use bitcoin::hashes::Hash;
use bitcoin::secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use bitcoin::secp256k1::{Keypair, Message, Secp256k1, Signing, Verification, XOnlyPublicKey};
use bitcoin::sign_message::signed_msg_hash;

use super::PossessionError;
use crate::bytes::fixed_bytes;
use crate::scalar::PublicScalar;

/// The first header of each class of addresses in BIP-0137: P2PKH of an uncompressed key, of a compressed one, P2SH-P2WPKH and
/// P2WPKH. What is proven here is a key and not an address, so all are read alike.
const FIRST_HEADER: u8 = 27;
const LAST_HEADER: u8 = 42;
/// Of P2PKH with a compressed key: the header that all wallets know.
const COMPRESSED: u8 = 31;

/// A compact ECDSA signature of BIP-0137: header, r and s, 65 bytes, low-S.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompactSignature([u8; 65]);

impl CompactSignature {
    /// Reads 65 bytes.
    ///
    /// # Errors
    ///
    /// [`PossessionError::Header`], [`PossessionError::Scalar`] or [`PossessionError::HighS`].
    pub fn from_bytes(bytes: [u8; 65]) -> Result<Self, PossessionError> {
        if !(FIRST_HEADER..=LAST_HEADER).contains(&bytes[0]) {
            return Err(PossessionError::Header { header: bytes[0] });
        }
        let (mut r, mut s) = ([0; 32], [0; 32]);
        r.copy_from_slice(&bytes[1..33]);
        s.copy_from_slice(&bytes[33..]);
        for scalar in [r, s] {
            if PublicScalar::from_be_bytes(scalar).is_none_or(|scalar| scalar.is_zero()) {
                return Err(PossessionError::Scalar);
            }
        }
        let signature = CompactSignature(bytes);
        let standard = signature.recoverable().to_standard();
        let mut low = standard;
        low.normalize_s();
        if low != standard {
            return Err(PossessionError::HighS);
        }
        Ok(signature)
    }

    /// The 65 bytes.
    pub fn to_bytes(self) -> [u8; 65] {
        self.0
    }

    /// Signs a text as wallets do; deterministic (RFC 6979).
    pub fn sign<C: Signing>(secp: &Secp256k1<C>, signer: &Keypair, text: &str) -> Self {
        let mut secret = signer.secret_key();
        let (id, rest) = secp.sign_ecdsa_recoverable(&digest(text), &secret).serialize_compact();
        secret.non_secure_erase();
        let mut bytes = [0; 65];
        bytes[0] = COMPRESSED + u8::try_from(id.to_i32()).expect("a recovery id is 0 to 3");
        bytes[1..].copy_from_slice(&rest);
        CompactSignature(bytes)
    }

    /// Checks that the key which the signature recovers from a text has the x coordinate of `signer`.
    ///
    /// # Errors
    ///
    /// [`PossessionError::WrongKey`], or [`PossessionError::Signature`] if no key is recovered.
    pub fn verify<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        signer: &XOnlyPublicKey,
        text: &str,
    ) -> Result<(), PossessionError> {
        let found = secp
            .recover_ecdsa(&digest(text), &self.recoverable())
            .map_err(|_| PossessionError::Signature { staker: *signer })?
            .x_only_public_key()
            .0;
        if found != *signer {
            return Err(PossessionError::WrongKey { found });
        }
        Ok(())
    }

    fn recoverable(&self) -> RecoverableSignature {
        let id =
            RecoveryId::from_i32(i32::from((self.0[0] - FIRST_HEADER) & 3)).expect("two bits are 0 to 3");
        RecoverableSignature::from_compact(&self.0[1..], id)
            .expect("the scalars are in range by construction")
    }
}

impl TryFrom<[u8; 65]> for CompactSignature {
    type Error = PossessionError;

    fn try_from(bytes: [u8; 65]) -> Result<Self, PossessionError> {
        CompactSignature::from_bytes(bytes)
    }
}

fixed_bytes!(CompactSignature, 65, "a BIP-0137 signature");

fn digest(text: &str) -> Message {
    Message::from_digest(signed_msg_hash(text).to_byte_array())
}
