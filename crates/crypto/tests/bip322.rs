//! BIP-0322 *simple* signatures: the published cases, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::str::FromStr;

use bitcoin::hex::DisplayHex;
use bitcoin::secp256k1::{Keypair, Message, XOnlyPublicKey, ecdsa};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::{
    Address, CompressedPublicKey, Network, PrivateKey, ScriptBuf, TapSighash, Witness, key::TapTweak,
};
use common::*;
use tapstake_crypto::pop::bip322::{
    Bip322Witness, SigningRequest, message_hash, p2tr_script, sign_p2tr, sign_p2wpkh, to_sign, to_spend,
    verify,
};
use tapstake_crypto::pop::{Account, PossessionError, PossessionSignature, ProofOfPossession};

/// Key and addresses of the published cases.
const KEY: &str = "L3VFeEujGtevx9w18HD1fhRbCH67Az2dpCymeRE1SoPK6XQtaN2k";
const P2WPKH: &str = "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l";
const P2TR: &str = "bc1ppv609nr0vr25u07u95waq5lucwfm6tde4nydujnu8npg4q75mr5sxq8lt3";

fn published_key(wif: &str) -> Keypair {
    Keypair::from_secret_key(&secp(), &PrivateKey::from_wif(wif).unwrap().inner)
}

fn script(address: &str) -> ScriptBuf {
    Address::from_str(address).unwrap().require_network(Network::Bitcoin).unwrap().script_pubkey()
}

/// A witness out of what a wallet prints.
fn witness(signature: &str) -> Bip322Witness {
    let account = Account::text("any").unwrap();
    match ProofOfPossession::from_wallet(account, None, signature).unwrap().signature {
        PossessionSignature::Bip322(witness) => witness,
        other => panic!("{other:?}"),
    }
}

fn with_elements(elements: &[&[u8]]) -> Result<Bip322Witness, PossessionError> {
    Bip322Witness::new(Witness::from_slice(elements))
}

#[test]
fn published_message_and_transaction_hashes() {
    for (message, hash, spend, sign) in [
        (
            "",
            "c90c269c4f8fcbe6880f72a721ddfbf1914268a794cbb21cfafee13770ae19f1",
            "c5680aa69bb8d860bf82d4e9cd3504b55dde018de765a91bb566283c545a99a7",
            "1e9654e951a5ba44c8604c4de6c67fd78a27e81dcadcfe1edf638ba3aaebaed6",
        ),
        (
            "Hello World",
            "f0eb03b1a75ac6d9847f55c624a99169b5dccba2a31f5b23bea77ba270de0a7a",
            "b79d196740ad5217771c1098fc4a4b51e0535c32236c71f1ea4d61a2d603352b",
            "88737ae86f2077145f93cc4b153ae9a1cb8d56afa511988c149c5c8c9d93bddf",
        ),
        (
            "UTF-8 support: öäüéàè 测试文本 \u{1F604}",
            "43936b237ea38c7794eb5d755e0d220b6db92ebfc5c8f482759d22b1286376d7",
            "c8f4f525fe8afb1bc09b44175bd2096f079c98425e8a1be676b712add1fb62f0",
            "8f488e06b89eafd019ec528109eafaf7f1d1811fd617aa1eeb9658f1c1be6586",
        ),
    ] {
        assert_eq!(message_hash(message.as_bytes()).to_lower_hex_string(), hash);
        let spending = to_spend(message.as_bytes(), script(P2WPKH));
        assert_eq!(spending.compute_txid().to_string(), spend);
        assert_eq!(to_sign(&spending).compute_txid().to_string(), sign);
    }
}

