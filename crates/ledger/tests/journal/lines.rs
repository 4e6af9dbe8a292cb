//! What the lines of a journal say, and what somebody has made of them.

use std::fs;

use bitcoin::Network;
use bitcoin::hashes::{Hash, sha256};
use tapstake_ledger::{Damage, IndexState, Ledger, LedgerError, audit};
use tapstake_params::Height;
use tapstake_restake::{BookError, Entry};

use crate::support::{Book, ENTRIES, entries, refused_line};

#[test]
fn a_book_reads_as_it_was_written_and_its_audit_agrees() {
    let book = Book::new();
    let ledger = book.open().unwrap();
    let mut expected = tapstake_restake::Book::new();
    for entry in entries() {
        expected.apply(&entry).unwrap();
    }
    assert_eq!(ledger.book(), &expected);
    assert_eq!((ledger.network(), ledger.index_state()), (Network::Regtest, &IndexState::Current));
    let rewards = ledger.last(3, Some("reward"), Height::GENESIS).unwrap();
    assert_eq!(rewards.iter().map(|record| record.counter).collect::<Vec<_>>(), [18, 19, 20]);
    assert_eq!(rewards[2].event, entries()[19].event);
    let head = ledger.head();
    drop(ledger);
    let report = audit(&book.file(), Some((ENTRIES, head))).unwrap();
    assert_eq!((report.entries, report.head, report.index), (ENTRIES, head, IndexState::Current));
    let wrong = audit(&book.file(), Some((ENTRIES - 1, head))).unwrap_err();
    assert!(matches!(wrong, LedgerError::OtherHead { counter: 19, found: Some(_), .. }), "{wrong}");
    let absent = audit(&book.file(), Some((ENTRIES + 1, head))).unwrap_err();
    assert!(matches!(absent, LedgerError::OtherHead { found: None, .. }), "{absent}");
}

#[test]
fn a_flipped_bit_anywhere_is_refused_with_the_number_of_its_line() {
    let book = Book::new();
    let whole = fs::read(book.file()).unwrap();
    let line_of = |at: usize| 1 + whole[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
    // Bytes all over the file, with their bits in turn, and every newline.
    for at in (0..whole.len()).filter(|at| at % 5 == 0 || whole[*at] == b'\n') {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(book.file(), &bytes).unwrap();
        let error = book.open().unwrap_err();
        match (line_of(at), error) {
            (expected, LedgerError::Damaged { line, damage: Damage::Hash, .. }) => {
                assert_eq!(line, expected, "byte {at}");
            }
            // The end of the last line gone: it was acknowledged, as the index knows.
            (_, LedgerError::Shortened { line, .. }) => {
                assert_eq!((line, at), (ENTRIES + 1, whole.len() - 1));
            }
            (_, error) => panic!("byte {at}: {error}"),
        }
    }
    fs::write(book.file(), whole).unwrap();
    book.open().unwrap();
}

#[test]
fn a_removed_repeated_moved_or_foreign_line_is_refused_with_its_number() {
    let book = Book::new();
    let lines = book.lines();
    for at in 1..lines.len() {
        let mut removed = lines.clone();
        removed.remove(at);
        book.write(&removed);
        // What follows the gap is wrong; behind the last line nothing follows, and the index knows of it.
        assert_eq!(refused_line(&book), at as u64 + 1);

        let mut repeated = lines.clone();
        repeated.insert(at + 1, lines[at].clone());
        book.write(&repeated);
        assert_eq!(refused_line(&book), at as u64 + 2);

        let mut replayed = lines.clone();
        replayed.push(lines[at].clone());
        book.write(&replayed);
        assert_eq!(refused_line(&book), lines.len() as u64 + 1);

        if at + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            book.write(&swapped);
            assert_eq!(refused_line(&book), at as u64 + 1);
        }
    }
    let other = Book::new();
    let mut ledger = other.open().unwrap();
    ledger.append(Entry { height: Height::new(200), event: entries()[4].event.clone() }).unwrap();
    drop(ledger);
    let mut foreign = lines;
    foreign[5] = other.lines()[21].clone();
    book.write(&foreign);
    assert_eq!(refused_line(&book), 6);
}

