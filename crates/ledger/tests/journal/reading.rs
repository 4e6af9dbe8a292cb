//! Books of which nothing can be written.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tapstake_ledger::{IndexState, Ledger, LedgerError, TornLine, audit};
use tapstake_params::Height;
use tapstake_restake::Entry;

use crate::support::{Book, ENTRIES, entries};

/// What tells the second process of a test which book it is to read, and how that is.
const FILE: &str = "TAPSTAKE_TEST_BOOK";
const CASE: &str = "TAPSTAKE_TEST_CASE";
/// An account that owns nothing.
const NOBODY: u32 = 65_534;

/// The book that this process is to read, and the case. None in the process that makes the book.
fn given() -> Option<(PathBuf, String)> {
    Some((env::var_os(FILE)?.into(), env::var(CASE).unwrap()))
}

/// Runs a test once more in a process that the permissions of files bind, as they do not bind root, while the journal, the files
/// beside it and the folder have these, and where the index is readable in part only, SQLite's journal of it none. Nothing there may
/// change.
fn by_a_reader(test: &str, case: &str, book: &Book, [journal, beside, folder]: [u32; 3]) {
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let before = contents(book);
    for name in before.keys() {
        let of_sqlite = name.to_str().unwrap().ends_with("-journal");
        let others = if of_sqlite && case == "unreadable in part" { 0 } else { beside };
        mode(name, if *name == book.file() { journal } else { others });
    }
    mode(book.folder.path(), folder);
    // The program is run where everybody may, whoever has built it and wherever.
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("tests");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    for path in [place.path(), &program] {
        mode(path, 0o755);
    }
    let mut command = Command::new(program);
    command.args(["--exact", test]).env(FILE, book.file()).env(CASE, case).current_dir("/");
    if fs::metadata(place.path()).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{case}: {said}");
    mode(book.folder.path(), 0o700);
    for name in before.keys() {
        mode(name, 0o600);
    }
    assert_eq!(contents(book), before, "{case}: nothing is written");
}

/// Every file in the folder of a book.
fn contents(book: &Book) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = fs::read_dir(book.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    names.map(|name| (name.clone(), fs::read(name).unwrap())).collect()
}

fn denied(file: &Path) -> bool {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(file);
    let kinds = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
    matches!(opened, Err(error) if kinds.contains(&error.kind()))
}

fn next() -> Entry {
    Entry { height: Height::new(300), ..entries()[5].clone() }
}

/// Opens the book, which has as many entries; it tells all of them, and takes no other.
fn read_whole(file: &Path, made: u64) -> (IndexState, Option<TornLine>) {
    let mut ledger = Ledger::open(file).unwrap();
    assert!(ledger.is_read_only());
    let mut expected = tapstake_restake::Book::new();
    let all: Vec<_> = entries().into_iter().chain([next()]).take(usize::try_from(made).unwrap()).collect();
    for entry in &all {
        expected.apply(entry).unwrap();
    }
    let records = ledger.records().unwrap().map(|record| record.unwrap().event);
    assert!(records.eq(all.iter().map(|entry| entry.event.clone())));
    assert_eq!(ledger.last(1, Some("reward"), Height::GENESIS).unwrap()[0].counter, made);
    assert_eq!(ledger.points(None).unwrap().len(), 1);
    for entries in [vec![next()], vec![next(), next()], vec![]] {
        let stopped = ledger.append_all(entries).unwrap_err();
        assert!(stopped.made.is_empty());
        assert!(
            matches!(&stopped.error, LedgerError::ReadOnly { file: named } if *named == ledger.file()),
            "{stopped}"
        );
        assert!(stopped.to_string().contains("can only be read"), "{stopped}");
    }
    let refused = ledger.append(Entry { height: Height::new(1), ..next() }).unwrap_err();
    assert!(matches!(refused, LedgerError::ReadOnly { .. }), "whatever the book would say: {refused}");
    assert_eq!(ledger.book(), &expected);
    let (head, found) = (ledger.head(), (ledger.index_state().clone(), ledger.torn()));
    // Who can only read the journal shares it with others.
    if !denied(file) {
        drop(ledger);
    }
    let report = audit(file, Some((made, head))).unwrap();
    assert_eq!((report.entries, (report.index, report.torn)), (made, found.clone()));
    found
}

