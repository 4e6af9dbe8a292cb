use std::str::FromStr;

use bitcoin::bip32::{DerivationPath, Fingerprint};
use bitcoin::opcodes::all::{OP_CHECKSIG, OP_CSV, OP_DROP};
use bitcoin::secp256k1::Parity;
use bitcoin::taproot::{LeafVersion, TaprootBuilder};
use bitcoin::transaction::Version;
use bitcoin::{Network, OutPoint, Psbt, ScriptBuf, Sequence, Transaction, TxIn, Txid, Witness};

use super::*;
use crate::testing::{TestWallet, phrase, sat, sat_per_vb, stranger};
use crate::{CreateOptions, FundRequest, Origin, combine_psbts, extract_tx, parse_psbt};

fn funded() -> (TestWallet, Psbt) {
    let mut test = TestWallet::funded(&[100_000, 80_000]);
    let request = FundRequest::new(vec![stranger(150_000)], sat_per_vb(2));
    let psbt = test.wallet.fund(&request).unwrap().psbt;
    (test, psbt)
}

/// A PSBT spending a leaf that staker key 0 of `signer` must sign, as crate `tx` fills it.
fn leaf_psbt(test: &TestWallet) -> (Psbt, TapLeafHash, XOnlyPublicKey) {
    let staker = test.wallet.staker_key(0).unwrap();
    let script = ScriptBuf::builder()
        .push_int(10)
        .push_opcode(OP_CSV)
        .push_opcode(OP_DROP)
        .push_x_only_key(&staker.x_only)
        .push_opcode(OP_CHECKSIG)
        .into_script();
    let nums = XOnlyPublicKey::from_str("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0");
    let secp = Secp256k1::new();
    let spend =
        TaprootBuilder::new().add_leaf(0, script.clone()).unwrap().finalize(&secp, nums.unwrap()).unwrap();
    let prevout =
        TxOut { value: sat(50_000), script_pubkey: ScriptBuf::new_p2tr_tweaked(spend.output_key()) };
    let mut psbt = Psbt::from_unsigned_tx(Transaction {
        version: Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: Txid::from_str(&"11".repeat(32)).unwrap(), vout: 0 },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::from_height(10),
            witness: Witness::new(),
        }],
        output: vec![stranger(49_000)],
    })
    .unwrap();
    let leaf = TapLeafHash::from_script(&script, LeafVersion::TapScript);
    let control = spend.control_block(&(script.clone(), LeafVersion::TapScript)).unwrap();
    let origin = staker.origin.unwrap();
    psbt.inputs[0].witness_utxo = Some(prevout);
    psbt.inputs[0].tap_scripts.insert(control, (script, LeafVersion::TapScript));
    psbt.inputs[0].tap_key_origins.insert(staker.x_only, (vec![leaf], (origin.fingerprint, origin.path)));
    (psbt, leaf, staker.x_only)
}

fn sighash(psbt: &Psbt, leaf: TapLeafHash) -> Message {
    let prevouts = [psbt.inputs[0].witness_utxo.clone().unwrap()];
    let sighash = SighashCache::new(&psbt.unsigned_tx)
        .taproot_script_spend_signature_hash(0, &Prevouts::All(&prevouts), leaf, TapSighashType::Default)
        .unwrap();
    Message::from(sighash)
}

#[test]
fn signed_elsewhere_a_psbt_comes_back_and_is_sent() {
    // One wallet only watches, the other holds the keys, and the PSBT travels as base64.
    let (test, psbt) = funded();
    let folder = tempfile::tempdir().unwrap();
    let descriptors = test.wallet.descriptors();
    let origin = Origin::descriptors(descriptors[0].clone(), Some(descriptors[1].clone()));
    let watching =
        Wallet::create(&folder.path().join("w"), CreateOptions::new(Network::Regtest, origin)).unwrap();
    assert!(matches!(watching.signer(None), Err(WalletError::WatchOnly)));
    assert!(!watching.has_private_keys());
    assert_eq!(watching.staker_key(3).unwrap(), test.wallet.staker_key(3).unwrap());

    let mut travelled = parse_psbt(psbt.to_string().as_bytes()).unwrap();
    test.wallet.sign(&test.wallet.signer(None).unwrap(), &mut travelled).unwrap();
    let mut back = combine_psbts([psbt.clone(), parse_psbt(&travelled.serialize()).unwrap()]).unwrap();
    assert!(watching.finalize(&mut back).unwrap());
    let tx = extract_tx(back, sat_per_vb(3)).unwrap();
    assert_eq!(tx.compute_txid(), psbt.unsigned_tx.compute_txid());
}

