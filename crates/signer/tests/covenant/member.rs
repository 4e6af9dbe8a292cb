//! A member with its folder: one process, one record, one answer to one question.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use bitcoin::secp256k1::schnorr;
use bitcoin::{OutPoint, TapSighash, XOnlyPublicKey};
use tapstake_crypto::adaptor::AdaptorSignature;
use tapstake_params::{Height, StakingParams};
use tapstake_signer::covenant::{
    Answer, CovenantError, CovenantKey, KeyError, LocalKey, Member, Policy, PolicyFileError, Refusal,
};
use tapstake_signer::keyfile::{KeyFileError, Passphrase, SecretBytes, WorkFactor};
use tapstake_tx::delegation::DelegationPackage;
use tempfile::TempDir;

use crate::world::{MEMBERS, Make, coin, key, keypair, member, params, policy, sat};

/// Member 0 in a folder of its own.
pub(crate) struct Folder {
    home: TempDir,
}

impl Folder {
    pub(crate) fn new(policy: &Policy) -> Self {
        let folder = Folder { home: tempfile::tempdir().unwrap() };
        Member::create(&folder.path(), policy, &secret(), &passphrase(), WorkFactor::Fixed(2)).unwrap();
        folder
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("member")
    }

    pub(crate) fn open(&self) -> Member {
        Member::open(&self.path()).unwrap()
    }

    /// Opens the folder, asks, and closes it, as a process does.
    pub(crate) fn ask(&self, package: &DelegationPackage, tip: u32) -> Result<Answer, CovenantError> {
        self.open().sign(&member(0), package, Some(Height::new(tip)))
    }
}

fn secret() -> SecretBytes {
    SecretBytes::new(keypair(MEMBERS).secret_bytes())
}

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse".to_owned()).unwrap()
}

/// From height 100 on unbonding costs 500 sat more; committee and times are as before, and so are the scripts.
pub(crate) fn second_version() -> StakingParams {
    StakingParams { version: 1, activation_height: Height::new(100), unbonding_fee: sat(1_500), ..params() }
}

#[test]
fn the_same_question_gets_the_same_answer_from_the_record() {
    let folder = Folder::new(&policy(vec![params()]));
    let package = Make::default().package();
    let first = folder.ask(&package, 50).unwrap();
    assert!(!first.repeated);
    // As after a kill between record and answer: the process is gone, the signatures are not.
    let second = folder.ask(&package, 50).unwrap();
    assert!(second.repeated);
    assert_eq!(second.package, first.package);
    assert_eq!(folder.open().package(second.stake).unwrap(), Some(first.package.clone()));
    assert_eq!(folder.open().package(coin(1)).unwrap(), None);
    // With its own signatures in the file, and with others', nothing changes for this member.
    let mut with_others = first.package.clone();
    let other = {
        let others = Folder { home: tempfile::tempdir().unwrap() };
        let secret = SecretBytes::new(keypair(MEMBERS + 1).secret_bytes());
        let policy = policy(vec![params()]);
        let mut other =
            Member::create(&others.path(), &policy, &secret, &passphrase(), WorkFactor::Fixed(2)).unwrap();
        other.sign(&member(1), &first.package, None).unwrap().package
    };
    with_others.parts.covenant = other.parts.covenant;
    let third = folder.ask(&with_others, 50).unwrap();
    assert_eq!(third.package, with_others);
    assert_eq!(third.package.parts.covenant.len(), 2);
    assert_eq!(folder.open().signed().unwrap().len(), 1);
}

#[test]
fn a_key_that_signs_otherwise_each_time_gives_what_the_record_has() {
    let folder = Folder::new(&policy(vec![params()]));
    let package = Make::default().package();
    let first = folder.ask(&package, 50).unwrap().package;
    // A second folder of the same key has another record: fresh randomness makes other signatures.
    let elsewhere = Folder::new(&policy(vec![params()])).ask(&package, 50).unwrap().package;
    assert_ne!(elsewhere.parts.covenant, first.parts.covenant);
    assert_eq!(folder.ask(&package, 50).unwrap().package, first);
}

