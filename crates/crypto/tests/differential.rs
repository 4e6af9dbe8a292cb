//! Against schnorr_fun, an implementation of its own on an own curve library, where the schemes meet.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Keypair, Message as Digest, Parity};
use common::*;
use proptest::prelude::*;
use schnorr_fun::adaptor::{Adaptor, EncryptedSign, EncryptedSignature};
use schnorr_fun::fun::nonce::Deterministic;
use schnorr_fun::fun::prelude::*;
use schnorr_fun::{Message, Schnorr, Signature};
use sha2::Sha256;
use tapstake_crypto::adaptor::{AdaptorSignature, decrypt, extract, point, sign, verify};
use tapstake_crypto::eots::{self, EotsSignature, PublicRandomness, Seed};
use tapstake_crypto::{ExposedKey, adaptor};

fn theirs() -> Schnorr<Sha256, Deterministic<Sha256>> {
    schnorr_fun::new_with_deterministic_nonces::<Sha256>()
}

fn their_scalar(bytes: [u8; 32]) -> Scalar {
    Scalar::from_bytes(bytes).unwrap().non_zero().unwrap()
}

fn their_key(keypair: &Keypair) -> Point<EvenY> {
    Point::from_xonly_bytes(x_only(keypair).serialize()).unwrap()
}

fn to_theirs(signature: &AdaptorSignature) -> EncryptedSignature {
    let bytes = signature.to_bytes();
    EncryptedSignature {
        R: Point::from_xonly_bytes(bytes[1..33].try_into().unwrap()).unwrap(),
        s_hat: Scalar::<Public, Zero>::from_bytes(bytes[33..].try_into().unwrap()).unwrap(),
        needs_negation: bytes[0] == 3,
    }
}

/// Their fields one after the other are the older form of 66 bytes.
fn from_theirs(signature: &EncryptedSignature) -> AdaptorSignature {
    let flag = u8::from(signature.needs_negation);
    let bytes =
        [[2].as_slice(), &signature.R.to_xonly_bytes(), &signature.s_hat.to_bytes(), &[flag]].concat();
    AdaptorSignature::from_bytes(&bytes).unwrap()
}

