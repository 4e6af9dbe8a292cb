//! The names that lead to a book, and who is at it.

use std::fs;
use std::path::Path;

use bitcoin::Network;
use tapstake_ledger::{IndexState, Ledger, LedgerError, audit};
use tapstake_params::Height;
use tapstake_restake::Entry;

use crate::support::{Book, ENTRIES, assert_damaged, entries};

#[cfg(unix)]
#[test]
fn a_book_reached_by_a_link_has_one_index_and_one_with_two_names_lets_none_vouch() {
    let (book, elsewhere) = (Book::new(), tempfile::tempdir().unwrap());
    let next = Entry { height: Height::new(300), ..entries()[5].clone() };
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(book.file(), &link).unwrap();
    Ledger::open(&link).unwrap().append(next.clone()).unwrap();
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "no index beside the link");
    assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current);
    assert_eq!(audit(&link, None).unwrap().index, IndexState::Current);

    let name = elsewhere.path().join("name");
    fs::hard_link(book.file(), &name).unwrap();
    Ledger::open(&name).unwrap().append(next.clone()).unwrap();
    let whole = fs::read(book.file()).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() - 100] ^= 1;
    fs::write(book.file(), &damaged).unwrap();
    assert_damaged(&book, ENTRIES + 3, 0, "acknowledged by another name");
    fs::write(book.file(), &whole[..whole.len() - 9]).unwrap();
    let refused = book.open().unwrap().append(next).unwrap_err();
    assert!(matches!(refused, LedgerError::Torn { line: 23, .. }), "{refused}");
}

#[test]
fn an_index_without_its_journal_is_not_begun_over() {
    let book = Book::new();
    let index = fs::read(book.index()).unwrap();
    let journal = fs::read(book.file()).unwrap();
    fs::remove_file(book.file()).unwrap();
    let created = Ledger::create(&book.file(), Network::Regtest).map(drop);
    for refused in [created, book.open().map(drop), audit(&book.file(), None).map(drop)] {
        let error = refused.unwrap_err();
        let LedgerError::LostJournal { index, .. } = error else { panic!("{error}") };
        assert_eq!(index.file_name(), book.index().file_name());
    }
    assert!(!book.file().exists());
    assert_eq!(fs::read(book.index()).unwrap(), index);
    fs::write(book.file(), journal).unwrap();
    assert_eq!(book.open().unwrap().index_state(), &IndexState::Current);
}

#[test]
fn a_name_that_leaves_no_room_for_those_beside_it_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (mut made, mut refused) = (0, 0);
    for length in [200, 215, 219, 220, 236, 240, 241, 243, 249, 255, 256] {
        let file = folder.path().join("n".repeat(length));
        match Ledger::create(&file, Network::Regtest) {
            Ok(mut ledger) => {
                made += 1;
                ledger.append(entries()[0].clone()).unwrap();
                drop(ledger);
                fs::write(&file, [fs::read(&file).unwrap(), b"x\n".to_vec()].concat()).unwrap();
                let survey = Ledger::survey(&file).unwrap();
                let (ledger, saved) = Ledger::repair(&file, &survey).unwrap();
                assert_eq!((ledger.book().entries(), saved.is_some()), (1, true));
            }
            Err(LedgerError::Io { .. }) => {
                refused += 1;
                assert!(fs::symlink_metadata(&file).is_err());
            }
            Err(error) => panic!("{length}: {error}"),
        }
    }
    assert!(made > 1 && refused > 1, "{made}, {refused}");
    // SQLite's own limit is that of the path.
    let mut deep = folder.path().to_owned();
    for _ in 0..12 {
        deep.push("d".repeat(30));
    }
    for length in (1..200).step_by(9) {
        let file = deep.join("n".repeat(length));
        match Ledger::create(&file, Network::Regtest) {
            Ok(mut ledger) => drop(ledger.append(entries()[0].clone()).unwrap()),
            Err(error) => {
                assert!(matches!(error, LedgerError::Io { .. }) && !file.exists(), "{error}");
                refused += 1000;
            }
        }
    }
    assert!(refused > 1000);
}

#[cfg(unix)]
#[test]
fn nothing_is_written_to_a_file_that_has_lost_its_name() {
    let next = Entry { height: Height::new(300), ..entries()[5].clone() };
    for way in ["moved", "removed", "replaced"] {
        let (book, other) = (Book::new(), Book::new());
        let before = fs::read(book.file()).unwrap();
        let index = fs::read(book.index()).unwrap();
        let aside = book.folder.path().join("aside");
        fs::hard_link(book.file(), &aside).unwrap();
        let mut ledger = book.open().unwrap();
        match way {
            "moved" => fs::rename(book.file(), book.folder.path().join("elsewhere")).unwrap(),
            "removed" => fs::remove_file(book.file()).unwrap(),
            _ => fs::rename(other.file(), book.file()).unwrap(),
        }
        let refused = ledger.append_all([next.clone(), next.clone()]).unwrap_err();
        assert!(refused.made.is_empty(), "{way}");
        assert!(matches!(refused.error, LedgerError::Moved { written: false, .. }), "{way}: {refused}");
        let refused = ledger.append(next.clone()).unwrap_err();
        assert!(matches!(refused, LedgerError::Failed { .. }), "{way}: {refused}");
        drop(ledger);
        assert_eq!((fs::read(&aside).unwrap(), fs::read(book.index()).unwrap()), (before, index), "{way}");
    }
    // Neither is a torn line of it cut.
    let book = Book::new();
    let torn = [&fs::read(book.file()).unwrap()[..], b"{"].concat();
    fs::write(book.file(), &torn).unwrap();
    let aside = book.folder.path().join("aside");
    let mut ledger = book.open().unwrap();
    fs::rename(book.file(), &aside).unwrap();
    assert!(matches!(ledger.append(next), Err(LedgerError::Moved { written: false, .. })));
    assert_eq!(fs::read(aside).unwrap(), torn);
}