#[test]
fn a_second_unbonding_transaction_for_the_same_stake_is_refused() {
    let folder = Folder::new(&policy(vec![params(), second_version()]));
    let first = Make::default().package();
    let second = Make { params: second_version(), ..Make::default() }.package();
    assert_eq!(first.outpoint(), second.outpoint());
    folder.ask(&first, 50).unwrap();
    let refusal = folder.ask(&second, 100).unwrap_err();
    assert_eq!(refusal.rule(), Some("second-unbonding"));
    let (signed, asked) = (first.parts.unbonding_tx.compute_txid(), second.parts.unbonding_tx.compute_txid());
    let CovenantError::Refused(refusal) = refusal else { panic!("{refusal}") };
    assert_eq!(refusal, Refusal::SecondUnbonding { stake: first.outpoint(), signed, asked });
    // Without the first one the second is as good as any.
    Folder::new(&policy(vec![params(), second_version()])).ask(&second, 100).unwrap();
}

#[test]
fn a_second_slashing_transaction_of_the_same_output_is_refused() {
    let folder = Folder::new(&policy(vec![params()]));
    folder.ask(&Make::default().package(), 50).unwrap();
    let refusal = folder.ask(&Make { slashing_fee: 3_001, ..Make::default() }.package(), 50).unwrap_err();
    assert_eq!(refusal.rule(), Some("second-slashing"), "{refusal}");
}

#[test]
fn what_was_signed_is_given_again_when_its_version_no_longer_applies() {
    let folder = Folder::new(&policy(vec![params(), second_version()]));
    let package = Make::default().package();
    let first = folder.ask(&package, 50).unwrap();
    let again = folder.ask(&package, 100).unwrap();
    assert_eq!((again.package, again.repeated), (first.package, true));
    let other = Make { funding: coin(8), ..Make::default() }.package();
    assert_eq!(folder.ask(&other, 100).unwrap_err().rule(), Some("params-version"));
}

#[test]
fn two_stakes_of_one_coin_are_signed_and_told_of() {
    let folder = Folder::new(&policy(vec![params()]));
    let first = Make::default().package();
    let rival = Make { fee: 3_000, value: 999_000, ..Make::default() }.package();
    assert_ne!(first.outpoint(), rival.outpoint());
    assert_eq!(folder.ask(&first, 50).unwrap().rivals, []);
    assert_eq!(folder.ask(&rival, 50).unwrap().rivals, [first.outpoint()]);
    assert_eq!(folder.ask(&first, 50).unwrap().rivals, [rival.outpoint()], "asked again, it is told as well");
}

#[test]
fn funding_by_anything_of_a_stake_that_was_signed_for_is_refused() {
    let folder = Folder::new(&policy(vec![params()]));
    let package = folder.ask(&Make::default().package(), 50).unwrap().package;
    let parts = &package.parts;
    let outputs = [
        package.outpoint(),
        OutPoint { txid: parts.unbonding_tx.compute_txid(), vout: 0 },
        OutPoint { txid: parts.slashing_tx.compute_txid(), vout: 1 },
        OutPoint { txid: parts.unbonding_slashing_tx.compute_txid(), vout: 1 },
    ];
    // What the coin is said to pay to does not matter: the record knows better.
    for funding in outputs {
        let refusal = folder.ask(&Make { funding, ..Make::default() }.package(), 50).unwrap_err();
        assert_eq!(refusal.rule(), Some("funding-is-stake"), "{refusal}");
    }
    let change = OutPoint { vout: 1, ..package.outpoint() };
    folder.ask(&Make { funding: change, ..Make::default() }.package(), 50).unwrap();
}

#[test]
fn one_process_at_a_time_has_the_folder() {
    let folder = Folder::new(&policy(vec![params()]));
    let held = folder.open();
    assert!(matches!(Member::open(&folder.path()), Err(CovenantError::InUse(_))));
    drop(held);
    folder.open();
}

#[test]
fn a_wrong_passphrase_opens_nothing_and_the_right_one_the_members_key() {
    let folder = Folder::new(&policy(vec![params()]));
    let opened = folder.open();
    assert_eq!(opened.public_key(), key(MEMBERS));
    let wrong = opened.unlock(&Passphrase::new("correct house".to_owned()).unwrap()).unwrap_err();
    assert!(matches!(wrong, CovenantError::KeyFile(KeyFileError::WrongPassphrase(_))));
    assert_eq!(wrong.rule(), Some("passphrase"));
    assert_eq!(opened.unlock(&passphrase()).unwrap().public_key(), key(MEMBERS));
    let text = fs::read(folder.path().join("key.age")).unwrap();
    assert!(!text.windows(32).any(|bytes| bytes == keypair(MEMBERS).secret_bytes()), "the key lies open");
}

