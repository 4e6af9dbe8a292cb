#![allow(dead_code, reason = "every test file takes what it needs")]

use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::secp256k1::{
    All, Keypair, Parity, Scalar, Secp256k1, SecretKey, XOnlyPublicKey, constants::CURVE_ORDER,
};
use proptest::prelude::*;

/// The order of the curve is odd and ends in `41`: scalars beside it by hand.
pub(crate) fn order_plus(difference: i8) -> [u8; 32] {
    let mut bytes = CURVE_ORDER;
    bytes[31] = bytes[31].checked_add_signed(difference).unwrap();
    bytes
}

pub(crate) fn secp() -> Secp256k1<All> {
    Secp256k1::new()
}

pub(crate) fn keypair(seed: u8) -> Keypair {
    Keypair::from_seckey_slice(&secp(), &[seed; 32]).unwrap()
}

pub(crate) fn x_only(keypair: &Keypair) -> XOnlyPublicKey {
    keypair.x_only_public_key().0
}

/// Random key pairs, of both parities.
pub(crate) fn keypairs() -> impl Strategy<Value = Keypair> {
    any::<[u8; 32]>().prop_filter_map("a scalar", |bytes| Keypair::from_seckey_slice(&secp(), &bytes).ok())
}

/// The secret of the form whose public key has even Y.
pub(crate) fn even_secret(keypair: &Keypair) -> SecretKey {
    match keypair.x_only_public_key().1 {
        Parity::Even => keypair.secret_key(),
        Parity::Odd => keypair.secret_key().negate(),
    }
}

/// `BIP0340/challenge` by its definition.
pub(crate) fn challenge(r: &[u8; 32], key: &XOnlyPublicKey, message: &[u8; 32]) -> [u8; 32] {
    let tag = sha256::Hash::hash(b"BIP0340/challenge");
    let mut engine = sha256::Hash::engine();
    for part in [tag.as_byte_array(), tag.as_byte_array(), r, &key.serialize(), message] {
        engine.input(part);
    }
    sha256::Hash::from_engine(engine).to_byte_array()
}

/// `e·d` for a hash `e` below the curve order.
pub(crate) fn times(d: &SecretKey, e: &[u8; 32]) -> SecretKey {
    d.mul_tweak(&Scalar::from_be_bytes(*e).unwrap()).unwrap()
}

pub(crate) fn plus(a: &SecretKey, b: &SecretKey) -> SecretKey {
    a.add_tweak(&Scalar::from(*b)).unwrap()
}

pub(crate) fn minus(a: &SecretKey, b: &SecretKey) -> SecretKey {
    plus(a, &b.negate())
}
