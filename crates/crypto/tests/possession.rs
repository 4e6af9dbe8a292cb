//! Proofs of possession: what each form signs, what a context adds, and both encodings.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use base64::{Engine, engine::general_purpose::STANDARD};
use bitcoin::Network;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Keypair, Message};
use common::*;
use proptest::prelude::*;
use tapstake_crypto::pop::{
    Account, AccountError, AccountKind, Context, EncodingError, MAX_SIZE, PossessionError, PossessionForm,
    PossessionSignature, ProofOfPossession, message,
};

fn bech32_of(raw: &[u8]) -> String {
    use bitcoin::bech32::{Bech32, Hrp, encode};
    encode::<Bech32>(Hrp::parse("bbn").unwrap(), raw).unwrap()
}

fn accounts() -> [Account; 3] {
    [
        Account::bech32(&bech32_of(&[7; 20])).unwrap(),
        Account::from_raw(&[7; 20]).unwrap(),
        Account::text("alice.near").unwrap(),
    ]
}

fn context() -> Context {
    Context::new("rollup-1", Network::Signet).unwrap()
}

/// One proof of each kind.
fn proofs(staker: &Keypair, account: &Account, context: Option<&Context>) -> [ProofOfPossession; 4] {
    let (secp, account, context) = (secp(), || account.clone(), || context.cloned());
    [
        ProofOfPossession::bip340(&secp, staker, account(), context(), &[0; 32]),
        ProofOfPossession::bip322_p2tr(&secp, staker, account(), context(), &[0; 32]),
        ProofOfPossession::bip322_p2wpkh(&secp, staker, account(), context()),
        ProofOfPossession::bip137(&secp, staker, account(), context()),
    ]
}

fn all_proofs() -> Vec<ProofOfPossession> {
    let staker = keypair(5);
    accounts()
        .iter()
        .flat_map(|account| {
            [None, Some(context())].into_iter().flat_map(|context| proofs(&staker, account, context.as_ref()))
        })
        .collect()
}

#[test]
fn every_form_verifies_with_and_without_a_context() {
    let (secp, key) = (secp(), x_only(&keypair(5)));
    let proofs = all_proofs();
    assert_eq!(proofs.len(), 3 * 2 * 4);
    for proof in proofs {
        assert_eq!(proof.verify(&secp, &key), Ok(()), "{proof:?}");
    }
}

#[test]
fn no_form_verifies_for_another_key() {
    let (secp, key) = (secp(), x_only(&keypair(6)));
    for proof in all_proofs() {
        assert!(proof.verify(&secp, &key).is_err(), "{proof:?}");
    }
}

#[test]
fn no_form_verifies_for_another_account() {
    let (secp, key) = (secp(), x_only(&keypair(5)));
    for proof in all_proofs() {
        let others = accounts().into_iter().chain([Account::from_raw(&[8; 20]).unwrap()]);
        for account in others.filter(|account| *account != proof.account) {
            // The raw bytes of the bech32 account and of the hex one are the same, and the plain form signs no more.
            let same = proof.context.is_none()
                && proof.form() == PossessionForm::Bip340
                && account.as_raw() == proof.account.as_raw();
            let other = ProofOfPossession { account, ..proof.clone() };
            assert_eq!(other.verify(&secp, &key).is_ok(), same, "{other:?}");
        }
    }
}

#[test]
fn no_form_verifies_in_another_context() {
    let (secp, key) = (secp(), x_only(&keypair(5)));
    let contexts = [
        None,
        Some(context()),
        Some(Context::new("rollup-2", Network::Signet).unwrap()),
        Some(Context::new("rollup-1", Network::Bitcoin).unwrap()),
    ];
    for proof in all_proofs() {
        for context in &contexts {
            let other = ProofOfPossession { context: context.clone(), ..proof.clone() };
            assert_eq!(other.verify(&secp, &key).is_ok(), *context == proof.context, "{other:?}");
        }
    }
}