#[test]
fn published_p2wpkh_signatures_verify() {
    let key = x_only(&published_key(KEY));
    for (message, signatures) in [
        (
            "",
            [
                "smpAkcwRAIgM2gBAQqvZX15ZiysmKmQpDrG83avLIT492QBzLnQIxYCIBaTpOaD20qRlEylyxFSeEA2ba9YOixpX8z46TSDtS40ASECx/EgAxlkQpQ9hYjgGu6EBCPMVPwVIVJqO4XCsMvViHI=",
                "AkgwRQIhAPkJ1Q4oYS0htvyuSFHLxRQpFAY56b70UvE7Dxazen0ZAiAtZfFz1S6T6I23MWI2lK/pcNTWncuyL8UL+oMdydVgzAEhAsfxIAMZZEKUPYWI4BruhAQjzFT8FSFSajuFwrDL1Yhy",
            ],
        ),
        (
            "Hello World",
            [
                "AkcwRAIgZRfIY3p7/DoVTty6YZbWS71bc5Vct9p9Fia83eRmw2QCICK/ENGfwLtptFluMGs2KsqoNSk89pO7F29zJLUx9a/sASECx/EgAxlkQpQ9hYjgGu6EBCPMVPwVIVJqO4XCsMvViHI=",
                "AkgwRQIhAOzyynlqt93lOKJr+wmmxIens//zPzl9tqIOua93wO6MAiBi5n5EyAcPScOjf1lAqIUIQtr3zKNeavYabHyR8eGhowEhAsfxIAMZZEKUPYWI4BruhAQjzFT8FSFSajuFwrDL1Yhy",
            ],
        ),
    ] {
        for signature in signatures {
            let witness = witness(signature);
            assert_eq!(verify(&secp(), &key, message.as_bytes(), &witness), Ok(()));
            assert_eq!(
                verify(&secp(), &key, b"Wrong message that was not signed", &witness),
                Err(PossessionError::Signature { staker: key })
            );
        }
    }
}

/// Of Bitcoin Core's and other implementations' tests: SIGHASH_ALL, 65 bytes, made without auxiliary randomness.
#[test]
fn published_p2tr_signature_with_sighash_all_verifies() {
    let key = x_only(&published_key(KEY));
    assert_eq!(p2tr_script(&secp(), key), script(P2TR));
    let witness = witness(
        "AUHd69PrJQEv+oKTfZ8l+WROBHuy9HKrbFCJu7U1iK2iiEy1vMU5EfMtjc+VSHM7aU0SDbak5IUZRVno2P5mjSafAQ==",
    );
    assert_eq!(verify(&secp(), &key, b"Hello World", &witness), Ok(()));
    assert_eq!(
        verify(&secp(), &key, b"Hello World -- This should fail", &witness),
        Err(PossessionError::Signature { staker: key })
    );
}

#[test]
fn published_p2tr_signature_with_sighash_default_verifies() {
    let key = x_only(&published_key("KyrSGCFPhqZMjCe5fNTYddiLMp4tMj4gLKuJ26TsB2rvr1VJGPbt"));
    assert_eq!(
        p2tr_script(&secp(), key),
        script("bc1pss0zhytly75awhm6x2hhvd5lnzv3vssgrf9axfheq8ldyzn88ges79fler")
    );
    let witness =
        witness("AUCJYOwOjxYAvatTAGYaVlNXBVyFuc4MwNQkOuK2tl8xhfKDONd0NjfYyNSYcRqeCp8hsAnCEPHAVEkO9h6vbQ/R");
    assert_eq!(verify(&secp(), &key, b"No prefix fallback", &witness), Ok(()));
}

#[test]
fn a_published_signature_of_a_script_is_no_proof_of_a_key() {
    let account = Account::text("any").unwrap();
    // P2WSH, three of three.
    let multisig = "smpBQBHMEQCIFX9aaqPJWq2Ff2kpen5bFDTid+ehgUOpHV0LfjncXy4AiA3GNicF7aKPzdpa9PCpmaYQs3pHd+qbvvhXdxOCKCAMAFIMEUCIQD/ELXg6CNYyUQijCg96JtgvgjZb9dsl1Ctof4QAeyTcQIgVM/1AAblFl/DCt6A1gJg+T/i2qU5SQD09+chFJzolRwBSDBFAiEAlqRfSFyWNVQhvaCnmeV5tyneiCWMTcFbuujoD/pFa3wCIGnZjfQb8NolSYq9asV+ZeBSkCGHJcqnaV4JYS5MYPEGAWlTIQJ1aLEfEi/4p7wcV+XHZCBVvGGJZ7L3v+jhH+mZA8lN0yECCovfec+kIdllXpKCgA8RX/HZ2x5yHOtCSKP8/sf6pnwhAwxSng6kCgCXXSAmJOOZFdr3vdK3HzGqCFloOHgc5fM6U64=";
    assert_eq!(ProofOfPossession::from_wallet(account.clone(), None, multisig), Err(PossessionError::Base64));
    // The empty witness stack.
    assert_eq!(
        ProofOfPossession::from_wallet(account, None, "smpAA=="),
        Err(PossessionError::WitnessElements { elements: 0 })
    );
}

