//! `s·G - e·P`, what every check of a Schnorr-like signature comes down to.
//!
//! libsecp256k1 offers that double multiplication through one door only, the recovery of the public key of an ECDSA
//! signature (SEC 1, section 4.1.6): from (r, σ) on the digest z it computes `Q = r⁻¹·(σ·R - z·G)`, where R is the
//! point with x coordinate r. With R = P, σ = -e·r and z = -s·r, that is `Q = -e·P + s·G`.

use bitcoin::secp256k1::constants::CURVE_ORDER;
use bitcoin::secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use bitcoin::secp256k1::{Message, Parity, PublicKey, Secp256k1, Verification, XOnlyPublicKey};

use crate::scalar::PublicScalar;

/// `s·G - e·P` for the point P with even Y; `None` if that is the point at infinity. `None` too for e = 0 and P = -s·G,
/// where a sum on the way there is: a challenge that hashes to zero, which nobody finds, and its signature is refused.
pub(crate) fn sub_mul<C: Verification>(
    secp: &Secp256k1<C>,
    s: &PublicScalar,
    e: &PublicScalar,
    key: &XOnlyPublicKey,
) -> Option<PublicKey> {
    // Recovery refuses what is no ECDSA signature (e = 0, or P.x = n) and the point at infinity; the other way tells
    // which of them it is.
    one_multiplication(secp, s, e, key).or_else(|| two_multiplications(secp, s, e, key))
}

/// By public-key recovery; `None` if that cannot give the point, or the point is the one at infinity.
fn one_multiplication<C: Verification>(
    secp: &Secp256k1<C>,
    s: &PublicScalar,
    e: &PublicScalar,
    key: &XOnlyPublicKey,
) -> Option<PublicKey> {
    let x = key.serialize();
    let r = PublicScalar::reduce(x);
    // Bit 1 of the recovery id says that x is r + n, bit 0 that Y is odd: taking -P instead of P, σ is e·r.
    let id = RecoveryId::from_i32(if x < CURVE_ORDER { 1 } else { 3 }).ok()?;
    let digest = s.mul(r).negate();
    let mut compact = [0; 64];
    compact[..32].copy_from_slice(&r.to_be_bytes());
    compact[32..].copy_from_slice(&e.mul(r).to_be_bytes());
    let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
    secp.recover_ecdsa(&Message::from_digest(digest.to_be_bytes()), &signature).ok()
}

