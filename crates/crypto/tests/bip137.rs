//! BIP-0137 signatures: the known cases of Bitcoin Core and Electrum, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use base64::{Engine, engine::general_purpose::STANDARD};
use bitcoin::PrivateKey;
use bitcoin::secp256k1::{Keypair, SecretKey};
use common::*;
use proptest::prelude::*;
use tapstake_crypto::pop::{CompactSignature, PossessionError};

fn known_key(wif: &str) -> Keypair {
    Keypair::from_secret_key(&secp(), &PrivateKey::from_wif(wif).unwrap().inner)
}

fn bytes(base64: &str) -> [u8; 65] {
    STANDARD.decode(base64).unwrap().try_into().unwrap()
}

/// Key, message, signature: headers of P2PKH (compressed and not), P2SH-P2WPKH and P2WPKH addresses.
const KNOWN: &[(&str, &str, &str)] = &[
    (
        "5KMWWy2d3Mjc8LojNoj8Lcz9B1aWu8bRofUgGwQk959Dw5h2iyw",
        "test message",
        "G/iew/NhHV9V9MdUEn/LFOftaTy1ivGPKPKyMlr8OSokNC755fAxpSThNRivwTNsyY9vPUDTRYBPc2cmGd5d4y4=",
    ),
    (
        "L41XHGJA5QX43QRG3FEwPbqD5BYvy6WxUxqAMM9oQdHJ5FcRHcGk",
        "test message",
        "H/iew/NhHV9V9MdUEn/LFOftaTy1ivGPKPKyMlr8OSokNC755fAxpSThNRivwTNsyY9vPUDTRYBPc2cmGd5d4y4=",
    ),
    (
        "Ky1XfDK2v6wHPazA6ECaD8UctEoShXdchgABjpU9GWGZDxVRDBMJ",
        "test message",
        "IFqUo4/sxBEFkfK8mZeeN56V13BqOc0D90oPBChF3gTqMXtNSCTN79UxC33kZ8Mi0cHy4zYCnQfCxTyLpMVXKeA=",
    ),
    (
        "5JDopdKaxz5bXVYXcAnfno6oeSL8dpipxtU1AhfKe3Z58X48srn",
        "test message",
        "HFqUo4/sxBEFkfK8mZeeN56V13BqOc0D90oPBChF3gTqMXtNSCTN79UxC33kZ8Mi0cHy4zYCnQfCxTyLpMVXKeA=",
    ),
    (
        "Ky1XfDK2v6wHPazA6ECaD8UctEoShXdchgABjpU9GWGZDxVRDBMJ",
        "",
        "IFh0InGTy8lLCs03yoUIpJU6MUbi0La/4abhVxyKcCsoUiF3RM7lg51rCqyoOZ8Yt43h8LZrmj7nwwO3HIfesiw=",
    ),
    (
        "L4xAvhKR35zFcamyHME2ZHfhw5DEyeJvEMovQHQ7DttPTM8NLWCK",
        "test",
        "IBFyn+h9m3pWYbB4fBFKlRzBD4eJKojgCIZSNdhLKKHPSV2/WkeV7R7IOI0dpo3uGAEpCz9eepXLrA5kF35MXuU=",
    ),
    (
        "L4xAvhKR35zFcamyHME2ZHfhw5DEyeJvEMovQHQ7DttPTM8NLWCK",
        "test",
        "JBFyn+h9m3pWYbB4fBFKlRzBD4eJKojgCIZSNdhLKKHPSV2/WkeV7R7IOI0dpo3uGAEpCz9eepXLrA5kF35MXuU=",
    ),
    (
        "L4xAvhKR35zFcamyHME2ZHfhw5DEyeJvEMovQHQ7DttPTM8NLWCK",
        "test",
        "KBFyn+h9m3pWYbB4fBFKlRzBD4eJKojgCIZSNdhLKKHPSV2/WkeV7R7IOI0dpo3uGAEpCz9eepXLrA5kF35MXuU=",
    ),
];