#[test]
fn another_members_key_does_not_sign_with_this_record() {
    let folder = Folder::new(&policy(vec![params()]));
    let package = Make::default().package();
    let error = folder.open().sign(&member(1), &package, None).unwrap_err();
    assert!(matches!(error, CovenantError::OtherKey(own) if own == key(MEMBERS)));
    assert_eq!(folder.open().signed().unwrap(), []);
}

#[test]
fn who_sits_on_no_committee_signs_nothing() {
    let mut params = params();
    params.covenant = crate::world::quorum(3, 1..6);
    let folder = Folder::new(&policy(vec![params.clone()]));
    let refusal = folder.ask(&Make { params, ..Make::default() }.package(), 50).unwrap_err();
    assert_eq!(refusal.rule(), Some("not-a-member"));
    assert_eq!(folder.open().signed().unwrap(), []);
}

/// A key elsewhere that answers a few times only, or with another key's signatures.
struct Elsewhere {
    claims: XOnlyPublicKey,
    key: LocalKey,
    answers: Cell<usize>,
}

impl Elsewhere {
    fn new(key_index: u32, answers: usize) -> Self {
        Elsewhere { claims: key(MEMBERS), key: member(key_index), answers: Cell::new(answers) }
    }

    fn count(&self) -> Result<(), KeyError> {
        let left = self.answers.get().checked_sub(1).ok_or_else(|| KeyError::new("the line is dead"))?;
        self.answers.set(left);
        Ok(())
    }
}

impl CovenantKey for Elsewhere {
    fn public_key(&self) -> XOnlyPublicKey {
        self.claims
    }

    fn sign(&self, digest: TapSighash) -> Result<schnorr::Signature, KeyError> {
        self.count().and_then(|()| self.key.sign(digest))
    }

    fn adaptor_sign(&self, digest: TapSighash, to: &XOnlyPublicKey) -> Result<AdaptorSignature, KeyError> {
        self.count().and_then(|()| self.key.adaptor_sign(digest, to))
    }
}

#[test]
fn a_key_elsewhere_that_fails_midway_leaves_no_trace() {
    let folder = Folder::new(&policy(vec![params()]));
    let package = Make::default().package();
    // One signature for the unbonding, two adaptor signatures for each slashing.
    for answers in 0..5 {
        let error = folder.open().sign(&Elsewhere::new(0, answers), &package, None).unwrap_err();
        assert!(error.to_string().ends_with("the line is dead"), "{error}");
        assert_eq!(folder.open().signed().unwrap(), []);
    }
    assert!(!folder.open().sign(&Elsewhere::new(0, 5), &package, None).unwrap().repeated);
}

#[test]
fn a_key_elsewhere_that_answers_with_wrong_signatures_is_found_out() {
    let folder = Folder::new(&policy(vec![params()]));
    let error = folder.open().sign(&Elsewhere::new(1, 5), &Make::default().package(), None).unwrap_err();
    assert!(matches!(error, CovenantError::WrongAnswer(_)), "{error}");
    assert_eq!(folder.open().signed().unwrap(), []);
}

#[test]
fn a_folder_without_key_file_signs_with_a_key_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("member");
    let mut opened = Member::create_without_key(&path, &policy(vec![params()]), key(MEMBERS)).unwrap();
    assert!(!opened.has_key_file());
    opened.sign(&Elsewhere::new(0, 5), &Make::default().package(), None).unwrap();
    assert!(matches!(opened.unlock(&passphrase()), Err(CovenantError::KeyFile(KeyFileError::Io { .. }))));
}