#[test]
fn the_plain_form_signs_the_hash_of_the_raw_bytes() {
    let (secp, staker) = (secp(), keypair(5));
    for account in accounts() {
        let proof = ProofOfPossession::bip340(&secp, &staker, account.clone(), None, &[3; 32]);
        let digest = Message::from_digest(sha256::Hash::hash(account.as_raw()).to_byte_array());
        let signature = secp.sign_schnorr_with_aux_rand(&digest, &staker, &[3; 32]);
        assert_eq!(proof.signature, PossessionSignature::Bip340(signature));
    }
}

#[test]
fn the_plain_form_with_a_context_signs_the_tagged_hash_of_the_message() {
    let (secp, staker) = (secp(), keypair(5));
    let account = accounts()[0].clone();
    let tag = sha256::Hash::hash(b"tapstake/possession").to_byte_array();
    let text = message(&account, Some(&context()));
    let digest = sha256::Hash::hash(&[&tag, &tag, text.as_bytes()].concat()).to_byte_array();
    let signature = secp.sign_schnorr_with_aux_rand(&Message::from_digest(digest), &staker, &[3; 32]);
    let proof = ProofOfPossession::bip340(&secp, &staker, account, Some(context()), &[3; 32]);
    assert_eq!(proof.signature, PossessionSignature::Bip340(signature));
}

#[test]
fn a_tapstake_message_names_service_network_and_account() {
    let [bech32, hex, text] = accounts();
    let context = context();
    let lines = |account: &str| {
        format!("tapstake proof of possession\nservice: rollup-1\nnetwork: signet\naccount: {account}")
    };
    assert_eq!(message(&bech32, Some(&context)), lines(&format!("bech32:{}", bech32_of(&[7; 20]))));
    assert_eq!(message(&hex, Some(&context)), lines(&format!("hex:{}", "07".repeat(20))));
    assert_eq!(message(&text, Some(&context)), lines("text:alice.near"));
    assert_eq!(message(&bech32, None), bech32_of(&[7; 20]));
    assert_eq!(message(&hex, None), format!("0x{}", "07".repeat(20)));
    assert_eq!(message(&text, None), "alice.near");
}

#[test]
fn no_account_is_a_tapstake_message() {
    let text = message(&accounts()[2], Some(&context()));
    assert_eq!(Account::text(&text), Err(AccountError::ControlCharacter));
    for control in ["a\nb", "a\rb", "a\tb", "a\0b", "\u{85}"] {
        assert_eq!(Account::text(control), Err(AccountError::ControlCharacter));
    }
    // Nor is one that shows as another.
    for unseen in
        ["\u{202e}ecila", "ali\u{200b}ce", "alice\u{2028}", "\u{feff}alice", "alice\u{e0041}", "ali\u{ad}ce"]
    {
        assert_eq!(Account::text(unseen), Err(AccountError::ControlCharacter), "{unseen:?}");
    }
    for seen in ["Zoë", "アリス", "a b", "😀"] {
        assert_eq!(Account::text(seen).unwrap().as_text(), seen);
    }
}

#[test]
fn a_service_is_named_by_printable_characters_without_blanks() {
    for service in ["a", "rollup-1", "bbn-1", &"x".repeat(64)] {
        assert_eq!(Context::new(service, Network::Bitcoin).unwrap().service(), service);
    }
    for service in ["", "a b", "a\nb", "ä", "a\u{200b}", &"x".repeat(65)] {
        assert!(Context::new(service, Network::Bitcoin).is_err(), "{service:?}");
    }
    let json = r#"{"service":"a b","network":"signet"}"#;
    assert!(serde_json::from_str::<Context>(json).is_err());
}

