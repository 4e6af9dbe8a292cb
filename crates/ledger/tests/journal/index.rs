//! An index that is gone, damaged, behind or another.

use std::fs;

use tapstake_ledger::{IndexState, Ledger, LedgerError, audit};
use tapstake_params::Height;
use tapstake_restake::Entry;

use crate::support::{Book, ENTRIES, entries, refused_line};

#[test]
fn what_a_stopped_making_of_an_index_leaves_is_cleared_by_the_next_opening() {
    let book = Book::new();
    let whole = fs::read(book.file()).unwrap();
    let draft = book.folder.path().join("book.jsonl.index.new");
    let names = || fs::read_dir(book.folder.path()).unwrap().count();
    // By an opening that does not keep its index, for the last line is torn.
    let index = fs::read(book.index()).unwrap();
    fs::write(book.file(), &whole[..whole.len() - 9]).unwrap();
    fs::remove_file(book.index()).unwrap();
    let ledger = book.open().unwrap();
    assert!(draft.exists());
    drop(ledger);
    assert_eq!(names(), 1, "the journal alone");
    // By one that was killed; then the index came back.
    fs::write(book.file(), whole).unwrap();
    fs::write(book.index(), index).unwrap();
    for end in ["", "-journal"] {
        fs::write(format!("{}{end}", draft.display()), b"left").unwrap();
    }
    audit(&book.file(), None).unwrap();
    assert_eq!(names(), 4, "an audit writes nothing");
    assert_eq!(book.open().unwrap().index_state(), &IndexState::Current);
    assert_eq!(names(), 2);
}

/// Whether the index is as good as it was.
fn check_index(book: &Book) {
    let ledger = book.open().unwrap();
    assert_eq!(ledger.index_state(), &IndexState::Current);
    assert_eq!(ledger.last(100, None, Height::GENESIS).unwrap().len() as u64, ENTRIES);
    assert_eq!(ledger.points(None).unwrap().len(), 1);
    drop(ledger);
    assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current);
}

#[test]
fn an_index_that_is_gone_emptied_cut_or_garbage_is_made_anew_and_nothing_else_changes() {
    let book = Book::new();
    let (journal, index) = (fs::read(book.file()).unwrap(), fs::read(book.index()).unwrap());
    let garbage = vec![0x5a; index.len()];
    let mut flipped = index.clone();
    flipped[index.len() / 2..].fill(0xff);
    for bytes in [&[][..], &index[..index.len() / 2], &index[..100], &garbage, &flipped] {
        fs::write(book.index(), bytes).unwrap();
        assert!(matches!(audit(&book.file(), None).unwrap().index, IndexState::Damaged { .. }));
        assert!(matches!(book.open().unwrap().index_state(), IndexState::Damaged { .. }));
        check_index(&book);
    }
    fs::remove_file(book.index()).unwrap();
    assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Missing);
    assert_eq!(book.open().unwrap().index_state(), &IndexState::Missing);
    check_index(&book);
    assert_eq!(fs::read(book.file()).unwrap(), journal);
}

/// Opening and an audit refuse alike.
fn assert_refused(book: &Book, expected: fn(&LedgerError) -> bool) {
    for error in [book.open().unwrap_err(), audit(&book.file(), None).unwrap_err()] {
        assert!(expected(&error), "{error}");
    }
}

#[test]
fn an_index_that_is_locked_or_unreadable_is_left_as_the_witness_that_it_is() {
    let book = Book::new();
    book.write(&book.lines()[..15]);
    let lock = rusqlite::Connection::open(book.index()).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_refused(&book, |error| matches!(error, LedgerError::Busy { .. }));
    drop(lock);

    let aside = book.folder.path().join("aside");
    fs::rename(book.index(), &aside).unwrap();
    fs::create_dir(book.index()).unwrap();
    assert_refused(&book, |error| matches!(error, LedgerError::Index { .. }));
    fs::remove_dir(book.index()).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(book.index(), book.index()).unwrap();
        assert_refused(&book, |error| matches!(error, LedgerError::Io { .. }));
        fs::remove_file(book.index()).unwrap();
    }
    fs::rename(aside, book.index()).unwrap();
    assert_refused(&book, |error| matches!(error, LedgerError::Shortened { known: ENTRIES, .. }));

    let change = "PRAGMA user_version = 2";
    rusqlite::Connection::open(book.index()).unwrap().execute_batch(change).unwrap();
    assert_refused(&book, |error| matches!(error, LedgerError::NewerVersion { found: 2, .. }));
}