fn exposed(provider: &Keypair) -> ExposedKey {
    ExposedKey::from_bytes(&secp(), &provider.secret_bytes(), &x_only(provider)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn they_verify_decrypt_and_extract_from_our_adaptor_signatures(
        signer in keypairs(),
        provider in keypairs(),
        message: [u8; 32],
        aux: [u8; 32],
    ) {
        let (secp, schnorr) = (secp(), theirs());
        let ours = sign(&secp, &signer, &x_only(&provider), &message, &aux);
        let encrypted = to_theirs(&ours);
        let encryption_key = their_key(&provider);
        let raw = Message::raw(&message);
        prop_assert!(schnorr.verify_encrypted_signature(&their_key(&signer), &encryption_key, raw, &encrypted));

        let y = their_scalar(even_secret(&provider).secret_bytes());
        let signature = schnorr.decrypt_signature(y, encrypted.clone());
        let decrypted = decrypt(&ours, &x_only(&provider), &exposed(&provider)).unwrap();
        prop_assert_eq!(signature.to_bytes(), decrypted.serialize());
        prop_assert!(schnorr.verify(&their_key(&signer), raw, &signature));

        let recovered = schnorr.recover_decryption_key(&encryption_key, &encrypted, &signature).unwrap();
        let extracted = extract(&secp, &ours, &decrypted, &x_only(&provider)).unwrap();
        prop_assert_eq!(recovered.to_bytes(), *extracted.to_bytes());
    }

    #[test]
    fn we_verify_decrypt_and_extract_from_their_adaptor_signatures(
        signer in keypairs(),
        provider in keypairs(),
        message: [u8; 32],
    ) {
        let (secp, schnorr) = (secp(), theirs());
        let their_signer = schnorr.new_keypair(their_scalar(signer.secret_bytes()));
        let encrypted = schnorr.encrypted_sign(&their_signer, &their_key(&provider).normalize(), Message::raw(&message));
        let ours = from_theirs(&encrypted);
        prop_assert_eq!(verify(&secp, &ours, &x_only(&signer), &x_only(&provider), &message), Ok(()));

        let decrypted = decrypt(&ours, &x_only(&provider), &exposed(&provider)).unwrap();
        prop_assert!(secp.verify_schnorr(&decrypted, &Digest::from_digest(message), &x_only(&signer)).is_ok());
        let extracted = extract(&secp, &ours, &decrypted, &x_only(&provider)).unwrap();
        prop_assert_eq!(*extracted.to_bytes(), even_secret(&provider).secret_bytes());
    }

    /// Encryption points of odd Y, which the protocol has none of.
    #[test]
    fn we_agree_on_points_of_any_parity(signer in keypairs(), decryption_key in keypairs(), message: [u8; 32]) {
        let (secp, schnorr) = (secp(), theirs());
        let (key, point) = (x_only(&signer), decryption_key.public_key());
        let ours = point::sign(&secp, &signer, &point, &message, &[0; 32]);
        let their_point = Point::<Normal>::from_bytes(point.serialize()).unwrap();
        prop_assert!(schnorr.verify_encrypted_signature(
            &their_key(&signer),
            &their_point,
            Message::raw(&message),
            &to_theirs(&ours),
        ));
        let their_signer = schnorr.new_keypair(their_scalar(signer.secret_bytes()));
        let encrypted = schnorr.encrypted_sign(&their_signer, &their_point, Message::raw(&message));
        prop_assert_eq!(point::verify(&secp, &from_theirs(&encrypted), &key, &point, &message), Ok(()));
    }

    /// One of the two is broken in one bit: both say no.
    #[test]
    fn we_agree_on_what_does_not_verify(
        signer in keypairs(),
        provider in keypairs(),
        message: [u8; 32],
        bit in 0..64 * 8usize,
    ) {
        let (secp, schnorr) = (secp(), theirs());
        let signature = sign(&secp, &signer, &x_only(&provider), &message, &[0; 32]);
        let mut bytes = signature.to_bytes();
        bytes[1 + bit / 8] ^= 1 << (bit % 8);
        let Ok(broken) = AdaptorSignature::from_bytes(&bytes) else { return Ok(()) };
        prop_assert!(verify(&secp, &broken, &x_only(&signer), &x_only(&provider), &message).is_err());
        // They do not read a nonce that is not on the curve.
        let nonce = bytes[1..33].try_into().unwrap();
        if Point::<EvenY>::from_xonly_bytes(nonce).is_some() {
            prop_assert!(!schnorr.verify_encrypted_signature(
                &their_key(&signer),
                &their_key(&provider),
                Message::raw(&message),
                &to_theirs(&broken),
            ));
        }
    }

    #[test]
    fn they_verify_our_one_time_signatures(provider in keypairs(), seed: [u8; 32], message: Vec<u8>) {
        let randomness = eots::randomness(&secp(), &Seed::new(seed), b"service", 1);
        let ours = eots::sign(&provider, &randomness, &message).to_schnorr(&randomness.public());
        let digest = sha256::Hash::hash(&message).to_byte_array();
        let signature = Signature::from_bytes(ours.serialize()).unwrap();
        prop_assert!(theirs().verify(&their_key(&provider), Message::raw(&digest), &signature));
    }

    #[test]
    fn we_verify_their_signatures_as_one_time_signatures(provider in keypairs(), message: Vec<u8>) {
        let schnorr = theirs();
        let digest = sha256::Hash::hash(&message).to_byte_array();
        let keypair = schnorr.new_keypair(their_scalar(provider.secret_bytes()));
        let bytes = schnorr.sign(&keypair, Message::raw(&digest)).to_bytes();
        let randomness = PublicRandomness::from_bytes(bytes[..32].try_into().unwrap()).unwrap();
        let signature = EotsSignature::from_bytes(bytes[32..].try_into().unwrap()).unwrap();
        prop_assert_eq!(eots::verify(&secp(), &x_only(&provider), &randomness, &message, &signature), Ok(()));
    }
}

#[test]
fn both_parities_of_nonce_and_key_have_met() {
    let (secp, schnorr) = (secp(), theirs());
    let mut seen = [0; 4];
    for seed in 1..=40 {
        let (signer, provider) = (keypair(seed), keypair(seed + 100));
        let ours = adaptor::sign(&secp, &signer, &x_only(&provider), &[7; 32], &[0; 32]);
        let message = Message::raw(&[7; 32]);
        assert!(schnorr.verify_encrypted_signature(
            &their_key(&signer),
            &their_key(&provider),
            message,
            &to_theirs(&ours)
        ));
        let odd = usize::from(provider.x_only_public_key().1 == Parity::Odd);
        seen[2 * odd + usize::from(ours.to_bytes()[0] - 2)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}
