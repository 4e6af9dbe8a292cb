use core::fmt;
use core::str::FromStr;

use bitcoin::hex::{Case, fmt_hex_exact};
use bitcoin::secp256k1::Parity;
use bitcoin::secp256k1::constants::FIELD_SIZE;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::AdaptorError;
use crate::bytes::{HexError, deserialize_vec};
use crate::scalar::PublicScalar;

/// A Schnorr adaptor signature: a nonce point, compressed (33 bytes), and a scalar from 1 to n - 1 (32 bytes).
///
/// Hex in human-readable formats, 65 bytes in others; both read the older 66 bytes as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdaptorSignature([u8; Self::SIZE]);

impl AdaptorSignature {
    /// The bytes of an adaptor signature.
    pub const SIZE: usize = 65;

    /// The bytes of the older form, `02 ‖ R0.x ‖ s ‖ flag`, which deployed stakes carry and which is only read.
    pub const OLDER_SIZE: usize = 66;

    pub(super) fn new(parity: Parity, nonce_x: [u8; 32], scalar: [u8; 32]) -> Self {
        let mut bytes = [0; Self::SIZE];
        bytes[0] = prefix(parity);
        bytes[1..33].copy_from_slice(&nonce_x);
        bytes[33..].copy_from_slice(&scalar);
        AdaptorSignature(bytes)
    }

    /// Reads 65 bytes, or the 66 bytes of the older form.
    ///
    /// Whether the nonce is on the curve shows when the signature is verified.
    ///
    /// # Errors
    ///
    /// [`AdaptorError`] if length, prefix, flag, nonce or scalar cannot be.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AdaptorError> {
        match bytes.len() {
            Self::SIZE => Self::read(bytes[0], &bytes[1..]),
            Self::OLDER_SIZE => {
                if bytes[0] != prefix(Parity::Even) {
                    return Err(AdaptorError::Prefix { prefix: bytes[0] });
                }
                let parity = match bytes[Self::OLDER_SIZE - 1] {
                    0 => Parity::Even,
                    1 => Parity::Odd,
                    flag => return Err(AdaptorError::Flag { flag }),
                };
                Self::read(prefix(parity), &bytes[1..Self::SIZE])
            }
            actual => Err(AdaptorError::Length { actual }),
        }
    }

    /// Reads a prefix and the 64 bytes of nonce and scalar.
    fn read(prefix: u8, rest: &[u8]) -> Result<Self, AdaptorError> {
        let parity = match prefix {
            2 => Parity::Even,
            3 => Parity::Odd,
            prefix => return Err(AdaptorError::Prefix { prefix }),
        };
        let (mut nonce_x, mut scalar) = ([0; 32], [0; 32]);
        nonce_x.copy_from_slice(&rest[..32]);
        scalar.copy_from_slice(&rest[32..]);
        if nonce_x >= FIELD_SIZE {
            return Err(AdaptorError::Field);
        }
        match PublicScalar::from_be_bytes(scalar) {
            Some(s) if !s.is_zero() => Ok(Self::new(parity, nonce_x, scalar)),
            _ => Err(AdaptorError::Scalar),
        }
    }

    /// The 65 bytes.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        self.0
    }

    pub(super) fn nonce(&self) -> &[u8; 33] {
        self.0.first_chunk().expect("65 bytes begin with 33")
    }

    pub(super) fn nonce_x(&self) -> &[u8; 32] {
        self.nonce().last_chunk().expect("33 bytes end with 32")
    }

    pub(super) fn nonce_is_odd(&self) -> bool {
        self.0[0] == prefix(Parity::Odd)
    }

    pub(super) fn nonce_parity(&self) -> Parity {
        if self.nonce_is_odd() { Parity::Odd } else { Parity::Even }
    }

    pub(super) fn scalar(&self) -> PublicScalar {
        let scalar = self.0.last_chunk().expect("65 bytes end with 32");
        PublicScalar::from_be_bytes(*scalar).expect("below the curve order by construction")
    }
}

/// The prefix of a compressed point.
fn prefix(parity: Parity) -> u8 {
    2 + parity.to_u8()
}

impl fmt::Display for AdaptorSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_hex_exact!(f, AdaptorSignature::SIZE, &self.0, Case::Lower)
    }
}

impl fmt::Debug for AdaptorSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdaptorSignature({self})")
    }
}

impl FromStr for AdaptorSignature {
    type Err = HexError<AdaptorError>;

    /// Reads the hex of 65 bytes, or of the 66 bytes of the older form.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use bitcoin::hex::FromHex;
        if text.len() == 2 * Self::OLDER_SIZE {
            let bytes = <[u8; Self::OLDER_SIZE]>::from_hex(text)?;
            return Self::from_bytes(&bytes).map_err(HexError::Value);
        }
        let bytes = <[u8; Self::SIZE]>::from_hex(text)?;
        Self::from_bytes(&bytes).map_err(HexError::Value)
    }
}

impl Serialize for AdaptorSignature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for AdaptorSignature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes =
            deserialize_vec::<_, { AdaptorSignature::OLDER_SIZE }>(deserializer, "an adaptor signature")?;
        AdaptorSignature::from_bytes(&bytes).map_err(serde::de::Error::custom)
    }
}