#[test]
fn an_older_copy_of_the_record_is_found_out_by_the_members_own_signatures() {
    let folder = Folder::new(&policy(vec![params()]));
    let record = folder.path().join("record.sqlite");
    let before = fs::read(&record).unwrap();
    let package = folder.ask(&Make::default().package(), 50).unwrap().package;
    fs::write(&record, before).unwrap();
    let refusal = folder.ask(&package, 50).unwrap_err();
    assert_eq!(refusal.rule(), Some("unknown-own-signature"), "{refusal}");
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_is_made_once_and_whole() {
    let folder = Folder::new(&policy(vec![params()]));
    assert_eq!(files(&folder.path()), ["key.age", "lock", "policy.json", "record.sqlite"]);
    assert_eq!(files(folder.home.path()), ["member"], "nothing else is left");
    let again = Member::create(
        &folder.path(),
        &policy(vec![params()]),
        &secret(),
        &passphrase(),
        WorkFactor::Fixed(2),
    );
    assert!(matches!(again, Err(CovenantError::Exists(_))));
    assert_eq!(files(folder.home.path()), ["member"]);
    let nowhere = folder.home.path().join("nowhere");
    assert!(matches!(Member::open(&nowhere), Err(CovenantError::NoMember(_))));
    assert!(!nowhere.exists());
}

#[test]
fn without_its_whole_record_a_member_does_not_open() {
    let rule = |damage: fn(&Path)| {
        let folder = Folder::new(&policy(vec![params()]));
        folder.ask(&Make::default().package(), 50).unwrap();
        damage(&folder.path().join("record.sqlite"));
        Member::open(&folder.path()).unwrap_err()
    };
    let gone = rule(|record| fs::remove_file(record).unwrap());
    assert!(matches!(gone, CovenantError::Io { .. }), "a lost record is not an empty one: {gone}");
    for damage in [
        (|record| fs::write(record, []).unwrap()) as fn(&Path),
        |record| fs::write(record, "no database, and longer than a header of SQLite is").unwrap(),
        |record| {
            let bytes = fs::read(record).unwrap();
            fs::write(record, &bytes[..bytes.len() - 4_096]).unwrap();
        },
        |record| {
            let mut bytes = fs::read(record).unwrap();
            bytes[100..4_096].fill(0xff);
            fs::write(record, bytes).unwrap();
        },
    ] {
        assert_eq!(rule(damage).rule(), Some("record"));
    }
}

#[test]
fn a_policy_with_a_typing_mistake_is_refused() {
    let folder = Folder::new(&policy(vec![params()]));
    let file = folder.path().join("policy.json");
    let text = fs::read_to_string(&file).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        fs::write(&file, text.replacen(from, to, 1)).unwrap();
        match Member::open(&folder.path()) {
            Err(CovenantError::Policy { error, .. }) => error,
            other => panic!("{from} as {to}: {other:?}"),
        }
    };
    assert!(
        refused("max_value_sat", "max_value_sats").to_string().contains("unknown field `max_value_sats`")
    );
    assert!(matches!(refused("\"rules\"", "\"rule\""), PolicyFileError::Json(_)));
    assert!(matches!(refused("\"format\": 1", "\"format\": 2"), PolicyFileError::Format { found: 2, .. }));
    assert!(matches!(refused("\"covenant_quorum\": 3", "\"covenant_quorum\": 6"), PolicyFileError::Json(_)));
    assert!(matches!(refused("\"regtest\"", "\"mars\""), PolicyFileError::Json(_)));
    assert!(matches!(
        refused("\"unbonding_fee\": 1000", "\"unbonding_fee\": 50000"),
        PolicyFileError::Schedule(_)
    ));
    assert!(matches!(
        refused("\"max_slashing_fee_multiple\": 10", "\"max_slashing_fee_multiple\": 0"),
        PolicyFileError::Unsatisfiable(_)
    ));
    let crossed = "\"min_value_sat\": 2,\n    \"max_value_sat\": 1";
    assert!(matches!(
        refused("\"min_value_sat\": null,\n    \"max_value_sat\": null", crossed),
        PolicyFileError::Crossed("value")
    ));
    fs::write(&file, text).unwrap();
    folder.open();
}

#[test]
fn a_policy_reads_as_it_was_written() {
    let mut written = policy(vec![params(), second_version()]);
    written.rules.min_value = Some(sat(60_000));
    written.rules.max_staking_time = Some(crate::world::blocks(2_000));
    written.rules.services =
        tapstake_signer::covenant::Services::Known([("rollup-1".to_owned(), [key(1_000)].into())].into());
    assert_eq!(Policy::from_json(&written.to_json()).unwrap(), written);
}

#[test]
fn adopted_parameters_are_followed_and_the_other_rules_stay() {
    let mut first = policy(vec![params()]);
    first.rules.max_value = Some(sat(2_000_000));
    let folder = Folder::new(&first);
    let package = Make { params: second_version(), ..Make::default() }.package();
    assert_eq!(folder.ask(&package, 100).unwrap_err().rule(), Some("params-version"));
    let both = policy(vec![params(), second_version()]);
    folder.open().adopt(both.schedule.clone()).unwrap();
    assert_eq!(folder.open().policy().schedule, both.schedule);
    assert_eq!(folder.open().policy().rules, first.rules);
    folder.ask(&package, 100).unwrap();
    let large = Make { params: second_version(), value: 2_000_001, ..Make::default() }.package();
    assert_eq!(folder.ask(&large, 100).unwrap_err().rule(), Some("policy-bounds"));
}
