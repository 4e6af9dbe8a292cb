//! Adaptor signatures: signed, verified, decrypted, extracted and refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bitcoin::secp256k1::constants::FIELD_SIZE;
use bitcoin::secp256k1::{Keypair, Message, Parity, SecretKey, XOnlyPublicKey, schnorr};
use common::*;
use proptest::prelude::*;
use tapstake_crypto::adaptor::{AdaptorError, AdaptorSignature, decrypt, extract, point, sign, verify};
use tapstake_crypto::{ExposedKey, HexError};

const MESSAGE: [u8; 32] = [9; 32];

fn exposed(provider: &Keypair) -> ExposedKey {
    ExposedKey::from_bytes(&secp(), &provider.secret_bytes(), &x_only(provider)).unwrap()
}

struct Case {
    signer: Keypair,
    provider: Keypair,
    signature: AdaptorSignature,
}

impl Case {
    /// A signature whose nonce point has this parity.
    fn of(parity: Parity) -> Self {
        let (signer, provider) = (keypair(7), keypair(8));
        let signature = (0..=u8::MAX)
            .map(|aux| sign(&secp(), &signer, &x_only(&provider), &MESSAGE, &[aux; 32]))
            .find(|signature| signature.to_bytes()[0] == 2 + parity.to_u8())
            .unwrap();
        Case { signer, provider, signature }
    }

    fn both() -> [Self; 2] {
        [Self::of(Parity::Even), Self::of(Parity::Odd)]
    }

    fn verify(&self, signature: &AdaptorSignature) -> Result<(), AdaptorError> {
        verify(&secp(), signature, &x_only(&self.signer), &x_only(&self.provider), &MESSAGE)
    }

    fn refused(&self) -> Result<(), AdaptorError> {
        Err(AdaptorError::Signature { signer: x_only(&self.signer) })
    }

    fn decrypted(&self) -> schnorr::Signature {
        decrypt(&self.signature, &x_only(&self.provider), &exposed(&self.provider)).unwrap()
    }

    fn extract(&self, decrypted: &schnorr::Signature) -> Result<ExposedKey, AdaptorError> {
        extract(&secp(), &self.signature, decrypted, &x_only(&self.provider))
    }

    fn not_extracted(&self) -> Result<ExposedKey, AdaptorError> {
        Err(AdaptorError::NotExtracted { encryption_key: x_only(&self.provider) })
    }

    /// The signature with this prefix, nonce and scalar.
    fn with(prefix: u8, nonce_x: &[u8; 32], scalar: &[u8; 32]) -> Result<AdaptorSignature, AdaptorError> {
        AdaptorSignature::from_bytes(&[[prefix].as_slice(), nonce_x, scalar].concat())
    }
}

