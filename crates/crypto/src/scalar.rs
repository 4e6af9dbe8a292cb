//! Scalars that are public: challenges, signatures and what they reveal.
//!
//! Nothing here is constant-time in its inputs, and nothing secret may come here.

use bitcoin::secp256k1::constants::{self, CURVE_ORDER};
use bitcoin::secp256k1::{Scalar, SecretKey};

/// A scalar modulo n, 32 bytes big endian; zero is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublicScalar([u8; 32]);

impl PublicScalar {
    pub(crate) const ZERO: PublicScalar = PublicScalar([0; 32]);
    pub(crate) const ONE: PublicScalar = PublicScalar(constants::ONE);

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

    /// The inverse modulo n; zero for zero.
    pub(crate) fn invert(self) -> Self {
        PublicScalar(crate::inverse::invert(&self.0))
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUS_ONE: [u8; 32] = {
        let mut bytes = CURVE_ORDER;
        bytes[31] -= 1;
        bytes
    };

    /// Random scalars, and those at the ends of the range.
    fn scalars() -> impl Strategy<Value = PublicScalar> {
        prop_oneof![
            8 => any::<[u8; 32]>().prop_map(PublicScalar::reduce),
            1 => Just(PublicScalar::ZERO),
            1 => Just(PublicScalar::ONE),
            1 => Just(PublicScalar(MINUS_ONE)),
            1 => any::<u8>().prop_map(|small| PublicScalar::reduce([[0; 31].as_slice(), &[small]].concat().try_into().unwrap())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn scalars_are_a_field(a in scalars(), b in scalars(), c in scalars()) {
            prop_assert_eq!(a.add(b), b.add(a));
            prop_assert_eq!(a.sub(b).add(b), a);
            prop_assert_eq!(a.sub(a), PublicScalar::ZERO);
            prop_assert_eq!(a.negate().negate(), a);
            prop_assert_eq!(a.add(b).mul(c), a.mul(c).add(b.mul(c)));
            prop_assert_eq!(a.mul(PublicScalar::ONE), a);
        }

        #[test]
        fn a_scalar_times_its_inverse_is_one(a in scalars()) {
            let expected = if a.is_zero() { PublicScalar::ZERO } else { PublicScalar::ONE };
            prop_assert_eq!(a.mul(a.invert()), expected);
        }
    }

    #[test]
    fn reduction_wraps_at_the_curve_order_only() {
        assert_eq!(PublicScalar::reduce(CURVE_ORDER), PublicScalar::ZERO);
        assert_eq!(PublicScalar::reduce(MINUS_ONE).to_be_bytes(), MINUS_ONE);
        // 2^256 - 1 - n, and its double is 2^256 - 1 - n more than that.
        let greatest = PublicScalar::reduce([0xff; 32]);
        assert_eq!(greatest.add(PublicScalar(MINUS_ONE)), greatest.sub(PublicScalar::ONE));
        assert_eq!(greatest.to_be_bytes()[..16], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(PublicScalar::from_be_bytes(CURVE_ORDER).is_none());
        assert!(PublicScalar::from_be_bytes(MINUS_ONE).is_some());
    }
}