#[test]
fn a_journal_that_may_only_be_read_is_whatever_its_index_is() {
    const TEST: &str = "reading::a_journal_that_may_only_be_read_is_whatever_its_index_is";
    if let Some((file, case)) = given() {
        assert!(denied(&file));
        assert_eq!(denied(&file.with_file_name("other")), case != "folder");
        if case == "folder" {
            fs::remove_file(file.with_file_name("other")).unwrap();
        }
        let made = if case == "behind" { ENTRIES + 1 } else { ENTRIES };
        let (index, torn) = read_whole(&file, made);
        assert_eq!(torn, None);
        match case.as_str() {
            "whole" | "folder" | "newline" | "marked" | "half changed" => {
                assert_eq!(index, IndexState::Current);
            }
            "missing" => assert_eq!(index, IndexState::Missing),
            "behind" => assert_eq!(index, IndexState::Behind { entries: 1 }),
            "unreadable" | "unreadable in part" => assert!(matches!(index, IndexState::Unreadable { .. })),
            _ => assert!(matches!(index, IndexState::Damaged { .. })),
        }
        // There is nothing to repair.
        let survey = Ledger::survey(&file).unwrap();
        let (ledger, saved) = Ledger::repair(&file, &survey).unwrap();
        assert_eq!((ledger.book().entries(), ledger.is_read_only(), saved), (made, true, None));
        return;
    }
    for case in [
        "whole",
        "folder",
        "newline",
        "marked",
        "half changed",
        "missing",
        "behind",
        "unreadable",
        "unreadable in part",
        "garbage",
        "DROP TABLE point",
    ] {
        let book = Book::new();
        let (whole, index) = (fs::read(book.file()).unwrap(), fs::read(book.index()).unwrap());
        match case {
            "whole" | "folder" | "unreadable" => {}
            "newline" => fs::write(book.file(), &whole[..whole.len() - 1]).unwrap(),
            "unreadable in part" => {
                fs::write(book.folder.path().join("book.jsonl.index-journal"), b"x").unwrap();
            }
            "half changed" => drop(killed_writer(&book)),
            "marked" => fs::write(book.folder.path().join("book.jsonl.index.behind"), b"").unwrap(),
            "missing" => fs::remove_file(book.index()).unwrap(),
            "behind" => {
                book.open().unwrap().append(next()).unwrap();
                fs::write(book.index(), index).unwrap();
            }
            "garbage" => fs::write(book.index(), vec![0x5a; 4096]).unwrap(),
            change => book.index_sql(change),
        }
        let beside = if case == "unreadable" { 0o000 } else { 0o444 };
        by_a_reader(TEST, case, &book, [0o444, beside, if case == "folder" { 0o777 } else { 0o555 }]);
    }
}

#[test]
fn in_a_folder_that_may_only_be_read_nothing_is_entered() {
    const TEST: &str = "reading::in_a_folder_that_may_only_be_read_nothing_is_entered";
    if let Some((file, case)) = given() {
        assert!(!denied(&file) && denied(&file.with_file_name("other")));
        let (index, torn) = read_whole(&file, ENTRIES);
        assert_eq!((index == IndexState::Current, torn), (case == "whole", None));
        return;
    }
    let book = Book::new();
    by_a_reader(TEST, "whole", &book, [0o666, 0o666, 0o555]);
    // Nor is what a stopped making of an index has left cleared away.
    fs::write(book.folder.path().join("book.jsonl.index.new"), b"left").unwrap();
    by_a_reader(TEST, "whole", &book, [0o666, 0o666, 0o555]);
    fs::remove_file(book.index()).unwrap();
    by_a_reader(TEST, "missing", &book, [0o666, 0o666, 0o555]);
}

#[test]
fn what_is_wrong_with_a_book_is_said_to_who_may_only_read_it_and_not_repaired() {
    const TEST: &str = "reading::what_is_wrong_with_a_book_is_said_to_who_may_only_read_it_and_not_repaired";
    if let Some((file, case)) = given() {
        let refused = || {
            let [opened, audited] = [Ledger::open(&file).unwrap_err(), audit(&file, None).unwrap_err()];
            assert_eq!(opened.to_string(), audited.to_string());
            opened
        };
        match case.as_str() {
            "torn" => {
                let (index, torn) = read_whole(&file, ENTRIES);
                let torn = torn.unwrap();
                assert_eq!((index, torn.line, torn.unacknowledged), (IndexState::Current, 22, true));
            }
            "damaged" => {
                assert!(matches!(refused(), LedgerError::Damaged { line: 22, unacknowledged: true, .. }));
            }
            "shortened" => {
                assert!(matches!(refused(), LedgerError::Shortened { line: 16, known: ENTRIES, .. }));
            }
            _ => assert!(matches!(refused(), LedgerError::IndexDiffers { .. })),
        }
        let survey = Ledger::survey(&file).unwrap();
        let repaired = Ledger::repair(&file, &survey).map(drop).unwrap_err();
        match case.as_str() {
            "another" => assert!(matches!(repaired, LedgerError::IndexDiffers { .. }), "{repaired}"),
            _ => {
                assert!(survey.is_broken() && matches!(repaired, LedgerError::ReadOnly { .. }), "{repaired}");
            }
        }
        return;
    }
    for case in ["torn", "damaged", "shortened", "another"] {
        let book = Book::new();
        let whole = fs::read(book.file()).unwrap();
        match case {
            "torn" => fs::write(book.file(), [&whole[..], b"{\"counter\""].concat()).unwrap(),
            "damaged" => fs::write(book.file(), [&whole[..], b"{}\n"].concat()).unwrap(),
            "shortened" => book.write(&book.lines()[..15]),
            _ => book.index_sql("UPDATE entry SET start = start + 1 WHERE counter = 7"),
        }
        by_a_reader(TEST, case, &book, [0o444, 0o444, 0o555]);
        by_a_reader(TEST, case, &book, [0o666, 0o666, 0o555]);
    }
}

