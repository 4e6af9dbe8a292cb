//! Extractable one-time signatures: signed, verified, extracted and refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use bitcoin::secp256k1::{Keypair, Message, Parity, SecretKey};
use common::*;
use proptest::prelude::*;
use tapstake_crypto::eots::{
    EotsError, EotsSignature, PublicRandomness, SecretRandomness, Seed, Vote, extract, randomness, sign,
    verify,
};

const SERVICE: &[u8] = b"rollup-1";

fn vote(block: u8) -> [u8; 40] {
    Vote { height: 100, block_hash: [block; 32] }.message()
}

struct Equivocation {
    provider: Keypair,
    randomness: SecretRandomness,
    messages: [[u8; 40]; 2],
    signatures: [EotsSignature; 2],
}

fn equivocation(provider: Keypair, height: u64) -> Equivocation {
    let randomness = randomness(&secp(), &Seed::new([4; 32]), SERVICE, height);
    let messages = [vote(1), vote(2)];
    let signatures = messages.map(|message| sign(&provider, &randomness, &message));
    Equivocation { provider, randomness, messages, signatures }
}

impl Equivocation {
    fn extract(&self, s1: &EotsSignature, s2: &EotsSignature) -> Result<SecretKey, EotsError> {
        let secp = secp();
        let [m1, m2] = &self.messages;
        extract(&secp, &x_only(&self.provider), &self.randomness.public(), (m1, s1), (m2, s2))
            .map(|key| key.keypair(&secp).secret_key())
    }

    fn refused(&self) -> EotsError {
        EotsError::NotExtracted { provider: x_only(&self.provider) }
    }
}

/// A signature plus a constant.
fn shifted(signature: &EotsSignature, by: u8) -> EotsSignature {
    let mut constant = [0; 32];
    constant[31] = by;
    let s = SecretKey::from_slice(&signature.to_bytes()).unwrap();
    EotsSignature::from_bytes(plus(&s, &SecretKey::from_slice(&constant).unwrap()).secret_bytes()).unwrap()
}

fn negated(signature: &EotsSignature) -> EotsSignature {
    let s = SecretKey::from_slice(&signature.to_bytes()).unwrap();
    EotsSignature::from_bytes(s.negate().secret_bytes()).unwrap()
}