#[cfg(unix)]
#[test]
fn an_entry_written_to_a_file_that_loses_its_name_meanwhile_is_not_acknowledged() {
    let next = Entry { height: Height::new(300), ..entries()[5].clone() };
    // Whoever takes the name away may come too late: then it is tried again.
    for _ in 0..100 {
        let book = Book::new();
        let (file, aside) = (book.file(), book.folder.path().join("aside"));
        let length = fs::metadata(&file).unwrap().len();
        let mut ledger = book.open().unwrap();
        let appended = std::thread::scope(|scope| {
            scope.spawn(|| {
                let begun = std::time::Instant::now();
                while fs::metadata(&file).unwrap().len() == length && begun.elapsed().as_secs() < 5 {}
                fs::rename(&file, &aside).unwrap();
            });
            ledger.append_all(vec![next.clone(); 1_000])
        });
        let Err(stopped) = appended else { continue };
        assert!(matches!(stopped.error, LedgerError::Moved { written: true, .. }), "{stopped}");
        assert!(stopped.made.is_empty() && stopped.to_string().contains("is in the file that had this name"));
        assert!(matches!(ledger.append(next), Err(LedgerError::Failed { .. })));
        drop(ledger);
        assert_eq!(fs::read_to_string(&aside).unwrap().lines().count() as u64, 1 + ENTRIES + 1_000);
        // The index was not told of what its journal does not have.
        fs::write(&file, &fs::read(&aside).unwrap()[..usize::try_from(length).unwrap()]).unwrap();
        assert_eq!(book.open().unwrap().index_state(), &IndexState::Current);
        return;
    }
    panic!("no write was ever caught");
}

#[cfg(unix)]
#[test]
fn who_waited_for_a_file_that_was_replaced_meanwhile_does_not_get_it() {
    let (book, other) = (Book::new(), Book::new());
    let ledger = book.open().unwrap();
    let file = book.file();
    let waiting = std::thread::spawn(move || Ledger::open(&file).map(drop));
    std::thread::sleep(std::time::Duration::from_millis(300));
    fs::rename(other.file(), book.file()).unwrap();
    drop(ledger);
    let refused = waiting.join().unwrap().unwrap_err();
    assert!(matches!(refused, LedgerError::Moved { written: false, .. }), "{refused}");
}

#[test]
fn a_book_that_was_begun_and_not_finished_is_said_so_and_left_until_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("book.jsonl");
    fs::write(&file, b"").unwrap();
    let created = Ledger::create(&file, Network::Regtest).map(drop);
    for refused in [Ledger::open(&file).map(drop), audit(&file, None).map(drop), created] {
        assert!(matches!(refused, Err(LedgerError::Unfinished { .. })), "{refused:?}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"");
    fs::remove_file(&file).unwrap();
    Ledger::create(&file, Network::Regtest).unwrap();
}

#[test]
fn nothing_that_is_there_is_taken_for_an_unfinished_book_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text"), b"x").unwrap();
    fs::create_dir(at("folder")).unwrap();
    // It was a book once: its index says so.
    let book = Book::new();
    fs::write(book.file(), b"").unwrap();
    let refused = book.open().unwrap_err();
    assert!(matches!(refused, LedgerError::Damaged { line: 1, .. }), "{refused}");
    let mut there = vec![at("text"), at("folder"), book.file()];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(at("nowhere"), at("link")).unwrap();
        there.push(at("link"));
    }
    for file in there {
        let refused = Ledger::create(&file, Network::Regtest).unwrap_err();
        assert!(matches!(refused, LedgerError::Exists { .. }), "{}: {refused}", file.display());
    }
    assert_eq!((fs::read(at("text")).unwrap(), fs::read(book.file()).unwrap()), (b"x".to_vec(), Vec::new()));
    assert!(!at("nowhere").exists());
}

#[test]
fn a_second_process_waits_and_is_refused_while_the_first_is_at_it() {
    let book = Book::new();
    let ledger = book.open().unwrap();
    assert!(matches!(book.open(), Err(LedgerError::Busy { .. })));
    let file = book.file();
    let waiting = std::thread::spawn(move || Ledger::open(&file).map(|ledger| ledger.book().entries()));
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop(ledger);
    assert_eq!(waiting.join().unwrap().unwrap(), ENTRIES);
}

#[cfg(unix)]
#[test]
fn the_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let book = Book::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&book.file()), mode(&book.index())), (0o600, 0o600));
    assert_eq!(fs::read_dir(book.folder.path()).unwrap().count(), 2, "nothing else is left");
}