#[test]
fn known_signatures_verify_and_ours_are_the_same() {
    let secp = secp();
    for (wif, message, signature) in KNOWN {
        let keypair = known_key(wif);
        let known = CompactSignature::from_bytes(bytes(signature)).unwrap();
        assert_eq!(known.verify(&secp, &x_only(&keypair), message), Ok(()));
        // All of them are deterministic (RFC 6979); the header names an address, ours P2PKH of a compressed key.
        let ours = CompactSignature::sign(&secp, &keypair, message).to_bytes();
        assert_eq!(ours[1..], known.to_bytes()[1..]);
        assert_eq!(ours[0], 31 + (known.to_bytes()[0] - 27) % 4);
    }
}

#[test]
fn a_known_signature_does_not_verify_for_another_message_or_key() {
    let secp = secp();
    for (wif, message, signature) in KNOWN {
        let key = x_only(&known_key(wif));
        let known = CompactSignature::from_bytes(bytes(signature)).unwrap();
        assert!(matches!(
            known.verify(&secp, &key, &format!("{message}.")),
            Err(PossessionError::WrongKey { .. } | PossessionError::Signature { .. })
        ));
        assert_eq!(
            known.verify(&secp, &x_only(&keypair(1)), message),
            Err(PossessionError::WrongKey { found: key })
        );
    }
}

#[test]
fn the_high_s_form_of_a_known_signature_is_refused() {
    for (_, _, signature) in KNOWN {
        let mut bytes = bytes(signature);
        let s = SecretKey::from_slice(&bytes[33..]).unwrap().negate();
        bytes[33..].copy_from_slice(&s.secret_bytes());
        // With the parity of the nonce turned over it would recover the same key.
        bytes[0] = ((bytes[0] - 27) ^ 1) + 27;
        assert_eq!(CompactSignature::from_bytes(bytes), Err(PossessionError::HighS));
    }
}

#[test]
fn headers_outside_27_to_42_are_refused() {
    let signature = bytes(KNOWN[0].2);
    for header in (0..=u8::MAX).filter(|header| !(27..=42).contains(header)) {
        let mut bytes = signature;
        bytes[0] = header;
        assert_eq!(CompactSignature::from_bytes(bytes), Err(PossessionError::Header { header }));
    }
}

#[test]
fn zero_and_oversized_scalars_are_refused() {
    let signature = bytes(KNOWN[0].2);
    for scalar in [[0; 32], order_plus(0), [0xff; 32]] {
        for place in [1, 33] {
            let mut bytes = signature;
            bytes[place..place + 32].copy_from_slice(&scalar);
            assert_eq!(CompactSignature::from_bytes(bytes), Err(PossessionError::Scalar));
        }
    }
}

#[test]
fn an_r_that_is_no_x_coordinate_recovers_nothing() {
    let (secp, key) = (secp(), x_only(&keypair(5)));
    let mut bytes = bytes(KNOWN[0].2);
    bytes[1..33].copy_from_slice(&[0; 32]);
    bytes[32] = 5;
    let signature = CompactSignature::from_bytes(bytes).unwrap();
    assert_eq!(signature.verify(&secp, &key, "m"), Err(PossessionError::Signature { staker: key }));
}

#[test]
fn r_and_s_swapped_do_not_verify() {
    let (secp, keypair) = (secp(), keypair(5));
    let mut tried = 0;
    for text in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let bytes = CompactSignature::sign(&secp, &keypair, text).to_bytes();
        let swapped = [&bytes[..1], &bytes[33..], &bytes[1..33]].concat().try_into().unwrap();
        let Ok(swapped) = CompactSignature::from_bytes(swapped) else { continue };
        tried += 1;
        assert!(swapped.verify(&secp, &x_only(&keypair), text).is_err());
    }
    assert!(tried > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_key_signs_and_no_flipped_bit_of_the_scalars_verifies(
        keypair in keypairs(),
        text: String,
        bit in 8..65 * 8usize,
    ) {
        let (secp, key) = (secp(), x_only(&keypair));
        let signature = CompactSignature::sign(&secp, &keypair, &text);
        prop_assert_eq!(CompactSignature::from_bytes(signature.to_bytes()), Ok(signature));
        prop_assert_eq!(signature.verify(&secp, &key, &text), Ok(()));
        let mut flipped = signature.to_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let verified = CompactSignature::from_bytes(flipped).and_then(|flipped| flipped.verify(&secp, &key, &text));
        prop_assert!(verified.is_err());
    }
}