/// By two multiplications; `None` if the point is the one at infinity.
fn two_multiplications<C: Verification>(
    secp: &Secp256k1<C>,
    s: &PublicScalar,
    e: &PublicScalar,
    key: &XOnlyPublicKey,
) -> Option<PublicKey> {
    let key = key.public_key(Parity::Even);
    match e.is_zero() {
        // s·G = (P + s·G) - P.
        true => key.add_exp_tweak(secp, &s.as_scalar()).ok()?.combine(&key.negate(secp)).ok(),
        false => key.mul_tweak(secp, &e.negate().as_scalar()).ok()?.add_exp_tweak(secp, &s.as_scalar()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use bitcoin::hex::FromHex;
    use bitcoin::secp256k1::{All, SecretKey};
    use proptest::prelude::*;

    use super::*;
    use crate::hash::challenge;

    fn secret(seed: [u8; 32]) -> SecretKey {
        PublicScalar::reduce(seed).to_key().unwrap_or_else(|| PublicScalar::ONE.to_key().unwrap())
    }

    fn even(secp: &Secp256k1<All>, seed: [u8; 32]) -> (XOnlyPublicKey, PublicScalar) {
        let (key, parity) = secret(seed).x_only_public_key(secp);
        let d = PublicScalar::reduce(secret(seed).secret_bytes());
        (key, if parity == Parity::Odd { d.negate() } else { d })
    }

    /// Random scalars, and those at the ends of the range.
    fn scalars() -> impl Strategy<Value = PublicScalar> {
        prop_oneof![
            6 => any::<[u8; 32]>().prop_map(PublicScalar::reduce),
            1 => Just(PublicScalar::ZERO),
            1 => Just(PublicScalar::ONE),
            1 => Just(PublicScalar::ONE.negate()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]

        #[test]
        fn one_multiplication_gives_what_two_give(seed: [u8; 32], s in scalars(), e in scalars()) {
            let secp = Secp256k1::new();
            let (key, d) = even(&secp, seed);
            let two = two_multiplications(&secp, &s, &e, &key);
            prop_assert_eq!(sub_mul(&secp, &s, &e, &key), two);
            // And both give the point of s - e·d.
            let expected = s.sub(e.mul(d)).to_key().map(|key| key.public_key(&secp));
            prop_assert_eq!(two, expected);
            if !e.is_zero() {
                prop_assert_eq!(one_multiplication(&secp, &s, &e, &key), expected);
            }
        }

        #[test]
        fn the_point_at_infinity_is_none_both_ways(seed: [u8; 32], e in scalars()) {
            let secp = Secp256k1::new();
            let (key, d) = even(&secp, seed);
            prop_assert_eq!(sub_mul(&secp, &e.mul(d), &e, &key), None);
            prop_assert_eq!(one_multiplication(&secp, &e.mul(d), &e, &key), None);
            prop_assert_eq!(two_multiplications(&secp, &e.mul(d), &e, &key), None);
        }
    }

    /// Keys with an x coordinate from n to p: one in 2^127, so they are looked for at n.
    #[test]
    fn keys_with_an_x_coordinate_above_the_curve_order_take_one_multiplication() {
        let secp = Secp256k1::new();
        let (mut x, mut found) = (CURVE_ORDER, 0);
        while found < 8 {
            x[31] += 1;
            let Ok(key) = XOnlyPublicKey::from_slice(&x) else { continue };
            found += 1;
            let (s, e) = (PublicScalar::reduce([found; 32]), PublicScalar::reduce([0xf0 | found; 32]));
            let one = one_multiplication(&secp, &s, &e, &key).unwrap();
            assert_eq!(Some(one), two_multiplications(&secp, &s, &e, &key));
        }
    }

    /// n itself is an x coordinate: r would be zero then, which is no ECDSA signature.
    #[test]
    fn the_key_with_the_curve_order_as_x_coordinate_takes_two_multiplications() {
        let secp = Secp256k1::new();
        let key = XOnlyPublicKey::from_slice(&CURVE_ORDER).unwrap();
        let (s, e) = (PublicScalar::reduce([3; 32]), PublicScalar::reduce([5; 32]));
        assert_eq!(one_multiplication(&secp, &s, &e, &key), None);
        let point = sub_mul(&secp, &s, &e, &key);
        assert!(point.is_some());
        assert_eq!(point, two_multiplications(&secp, &s, &e, &key));
    }

    /// BIP-0340 verification over `sub_mul`, against the vectors of the BIP.
    #[test]
    fn bip_0340_vectors_verify_and_fail_over_it() {
        let secp = Secp256k1::new();
        let verify = |key: &str, message: &str, signature: &str| -> Option<()> {
            let key = XOnlyPublicKey::from_slice(&<[u8; 32]>::from_hex(key).ok()?).ok()?;
            let message = <[u8; 32]>::from_hex(message).ok()?;
            let r = <[u8; 32]>::from_hex(&signature[..64]).ok()?;
            let s = PublicScalar::from_be_bytes(<[u8; 32]>::from_hex(&signature[64..]).ok()?)?;
            let e = challenge(&r, &key, &message);
            for way in [sub_mul, two_multiplications] {
                let (x, parity) = way(&secp, &s, &e, &key)?.x_only_public_key();
                (parity == Parity::Even && x.serialize() == r).then_some(())?;
            }
            Some(())
        };
        let mut rows = 0;
        for row in csv::Reader::from_reader(include_bytes!("../tests/data/bip340.csv").as_slice()).records() {
            let row = row.unwrap();
            let verified = verify(&row[2], &row[4], &row[5]).is_some();
            assert_eq!(verified.to_string().to_uppercase(), row[6], "row {}: {}", &row[0], &row[7]);
            rows += 1;
        }
        assert_eq!(rows, 15);
    }
}