fn older_form(signature: &AdaptorSignature) -> [u8; 66] {
    let bytes = signature.to_bytes();
    let mut older = [0; 66];
    older[..65].copy_from_slice(&bytes);
    older[0] = 2;
    older[65] = bytes[0] - 2;
    older
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_signed_verifies_decrypts_and_gives_the_key_away(
        signer in keypairs(),
        provider in keypairs(),
        message: [u8; 32],
        aux: [u8; 32],
    ) {
        let secp = secp();
        let (key, encryption_key) = (x_only(&signer), x_only(&provider));
        let signature = sign(&secp, &signer, &encryption_key, &message, &aux);
        prop_assert_eq!(verify(&secp, &signature, &key, &encryption_key, &message), Ok(()));

        let decrypted = decrypt(&signature, &encryption_key, &exposed(&provider)).unwrap();
        prop_assert!(secp.verify_schnorr(&decrypted, &Message::from_digest(message), &key).is_ok());

        let extracted = extract(&secp, &signature, &decrypted, &encryption_key).unwrap();
        prop_assert_eq!(extracted.public_key(), encryption_key);
        prop_assert_eq!(extracted.keypair(&secp).secret_key(), even_secret(&provider));

        prop_assert_eq!(AdaptorSignature::from_bytes(&signature.to_bytes()), Ok(signature));
        prop_assert_eq!(AdaptorSignature::from_bytes(&older_form(&signature)), Ok(signature));
    }

    #[test]
    fn the_scheme_holds_for_encryption_points_of_any_parity(
        signer in keypairs(),
        decryption_key in keypairs(),
        message: [u8; 32],
    ) {
        let (secp, key, y) = (secp(), x_only(&signer), decryption_key.secret_key());
        let encryption_point = decryption_key.public_key();
        let signature = point::sign(&secp, &signer, &encryption_point, &message, &[0; 32]);
        prop_assert_eq!(point::verify(&secp, &signature, &key, &encryption_point, &message), Ok(()));
        let negated = encryption_point.negate(&secp);
        prop_assert!(point::verify(&secp, &signature, &key, &negated, &message).is_err());

        let decrypted = point::decrypt(&signature, &y).unwrap();
        prop_assert!(secp.verify_schnorr(&decrypted, &Message::from_digest(message), &key).is_ok());
        prop_assert_eq!(point::extract(&secp, &signature, &decrypted, &encryption_point), Ok(y));
        prop_assert!(point::extract(&secp, &signature, &decrypted, &negated).is_err());
    }

    #[test]
    fn no_malleated_bit_verifies(odd: bool, bit in 0..65 * 8usize) {
        let case = Case::of(if odd { Parity::Odd } else { Parity::Even });
        let mut bytes = case.signature.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match AdaptorSignature::from_bytes(&bytes) {
            Ok(malleated) => prop_assert_eq!(case.verify(&malleated), case.refused()),
            Err(AdaptorError::Prefix { .. } | AdaptorError::Field | AdaptorError::Scalar) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn signing_is_deterministic_in_the_auxiliary_randomness() {
    let sign = |aux| sign(&secp(), &keypair(7), &x_only(&keypair(8)), &MESSAGE, &[aux; 32]);
    assert_eq!(sign(1), sign(1));
    assert_ne!(sign(1), sign(2));
}

#[test]
fn the_nonce_depends_on_signer_encryption_key_and_message() {
    let nonce = |signer, provider, message| {
        let signature =
            sign(&secp(), &keypair(signer), &x_only(&keypair(provider)), &[message; 32], &[0; 32]);
        <[u8; 33]>::try_from(&signature.to_bytes()[..33]).unwrap()
    };
    let all: std::collections::BTreeSet<_> =
        [(7, 8, 9), (6, 8, 9), (7, 6, 9), (7, 8, 6)].map(|(s, p, m)| nonce(s, p, m)).into();
    assert_eq!(all.len(), 4);
}

#[test]
fn a_signature_does_not_verify_for_another_signer() {
    for case in Case::both() {
        let other = x_only(&keypair(6));
        assert_eq!(
            verify(&secp(), &case.signature, &other, &x_only(&case.provider), &MESSAGE),
            Err(AdaptorError::Signature { signer: other })
        );
    }
}

#[test]
fn a_signature_does_not_verify_for_another_encryption_key() {
    for case in Case::both() {
        let verified =
            verify(&secp(), &case.signature, &x_only(&case.signer), &x_only(&keypair(6)), &MESSAGE);
        assert_eq!(verified, case.refused());
    }
}

#[test]
fn a_signature_does_not_verify_with_signer_and_encryption_key_swapped() {
    for case in Case::both() {
        let (signer, provider) = (x_only(&case.signer), x_only(&case.provider));
        assert_eq!(
            verify(&secp(), &case.signature, &provider, &signer, &MESSAGE),
            Err(AdaptorError::Signature { signer: provider })
        );
    }
}

#[test]
fn a_signature_does_not_verify_for_another_message() {
    for case in Case::both() {
        let (signer, provider) = (x_only(&case.signer), x_only(&case.provider));
        assert_eq!(verify(&secp(), &case.signature, &signer, &provider, &[8; 32]), case.refused());
    }
}

#[test]
fn a_negated_scalar_does_not_verify() {
    for case in Case::both() {
        let bytes = case.signature.to_bytes();
        let negated = SecretKey::from_slice(&bytes[33..]).unwrap().negate().secret_bytes();
        let negated = Case::with(bytes[0], bytes[1..33].try_into().unwrap(), &negated).unwrap();
        assert_eq!(case.verify(&negated), case.refused());
    }
}

#[test]
fn a_nonce_of_the_other_parity_does_not_verify() {
    for case in Case::both() {
        let mut bytes = case.signature.to_bytes();
        bytes[0] ^= 1;
        assert_eq!(case.verify(&AdaptorSignature::from_bytes(&bytes).unwrap()), case.refused());
    }
}

#[test]
fn nonce_and_scalar_swapped_do_not_verify() {
    for case in Case::both() {
        let bytes = case.signature.to_bytes();
        let swapped =
            Case::with(bytes[0], bytes[33..].try_into().unwrap(), bytes[1..33].try_into().unwrap()).unwrap();
        assert_eq!(case.verify(&swapped), case.refused());
    }
}

#[test]
fn a_plain_signature_is_no_adaptor_signature() {
    // The valid BIP-0340 signature of the same signer on the same message, in both guises.
    for case in Case::both() {
        let plain = case.decrypted().serialize();
        for prefix in [2, 3] {
            let guise =
                Case::with(prefix, plain[..32].try_into().unwrap(), plain[32..].try_into().unwrap()).unwrap();
            assert_eq!(case.verify(&guise), case.refused());
        }
    }
}

#[test]
fn a_nonce_that_is_not_on_the_curve_does_not_verify() {
    let case = Case::of(Parity::Even);
    let mut x = [0; 32];
    x[31] = 5;
    assert!(XOnlyPublicKey::from_slice(&x).is_err());
    for prefix in [2, 3] {
        assert_eq!(case.verify(&Case::with(prefix, &x, &[1; 32]).unwrap()), case.refused());
    }
}

/// s·G - e·P infinite: the signer takes R0 = T, and s = e·d. Whoever decrypted that would have signed with nonce y.
#[test]
fn an_infinite_difference_of_points_does_not_verify() {
    let case = Case::of(Parity::Even);
    let (d, key, t) = (even_secret(&case.signer), x_only(&case.signer), x_only(&case.provider));
    let e = challenge(&t.serialize(), &key, &MESSAGE);
    let s = times(&d, &e).secret_bytes();
    for prefix in [2, 3] {
        let infinite = Case::with(prefix, &t.serialize(), &s).unwrap();
        assert_eq!(case.verify(&infinite), case.refused());
    }
}

/// R0 infinite: s = e·d ∓ y makes the sum with T the point at infinity, which no nonce encodes, zero neither.
#[test]
fn an_infinite_nonce_does_not_verify() {
    let case = Case::of(Parity::Even);
    let (d, y) = (even_secret(&case.signer), even_secret(&case.provider));
    let (key, t) = (x_only(&case.signer), x_only(&case.provider));
    for x in [[0; 32], t.serialize()] {
        let ed = times(&d, &challenge(&x, &key, &MESSAGE));
        for s in [minus(&ed, &y), plus(&ed, &y)] {
            for prefix in [2, 3] {
                let infinite = Case::with(prefix, &x, &s.secret_bytes()).unwrap();
                assert_eq!(case.verify(&infinite), case.refused());
            }
        }
    }
}

/// The prefix 00 is how some encode the point at infinity.
#[test]
fn no_prefix_but_02_and_03_is_read() {
    let bytes = Case::of(Parity::Even).signature.to_bytes();
    for prefix in (0..=u8::MAX).filter(|prefix| !matches!(prefix, 2 | 3)) {
        let mut bytes = bytes;
        bytes[0] = prefix;
        assert_eq!(AdaptorSignature::from_bytes(&bytes), Err(AdaptorError::Prefix { prefix }));
    }
}

#[test]
fn a_zero_scalar_is_refused() {
    assert_eq!(Case::with(2, &[1; 32], &[0; 32]), Err(AdaptorError::Scalar));
}

#[test]
fn scalars_from_the_curve_order_on_are_refused() {
    assert!(Case::with(2, &[1; 32], &order_plus(-1)).is_ok());
    for scalar in [order_plus(0), order_plus(1), [0xff; 32]] {
        assert_eq!(Case::with(3, &[1; 32], &scalar), Err(AdaptorError::Scalar));
    }
}

#[test]
fn nonces_from_the_field_size_on_are_refused() {
    for nonce in [FIELD_SIZE, [0xff; 32]] {
        assert_eq!(Case::with(2, &nonce, &[1; 32]), Err(AdaptorError::Field));
    }
}

#[test]
fn no_length_but_65_and_66_is_read() {
    let bytes = older_form(&Case::of(Parity::Even).signature);
    let long = [bytes.as_slice(), &bytes].concat();
    for actual in (0..=132).filter(|length| !matches!(length, 65 | 66)) {
        assert_eq!(AdaptorSignature::from_bytes(&long[..actual]), Err(AdaptorError::Length { actual }));
    }
}

#[test]
fn the_older_form_is_read_and_the_newer_written() {
    for case in Case::both() {
        let older = older_form(&case.signature);
        let read = AdaptorSignature::from_bytes(&older).unwrap();
        assert_eq!(read, case.signature);
        assert_eq!(read.to_bytes().len(), 65);
        assert_eq!(case.verify(&read), Ok(()));
        let hex: String = older.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.parse(), Ok(case.signature));
        assert_eq!(case.signature.to_string().len(), 130);
    }
}

#[test]
fn the_older_form_has_prefix_02_only() {
    let mut older = older_form(&Case::of(Parity::Even).signature);
    older[0] = 3;
    assert_eq!(AdaptorSignature::from_bytes(&older), Err(AdaptorError::Prefix { prefix: 3 }));
}

#[test]
fn the_older_form_has_no_other_flag_than_00_and_01() {
    let mut older = older_form(&Case::of(Parity::Even).signature);
    for flag in 2..=u8::MAX {
        older[65] = flag;
        assert_eq!(AdaptorSignature::from_bytes(&older), Err(AdaptorError::Flag { flag }));
    }
}

#[test]
fn the_older_form_with_the_wrong_flag_does_not_verify() {
    for case in Case::both() {
        let mut older = older_form(&case.signature);
        older[65] ^= 1;
        assert_eq!(case.verify(&AdaptorSignature::from_bytes(&older).unwrap()), case.refused());
    }
}

#[test]
fn hex_of_other_lengths_or_letters_is_refused() {
    let hex = Case::of(Parity::Even).signature.to_string();
    for text in [&hex[..128], &hex.replace('0', "g"), &format!("{hex}000000"), ""] {
        assert!(matches!(text.parse::<AdaptorSignature>(), Err(HexError::Hex(_))), "{text}");
    }
}

#[test]
fn another_key_does_not_decrypt() {
    for case in Case::both() {
        let encryption_key = x_only(&case.provider);
        assert_eq!(
            decrypt(&case.signature, &encryption_key, &exposed(&keypair(6))),
            Err(AdaptorError::DecryptionKey { encryption_key })
        );
    }
}

#[test]
fn what_decrypts_to_a_zero_scalar_is_no_signature() {
    let case = Case::of(Parity::Even);
    let y = even_secret(&case.provider);
    for (prefix, s) in [(2, y.negate()), (3, y)] {
        let signature = Case::with(prefix, &x_only(&case.signer).serialize(), &s.secret_bytes()).unwrap();
        assert_eq!(
            decrypt(&signature, &x_only(&case.provider), &exposed(&case.provider)),
            Err(AdaptorError::ZeroDecrypted)
        );
    }
}

#[test]
fn nothing_is_extracted_with_another_nonce() {
    let [even, odd] = Case::both();
    assert_eq!(even.extract(&odd.decrypted()), Err(AdaptorError::Nonce));
    let mut bytes = even.decrypted().serialize();
    bytes[0] ^= 1;
    assert_eq!(even.extract(&schnorr::Signature::from_slice(&bytes).unwrap()), Err(AdaptorError::Nonce));
}

#[test]
fn nothing_is_extracted_from_a_malleated_signature() {
    for case in Case::both() {
        for bit in 0..256 {
            let mut bytes = case.decrypted().serialize();
            bytes[32 + bit / 8] ^= 1 << (bit % 8);
            let malleated = schnorr::Signature::from_slice(&bytes).unwrap();
            let extracted = case.extract(&malleated);
            assert!(extracted == case.not_extracted() || extracted == Err(AdaptorError::Scalar), "bit {bit}");
        }
    }
}

#[test]
fn nothing_is_extracted_for_another_encryption_key() {
    for case in Case::both() {
        let encryption_key = x_only(&keypair(6));
        assert_eq!(
            extract(&secp(), &case.signature, &case.decrypted(), &encryption_key),
            Err(AdaptorError::NotExtracted { encryption_key })
        );
    }
}

#[test]
fn the_negated_key_is_not_extracted() {
    // Decrypted as if the nonce had the other parity: the difference is the other secret with that x coordinate.
    for case in Case::both() {
        let wrong = point::decrypt(&case.signature, &even_secret(&case.provider).negate()).unwrap();
        assert_eq!(case.extract(&wrong), case.not_extracted());
    }
}

#[test]
fn nothing_is_extracted_from_a_signature_with_the_same_scalar() {
    for case in Case::both() {
        let same = schnorr::Signature::from_slice(&case.signature.to_bytes()[1..]).unwrap();
        assert_eq!(case.extract(&same), case.not_extracted());
    }
}

#[test]
fn nothing_is_extracted_from_a_zero_or_oversized_scalar() {
    let case = Case::of(Parity::Even);
    let with = |scalar: [u8; 32]| {
        let nonce = &case.signature.to_bytes()[1..33];
        schnorr::Signature::from_slice(&[nonce, &scalar].concat()).unwrap()
    };
    assert_eq!(case.extract(&with([0; 32])), case.not_extracted());
    for scalar in [order_plus(0), [0xff; 32]] {
        assert_eq!(case.extract(&with(scalar)), Err(AdaptorError::Scalar));
    }
}

#[test]
fn an_exposed_key_is_read_back_for_its_own_public_key_only() {
    let secp = secp();
    for seed in 1..=8 {
        let provider = keypair(seed);
        let exposed = exposed(&provider);
        assert_eq!(*exposed.to_bytes(), even_secret(&provider).secret_bytes());
        let again = ExposedKey::from_bytes(&secp, &exposed.to_bytes(), &x_only(&provider)).unwrap();
        assert_eq!(again.keypair(&secp).x_only_public_key(), (x_only(&provider), Parity::Even));
        assert_eq!(again, exposed);
        let other = x_only(&keypair(seed + 1));
        assert!(ExposedKey::from_bytes(&secp, &exposed.to_bytes(), &other).is_err());
        for bytes in [[0; 32], order_plus(0), [0xff; 32]] {
            assert!(ExposedKey::from_bytes(&secp, &bytes, &x_only(&provider)).is_err());
        }
    }
}

#[test]
fn the_least_and_greatest_keys_are_read_back() {
    let secp = secp();
    let mut one = [0; 32];
    one[31] = 1;
    let generator = x_only(&Keypair::from_seckey_slice(&secp, &one).unwrap());
    for bytes in [one, order_plus(-1)] {
        let exposed = ExposedKey::from_bytes(&secp, &bytes, &generator).unwrap();
        assert_eq!(*exposed.to_bytes(), one);
    }
}