#[test]
fn without_the_index_only_a_hash_that_was_kept_shows_that_the_last_lines_are_gone() {
    let book = Book::new();
    let head = book.open().unwrap().head();
    let lines = book.lines();
    book.write(&lines[..15]);
    let error = book.open().unwrap_err();
    assert!(matches!(error, LedgerError::Shortened { line: 16, known: ENTRIES, .. }), "{error}");
    fs::remove_file(book.index()).unwrap();
    assert_eq!(book.open().unwrap().book().entries(), 14);
    assert!(matches!(audit(&book.file(), Some((ENTRIES, head))), Err(LedgerError::OtherHead { .. })));
}

#[test]
fn a_journal_written_anew_is_not_the_one_that_the_index_has_seen() {
    let (book, other) = (Book::new(), tempfile::tempdir().unwrap());
    let file = other.path().join("book.jsonl");
    let mut ledger = Ledger::create(&file, Network::Regtest).unwrap();
    for entry in entries() {
        ledger.append(Entry { height: entry.height.saturating_add(1), ..entry }).unwrap();
    }
    drop(ledger);
    fs::copy(&file, book.file()).unwrap();
    let error = book.open().unwrap_err();
    assert!(matches!(error, LedgerError::Rewritten { line: 21, .. }), "{error}");
    let error = audit(&book.file(), None).unwrap_err();
    assert!(matches!(error, LedgerError::Rewritten { line: 21, .. }), "{error}");
}

#[test]
fn a_first_line_that_is_no_longer_one_is_damaged_where_an_index_tells_of_the_book() {
    let book = Book::new();
    let whole = fs::read_to_string(book.file()).unwrap();
    for touched in [
        whole.replacen("tapstake-book", "tapstake-look", 1),
        whole.replacen("\"version\":1", "\"version\":3", 1),
        whole.replacen('{', "[", 1),
        whole[120..].to_owned(),
        String::new(),
    ] {
        fs::write(book.file(), &touched).unwrap();
        let survey = Ledger::survey(&book.file()).map(drop);
        for refused in [book.open().map(drop), audit(&book.file(), None).map(drop), survey] {
            assert!(matches!(refused, Err(LedgerError::Damaged { line: 1, .. })), "{refused:?}");
        }
        assert_eq!(fs::read_to_string(book.file()).unwrap(), touched);
    }
}

