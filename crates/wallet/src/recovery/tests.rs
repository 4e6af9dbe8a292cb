use std::str::FromStr;

use bitcoin::absolute::LockTime;
use bitcoin::bip32::Xpriv;
use bitcoin::secp256k1::All;
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{Psbt, ScriptBuf, Transaction, TxIn, TxOut, Txid, Witness};
use miniscript::psbt::PsbtExt;
use tapstake_params::local::{self, Slashed};
use tapstake_script::Providers;
use tapstake_tx::LeafSpend;

use super::*;
use crate::testing::{TestWallet, phrase, sat, stranger};

fn facts(wallet: &TestWallet, secp: &Secp256k1<All>) -> StakeFacts {
    let schedule = local::schedule(secp, Network::Regtest, Slashed::Burned).unwrap();
    let params = schedule.latest();
    let staker = wallet.wallet.staker_key(4).unwrap();
    let providers = (0..2).map(|index| local::provider_keypair(secp, index).x_only_public_key().0);
    let providers = Providers::new(providers.collect()).unwrap();
    let time = Timelock::new(1000).unwrap();
    StakeFacts {
        network: Network::Regtest,
        params_version: params.version,
        unbonding_fee: params.unbonding_fee,
        terms: StakeTerms::under(params, staker.x_only, providers, time).unwrap(),
        staker,
        outpoint: OutPoint { txid: Txid::from_str(&"22".repeat(32)).unwrap(), vout: 1 },
        value: sat(1_000_000),
        made_at: Height::new(700),
        included_at: None,
    }
}

fn sheet() -> (RecoverySheet, StakeFacts, Secp256k1<All>) {
    let secp = Secp256k1::new();
    let facts = facts(&TestWallet::new(), &secp);
    (RecoverySheet::new(&secp, facts.clone()).unwrap(), facts, secp)
}

#[test]
fn a_sheet_is_written_and_read_back() {
    let (sheet, facts, secp) = sheet();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stake.json");
    sheet.write(&path).unwrap();
    let back = RecoverySheet::read(&secp, &path).unwrap();
    assert_eq!(back, sheet);
    assert_eq!(back.facts(), facts);
    #[cfg(unix)]
    for file in [&path, &folder.path().join("stake.txt")] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "only its owner reads {}", file.display());
    }
    assert_eq!(back.stake(&secp).outpoint(), facts.outpoint);
    let text = std::fs::read_to_string(folder.path().join("stake.txt")).unwrap();
    for shown in [
        sheet.staking().descriptor.as_str(),
        &sheet.unbonding().descriptor,
        &sheet.refund().descriptor,
        &sheet.staking().address,
        &facts.outpoint.to_string(),
        "m/86'/1'/0'/2/4",
        "N            1000 blocks",
    ] {
        assert!(text.contains(shown), "{shown} is not in\n{text}");
    }
}

#[test]
fn descriptors_name_the_staker_by_origin_and_give_the_very_scripts() {
    let (sheet, facts, secp) = sheet();
    let stake = sheet.stake(&secp);
    let unbonding = facts.terms.unbonding_output(&secp);
    let outputs: [(&SheetOutput, &StakeOutput); 3] = [
        (sheet.staking(), &stake.coin().output),
        (sheet.unbonding(), &unbonding),
        (sheet.refund(), stake.refund_output()),
    ];
    for (shown, output) in outputs {
        assert!(shown.descriptor.contains(&format!("pk({})", facts.staker)), "{}", shown.descriptor);
        let descriptor: Descriptor<DescriptorPublicKey> = shown.descriptor.parse().unwrap();
        let definite = descriptor.at_derivation_index(0).unwrap();
        assert_eq!(definite.script_pubkey(), *output.script_pubkey());
        assert_eq!(definite.address(Network::Regtest).unwrap().to_string(), shown.address);
    }
}

