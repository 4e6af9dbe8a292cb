//! A covenant member killed at any moment: whatever left is in its record, and comes again as it was.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, WPubkeyHash, Witness,
};
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::local::{self, Slashed};
use tapstake_params::{Schedule, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_signer::covenant::{Member, Policy};
use tapstake_signer::keyfile::{Passphrase, SecretBytes, WorkFactor};
use tapstake_tests::program;
use tapstake_tx::delegation::{CovenantSignatures, Delegation, DelegationPackage};

/// How often the process is killed.
const KILLS: u32 = 60;

/// The delegation of a stake that spends coin `number`, with this fee for its slashings.
fn package(schedule: &Schedule, number: u32, slashing_fee: u64) -> DelegationPackage {
    let secp = Secp256k1::new();
    let params = schedule.latest();
    let staker = Keypair::from_seckey_slice(&secp, &[7; 32]).unwrap();
    let provider = local::provider_keypair(&secp, 0).x_only_public_key().0;
    let time = Timelock::new(100).unwrap();
    let terms =
        StakeTerms::under(params, staker.x_only_public_key().0, Providers::one(provider), time).unwrap();
    let mut txid = [9; 32];
    txid[..4].copy_from_slice(&number.to_be_bytes());
    let input = TxIn {
        previous_output: OutPoint { txid: Txid::from_byte_array(txid), vout: 0 },
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    let value = Amount::from_sat(100_000);
    let script_pubkey = terms.staking_output(&secp).script_pubkey().clone();
    let tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input],
        output: vec![TxOut { value, script_pubkey }],
    };
    let prevout = TxOut {
        value: value + Amount::from_sat(1_000),
        script_pubkey: ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros()),
    };
    let fee = Amount::from_sat(slashing_fee);
    let draft =
        Delegation::build(&secp, Network::Regtest, params, terms, tx, &[prevout], value, fee).unwrap();
    let account = Account::text("me").unwrap();
    let possession = ProofOfPossession::bip340(&secp, &staker, account, None, &[0; 32]);
    draft.sign(&secp, &staker, &[0; 32], possession).unwrap().package()
}

/// What a file holds: always a whole delegation, with this member's signatures or without.
fn signatures(file: &Path) -> Option<CovenantSignatures> {
    let package: DelegationPackage = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    package.parts.covenant.into_values().next()
}

/// Waits until something is seen, or until the process has ended by itself.
fn wait_for(process: &mut Child, seen: impl Fn() -> bool) {
    while !seen() && process.try_wait().unwrap().is_none() {}
}

#[test]
fn a_member_killed_at_any_moment_gives_the_same_signatures_again() {
    let secp = Secp256k1::new();
    let schedule = local::schedule(&secp, Network::Regtest, Slashed::Burned).unwrap();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("member");
    let secret = SecretBytes::new(local::covenant_keypairs(&secp)[0].secret_bytes());
    let passphrase = Passphrase::new("secret".to_owned()).unwrap();
    Member::create(&folder, &Policy::new(schedule.clone()), &secret, &passphrase, WorkFactor::Fixed(2))
        .unwrap();
    fs::write(home.path().join("passphrase"), "secret").unwrap();
    let file = home.path().join("delegation.json");
    let sign = || {
        let mut command = Command::new(program());
        command.env_clear().env("HOME", home.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["covenant", "sign"]).arg(&file).arg("--member-dir").arg(&folder);
        command.arg("--passphrase-file").arg(home.path().join("passphrase")).spawn().unwrap()
    };
    let put =
        |package: &DelegationPackage| fs::write(&file, serde_json::to_string(package).unwrap()).unwrap();

    // How long it takes when nobody kills it: told anew by each run that nobody does.
    let undisturbed = || {
        let begun = Instant::now();
        assert!(sign().wait().unwrap().success());
        begun.elapsed()
    };
    put(&package(&schedule, 0, 1_000));
    let mut span = undisturbed();
    let journal = folder.join("record.sqlite-journal");

    let (mut nothing, mut recorded, mut written) = (0, 0, 0);
    let mut given = BTreeMap::new();
    for kill in 0..KILLS {
        let number = 100 + kill;
        let package = package(&schedule, number, 1_000);
        put(&package);
        let mut process = sign();
        match kill % 5 {
            // In the middle of writing the record, and just after the file.
            3 => wait_for(&mut process, || journal.exists()),
            4 => wait_for(&mut process, || signatures(&file).is_some()),
            _ => sleep(span * kill / KILLS),
        }
        // It may have ended by itself.
        let _ = process.kill();
        process.wait().unwrap();

        let left = signatures(&file);
        let known = Member::open(&folder).unwrap().signed().unwrap();
        let known = known.iter().find(|signed| signed.subject.stake == package.outpoint());
        match (&left, known) {
            (None, None) => nothing += 1,
            (None, Some(_)) => recorded += 1,
            (Some(left), Some(known)) => {
                assert_eq!(known.signatures.covenant.as_ref(), Some(left));
                written += 1;
            }
            (Some(_), None) => panic!("signatures left that the record does not know"),
        }
        let known = known.map(|known| known.signatures.covenant.clone().unwrap());
        // The next process has the folder, and the same answer.
        put(&package);
        span = undisturbed();
        let again = signatures(&file).unwrap();
        assert_eq!(known.as_ref().unwrap_or(&again), &again);
        given.insert(number, again);
    }
    println!(
        "{KILLS} kills: {nothing} before the record, {recorded} between record and file, {written} after"
    );
    assert!(nothing > 0 && written > 0, "the kills are spread over the whole run");

    // Another slashing for the same output is refused, and what was given is given again.
    for (number, signatures_given) in given {
        put(&package(&schedule, number, 1_001));
        assert_eq!(sign().wait().unwrap().code(), Some(1));
        assert_eq!(signatures(&file), None);
        put(&package(&schedule, number, 1_000));
        assert!(sign().wait().unwrap().success());
        assert_eq!(signatures(&file), Some(signatures_given));
    }
}