#[test]
fn an_unsigned_transaction_and_an_absurd_fee_are_not_extracted() {
    let (test, mut psbt) = funded();
    assert!(!test.wallet.finalize(&mut psbt).unwrap());
    let error = extract_tx(psbt.clone(), sat_per_vb(3)).unwrap_err();
    assert!(matches!(error, WalletError::NotFullySigned { input: 0, .. }), "{error}");
    test.wallet.sign(&test.wallet.signer(None).unwrap(), &mut psbt).unwrap();
    assert!(test.wallet.finalize(&mut psbt).unwrap());
    let error = extract_tx(psbt, sat_per_vb(1)).unwrap_err();
    assert!(matches!(error, WalletError::FeeTooHigh { .. }), "{error}");
}

#[test]
fn a_psbt_that_misstates_a_coin_is_not_signed() {
    let (test, mut psbt) = funded();
    psbt.inputs[1].witness_utxo.as_mut().unwrap().value += sat(1);
    psbt.inputs[1].non_witness_utxo = None;
    let signer = test.wallet.signer(None).unwrap();
    let error = test.wallet.sign(&signer, &mut psbt).unwrap_err();
    assert!(matches!(error, WalletError::CoinMismatch { input: 1, .. }), "{error}");
    psbt.inputs[1].witness_utxo = None;
    let error = test.wallet.sign(&signer, &mut psbt).unwrap_err();
    assert!(matches!(error, WalletError::MissingPrevout(1)), "{error}");
}

#[test]
fn signatures_that_leave_outputs_open_are_not_given() {
    let (test, mut psbt) = funded();
    psbt.inputs[0].sighash_type = Some(TapSighashType::NonePlusAnyoneCanPay.into());
    let signer = test.wallet.signer(None).unwrap();
    let error = test.wallet.sign(&signer, &mut psbt).unwrap_err();
    assert!(matches!(error, WalletError::SighashType { input: 0, sighash: 0x82 }), "{error}");
    assert!(psbt.inputs.iter().all(|input| input.tap_key_sig.is_none()));

    let (mut psbt, _, _) = leaf_psbt(&test);
    psbt.inputs[0].sighash_type = Some(TapSighashType::Single.into());
    let error = signer.sign_leaves(&mut psbt, AuxRandomness::Fresh).unwrap_err();
    assert!(matches!(error, WalletError::SighashType { input: 0, sighash: 3 }), "{error}");
}

#[test]
fn a_leaf_is_signed_with_the_key_the_psbt_names() {
    let test = TestWallet::new();
    let (mut psbt, leaf, key) = leaf_psbt(&test);
    let signer = test.wallet.signer(None).unwrap();
    assert_eq!(signer.sign_leaves(&mut psbt, AuxRandomness::Fresh).unwrap(), [0]);
    let signature = psbt.inputs[0].tap_script_sigs[&(key, leaf)];
    let message = sighash(&psbt, leaf);
    Secp256k1::new().verify_schnorr(&signature.signature, &message, &key).unwrap();
    assert_eq!(signature.to_vec().len(), 64);

    // Without auxiliary randomness it is the same signature each time, with it another.
    let without = |psbt: &Psbt| {
        let mut psbt = psbt.clone();
        signer.sign_leaves(&mut psbt, AuxRandomness::None).unwrap();
        psbt.inputs[0].tap_script_sigs[&(key, leaf)]
    };
    assert_eq!(without(&psbt), without(&psbt));
    assert_ne!(without(&psbt), signature);
}

#[test]
fn leaves_of_others_and_other_paths_are_left_alone() {
    let test = TestWallet::new();
    let signer = test.wallet.signer(None).unwrap();
    let (psbt, leaf, key) = leaf_psbt(&test);
    let paths = ["86'/1'/0'/0/0", "86'/1'/1'/2/0", "86'/1'/0'/2'/0", "86'/1'/0'/2/0/0", "86'/1'/0'/2"];
    for path in paths {
        let mut psbt = psbt.clone();
        let origin = test.wallet.staker_key(0).unwrap().origin.unwrap();
        let path = DerivationPath::from_str(path).unwrap();
        psbt.inputs[0].tap_key_origins.insert(key, (vec![leaf], (origin.fingerprint, path)));
        assert!(signer.sign_leaves(&mut psbt, AuxRandomness::Fresh).unwrap().is_empty());
        // Nor does the wallet's own signing: the output is not one of its own.
        assert!(test.wallet.sign(&signer, &mut psbt).unwrap().is_empty());
        assert!(psbt.inputs[0].tap_script_sigs.is_empty());
    }
    let mut psbt = psbt;
    let path = test.wallet.staker_key(0).unwrap().origin.unwrap().path;
    psbt.inputs[0].tap_key_origins.insert(key, (vec![leaf], (Fingerprint::default(), path)));
    assert!(signer.sign_leaves(&mut psbt, AuxRandomness::Fresh).unwrap().is_empty());
}

