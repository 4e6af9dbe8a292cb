//! The list on disk: what it keeps, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::thread;

use bitcoin::{Amount, OutPoint};
use support::Stage;
use tapstake_params::Height;
use tapstake_tracker::{FollowUp, FollowUpKind, KeyOrigin, RecordError, StakeRecord, Store, TrackerError};
use tempfile::TempDir;

fn list() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made/on/demand/stakes.sqlite");
    (folder, file)
}

/// A record with every field set.
fn full(stage: &Stage) -> StakeRecord {
    let mut record = stage.prepare(20);
    record.staker =
        Some(KeyOrigin { fingerprint: "73c5da0a".parse().unwrap(), path: "86'/1'/0'/2/0".parse().unwrap() });
    record.rehearsed_exit = Some(stage.withdrawal(&record.stake(&stage.secp).coin().into()));
    record.wallet = Some("default".into());
    record.label = Some("for the house, \"if\" all goes well".into());
    record
}

/// Another stake under the same terms, as restored from a sheet.
fn numbered(record: &StakeRecord, n: u32) -> StakeRecord {
    let outpoint = OutPoint { vout: n, ..record.outpoint };
    StakeRecord { outpoint, staking_tx: None, rehearsed_exit: None, ..record.clone() }
}

#[test]
fn a_list_keeps_what_it_was_told() {
    let stage = Stage::new();
    let (_folder, file) = list();
    let (first, second) = (full(&stage), stage.prepare(30));
    let mut store = Store::open(&file).unwrap();
    assert_eq!(store.list().unwrap(), []);
    store.insert(&first).unwrap();
    store.insert(&second).unwrap();
    drop(store);

    let mut store = Store::open(&file).unwrap();
    assert_eq!(store.list().unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.get(&second.outpoint).unwrap(), Some(second.clone()));
    assert_eq!(store.get(&OutPoint::null()).unwrap(), None);
    // The same again is no mistake; other facts are.
    store.insert(&first).unwrap();
    let other = StakeRecord { made_at: Height::new(7), ..first.clone() };
    assert!(
        matches!(store.insert(&other), Err(TrackerError::AlreadyKnown(outpoint)) if outpoint == first.outpoint)
    );

    store.set_label(&second.outpoint, Some("second")).unwrap();
    assert_eq!(store.get(&second.outpoint).unwrap().unwrap().label.as_deref(), Some("second"));
    assert!(store.remove(&first.outpoint).unwrap());
    assert!(!store.remove(&first.outpoint).unwrap());
    assert_eq!(store.list().unwrap().len(), 1);
    // Nothing but the list is in its folder.
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn later_transactions_and_last_sights_are_kept_with_their_stake() {
    let stage = Stage::new();
    let (_folder, file) = list();
    let record = stage.staked(20);
    let outpoint = record.outpoint;
    let mut store = Store::open(&file).unwrap();
    let unknown = |result| assert!(matches!(result, Err(TrackerError::UnknownStake(at)) if at == outpoint));
    let (_, unbonding) = stage.unbonding(&record);
    let seen = stage.observe(&record);
    unknown(store.keep(&outpoint, FollowUpKind::Unbonding, &unbonding));
    unknown(store.note(&outpoint, &seen));
    unknown(store.set_label(&outpoint, None));

    store.insert(&record).unwrap();
    assert_eq!(store.last_seen(&outpoint).unwrap(), None);
    store.note(&outpoint, &seen).unwrap();
    let last = store.last_seen(&outpoint).unwrap().unwrap();
    assert_eq!((last.tip, last.state), (seen.tip, seen.state));
    assert_eq!(store.get(&outpoint).unwrap().unwrap().included_at, Some(stage.tip()));
    // Where it was seen is no other fact about it.
    store.insert(&record).unwrap();

    let withdrawal = stage.withdrawal(seen.withdrawable().unwrap());
    for _ in 0..2 {
        store.keep(&outpoint, FollowUpKind::Unbonding, &unbonding).unwrap();
    }
    store.keep(&outpoint, FollowUpKind::Withdrawal, &withdrawal).unwrap();
    let kept = [
        FollowUp { kind: FollowUpKind::Unbonding, tx: unbonding },
        FollowUp { kind: FollowUpKind::Withdrawal, tx: withdrawal },
    ];
    assert_eq!(Store::open(&file).unwrap().follow_ups(&outpoint).unwrap(), kept);

    store.remove(&outpoint).unwrap();
    store.insert(&record).unwrap();
    assert_eq!(store.follow_ups(&outpoint).unwrap(), []);
    assert_eq!(store.last_seen(&outpoint).unwrap(), None);
}

#[test]
fn an_export_restores_the_list_elsewhere() {
    let stage = Stage::new();
    let (_folder, file) = list();
    let mut store = Store::open(&file).unwrap();
    let (first, second) = (full(&stage), stage.prepare(30));
    let (_, unbonding) = stage.unbonding(&first);
    store.insert(&first).unwrap();
    store.insert(&second).unwrap();
    store.keep(&first.outpoint, FollowUpKind::Unbonding, &unbonding).unwrap();
    let export = store.export().unwrap();

    let (_folder, file) = list();
    let mut other = Store::open(&file).unwrap();
    other.insert(&second).unwrap();
    assert_eq!(other.import(&export).unwrap(), 1);
    assert_eq!(other.import(&export).unwrap(), 0);
    assert_eq!(other.list().unwrap(), [second.clone(), first.clone()]);
    assert_eq!(other.follow_ups(&first.outpoint).unwrap(), store.follow_ups(&first.outpoint).unwrap());

    // All or nothing: the second contradicts what is known.
    let (_folder, file) = list();
    let mut third = Store::open(&file).unwrap();
    third.insert(&StakeRecord { label: Some("mine".into()), ..second.clone() }).unwrap();
    assert!(matches!(third.import(&export), Err(TrackerError::AlreadyKnown(at)) if at == second.outpoint));
    assert_eq!(third.list().unwrap().len(), 1);

    let newer = export.replacen("\"format\": 1", "\"format\": 2", 1);
    assert!(matches!(other.import(&newer), Err(TrackerError::NewerExport { found: 2, supported: 1 })));
    for wrong in ["", "[]", "{\"what\":\"a cake\",\"format\":1}", &export[..export.len() / 2]] {
        assert!(matches!(other.import(wrong), Err(TrackerError::Export(_))), "{wrong}");
    }
}

#[test]
fn a_record_that_contradicts_itself_is_refused() {
    let stage = Stage::new();
    let record = full(&stage);
    let secp = &stage.secp;
    record.check(secp).unwrap();
    assert_eq!(StakeRecord::from_json(secp, &record.to_json()).unwrap(), record);

    let mut other = record.clone();
    other.value += Amount::ONE_SAT;
    assert_eq!(other.check(secp), Err(RecordError::OtherOutput(record.outpoint)));
    let mut other = record.clone();
    other.staking_tx = stage.prepare(30).staking_tx;
    assert!(
        matches!(other.check(secp), Err(RecordError::OtherTransaction { expected, .. }) if expected == record.outpoint)
    );
    let mut other = record.clone();
    other.rehearsed_exit.clone_from(&other.staking_tx);
    assert_eq!(other.check(secp), Err(RecordError::OtherWithdrawal(record.outpoint)));
    let (_folder, file) = list();
    assert!(matches!(Store::open(&file).unwrap().insert(&other), Err(TrackerError::Record(_))));

    let newer = record.to_json().replacen("\"format\":1", "\"format\":2", 1);
    let refused = StakeRecord::from_json(secp, &newer);
    assert_eq!(refused, Err(RecordError::NewerFormat { found: 2, supported: 1 }));
    let longer = record.to_json().replacen("\"network\"", "\"colour\":1,\"network\"", 1);
    assert!(matches!(StakeRecord::from_json(secp, &longer), Err(RecordError::Malformed(_))));
}

#[test]
fn a_list_of_a_newer_version_is_refused_untouched() {
    let (_folder, file) = list();
    drop(Store::open(&file).unwrap());
    rusqlite::Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 3").unwrap();
    let before = fs::read(&file).unwrap();
    let refused = Store::open(&file).unwrap_err();
    assert!(matches!(refused, TrackerError::NewerStore { found: 3, supported: 2, .. }), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_truncated_list_is_refused_at_any_length() {
    let stage = Stage::new();
    let (_folder, file) = list();
    let mut store = Store::open(&file).unwrap();
    let record = full(&stage);
    for n in 0..20 {
        store.insert(&numbered(&record, n)).unwrap();
    }
    drop(store);
    let whole = fs::read(&file).unwrap();
    assert!(whole.len() > 8 * 4096);
    let lengths = [0, 1, 50, 99, 100, 1_000].into_iter().chain((4_000..whole.len()).step_by(1_999));
    for length in lengths.chain([whole.len() - 1]) {
        fs::write(&file, &whole[..length]).unwrap();
        let refused = Store::open(&file).expect_err("a truncated file");
        assert!(matches!(refused, TrackerError::Damaged { .. }), "{length} bytes: {refused}");
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(Store::open(&file).unwrap().list().unwrap().len(), 20);
}

#[test]
fn what_is_no_list_is_refused() {
    let (_folder, file) = list();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "a shopping list, longer than one hundred bytes: ".repeat(9)).unwrap();
    assert!(matches!(Store::open(&file), Err(TrackerError::Damaged { .. })));
    fs::remove_file(&file).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE stake (id)").unwrap();
    assert!(matches!(Store::open(&file), Err(TrackerError::Damaged { .. })));
    // A folder that cannot be made.
    let below = file.join("stakes.sqlite");
    assert!(Store::open(&below).is_err());
}

#[test]
fn several_writers_wait_for_each_other() {
    const EACH: u32 = 20;
    let stage = Stage::new();
    let (_folder, file) = list();
    let record = full(&stage);
    // The list itself is made by whoever comes first.
    thread::scope(|scope| {
        for writer in 0..4 {
            let (record, file) = (&record, &file);
            scope.spawn(move || {
                let mut store = Store::open(file).unwrap();
                for n in 0..EACH {
                    store.insert(&numbered(record, writer * EACH + n)).unwrap();
                }
            });
        }
    });
    assert_eq!(Store::open(&file).unwrap().list().unwrap().len(), 4 * EACH as usize);
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_the_list() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, file) = list();
    Store::open(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_record_hides_no_other() {
    let stage = Stage::new();
    let (_folder, file) = list();
    let (first, second) = (full(&stage), stage.prepare(30));
    let mut store = Store::open(&file).unwrap();
    store.insert(&first).unwrap();
    store.insert(&second).unwrap();
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute("UPDATE stake SET record = '{}' WHERE outpoint = ?1", [first.outpoint.to_string()])
        .unwrap();

    let [(damaged, Err(TrackerError::Record(_))), (whole, Ok(record))] = &store.entries().unwrap()[..] else {
        panic!("{:?}", store.entries())
    };
    assert_eq!((*damaged, *whole, record), (first.outpoint, second.outpoint, &second));
}

#[test]
fn a_list_of_the_first_format_is_opened_and_keeps_delegations_from_then_on() {
    let stage = Stage::new();
    let (_folder, file) = list();
    let record = full(&stage);
    Store::open(&file).unwrap().insert(&record).unwrap();
    // What the first format had.
    let older = "DROP TABLE delegation; PRAGMA user_version = 1";
    rusqlite::Connection::open(&file).unwrap().execute_batch(older).unwrap();

    let package = stage.verified(&record).package();
    let mut store = Store::open(&file).unwrap();
    assert_eq!(store.list().unwrap(), std::slice::from_ref(&record));
    assert_eq!(store.delegation(&record.outpoint).unwrap(), None);
    store.keep_delegation(&package).unwrap();
    drop(store);
    let mut store = Store::open(&file).unwrap();
    assert_eq!(store.delegation(&record.outpoint).unwrap(), Some(package));
    store.remove(&record.outpoint).unwrap();
    assert_eq!(store.delegation(&record.outpoint).unwrap(), None, "gone with its stake");
}

#[test]
fn copies_of_a_delegation_are_put_together_and_nothing_kept_is_lost() {
    let stage = Stage::new();
    let (_folder, file) = list();
    let record = full(&stage);
    let mut store = Store::open(&file).unwrap();
    let (signed, verified) = (stage.pre_signed(&record).package(), stage.verified(&record).package());
    let refused = store.keep_delegation(&signed);
    assert!(matches!(refused, Err(TrackerError::UnknownStake(outpoint)) if outpoint == record.outpoint));

    store.insert(&record).unwrap();
    store.keep_delegation(&signed).unwrap();
    // The copy that went to the committee has no witnesses of the staking transaction.
    let kept = store.keep_delegation(&verified.clone().without_witnesses()).unwrap();
    assert_eq!(kept, verified);
    store.keep_delegation(&signed).unwrap();
    assert_eq!(store.delegation(&record.outpoint).unwrap(), Some(verified.clone()));

    let mut other = verified;
    let signatures = stage.pre_signed(&record).covenant_signatures(
        &stage.secp,
        &tapstake_params::local::covenant_keypairs(&stage.secp)[0],
        &[1; 32],
    );
    *other.parts.covenant.first_entry().unwrap().get_mut() = signatures;
    assert!(matches!(store.keep_delegation(&other), Err(TrackerError::Combine(_))));
}

#[test]
fn an_export_carries_delegations() {
    let stage = Stage::new();
    let (_folder, file) = list();
    let record = full(&stage);
    let package = stage.verified(&record).package();
    let mut store = Store::open(&file).unwrap();
    store.insert(&record).unwrap();
    store.keep_delegation(&package).unwrap();
    let export = store.export().unwrap();
    let (_folder, other) = list();
    let mut other = Store::open(&other).unwrap();
    assert_eq!(other.import(&export).unwrap(), 1);
    assert_eq!(other.delegation(&record.outpoint).unwrap(), Some(package));
}

#[test]
fn an_exit_rehearsed_later_is_kept_and_anothers_is_refused() {
    let stage = Stage::new();
    let (_folder, file) = list();
    let (record, other) = (stage.prepare(20), stage.prepare(30));
    let mut store = Store::open(&file).unwrap();
    store.insert(&record).unwrap();
    let exit = |record: &StakeRecord| stage.withdrawal(&record.stake(&stage.secp).coin().into());
    let refused = store.keep_exit(&record.outpoint, &exit(&other));
    let expected = RecordError::OtherWithdrawal(record.outpoint);
    assert!(matches!(refused, Err(TrackerError::Record(error)) if error == expected));
    store.keep_exit(&record.outpoint, &exit(&record)).unwrap();
    assert_eq!(store.get(&record.outpoint).unwrap().unwrap().rehearsed_exit, Some(exit(&record)));
    let refused = store.keep_exit(&other.outpoint, &exit(&other));
    assert!(matches!(refused, Err(TrackerError::UnknownStake(outpoint)) if outpoint == other.outpoint));
}