/// The nonce by the documented derivation.
fn nonce(seed: &[u8; 32], service: &[u8], height: u64) -> SecretKey {
    let mut engine = HmacEngine::<sha256::Hash>::new(seed);
    engine.input(b"tapstake/eots/randomness/v1");
    engine.input(&u64::try_from(service.len()).unwrap().to_be_bytes());
    engine.input(service);
    engine.input(&height.to_be_bytes());
    engine.input(&[0]);
    SecretKey::from_slice(Hmac::from_engine(engine).as_byte_array()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_signature_verifies_and_two_of_them_give_the_key(
        provider in keypairs(),
        seed: [u8; 32],
        service: Vec<u8>,
        height: u64,
        messages: [Vec<u8>; 2],
    ) {
        prop_assume!(messages[0] != messages[1]);
        let (secp, key) = (secp(), x_only(&provider));
        let randomness = randomness(&secp, &Seed::new(seed), &service, height);
        let public = randomness.public();
        let [m1, m2] = &messages;
        let [s1, s2] = [m1, m2].map(|message| sign(&provider, &randomness, message));
        prop_assert_eq!(verify(&secp, &key, &public, m1, &s1), Ok(()));
        prop_assert_eq!(verify(&secp, &key, &public, m2, &s2), Ok(()));
        let refused = EotsError::Signature { provider: key };
        prop_assert_eq!(verify(&secp, &key, &public, m2, &s1), Err(refused));

        let exposed = extract(&secp, &key, &public, (m1, &s1), (m2, &s2)).unwrap();
        prop_assert_eq!(exposed.public_key(), key);
        prop_assert_eq!(exposed.keypair(&secp).secret_key(), even_secret(&provider));
    }

    #[test]
    fn a_signature_with_its_randomness_is_a_bip_0340_signature_of_the_hash(provider in keypairs(), message: Vec<u8>) {
        let secp = secp();
        let randomness = randomness(&secp, &Seed::new([1; 32]), SERVICE, 7);
        let signature = sign(&provider, &randomness, &message).to_schnorr(&randomness.public());
        let digest = Message::from_digest(sha256::Hash::hash(&message).to_byte_array());
        prop_assert!(secp.verify_schnorr(&signature, &digest, &x_only(&provider)).is_ok());
    }
}

#[test]
fn the_key_is_extracted_for_all_four_parities_of_key_and_nonce() {
    let secp = secp();
    let mut seen = [0; 4];
    for key in 1..=8 {
        for height in 0..8 {
            let provider = keypair(key);
            let nonce_parity = nonce(&[4; 32], SERVICE, height).x_only_public_key(&secp).1;
            let equivocation = equivocation(provider, height);
            let [s1, s2] = &equivocation.signatures;
            assert_eq!(equivocation.extract(s1, s2), Ok(even_secret(&provider)));
            let key_parity = provider.x_only_public_key().1;
            seen[usize::from(2 * key_parity.to_u8() + nonce_parity.to_u8())] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    assert_eq!(seen.iter().sum::<u32>(), 64);
}

#[test]
fn randomness_is_the_documented_hmac_and_differs_by_seed_service_and_height() {
    let secp = secp();
    let mut all = std::collections::BTreeSet::new();
    for seed in [[1; 32], [2; 32]] {
        // The last two would be one without a length in front.
        for service in [b"".as_slice(), b"a", b"a\0\0\0\0\0\0\0\0"] {
            for height in [0, 1, u64::MAX] {
                let public = randomness(&secp, &Seed::new(seed), service, height).public();
                let expected = nonce(&seed, service, height).x_only_public_key(&secp).0.serialize();
                assert_eq!(public.to_bytes(), expected);
                all.insert(public);
            }
        }
    }
    assert_eq!(all.len(), 2 * 3 * 3);
}

#[test]
fn one_message_twice_is_no_equivocation() {
    let Equivocation { provider, randomness, messages: [message, _], signatures: [signature, _] } =
        equivocation(keypair(7), 1);
    let extracted = extract(
        &secp(),
        &x_only(&provider),
        &randomness.public(),
        (&message, &signature),
        (&message, &signature),
    );
    assert_eq!(extracted, Err(EotsError::SameMessage));
}

#[test]
fn swapped_signatures_do_not_give_the_negated_key() {
    // d comes out as -d then, whose point has the same x coordinate.
    let equivocation = equivocation(keypair(7), 1);
    let [s1, s2] = &equivocation.signatures;
    assert_eq!(equivocation.extract(s2, s1), Err(equivocation.refused()));
}

#[test]
fn negated_signatures_do_not_give_the_negated_key() {
    let equivocation = equivocation(keypair(7), 1);
    let [s1, s2] = &equivocation.signatures;
    assert_eq!(equivocation.extract(&negated(s1), &negated(s2)), Err(equivocation.refused()));
}

#[test]
fn signatures_malleated_by_one_constant_do_not_pass_although_their_difference_is_right() {
    let equivocation = equivocation(keypair(7), 1);
    let [s1, s2] = &equivocation.signatures;
    assert_eq!(equivocation.extract(&shifted(s1, 1), &shifted(s2, 1)), Err(equivocation.refused()));
}

#[test]
fn one_malleated_signature_does_not_pass() {
    let equivocation = equivocation(keypair(7), 1);
    let [s1, s2] = &equivocation.signatures;
    assert_eq!(equivocation.extract(&shifted(s1, 1), s2), Err(equivocation.refused()));
    assert_eq!(equivocation.extract(s1, &shifted(s2, 1)), Err(equivocation.refused()));
}

#[test]
fn equal_signatures_on_different_messages_give_no_key() {
    let equivocation = equivocation(keypair(7), 1);
    let [s1, _] = &equivocation.signatures;
    assert_eq!(equivocation.extract(s1, s1), Err(equivocation.refused()));
}

#[test]
fn another_providers_key_is_not_extracted() {
    let mut equivocation = equivocation(keypair(7), 1);
    equivocation.provider = keypair(8);
    let [s1, s2] = &equivocation.signatures;
    assert_eq!(equivocation.extract(s1, s2), Err(equivocation.refused()));
}

#[test]
fn nothing_is_extracted_with_another_randomness() {
    let mut equivocation = equivocation(keypair(7), 1);
    equivocation.randomness = randomness(&secp(), &Seed::new([4; 32]), SERVICE, 2);
    let [s1, s2] = &equivocation.signatures;
    assert_eq!(equivocation.extract(s1, s2), Err(equivocation.refused()));
}

#[test]
fn signatures_with_two_randomnesses_give_nothing() {
    let [first, second] = [1, 2].map(|height| equivocation(keypair(7), height));
    assert_eq!(first.extract(&first.signatures[0], &second.signatures[1]), Err(first.refused()));
}

#[test]
fn a_signature_with_any_bit_flipped_does_not_verify() {
    let Equivocation { provider, randomness, messages: [message, _], signatures: [signature, _] } =
        equivocation(keypair(7), 1);
    let (secp, key, public) = (secp(), x_only(&provider), randomness.public());
    for bit in 0..256 {
        let mut bytes = signature.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let flipped = EotsSignature::from_bytes(bytes).map(|s| verify(&secp, &key, &public, &message, &s));
        assert!(
            matches!(flipped, Ok(Err(EotsError::Signature { .. })) | Err(EotsError::Scalar)),
            "bit {bit}"
        );
    }
}

#[test]
fn a_negated_signature_does_not_verify() {
    let Equivocation { provider, randomness, messages: [message, _], signatures: [signature, _] } =
        equivocation(keypair(7), 1);
    let key = x_only(&provider);
    assert_eq!(
        verify(&secp(), &key, &randomness.public(), &message, &negated(&signature)),
        Err(EotsError::Signature { provider: key })
    );
}

#[test]
fn randomness_and_signature_swapped_do_not_verify() {
    let (secp, provider) = (secp(), keypair(7));
    let key = x_only(&provider);
    // A height at which both are valid as the other: half of all scalars are an x coordinate.
    let swapped = (0..).find_map(|height| {
        let Equivocation { randomness, messages: [message, _], signatures: [s, _], .. } =
            equivocation(provider, height);
        let as_randomness = PublicRandomness::from_bytes(s.to_bytes()).ok()?;
        let as_signature = EotsSignature::from_bytes(randomness.public().to_bytes()).ok()?;
        Some(verify(&secp, &key, &as_randomness, &message, &as_signature))
    });
    assert_eq!(swapped, Some(Err(EotsError::Signature { provider: key })));
}

#[test]
fn a_zero_signature_is_refused() {
    assert_eq!(EotsSignature::from_bytes([0; 32]), Err(EotsError::Scalar));
}

#[test]
fn signatures_from_the_curve_order_on_are_refused() {
    assert!(EotsSignature::from_bytes(order_plus(-1)).is_ok());
    for bytes in [order_plus(0), order_plus(1), [0xff; 32]] {
        assert_eq!(EotsSignature::from_bytes(bytes), Err(EotsError::Scalar));
    }
}

#[test]
fn randomness_that_is_no_x_coordinate_is_refused() {
    // 5 is no x coordinate on secp256k1, 0 neither; the field size and all ones are no field elements.
    let mut five = [0; 32];
    five[31] = 5;
    for bytes in [[0; 32], five, bitcoin::secp256k1::constants::FIELD_SIZE, [0xff; 32]] {
        assert_eq!(PublicRandomness::from_bytes(bytes), Err(EotsError::Randomness));
    }
}

#[test]
fn a_vote_signs_its_height_in_big_endian_and_its_hash() {
    let message = Vote { height: 0x0102_0304_0506_0708, block_hash: [9; 32] }.message();
    assert_eq!(message[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(message[8..], [9; 32]);
}

#[test]
fn the_even_form_is_extracted_from_an_odd_key_and_signs_for_the_same_public_key() {
    let provider = (1..).map(keypair).find(|key| key.x_only_public_key().1 == Parity::Odd).unwrap();
    let equivocation = equivocation(provider, 3);
    let [s1, s2] = &equivocation.signatures;
    let extracted = equivocation.extract(s1, s2).unwrap();
    assert_eq!(extracted, provider.secret_key().negate());
    assert_eq!(extracted.x_only_public_key(&secp()), (x_only(&provider), Parity::Even));
}