#[test]
fn two_books_begin_with_different_hashes_and_each_keeps_its_id() {
    let ledgers = [Book::new(), Book::new()];
    let ids = ledgers.each_ref().map(|book| book.open().unwrap().id());
    assert_ne!(ids[0], ids[1]);
    for (book, id) in ledgers.iter().zip(ids) {
        assert_eq!(audit(&book.file(), None).unwrap().id, id);
        let first = &book.lines()[0];
        let start =
            format!(r#"{{"format":"tapstake-book","version":1,"network":"regtest","id":"{id}","hash":""#);
        assert!(first.starts_with(&start) && id.to_string().len() == 32, "{first}");
    }
    assert_ne!(ledgers[0].lines()[0][start_of_hash()..], ledgers[1].lines()[0][start_of_hash()..]);
}

const fn start_of_hash() -> usize {
    r#"{"format":"tapstake-book","version":1,"network":"regtest","id":"00000000000000000000000000000000","hash":""#.len()
}

#[test]
fn what_was_made_before_an_entry_that_is_refused_is_said() {
    let book = Book::new();
    let mut ledger = book.open().unwrap();
    let next = Entry { height: Height::new(300), ..entries()[5].clone() };
    let late = Entry { height: Height::new(1), ..next.clone() };
    let stopped = ledger.append_all([next.clone(), next.clone(), late.clone(), next]).unwrap_err();
    assert!(
        matches!(&stopped.error, LedgerError::Refused(error) if matches!(**error, BookError::Late { .. }))
    );
    assert_eq!(stopped.made.iter().map(|made| made.counter).collect::<Vec<_>>(), [21, 22]);
    assert!(ledger.append_all([late]).unwrap_err().made.is_empty());
    drop(ledger);
    let ledger = book.open().unwrap();
    assert_eq!(ledger.last(2, None, Height::GENESIS).unwrap(), stopped.made);
}

#[test]
fn what_the_book_refuses_is_not_written() {
    let book = Book::new();
    let before = fs::read(book.file()).unwrap();
    let mut ledger = book.open().unwrap();
    let late = Entry { height: Height::new(1), ..entries()[5].clone() };
    assert!(
        matches!(ledger.append(late), Err(LedgerError::Refused(error)) if matches!(*error, BookError::Late { .. }))
    );
    let again = Entry { height: Height::new(300), ..entries()[0].clone() };
    assert!(
        matches!(ledger.append(again), Err(LedgerError::Refused(error)) if matches!(*error, BookError::ServiceExists(_)))
    );
    assert_eq!(ledger.book().entries(), ENTRIES);
    drop(ledger);
    assert_eq!(fs::read(book.file()).unwrap(), before);
}

/// A line with the right hash, as no program of this kind writes it.
fn forged(before: &str, text: &str) -> String {
    let head: [u8; 32] =
        bitcoin::hex::FromHex::from_hex(&before[before.len() - 66..before.len() - 2]).unwrap();
    let tag = sha256::Hash::hash(b"tapstake/book/line").to_byte_array();
    let hash = sha256::Hash::hash(&[&tag[..], &tag, &head, text.as_bytes()].concat());
    // A tagged hash is not shown reversed.
    format!("{text},\"hash\":\"{hash}\"}}")
}

#[test]
fn lines_with_the_right_hash_and_the_wrong_content_are_refused_with_their_number() {
    let book = Book::new();
    let lines = book.lines();
    let text = |line: &str| line[..line.len() - 75].to_owned();
    let last = &lines[20];
    let same = forged(&lines[19], &text(last));
    assert_eq!(&same, last, "the hash is the documented one");
    for (text, expected) in [
        (text(last).replace("\"counter\":20", "\"counter\":21"), "entry 21 where entry 20 belongs"),
        (text(last).replace("\"height\":119", "\"height\":90"), "the book refuses it: entry at height 90"),
        (text(last).replace("reward", "gift"), "it is no entry: unknown variant `gift`"),
        (text(last).replace("\"height\"", "\"depth\""), "it is no entry: unknown field `depth`"),
        (text(last).replace("\"20\"", "\"020\""), "without sign or leading zeros"),
        (format!("{},\"hash\":\"\"", text(last)), "duplicate field `hash`"),
        ("[".to_owned(), "it is no entry"),
    ] {
        let mut forged_lines = lines[..20].to_vec();
        forged_lines.push(forged(&lines[19], &text));
        book.write(&forged_lines);
        let error = book.open().unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { line: 21, .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    fs::write(book.file(), [lines[..20].join("\n").as_bytes(), b"\n", &vec![b'x'; 3 << 20]].concat())
        .unwrap();
    let error = book.open().unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { line: 21, damage: Damage::TooLong, .. }), "{error}");
}

#[test]
fn an_entry_is_found_by_its_kind_however_its_line_is_spelt() {
    for (written, spelt) in [("\"event\":{", "\"event\": {"), ("{\"reward\"", "{\"rew\\u0061rd\"")] {
        let book = Book::new();
        let lines = book.lines();
        let last = lines[20][..lines[20].len() - 75].replace(written, spelt);
        let mut spelt_lines = lines[..20].to_vec();
        spelt_lines.push(forged(&lines[19], &last));
        assert_ne!(spelt_lines, lines);
        book.write(&spelt_lines);
        fs::remove_file(book.index()).unwrap();
        let ledger = book.open().unwrap();
        let found = ledger.last(1, Some("reward"), Height::GENESIS).unwrap();
        assert_eq!((found[0].counter, found[0].kind.as_str()), (20, "reward"), "{spelt}");
    }
}

#[test]
fn no_book_another_file_and_a_newer_book_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x");
    assert!(matches!(Ledger::open(&file), Err(LedgerError::Missing { .. })));
    let header = r#"{"format":"tapstake-book","version":2,"network":"regtest","hash":"00"}"#;
    for (content, newer) in [("{}\n", false), ("\0\0\0\n", false)] {
        fs::write(&file, content).unwrap();
        assert!(matches!(Ledger::open(&file), Err(LedgerError::NoBook { .. })), "{content} {newer}");
    }
    for end in ["", "\n"] {
        fs::write(&file, format!("{header}{end}")).unwrap();
        assert!(matches!(Ledger::open(&file), Err(LedgerError::NewerVersion { found: 2, supported: 1, .. })));
    }
    assert!(matches!(Ledger::create(&file, Network::Regtest), Err(LedgerError::Exists { .. })));
}