#[test]
fn accounts_are_read_as_they_print() {
    for account in accounts() {
        assert_eq!(account.to_string().parse(), Ok(account.clone()));
    }
    let kinds = accounts().map(|account| account.kind());
    assert_eq!(kinds, [AccountKind::Bech32, AccountKind::Hex, AccountKind::Text]);
    assert_eq!(accounts()[0].as_raw(), [7; 20]);
    // A kind can be left out where there is no doubt.
    assert_eq!(bech32_of(&[7; 20]).parse(), Ok(accounts()[0].clone()));
    assert_eq!(format!("0x{}", "07".repeat(20)).parse(), Ok(accounts()[1].clone()));
    assert_eq!(format!("hex:0x{}", "07".repeat(20)).parse(), Ok(accounts()[1].clone()));
    assert_eq!("alice.near".parse::<Account>(), Err(AccountError::Kind));
}

#[test]
fn a_bech32_account_is_lower_case_with_its_checksum() {
    let good = bech32_of(&[7; 20]);
    assert!(Account::bech32(&good).is_ok());
    let mut wrong = good.clone();
    wrong.replace_range(10..11, if &good[10..11] == "q" { "p" } else { "q" });
    let bech32m = bitcoin::bech32::encode::<bitcoin::bech32::Bech32m>(
        bitcoin::bech32::Hrp::parse("bbn").unwrap(),
        &[7; 20],
    )
    .unwrap();
    for address in [&wrong, &good.to_uppercase(), &bech32m, &good[..good.len() - 1], &format!("{good} "), ""]
    {
        assert_eq!(Account::bech32(address), Err(AccountError::Bech32), "{address}");
    }
}

#[test]
fn a_bech32_account_has_90_characters_at_most_in_json_too() {
    use bitcoin::bech32::{Bech32, Hrp, encode};
    // The digit 1, the checksum of 6, and 8 characters for 5 bytes.
    let address =
        |prefix: usize| encode::<Bech32>(Hrp::parse(&"a".repeat(prefix)).unwrap(), &[7; 35]).unwrap();
    let longest = address(27);
    assert_eq!(longest.len(), 90);
    let account = Account::bech32(&longest).unwrap();
    let proof = ProofOfPossession::bip340(&secp(), &keypair(5), account, Some(context()), &[0; 32]);
    let text = serde_json::to_string(&proof).unwrap();
    assert_eq!(serde_json::from_str::<ProofOfPossession>(&text).unwrap(), proof);

    for prefix in [28, 83] {
        let long = address(prefix);
        let error = AccountError::Bech32Length { actual: long.len() };
        assert_eq!(Account::bech32(&long), Err(error.clone()));
        let long = text.replace(&longest, &long);
        let refusal = serde_json::from_str::<ProofOfPossession>(&long).unwrap_err().to_string();
        assert!(refusal.starts_with(&error.to_string()), "{refusal}");
    }
}

#[test]
fn the_longest_proof_of_every_kind_fits_its_bound_in_both_encodings() {
    use bitcoin::bech32::{Bech32, Hrp, encode};
    let prefix = Hrp::parse(&"a".repeat(27)).unwrap();
    let longest = [
        Account::bech32(&encode::<Bech32>(prefix, &[7; 35]).unwrap()).unwrap(),
        Account::from_raw(&[7; Account::MAX_RAW]).unwrap(),
        Account::text(&"x".repeat(Account::MAX_TEXT)).unwrap(),
    ];
    let context = Context::new(&"s".repeat(Context::MAX_SERVICE), Network::Bitcoin).unwrap();
    for proof in longest.iter().flat_map(|account| proofs(&keypair(5), account, Some(&context))) {
        let bytes = proof.to_bytes();
        assert!(bytes.len() <= MAX_SIZE, "{}", bytes.len());
        assert_eq!(ProofOfPossession::from_bytes(&bytes).as_ref(), Ok(&proof));
        let text = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<ProofOfPossession>(&text).unwrap(), proof);
    }
}