#[test]
fn a_key_that_is_not_derived_where_the_psbt_says_is_refused() {
    let test = TestWallet::new();
    let signer = test.wallet.signer(None).unwrap();
    let (mut psbt, _, key) = leaf_psbt(&test);
    let (leaves, origin) = psbt.inputs[0].tap_key_origins.remove(&key).unwrap();
    let other = test.wallet.staker_key(1).unwrap().x_only;
    psbt.inputs[0].tap_key_origins.insert(other, (leaves, origin));
    let error = signer.sign_leaves(&mut psbt, AuxRandomness::Fresh).unwrap_err();
    assert!(matches!(error, WalletError::ForgedOrigin { input: 0, .. }), "{error}");
}

#[test]
fn a_leaf_the_output_does_not_commit_to_is_not_signed() {
    let test = TestWallet::new();
    let signer = test.wallet.signer(None).unwrap();
    let uncommitted = |psbt: &mut Psbt| {
        let error = signer.sign_leaves(psbt, AuxRandomness::Fresh).unwrap_err();
        assert!(matches!(error, WalletError::UncommittedLeaf { input: 0 }), "{error}");
        assert!(psbt.inputs[0].tap_script_sigs.is_empty());
    };
    let (mut psbt, _, _) = leaf_psbt(&test);
    psbt.inputs[0].witness_utxo = Some(stranger(50_000));
    uncommitted(&mut psbt);

    let (mut psbt, _, _) = leaf_psbt(&test);
    psbt.inputs[0].tap_scripts.clear();
    uncommitted(&mut psbt);

    let (mut psbt, _, _) = leaf_psbt(&test);
    let (mut control, leaf) = psbt.inputs[0].tap_scripts.pop_first().unwrap();
    control.output_key_parity = match control.output_key_parity {
        Parity::Even => Parity::Odd,
        Parity::Odd => Parity::Even,
    };
    psbt.inputs[0].tap_scripts.insert(control, leaf);
    uncommitted(&mut psbt);
}

#[test]
fn the_passphrase_is_asked_for_and_a_wrong_one_is_told() {
    let passphrase = Passphrase::new("correct horse".into());
    let origin = Origin::Seed { phrase: phrase(), passphrase: passphrase.clone(), account: 0 };
    let test = TestWallet::with(CreateOptions::new(Network::Bitcoin, origin));
    assert!(matches!(test.wallet.signer(None), Err(WalletError::PassphraseNeeded)));
    let wrong = Passphrase::new("correct house".into());
    let error = test.wallet.signer(wrong.as_ref()).unwrap_err();
    assert!(matches!(error, WalletError::WrongPassphrase { .. }), "{error}");
    let signer = test.wallet.signer(passphrase.as_ref()).unwrap();
    assert_eq!(signer.staker_keypair(0).unwrap().x_only(), test.wallet.staker_key(0).unwrap().x_only);
    let file = std::fs::read_to_string(test.wallet.folder().join(SEED)).unwrap();
    assert!(!file.contains("horse"));
}

#[test]
fn a_foreign_seed_file_is_refused() {
    let test = TestWallet::new();
    let other = TestWallet::with(CreateOptions::new(
        Network::Regtest,
        Origin::seed(crate::SeedPhrase::from_entropy(&[3; 16]).unwrap()),
    ));
    std::fs::copy(other.wallet.folder().join(SEED), test.wallet.folder().join(SEED)).unwrap();
    let error = test.wallet.signer(None).unwrap_err();
    assert!(matches!(error, WalletError::ForeignKeys(_)), "{error}");
}

#[test]
fn private_keys_are_not_in_debug() {
    let test = TestWallet::new();
    let signer = test.wallet.signer(None).unwrap();
    let keypair = signer.staker_keypair(0).unwrap();
    let secret = keypair.keypair().display_secret().to_string();
    let text = format!("{signer:?} {keypair:?} {:?}", test.wallet);
    for word in ["tprv", "xprv", "about", secret.as_str()] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn private_descriptors_sign_like_the_seed_they_came_from() {
    // The account key of the seed, as a two-path private descriptor.
    let secp = Secp256k1::new();
    let (parsed, _) = keys::bip86(&phrase(), None, Network::Regtest, 0, &secp).unwrap();
    let text = parsed.public.external.to_string_with_secret(&parsed.keys.map);
    let both = text.split('#').next().unwrap().replace("/0/*", "/<0;1>/*");
    let mut test = TestWallet::with(CreateOptions::new(Network::Regtest, Origin::descriptors(both, None)));
    let seeded = TestWallet::new();
    assert_eq!(test.wallet.descriptors(), seeded.wallet.descriptors());
    test.receive(&[100_000]);
    let request = FundRequest::new(vec![stranger(50_000)], sat_per_vb(2));
    let mut psbt = test.wallet.fund(&request).unwrap().psbt;
    let signer = test.wallet.signer(None).unwrap();
    assert_eq!(test.wallet.sign(&signer, &mut psbt).unwrap(), [0]);
    assert!(test.wallet.finalize(&mut psbt).unwrap());
    assert_eq!(signer.staker_keypair(2).unwrap().x_only(), seeded.wallet.staker_key(2).unwrap().x_only);
}