#[test]
fn keys_of_both_parities_sign_and_verify() {
    let secp = secp();
    let mut parities = [0; 2];
    for seed in 1..=16 {
        let keypair = keypair(seed);
        let (key, parity) = keypair.x_only_public_key();
        parities[usize::from(parity.to_u8())] += 1;
        for message in ["", "account"] {
            let message = message.as_bytes();
            let p2tr = sign_p2tr(&secp, &keypair, message, &[0; 32]);
            let p2wpkh = sign_p2wpkh(&secp, &keypair, message);
            for witness in [p2tr, p2wpkh] {
                assert_eq!(verify(&secp, &key, message, &witness), Ok(()));
                assert!(verify(&secp, &key, b"other", &witness).is_err());
                assert!(verify(&secp, &x_only(&common::keypair(99)), message, &witness).is_err());
                assert_eq!(Bip322Witness::from_bytes(&witness.to_bytes()), Ok(witness));
            }
        }
    }
    assert!(parities.iter().all(|count| *count > 0), "{parities:?}");
}

#[test]
fn a_signer_elsewhere_signs_the_request() {
    let (secp, keypair) = (secp(), keypair(5));
    let (key, account) = (x_only(&keypair), Account::from_raw(&[1; 20]).unwrap());
    let request = ProofOfPossession::bip322_request(&secp, &key, &account, None);
    let digest = taproot_digest(&request, TapSighashType::Default);
    let signer = keypair.tap_tweak(&secp, None).to_keypair();
    let signature = secp.sign_schnorr_with_aux_rand(&Message::from(digest), &signer, &[0; 32]);
    let witness = Witness::from_slice(&[signature.serialize()]);
    let proof = ProofOfPossession::from_bip322_witness(account, None, witness).unwrap();
    assert_eq!(proof.verify(&secp, &key), Ok(()));
}

fn taproot_digest(request: &SigningRequest, sighash_type: TapSighashType) -> TapSighash {
    SighashCache::new(&request.to_sign)
        .taproot_key_spend_signature_hash(0, &Prevouts::All(&[&request.prevout]), sighash_type)
        .unwrap()
}

/// A P2TR signature with a sighash type, valid for what that type covers.
fn p2tr_with(keypair: &Keypair, sighash_type: TapSighashType) -> Bip322Witness {
    let secp = secp();
    let request = SigningRequest::new(b"m", p2tr_script(&secp, x_only(keypair)));
    let signer = keypair.tap_tweak(&secp, None).to_keypair();
    let digest = Message::from(taproot_digest(&request, sighash_type));
    let mut signature = secp.sign_schnorr_with_aux_rand(&digest, &signer, &[0; 32]).serialize().to_vec();
    if sighash_type != TapSighashType::Default {
        signature.push(sighash_type as u8);
    }
    with_elements(&[&signature]).unwrap()
}

#[test]
fn p2tr_takes_sighash_default_and_all_and_nothing_else() {
    let (secp, keypair) = (secp(), keypair(5));
    let key = x_only(&keypair);
    for sighash_type in [TapSighashType::Default, TapSighashType::All] {
        assert_eq!(verify(&secp, &key, b"m", &p2tr_with(&keypair, sighash_type)), Ok(()));
    }
    for sighash_type in [
        TapSighashType::None,
        TapSighashType::Single,
        TapSighashType::AllPlusAnyoneCanPay,
        TapSighashType::NonePlusAnyoneCanPay,
        TapSighashType::SinglePlusAnyoneCanPay,
    ] {
        assert_eq!(
            verify(&secp, &key, b"m", &p2tr_with(&keypair, sighash_type)),
            Err(PossessionError::SighashType { sighash_type: sighash_type as u8 })
        );
    }
}