#[test]
fn accounts_are_bounded() {
    assert_eq!(Account::from_raw(&[]), Err(AccountError::Length { actual: 0, most: 64 }));
    assert!(Account::from_raw(&[1; 64]).is_ok());
    assert_eq!(Account::from_raw(&[1; 65]), Err(AccountError::Length { actual: 65, most: 64 }));
    assert_eq!(
        format!("hex:{}", "00".repeat(1 << 20)).parse::<Account>(),
        Err(AccountError::Length { actual: 1 << 20, most: 64 })
    );
    assert_eq!(Account::text(""), Err(AccountError::Length { actual: 0, most: 128 }));
    assert!(Account::text(&"x".repeat(128)).is_ok());
    assert_eq!(Account::text(&"x".repeat(129)), Err(AccountError::Length { actual: 129, most: 128 }));
    assert_eq!(Account::bech32(&bech32_of(&[])), Err(AccountError::Length { actual: 0, most: 64 }));
    assert_eq!("hex:0".parse::<Account>(), Err(AccountError::Hex));
    assert_eq!("hex:zz".parse::<Account>(), Err(AccountError::Hex));
}

#[test]
fn both_encodings_give_a_proof_back() {
    for proof in all_proofs() {
        let bytes = proof.to_bytes();
        assert!(bytes.len() <= MAX_SIZE);
        assert_eq!(ProofOfPossession::from_bytes(&bytes), Ok(proof.clone()));
        let json = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<ProofOfPossession>(&json).unwrap(), proof);
    }
}

#[test]
fn the_longest_proof_fits() {
    let context = Context::new(&"x".repeat(64), Network::Bitcoin).unwrap();
    let proof = &proofs(&keypair(5), &Account::text(&"x".repeat(128)).unwrap(), Some(&context))[2];
    // ECDSA signatures here are one or two bytes shorter than the longest.
    assert!((MAX_SIZE - 3..=MAX_SIZE).contains(&(proof.to_bytes().len() + 1)), "{}", proof.to_bytes().len());
    assert_eq!(ProofOfPossession::from_bytes(&proof.to_bytes()).as_ref(), Ok(proof));
}

