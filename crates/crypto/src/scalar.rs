//! Scalars that are public: challenges, signatures and what they reveal.
//!
//! Nothing here is constant-time in its inputs, and nothing secret may come here.

use bitcoin::secp256k1::constants::CURVE_ORDER;
use bitcoin::secp256k1::{Scalar, SecretKey};

/// A scalar modulo n, 32 bytes big endian; zero is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublicScalar([u8; 32]);

/// The exponent of Fermat's inverse, n - 2.
const ORDER_MINUS_TWO: [u8; 32] = {
    let mut bytes = CURVE_ORDER;
    bytes[31] -= 2;
    bytes
};

impl PublicScalar {
    const ZERO: PublicScalar = PublicScalar([0; 32]);

    /// Any 32 bytes modulo n.
    pub(crate) fn reduce(bytes: [u8; 32]) -> Self {
        if bytes < CURVE_ORDER {
            return PublicScalar(bytes);
        }
        // 2^256 is below 2n, so one subtraction is enough.
        PublicScalar(wrapping_sub(&bytes, &CURVE_ORDER))
    }

    /// Bytes that are a scalar already; `None` from n on.
    pub(crate) fn from_be_bytes(bytes: [u8; 32]) -> Option<Self> {
        (bytes < CURVE_ORDER).then_some(PublicScalar(bytes))
    }

    pub(crate) fn to_be_bytes(self) -> [u8; 32] {
        self.0
    }

    pub(crate) fn as_scalar(&self) -> Scalar {
        Scalar::from_be_bytes(self.0).expect("a public scalar is below the curve order")
    }

    /// The scalar as a key of libsecp256k1, `None` for zero.
    pub(crate) fn to_key(self) -> Option<SecretKey> {
        SecretKey::from_slice(&self.0).ok()
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0 == [0; 32]
    }

    pub(crate) fn negate(self) -> Self {
        self.to_key().map_or(self, |key| PublicScalar(key.negate().secret_bytes()))
    }

    pub(crate) fn mul(self, other: Self) -> Self {
        self.to_key()
            .and_then(|key| key.mul_tweak(&other.as_scalar()).ok())
            .map_or(Self::ZERO, |key| PublicScalar(key.secret_bytes()))
    }

    pub(crate) fn add(self, other: Self) -> Self {
        match self.to_key() {
            None => other,
            Some(key) => {
                key.add_tweak(&other.as_scalar()).map_or(Self::ZERO, |key| PublicScalar(key.secret_bytes()))
            }
        }
    }

    pub(crate) fn sub(self, other: Self) -> Self {
        self.add(other.negate())
    }

    /// The inverse modulo n, by Fermat; zero for zero.
    pub(crate) fn invert(self) -> Self {
        let mut power = PublicScalar::ONE;
        for byte in ORDER_MINUS_TWO {
            for bit in (0..8).rev() {
                power = power.mul(power);
                if byte >> bit & 1 == 1 {
                    power = power.mul(self);
                }
            }
        }
        power
    }

    const ONE: PublicScalar = {
        let mut bytes = [0; 32];
        bytes[31] = 1;
        PublicScalar(bytes)
    };
}

/// `a - b` modulo 2^256, big endian.
fn wrapping_sub(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    let mut out = [0; 32];
    let mut borrow = false;
    for i in (0..32).rev() {
        let (difference, under) = a[i].overflowing_sub(b[i]);
        let (difference, under_again) = difference.overflowing_sub(u8::from(borrow));
        out[i] = difference;
        borrow = under || under_again;
    }
    out
}