#[test]
fn sighash_default_is_not_written_out() {
    let (secp, keypair) = (secp(), keypair(5));
    let mut signature = p2tr_with(&keypair, TapSighashType::Default).as_witness().to_vec().remove(0);
    signature.push(0);
    assert_eq!(
        verify(&secp, &x_only(&keypair), b"m", &with_elements(&[&signature]).unwrap()),
        Err(PossessionError::SighashType { sighash_type: 0 })
    );
}

/// A P2WPKH signature with a sighash type, valid for what that type covers.
fn p2wpkh_with(keypair: &Keypair, sighash_type: EcdsaSighashType) -> (ecdsa::Signature, [u8; 33]) {
    let key = CompressedPublicKey(keypair.public_key());
    let request = SigningRequest::new(b"m", ScriptBuf::new_p2wpkh(&key.wpubkey_hash()));
    let digest = SighashCache::new(&request.to_sign)
        .p2wpkh_signature_hash(0, &request.prevout.script_pubkey, request.prevout.value, sighash_type)
        .unwrap();
    (secp().sign_ecdsa(&Message::from(digest), &keypair.secret_key()), key.to_bytes())
}

fn with_type(signature: &ecdsa::Signature, sighash_type: u8) -> Vec<u8> {
    [signature.serialize_der().as_ref(), &[sighash_type]].concat()
}

#[test]
fn p2wpkh_takes_sighash_all_and_nothing_else() {
    let (secp, keypair) = (secp(), keypair(5));
    for sighash_type in [
        EcdsaSighashType::All,
        EcdsaSighashType::None,
        EcdsaSighashType::Single,
        EcdsaSighashType::AllPlusAnyoneCanPay,
        EcdsaSighashType::NonePlusAnyoneCanPay,
        EcdsaSighashType::SinglePlusAnyoneCanPay,
    ] {
        let byte = u8::try_from(sighash_type.to_u32()).unwrap();
        let (signature, key) = p2wpkh_with(&keypair, sighash_type);
        let witness = with_elements(&[&with_type(&signature, byte), &key]).unwrap();
        let verified = verify(&secp, &x_only(&keypair), b"m", &witness);
        if sighash_type == EcdsaSighashType::All {
            assert_eq!(verified, Ok(()));
        } else {
            assert_eq!(verified, Err(PossessionError::SighashType { sighash_type: byte }));
        }
    }
}

#[test]
fn p2wpkh_takes_no_type_that_only_looks_like_all() {
    let (secp, keypair) = (secp(), keypair(5));
    let (signature, key) = p2wpkh_with(&keypair, EcdsaSighashType::All);
    for sighash_type in (0..=u8::MAX).filter(|byte| *byte != 1) {
        let witness = with_elements(&[&with_type(&signature, sighash_type), &key]).unwrap();
        assert_eq!(
            verify(&secp, &x_only(&keypair), b"m", &witness),
            Err(PossessionError::SighashType { sighash_type })
        );
    }
}

#[test]
fn a_high_s_signature_is_refused() {
    let (secp, keypair) = (secp(), keypair(5));
    let (signature, key) = p2wpkh_with(&keypair, EcdsaSighashType::All);
    let mut compact = signature.serialize_compact();
    let s = bitcoin::secp256k1::SecretKey::from_slice(&compact[32..]).unwrap().negate();
    compact[32..].copy_from_slice(&s.secret_bytes());
    let high = ecdsa::Signature::from_compact(&compact).unwrap();
    let witness = with_elements(&[&with_type(&high, 1), &key]).unwrap();
    assert_eq!(verify(&secp, &x_only(&keypair), b"m", &witness), Err(PossessionError::HighS));
}

#[test]
fn der_that_is_not_strict_is_refused() {
    let (secp, keypair) = (secp(), keypair(5));
    let (signature, key) = p2wpkh_with(&keypair, EcdsaSighashType::All);
    let der = signature.serialize_der();
    let refused = Err(PossessionError::WitnessElement { what: "ECDSA signature" });
    let mut wrong_length = der.to_vec();
    wrong_length[1] += 1;
    let trailing = [der.as_ref(), &[0]].concat();
    for der in [wrong_length, trailing, der[..der.len() - 1].to_vec()] {
        let witness = with_elements(&[&[der.as_slice(), &[1]].concat(), &key]).unwrap();
        assert_eq!(verify(&secp, &x_only(&keypair), b"m", &witness), refused);
    }
}