#[test]
fn json_names_account_context_and_form() {
    let proof = &proofs(&keypair(5), &accounts()[1], Some(&context()))[0];
    let PossessionSignature::Bip340(signature) = proof.signature else { panic!("{proof:?}") };
    assert_eq!(
        serde_json::to_string(proof).unwrap(),
        format!(
            r#"{{"account":"hex:{}","context":{{"service":"rollup-1","network":"signet"}},"signature":{{"bip340":"{signature}"}}}}"#,
            "07".repeat(20)
        )
    );
    let plain = &proofs(&keypair(5), &accounts()[1], None)[3];
    assert!(serde_json::to_string(plain).unwrap().starts_with(r#"{"account":"hex:0707"#));
    assert!(!serde_json::to_string(plain).unwrap().contains("context"));
}

#[test]
fn json_with_a_field_too_many_is_refused() {
    let proof = &proofs(&keypair(5), &accounts()[1], None)[0];
    let json = serde_json::to_string(proof).unwrap().replacen('{', r#"{"more":1,"#, 1);
    assert!(serde_json::from_str::<ProofOfPossession>(&json).is_err());
}

#[test]
fn bytes_cut_anywhere_are_refused() {
    for proof in all_proofs() {
        let bytes = proof.to_bytes();
        for cut in 0..bytes.len() {
            assert!(ProofOfPossession::from_bytes(&bytes[..cut]).is_err(), "{cut} of {proof:?}");
        }
    }
}

#[test]
fn bytes_that_follow_are_refused() {
    for proof in all_proofs() {
        let bytes = [proof.to_bytes(), vec![0]].concat();
        assert_eq!(ProofOfPossession::from_bytes(&bytes), Err(EncodingError::NotCanonical));
    }
}

#[test]
fn another_version_is_refused() {
    let mut bytes = all_proofs()[0].to_bytes();
    bytes[0] = 2;
    assert_eq!(ProofOfPossession::from_bytes(&bytes), Err(EncodingError::Version { version: 2 }));
}

#[test]
fn an_account_written_otherwise_is_refused() {
    let proof = &proofs(&keypair(5), &accounts()[1], None)[0];
    let account = proof.account.to_string();
    let upper = account.replace("07", "0a").to_uppercase().replace("HEX", "hex");
    let bytes = proof.to_bytes();
    let rest = &bytes[2 + account.len()..];
    let other = [&[1, u8::try_from(upper.len()).unwrap()], upper.as_bytes(), rest].concat();
    assert_eq!(ProofOfPossession::from_bytes(&other), Err(EncodingError::NotCanonical));
}

#[test]
fn any_byte_changed_is_refused_or_does_not_verify() {
    let (secp, key) = (secp(), x_only(&keypair(5)));
    for proof in all_proofs() {
        let bytes = proof.to_bytes();
        for place in 0..bytes.len() {
            for change in [1, 0x80] {
                let mut changed = bytes.clone();
                changed[place] ^= change;
                let Ok(read) = ProofOfPossession::from_bytes(&changed) else { continue };
                assert_ne!(read, proof);
                // BIP-0137 headers name address types, and what is proven is a key.
                let header_only = matches!(read.signature, PossessionSignature::Bip137(_))
                    && place == bytes.len() - 65
                    && (changed[place] - 27) % 4 == (bytes[place] - 27) % 4;
                // Bech32 and hex accounts of the same bytes are not told apart by the plain form; one changed byte
                // does not make the one the other.
                assert_eq!(read.verify(&secp, &key).is_ok(), header_only, "byte {place} of {proof:?}");
            }
        }
    }
}

#[test]
fn what_wallets_print_is_read() {
    let (secp, key) = (secp(), x_only(&keypair(5)));
    for proof in all_proofs() {
        let bytes = match &proof.signature {
            PossessionSignature::Bip340(_) => continue,
            PossessionSignature::Bip322(witness) => witness.to_bytes(),
            PossessionSignature::Bip137(signature) => signature.to_bytes().to_vec(),
        };
        let printed = STANDARD.encode(bytes);
        for printed in [printed.clone(), format!(" {printed}\n")] {
            let read = ProofOfPossession::from_wallet(proof.account.clone(), proof.context.clone(), &printed)
                .unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.verify(&secp, &key), Ok(()));
        }
        if proof.form() == PossessionForm::Bip322 {
            let prefixed = format!("smp{printed}");
            let read =
                ProofOfPossession::from_wallet(proof.account.clone(), proof.context.clone(), &prefixed);
            assert_eq!(read, Ok(proof));
        }
    }
}

#[test]
fn what_wallets_do_not_print_is_refused() {
    let read = |text: &str| ProofOfPossession::from_wallet(accounts()[0].clone(), None, text);
    assert_eq!(read("not-valid-base64!!!"), Err(PossessionError::Base64));
    assert_eq!(read(&"A".repeat(1 << 20)), Err(PossessionError::Base64));
    assert_eq!(read(""), Err(PossessionError::WitnessEncoding));
    assert_eq!(read(&STANDARD.encode([0; 65])), Err(PossessionError::Header { header: 0 }));
    assert_eq!(read(&STANDARD.encode([7; 64])), Err(PossessionError::WitnessEncoding));
}

#[test]
fn forms_are_named() {
    for form in PossessionForm::ALL {
        assert_eq!(form.to_string().parse(), Ok(form));
        assert_eq!(serde_json::to_string(&form).unwrap(), format!("\"{form}\""));
    }
    assert!("bip341".parse::<PossessionForm>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_bytes_are_no_proof_and_no_trouble(bytes: Vec<u8>) {
        if let Ok(proof) = ProofOfPossession::from_bytes(&bytes) {
            prop_assert_eq!(proof.to_bytes(), bytes);
        }
    }

    #[test]
    fn every_staker_proves_possession_of_its_key(staker in keypairs(), raw in prop::collection::vec(any::<u8>(), 1..=64)) {
        let (secp, key) = (secp(), x_only(&staker));
        for proof in proofs(&staker, &Account::from_raw(&raw).unwrap(), Some(&context())) {
            prop_assert_eq!(proof.verify(&secp, &key), Ok(()));
            prop_assert_eq!(ProofOfPossession::from_bytes(&proof.to_bytes()), Ok(proof));
        }
    }
}