#[test]
fn who_may_write_a_book_does_nothing_without_the_index_that_he_may_not_read() {
    const TEST: &str = "reading::who_may_write_a_book_does_nothing_without_the_index_that_he_may_not_read";
    if let Some((file, _)) = given() {
        assert!(!denied(&file) && fs::read(file.with_file_name("book.jsonl.index")).is_err());
        for refused in
            [Ledger::open(&file).map(drop), audit(&file, None).map(drop), Ledger::survey(&file).map(drop)]
        {
            assert!(matches!(refused, Err(LedgerError::Index { .. })), "{refused:?}");
        }
        return;
    }
    let book = Book::new();
    book.write(&book.lines()[..15]);
    by_a_reader(TEST, "unreadable", &book, [0o666, 0o000, 0o777]);
}

#[test]
fn who_only_reads_waits_for_who_writes() {
    const TEST: &str = "reading::who_only_reads_waits_for_who_writes";
    if let Some((file, _)) = given() {
        assert!(matches!(audit(&file, None), Err(LedgerError::Busy { .. })));
        return;
    }
    let book = Book::new();
    let ledger = book.open().unwrap();
    by_a_reader(TEST, "busy", &book, [0o444, 0o444, 0o555]);
    drop(ledger);
}

/// A writer that was killed: the index is half changed, and how it was lies beside it.
fn killed_writer(book: &Book) -> BTreeMap<PathBuf, Vec<u8>> {
    let writer = rusqlite::Connection::open(book.index()).unwrap();
    writer.execute_batch("BEGIN; DELETE FROM entry; UPDATE tip SET counter = 0").unwrap();
    writer.cache_flush().unwrap();
    let killed = contents(book);
    drop(writer);
    for (name, bytes) in &killed {
        fs::write(name, bytes).unwrap();
    }
    killed
}

#[test]
fn an_audit_reads_a_copy_of_an_index_that_could_not_be_read_without_a_write() {
    let book = Book::new();
    let index = fs::read(book.index()).unwrap();
    let killed = killed_writer(&book);
    assert!(killed.len() == 3 && killed[&book.index()] != index);
    for _ in 0..2 {
        assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current);
        assert!(!book.survey().is_broken());
        assert_eq!(contents(&book), killed, "nothing is written");
    }
    book.write(&book.lines()[..15]);
    assert!(matches!(audit(&book.file(), None), Err(LedgerError::Shortened { known: ENTRIES, .. })));
    fs::write(book.file(), &killed[&book.file()]).unwrap();
    assert_eq!(book.open().unwrap().index_state(), &IndexState::Current);
    assert_eq!(fs::read(book.index()).unwrap(), index, "opening has brought it back");

    book.index_sql("PRAGMA journal_mode = WAL");
    let logged = contents(&book);
    assert_ne!(logged[&book.index()], index);
    assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current);
    assert_eq!(contents(&book), logged, "nothing is written");
    assert_eq!(book.open().unwrap().index_state(), &IndexState::Current);
}

#[test]
fn a_book_that_is_opened_to_be_read_is_left_as_it_is() {
    let book = Book::new();
    fs::remove_file(book.index()).unwrap();
    let before = contents(&book);
    let mut ledger = Ledger::open_to_read(&book.file()).unwrap();
    assert_eq!((ledger.is_read_only(), ledger.index_state()), (true, &IndexState::Missing));
    assert_eq!(ledger.records().unwrap().count() as u64, ENTRIES);
    assert!(matches!(ledger.append(next()), Err(LedgerError::ReadOnly { .. })));
    assert_eq!(ledger.book().entries(), ENTRIES);
    drop(ledger);
    assert_eq!(contents(&book), before);
}