#[test]
fn the_key_in_a_p2wpkh_witness_is_the_stakers() {
    let (secp, keypair, other) = (secp(), keypair(5), keypair(6));
    let (signature, key) = p2wpkh_with(&other, EcdsaSighashType::All);
    let witness = with_elements(&[&with_type(&signature, 1), &key]).unwrap();
    assert_eq!(
        verify(&secp, &x_only(&keypair), b"m", &witness),
        Err(PossessionError::WrongKey { found: x_only(&other) })
    );
}

#[test]
fn the_negated_key_is_another_address() {
    // Same x coordinate, other parity: another P2WPKH address, so the signature does not cover it.
    let (secp, keypair) = (secp(), keypair(5));
    let (signature, mut key) = p2wpkh_with(&keypair, EcdsaSighashType::All);
    key[0] ^= 1;
    let witness = with_elements(&[&with_type(&signature, 1), &key]).unwrap();
    assert_eq!(
        verify(&secp, &x_only(&keypair), b"m", &witness),
        Err(PossessionError::Signature { staker: x_only(&keypair) })
    );
}

#[test]
fn an_untweaked_p2tr_signature_is_refused() {
    let (secp, keypair) = (secp(), keypair(5));
    let key: XOnlyPublicKey = x_only(&keypair);
    let request = SigningRequest::new(b"m", p2tr_script(&secp, key));
    let digest = Message::from(taproot_digest(&request, TapSighashType::Default));
    let signature = secp.sign_schnorr_with_aux_rand(&digest, &keypair, &[0; 32]);
    assert_eq!(
        verify(&secp, &key, b"m", &with_elements(&[&signature.serialize()]).unwrap()),
        Err(PossessionError::Signature { staker: key })
    );
}

#[test]
fn witnesses_of_other_shapes_are_refused() {
    for elements in [0, 3, 4] {
        let witness = Witness::from_slice(&vec![[0; 64]; elements]);
        assert_eq!(Bip322Witness::new(witness), Err(PossessionError::WitnessElements { elements }));
    }
    // An annex would be a second element.
    let annex = [[0; 64].as_slice(), &[0x50; 33]].to_vec();
    assert!(
        with_elements(&annex)
            .is_ok_and(|witness| verify(&secp(), &x_only(&keypair(5)), b"m", &witness).is_err())
    );
    for length in [0, 1, 63, 66, 520] {
        assert_eq!(
            with_elements(&[&vec![1; length]]),
            Err(PossessionError::WitnessElement { what: "Schnorr signature" })
        );
    }
    for length in [0, 8, 74, 520] {
        assert_eq!(
            with_elements(&[&vec![1; length], &[2; 33]]),
            Err(PossessionError::WitnessElement { what: "ECDSA signature" })
        );
    }
    for length in [0, 32, 34, 65] {
        assert_eq!(
            with_elements(&[&[1; 71], &vec![2; length]]),
            Err(PossessionError::WitnessElement { what: "compressed public key" })
        );
    }
}

#[test]
fn a_key_that_is_no_point_is_refused() {
    let mut key = [0; 33];
    (key[0], key[32]) = (2, 5);
    let (signature, _) = p2wpkh_with(&keypair(5), EcdsaSighashType::All);
    let witness = with_elements(&[&with_type(&signature, 1), &key]).unwrap();
    assert_eq!(
        verify(&secp(), &x_only(&keypair(5)), b"m", &witness),
        Err(PossessionError::WitnessElement { what: "compressed public key" })
    );
}

#[test]
fn every_flipped_bit_of_both_witnesses_is_refused() {
    let (secp, keypair) = (secp(), keypair(5));
    let key = x_only(&keypair);
    for witness in [sign_p2tr(&secp, &keypair, b"m", &[0; 32]), sign_p2wpkh(&secp, &keypair, b"m")] {
        let bytes = witness.to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let verified =
                Bip322Witness::from_bytes(&flipped).and_then(|witness| verify(&secp, &key, b"m", &witness));
            assert!(verified.is_err(), "bit {bit}");
        }
    }
}