#[test]
fn with_sheet_and_seed_a_miniscript_wallet_withdraws() {
    // Nothing of ours from here on but the sheet's text: a descriptor wallet on miniscript and rust-bitcoin.
    let (sheet, facts, secp) = sheet();
    let master = Xpriv::new_master(Network::Regtest, &*phrase().seed(None)).unwrap();
    for output in [sheet.staking(), sheet.unbonding(), sheet.refund()] {
        let descriptor: Descriptor<DescriptorPublicKey> = output.descriptor.parse().unwrap();
        let descriptor = descriptor.at_derivation_index(0).unwrap();
        let blocks = output.timelock.blocks();
        let mut psbt = Psbt::from_unsigned_tx(Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: facts.outpoint,
                script_sig: ScriptBuf::new(),
                sequence: bitcoin::Sequence::from_height(blocks),
                witness: Witness::new(),
            }],
            output: vec![stranger(990_000)],
        })
        .unwrap();
        let prevout = TxOut { value: facts.value, script_pubkey: descriptor.script_pubkey() };
        psbt.inputs[0].witness_utxo = Some(prevout.clone());
        psbt.update_input_with_descriptor(0, &descriptor).unwrap();
        psbt.sign(&master, &secp).unwrap();
        psbt.finalize_mut(&secp).unwrap();
        let tx = psbt.extract_tx().unwrap();

        let stake = sheet.stake(&secp);
        let unbonding = facts.terms.unbonding_output(&secp);
        let leaf = [stake.coin().output.timelock(), unbonding.timelock(), stake.refund_output().timelock()]
            .into_iter()
            .find(|leaf| tx.input[0].witness.iter().any(|item| item == leaf.script.as_bytes()))
            .unwrap();
        // The refund's leaf is the unbonding output's, in another tree: take what this output commits to.
        let leaf = if output == sheet.refund() { stake.refund_output().timelock() } else { leaf };
        LeafSpend::new(&secp, &mut SighashCache::new(&tx), 0, &[prevout], leaf)
            .unwrap()
            .check_witness(&secp, &tx.input[0].witness)
            .unwrap();
    }
}

#[test]
fn every_contradiction_in_a_sheet_is_named() {
    let (sheet, _, secp) = sheet();
    let json: serde_json::Value = serde_json::from_str(&sheet.to_json()).unwrap();
    let check = |path: &str, value: serde_json::Value| {
        let mut json = json.clone();
        *json.pointer_mut(path).unwrap_or_else(|| panic!("no {path}")) = value;
        RecoverySheet::from_json(&secp, json.to_string().as_bytes()).unwrap_err()
    };
    let at = |path: &str| json.pointer(path).unwrap().clone();
    for (path, value, field) in [
        ("/staking/descriptor", at("/unbonding/descriptor"), "staking"),
        ("/unbonding/address", at("/staking/address"), "unbonding"),
        ("/refund/timelock", 11.into(), "refund"),
        ("/unbonding_outpoint", at("/outpoint"), "unbonding_outpoint"),
        // Facts that everything else follows from are betrayed by what follows.
        ("/terms/staking_time", 999.into(), "staking"),
        ("/outpoint", at("/unbonding_outpoint"), "unbonding_outpoint"),
        ("/value_sat", 999_999.into(), "unbonding_outpoint"),
        ("/unbonding_fee_sat", 1.into(), "unbonding_outpoint"),
        ("/network", "signet".into(), "staking"),
        ("/staker/origin/path", "86'/1'/0'/2/5".into(), "staking"),
        ("/staker/origin", serde_json::Value::Null, "staking"),
    ] {
        let error = check(path, value);
        assert!(
            matches!(&error, SheetError::Contradiction { field: named, .. } if *named == field),
            "{path}: {error}"
        );
    }
    let error = check("/staker/x_only", at("/terms/parties/providers/0"));
    assert!(matches!(error, SheetError::Staker { .. }), "{error}");
    let error = check("/value_sat", 100.into());
    assert!(matches!(error, SheetError::Unbonding(_)), "{error}");
    let error = check("/format", 2.into());
    assert!(matches!(error, SheetError::NewerFormat { found: 2, supported: 1 }), "{error}");
    let error = check("/what", "shopping list".into());
    assert!(error.to_string().contains("shopping list"), "{error}");
}

#[test]
fn truncated_sheets_are_refused() {
    let (sheet, _, secp) = sheet();
    let json = sheet.to_json();
    for cut in 0..json.len() {
        let error = RecoverySheet::from_json(&secp, &json.as_bytes()[..cut]).unwrap_err();
        assert!(matches!(error, SheetError::Malformed(_)), "{error}");
    }
}

#[test]
fn an_external_key_makes_a_sheet_too_and_another_key_none() {
    let (_, facts, secp) = sheet();
    let bare = StakeFacts { staker: StakerKey::bare(facts.staker.x_only), ..facts.clone() };
    let sheet = RecoverySheet::new(&secp, bare).unwrap();
    assert!(sheet.to_string().contains("held outside"));
    assert!(RecoverySheet::from_json(&secp, sheet.to_json().as_bytes()).is_ok());
    let other = TestWallet::new().wallet.staker_key(0).unwrap();
    let error = RecoverySheet::new(&secp, StakeFacts { staker: other, ..facts }).unwrap_err();
    assert!(matches!(error, SheetError::Staker { .. }), "{error}");
}

#[test]
fn a_sheet_holds_no_secret() {
    let (sheet, _, _) = sheet();
    let test = TestWallet::new();
    let keypair = test.wallet.signer(None).unwrap().staker_keypair(4).unwrap();
    let secret = keypair.keypair().display_secret().to_string();
    for text in [sheet.to_json(), sheet.to_string(), format!("{sheet:?}")] {
        for word in ["prv", "abandon", secret.as_str()] {
            assert!(!text.contains(word), "{word}");
        }
    }
}