#[test]
fn an_index_of_an_older_format_without_its_tables_or_with_another_seal_is_made_anew() {
    for change in [
        "PRAGMA user_version = 0",
        "DROP TABLE tip",
        "DELETE FROM tip",
        "UPDATE tip SET length = length - 1",
        "UPDATE tip SET head = x'00'",
        "DROP TABLE point",
        "ALTER TABLE point RENAME COLUMN nav TO other",
    ] {
        let book = Book::new();
        rusqlite::Connection::open(book.index()).unwrap().execute_batch(change).unwrap();
        assert!(matches!(audit(&book.file(), None).unwrap().index, IndexState::Damaged { .. }), "{change}");
        assert!(matches!(book.open().unwrap().index_state(), IndexState::Damaged { .. }), "{change}");
        check_index(&book);
    }
}

#[test]
fn a_damaged_index_stays_until_the_journal_was_replayed() {
    let book = Book::new();
    let damaged = vec![0x5a; 4096];
    fs::write(book.index(), &damaged).unwrap();
    let mut lines = book.lines();
    lines.swap(10, 11);
    book.write(&lines);
    assert_eq!(refused_line(&book), 11);
    assert_eq!(fs::read(book.index()).unwrap(), damaged);
    assert_eq!(fs::read_dir(book.folder.path()).unwrap().count(), 2, "nothing else is left");
    lines.swap(10, 11);
    book.write(&lines);
    assert!(matches!(book.open().unwrap().index_state(), IndexState::Damaged { .. }));
    check_index(&book);
    assert_eq!(fs::read_dir(book.folder.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn an_index_that_is_behind_catches_up() {
    let book = Book::new();
    let old = fs::read(book.index()).unwrap();
    let mut ledger = book.open().unwrap();
    for _ in 0..3 {
        ledger.append(Entry { height: Height::new(300), event: entries()[5].event.clone() }).unwrap();
    }
    drop(ledger);
    fs::write(book.index(), &old).unwrap();
    let change = "INSERT INTO point SELECT 21, pool, height, nav, 1, queued, reserves FROM point";
    rusqlite::Connection::open(book.index()).unwrap().execute_batch(change).unwrap();
    let forged = book.open().unwrap_err();
    assert!(matches!(forged, LedgerError::IndexDiffers { counter: ENTRIES, .. }), "{forged}");
    fs::write(book.index(), old).unwrap();
    assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Behind { entries: 3 });
    assert_eq!(book.open().unwrap().index_state(), &IndexState::Behind { entries: 3 });
    assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current);
}

#[test]
fn a_row_of_the_index_that_the_journal_does_not_make_is_refused_by_opening_and_by_the_audit() {
    for (change, what) in [
        ("UPDATE entry SET kind = 'claim' WHERE counter = 7", "the row"),
        ("UPDATE entry SET start = start + 1 WHERE counter = 7", "the row"),
        ("UPDATE point SET nav = nav + 1", "a pool's worth"),
        ("DELETE FROM point", "a pool's worth"),
        ("DELETE FROM entry WHERE counter = 7", "the row"),
        // Values that no row can have.
        ("UPDATE entry SET height = -1 WHERE counter = 7", "the row"),
        ("UPDATE entry SET height = 4294967296 WHERE counter = 7", "the row"),
        ("UPDATE point SET pool = 'no name!'", "a pool's worth"),
        ("UPDATE point SET nav = 'much'", "a pool's worth"),
        ("UPDATE point SET height = -1", "a pool's worth"),
        ("INSERT INTO point SELECT 20, pool, height, nav, 1, queued, reserves FROM point", "a row too many"),
    ] {
        let book = Book::new();
        rusqlite::Connection::open(book.index()).unwrap().execute_batch(change).unwrap();
        let before = fs::read(book.index()).unwrap();
        for error in [book.open().unwrap_err(), audit(&book.file(), None).unwrap_err()] {
            match error {
                LedgerError::IndexDiffers { what: found, .. } => assert_eq!(found, what, "{change}"),
                other => panic!("{change}: {other}"),
            }
        }
        let repaired = Ledger::repair(&book.file(), &book.survey()).map(drop);
        assert!(matches!(repaired, Err(LedgerError::IndexDiffers { .. })), "{change}: nothing to repair");
        assert_eq!(fs::read(book.index()).unwrap(), before);
        fs::remove_file(book.index()).unwrap();
        assert_eq!(book.open().unwrap().index_state(), &IndexState::Missing);
        check_index(&book);
    }
}

#[test]
fn the_kind_of_an_entry_is_that_of_its_line_even_if_its_row_is_changed_under_an_open_book() {
    let book = Book::new();
    let ledger = book.open().unwrap();
    let change = "UPDATE entry SET kind = 'claim' WHERE counter = 20";
    rusqlite::Connection::open(book.index()).unwrap().execute_batch(change).unwrap();
    assert_eq!(ledger.last(1, None, Height::GENESIS).unwrap()[0].kind, "reward");
}
