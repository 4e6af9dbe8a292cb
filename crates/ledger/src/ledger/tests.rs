//! Writes that fail or stop in the middle, as no test from outside can make them.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::fs;
use std::path::PathBuf;

use tapstake_params::Timelock;

use super::*;

fn pool(number: u32) -> Entry {
    let event = Event::OpenPool {
        pool: PoolId::new(&format!("p{number}")).unwrap(),
        unbonding_time: Timelock::new(100).unwrap(),
    };
    Entry { height: Height::new(100), event }
}

/// A book of two entries, and the lines that a batch of four more would write.
fn stopped_batch() -> (tempfile::TempDir, PathBuf, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("book.jsonl");
    let mut ledger = Ledger::create(&file, Network::Regtest).unwrap();
    ledger.append_all([pool(0), pool(1)]).unwrap();
    let (mut head, mut lines) = (ledger.head(), Vec::new());
    for number in 2..6 {
        let (line, next) = line::entry(head, u64::from(number) + 1, &pool(number));
        head = next;
        lines.push(line);
    }
    ledger.journal.break_file();
    let stopped = ledger.append_all((2..6).map(pool)).unwrap_err();
    assert!(stopped.made.is_empty() && matches!(stopped.error, LedgerError::Io { .. }), "{stopped}");
    assert!(matches!(ledger.append(pool(9)), Err(LedgerError::Failed { .. })));
    (folder, file, lines)
}

fn add(file: &Path, bytes: &[u8]) -> Vec<u8> {
    let whole = [&fs::read(file).unwrap(), bytes].concat();
    fs::write(file, &whole).unwrap();
    whole
}

#[test]
fn of_a_batch_that_was_stopped_what_is_whole_stays_and_a_repair_cuts_the_rest() {
    for whole in 0..4_u64 {
        let (_folder, file, mut lines) = stopped_batch();
        let damaged = usize::try_from(whole).unwrap();
        lines[damaged][20] ^= 1;
        let before = add(&file, &lines.concat());
        let line = whole + 4;
        for error in [Ledger::open(&file).unwrap_err(), crate::audit(&file, None).unwrap_err()] {
            let LedgerError::Damaged { line: found, mendable: true, .. } = error else { panic!("{error}") };
            assert_eq!(found, line);
        }
        assert_eq!(fs::read(&file).unwrap(), before, "only a repair cuts");
        // A repair that is killed before it cuts is made again.
        drop(Ledger::open_as(&file, true).unwrap());
        let (mut ledger, cut) = Ledger::repair(&file).unwrap();
        let bytes = lines[damaged..].concat().len() as u64;
        assert_eq!(cut, Some(TornLine { line, bytes, unacknowledged: true }));
        assert_eq!(ledger.book().entries(), 2 + whole);
        ledger.append(pool(9)).unwrap();
        drop(ledger);
        let report = crate::audit(&file, None).unwrap();
        assert_eq!((report.entries, report.index), (3 + whole, IndexState::Current));
    }
}

#[test]
fn a_batch_that_was_stopped_within_a_line_is_cut_there_by_the_next_entry() {
    let (_folder, file, lines) = stopped_batch();
    let batch = lines.concat();
    add(&file, &batch[..batch.len() - 5]);
    let mut ledger = Ledger::open(&file).unwrap();
    let torn = ledger.torn().unwrap();
    assert_eq!(
        (torn.line, torn.unacknowledged, ledger.index_state().clone()),
        (7, true, IndexState::Behind { entries: 3 })
    );
    assert_eq!(ledger.append(pool(9)).unwrap().counter, 6);
}

#[test]
fn what_cannot_be_the_batch_that_was_announced_is_not_cut() {
    let later = line::entry(Head::NONE, 7, &pool(2)).0;
    let long = vec![b'x'; 1 << 20];
    for more in [later, long] {
        let (_folder, file, mut lines) = stopped_batch();
        lines[1][20] ^= 1;
        let before = add(&file, &[&lines[0], &lines[1], &more].map(|line| &line[..]).concat());
        for refused in [Ledger::open(&file), Ledger::repair(&file).map(|(ledger, _)| ledger)] {
            let error = refused.unwrap_err();
            assert!(matches!(error, LedgerError::Damaged { line: 5, mendable: false, .. }), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), before);
    }
}
