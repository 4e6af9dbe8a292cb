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
        // The index is as far as the lines before the batch.
        let vouches = whole == 0;
        for error in [Ledger::open(&file).unwrap_err(), crate::audit(&file, None).unwrap_err()] {
            let LedgerError::Damaged { line: found, unacknowledged, .. } = error else { panic!("{error}") };
            assert_eq!((found, unacknowledged), (line, vouches));
        }
        let survey = Ledger::survey(&file).unwrap();
        assert_eq!((survey.line, survey.lost, survey.unacknowledged), (line, 0, vouches));
        assert_eq!(fs::read(&file).unwrap(), before, "only a repair cuts");
        let (mut ledger, saved) = Ledger::repair(&file, &survey).unwrap();
        assert_eq!(fs::read(saved.unwrap()).unwrap(), lines[damaged..].concat());
        assert_eq!(ledger.book().entries(), 2 + whole);
        ledger.append(pool(9)).unwrap();
        drop(ledger);
        let report = crate::audit(&file, None).unwrap();
        assert_eq!((report.entries, report.index), (3 + whole, IndexState::Current));
    }
}

#[test]
fn a_batch_that_was_stopped_within_a_line_is_not_cut_unasked() {
    let (_folder, file, lines) = stopped_batch();
    let batch = lines.concat();
    add(&file, &batch[..batch.len() - 5]);
    for _ in 0..2 {
        let mut ledger = Ledger::open(&file).unwrap();
        let torn = ledger.torn().unwrap();
        assert_eq!(
            (torn.line, torn.unacknowledged, ledger.index_state().clone()),
            (7, false, IndexState::Behind { entries: 3 })
        );
        assert!(matches!(ledger.append(pool(9)), Err(LedgerError::Torn { line: 7, .. })));
    }
    let survey = Ledger::survey(&file).unwrap();
    let (mut ledger, _) = Ledger::repair(&file, &survey).unwrap();
    assert_eq!(ledger.append(pool(9)).unwrap().counter, 6);
}

#[test]
fn an_entry_of_which_neither_index_nor_mark_could_be_written_is_said_to_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("book.jsonl");
    let mut ledger = Ledger::create(&file, Network::Regtest).unwrap();
    ledger.append(pool(0)).unwrap();
    ledger.index.break_file();
    let stopped = ledger.append_all([pool(1), pool(2)]).unwrap_err();
    assert_eq!(stopped.made.iter().map(|made| made.counter).collect::<Vec<_>>(), [2, 3]);
    assert!(matches!(stopped.error, LedgerError::Unmarked { first: 2, last: 3, .. }), "{stopped}");
    assert!(stopped.to_string().contains("entries 2 to 3 are in the journal, do not enter them again"));
    assert!(matches!(ledger.append(pool(3)), Err(LedgerError::Failed { .. })));
    drop(ledger);
    let mut ledger = Ledger::open(&file).unwrap();
    assert_eq!(ledger.index_state(), &IndexState::Behind { entries: 2 });
    assert_eq!(ledger.append(pool(3)).unwrap().counter, 4);
}
