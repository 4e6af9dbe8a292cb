//! How a journal ends: a writer that was stopped, a tail that was cut, and the repair.

use std::fs;

use bitcoin::Network;
use tapstake_ledger::{IndexState, Ledger, LedgerError, audit};
use tapstake_params::Height;
use tapstake_restake::Entry;

use crate::support::{Book, ENTRIES, assert_damaged, entries, next_line, refused_line};

#[test]
fn a_line_cut_off_after_it_was_acknowledged_is_refused_wherever_it_was_cut() {
    let book = Book::new();
    let whole = fs::read(book.file()).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in (last..whole.len() - 1).step_by(3) {
        fs::write(book.file(), &whole[..length]).unwrap();
        assert_eq!(refused_line(&book), ENTRIES + 1);
    }
}

#[test]
fn a_line_that_a_killed_writer_has_begun_is_told_apart_and_cut_by_the_next_entry() {
    let book = Book::new();
    let (whole, seen) = (fs::read(book.file()).unwrap(), fs::read(book.index()).unwrap());
    let mut next = entries()[5].clone();
    next.height = Height::new(300);
    let line = {
        let mut ledger = book.open().unwrap();
        ledger.append(next.clone()).unwrap();
        fs::read(book.file()).unwrap()[whole.len()..].to_vec()
    };
    for length in (1..line.len() - 1).step_by(7) {
        let index = "the index has seen no such entry";
        fs::write(book.index(), &seen).unwrap();
        fs::write(book.file(), [&whole[..], &line[..length]].concat()).unwrap();
        let mut ledger = book.open().unwrap();
        let torn = ledger.torn().unwrap();
        assert_eq!((torn.line, torn.bytes, ledger.book().entries()), (22, length as u64, ENTRIES), "{index}");
        assert!(torn.unacknowledged, "{index}");
        drop(ledger);
        assert_eq!(audit(&book.file(), None).unwrap().torn, Some(torn));
        ledger = book.open().unwrap();
        assert_eq!(ledger.append(next.clone()).unwrap().counter, ENTRIES + 1);
        drop(ledger);
        assert_eq!(fs::read(book.file()).unwrap(), [&whole[..], &line[..]].concat());
        let saved = book.folder.path().join("book.jsonl.cut-22-1");
        assert_eq!(fs::read(&saved).unwrap(), &line[..length]);
        fs::remove_file(saved).unwrap();
    }
}

#[test]
fn without_an_index_a_line_without_end_is_cut_only_when_asked_for() {
    let book = Book::new();
    let whole = fs::read(book.file()).unwrap();
    fs::write(book.file(), &whole[..whole.len() - 9]).unwrap();
    fs::remove_file(book.index()).unwrap();
    let next = Entry { height: Height::new(300), ..entries()[5].clone() };
    for _ in 0..2 {
        let mut ledger = book.open().unwrap();
        let refused = ledger.append(next.clone()).unwrap_err();
        assert!(matches!(refused, LedgerError::Torn { line: 21, .. }), "{refused}");
        assert_eq!(ledger.last(1, None, Height::GENESIS).unwrap()[0].counter, ENTRIES - 1);
    }
    let survey = book.survey();
    assert_eq!((survey.line, survey.lost, survey.unacknowledged), (21, 0, false));
    let (mut ledger, cut) = book.repair();
    assert_eq!(cut, &whole[whole.len() - 9 - cut.len()..whole.len() - 9]);
    assert_eq!(ledger.append(next).unwrap().counter, ENTRIES);
    drop(ledger);
    assert_eq!(book.repair().1, b"");
    assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current);
}

/// What a power cut can leave of a line, and worse.
fn tails(line: &[u8]) -> Vec<Vec<u8>> {
    let mut flipped = line.to_vec();
    flipped[30] ^= 4;
    vec![
        flipped,
        [&vec![0; line.len() - 1][..], b"\n"].concat(),
        [&line[..100], &vec![0; line.len() - 101][..], b"\n"].concat(),
        [&[0xff; 50][..], b"\n\n", &[b'{'; 90], b"\n", &[0; 40]].concat(),
        b"{\"counter\":99,\"height\":1}\n".to_vec(),
        vec![b'x'; 3 << 20],
        b"\n".to_vec(),
    ]
}

#[test]
fn a_damaged_end_that_nobody_was_told_of_is_cut_by_a_repair_and_by_nothing_else() {
    let (next, line) = next_line();
    for tail in tails(&line) {
        let book = Book::new();
        let whole = fs::read(book.file()).unwrap();
        let before = [&whole[..], &tail].concat();
        fs::write(book.file(), &before).unwrap();
        for error in [book.open().unwrap_err(), audit(&book.file(), None).unwrap_err()] {
            assert!(matches!(error, LedgerError::Damaged { line: 22, unacknowledged: true, .. }), "{error}");
            assert!(error.to_string().contains("line 22: "), "{error}");
        }
        let survey = book.survey();
        assert_eq!((survey.line, survey.lost, survey.unacknowledged), (22, 0, true));
        assert_eq!(fs::read(book.file()).unwrap(), before, "refused, and left as it is");
        let (mut ledger, cut) = book.repair();
        assert_eq!(cut, tail);
        assert_eq!(fs::read(book.file()).unwrap(), whole);
        assert_eq!(ledger.append(next.clone()).unwrap().counter, ENTRIES + 1);
        drop(ledger);
        assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current);
    }
}

#[test]
fn no_damaged_end_leaves_a_book_without_a_way_on_whatever_its_index_is() {
    let (next, line) = next_line();
    for what in [
        "missing",
        "damaged",
        "marked",
        "PRAGMA user_version = 0",
        "DROP TABLE point",
        "UPDATE entry SET kind = 'claim' WHERE counter = 7",
    ] {
        for tail in tails(&line) {
            let book = Book::new();
            let whole = fs::read(book.file()).unwrap();
            fs::write(book.file(), [&whole[..], &tail].concat()).unwrap();
            match what {
                "missing" => fs::remove_file(book.index()).unwrap(),
                "damaged" => fs::write(book.index(), vec![0x5a; 4096]).unwrap(),
                "marked" => fs::write(book.folder.path().join("book.jsonl.index.behind"), b"").unwrap(),
                change => book.index_sql(change),
            }
            assert_damaged(&book, ENTRIES + 2, 0, what);
            let (mut ledger, cut) = book.repair();
            assert_eq!(cut, tail, "{what}");
            assert_eq!(ledger.append(next.clone()).unwrap().counter, ENTRIES + 1, "{what}");
            drop(ledger);
            assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current, "{what}");
        }
    }
}

#[test]
fn acknowledged_entries_are_cut_only_for_who_has_seen_how_many_go() {
    for (line, from_end) in [(21, 2), (21, 70), (21, 100), (15, 0)] {
        let book = Book::new();
        let whole = fs::read(book.file()).unwrap();
        let mut bytes = whole.clone();
        let lines = book.lines();
        let start = lines[..line - 1].iter().map(|line| line.len() + 1).sum::<usize>();
        let at = if from_end > 0 { whole.len() - from_end } else { start + 20 };
        bytes[at] ^= 1;
        fs::write(book.file(), &bytes).unwrap();
        let lost = 22 - line as u64;
        assert_damaged(&book, line as u64, lost, "acknowledged");
        let mut asked = book.survey();
        asked.lost = 0;
        let refused = Ledger::repair(&book.file(), &asked).unwrap_err();
        assert!(matches!(refused, LedgerError::Changed { .. }), "{refused}");
        assert_eq!(fs::read(book.file()).unwrap(), bytes);
        let (ledger, cut) = book.repair();
        assert_eq!(cut, &bytes[start..]);
        drop(ledger);
        assert_eq!(audit(&book.file(), None).unwrap().entries, ENTRIES - lost);
    }
    // A line without end that the index knows.
    let book = Book::new();
    let whole = fs::read(book.file()).unwrap();
    fs::write(book.file(), &whole[..whole.len() - 9]).unwrap();
    assert!(matches!(book.open(), Err(LedgerError::Shortened { line: 21, known: ENTRIES, .. })));
    assert_eq!((book.survey().lost, book.survey().entries), (1, ENTRIES - 1));
    book.repair();
}

#[test]
fn a_restored_older_copy_goes_on_for_who_has_seen_what_is_lost() {
    let book = Book::new();
    let lines = book.lines();
    book.write(&lines[..15]);
    assert!(matches!(book.open(), Err(LedgerError::Shortened { line: 16, known: ENTRIES, .. })));
    let survey = book.survey();
    assert_eq!((survey.entries, survey.line, survey.bytes, survey.lost), (14, 16, 0, 6));
    let (mut ledger, cut) = book.repair();
    assert_eq!(cut, b"");
    ledger.append(entries()[14].clone()).unwrap();
    drop(ledger);
    assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current);
    assert_eq!(book.lines()[..], lines[..16], "the same entry again");
    assert_eq!(fs::read_dir(book.folder.path()).unwrap().count(), 2, "nothing was cut off");
}

#[test]
fn what_an_older_index_takes_for_unacknowledged_is_saved() {
    let (next, _) = next_line();
    let book = Book::new();
    let old = fs::read(book.index()).unwrap();
    let mut ledger = book.open().unwrap();
    for _ in 0..3 {
        ledger.append(next.clone()).unwrap();
    }
    drop(ledger);
    let whole = fs::read(book.file()).unwrap();
    let starts: Vec<usize> = book
        .lines()
        .iter()
        .scan(0, |at, line| {
            let start = *at;
            *at += line.len() + 1;
            Some(start)
        })
        .collect();
    // Older by more than what is cut: it does not end where the whole lines end, and tells nothing.
    for line in [23, 24] {
        let mut bytes = whole.clone();
        bytes[starts[line - 1] + 20] ^= 1;
        fs::write(book.file(), bytes).unwrap();
        fs::write(book.index(), &old).unwrap();
        assert_damaged(&book, line as u64, 0, "older");
    }
    fs::write(book.file(), &whole[..whole.len() - 9]).unwrap();
    for _ in 0..2 {
        fs::write(book.index(), &old).unwrap();
        let mut ledger = book.open().unwrap();
        assert!(!ledger.torn().unwrap().unacknowledged);
        let refused = ledger.append(next.clone()).unwrap_err();
        assert!(matches!(refused, LedgerError::Torn { line: 24, .. }), "{refused}");
        drop(ledger);
        assert!(!book.open().unwrap().torn().unwrap().unacknowledged, "opening has not let it vouch");
    }
    // Older by exactly what is cut, as none can be told from one of today.
    fs::write(book.file(), &whole[..starts[21] + 50]).unwrap();
    fs::write(book.index(), &old).unwrap();
    book.open().unwrap().append(next).unwrap();
    assert_eq!(
        fs::read(book.folder.path().join("book.jsonl.cut-22-1")).unwrap(),
        &whole[starts[21]..starts[21] + 50]
    );
}

#[test]
fn a_last_line_that_only_lacks_its_newline_is_whole() {
    for (entries_of, with_index) in [(ENTRIES, true), (ENTRIES, false), (0, true), (0, false)] {
        let book = if entries_of > 0 {
            Book::new()
        } else {
            let book = Book { folder: tempfile::tempdir().unwrap() };
            Ledger::create(&book.file(), Network::Regtest).unwrap();
            book
        };
        let whole = fs::read(book.file()).unwrap();
        if !with_index {
            fs::remove_file(book.index()).unwrap();
        }
        for way in ["open", "repair"] {
            fs::write(book.file(), &whole[..whole.len() - 1]).unwrap();
            let report = audit(&book.file(), None).unwrap();
            assert_eq!((report.entries, report.torn), (entries_of, None));
            assert!(!book.survey().is_broken());
            assert_eq!(fs::read(book.file()).unwrap(), &whole[..whole.len() - 1], "an audit writes nothing");
            let ledger = if way == "open" { book.open().unwrap() } else { book.repair().0 };
            assert_eq!((ledger.book().entries(), ledger.torn()), (entries_of, None));
            drop(ledger);
            assert_eq!(fs::read(book.file()).unwrap(), whole);
        }
        assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current);
    }
}

#[test]
fn what_is_asked_for_after_the_journal_has_changed_is_not_cut() {
    let book = Book::new();
    let whole = fs::read(book.file()).unwrap();
    fs::write(book.file(), [&whole[..], b"garbage\n"].concat()).unwrap();
    let asked = book.survey();
    fs::remove_file(book.index()).unwrap();
    let refused = Ledger::repair(&book.file(), &asked).unwrap_err();
    assert!(matches!(refused, LedgerError::Changed { .. }), "nothing vouches any more: {refused}");
    fs::write(book.file(), [&whole[..], b"garbage\nmore"].concat()).unwrap();
    let refused = Ledger::repair(&book.file(), &asked).unwrap_err();
    assert!(matches!(refused, LedgerError::Changed { .. }), "{refused}");
    assert_eq!(fs::read(book.file()).unwrap(), [&whole[..], b"garbage\nmore"].concat());
    // Each cut has a file of its own.
    for number in 1..4 {
        let tail = vec![b'x'; number];
        fs::write(book.file(), [&whole[..], &tail].concat()).unwrap();
        assert_eq!(book.repair().1, tail);
        assert_eq!(fs::read(book.folder.path().join(format!("book.jsonl.cut-22-{number}"))).unwrap(), tail);
    }
}

#[test]
fn what_was_acknowledged_while_the_index_could_not_be_written_is_never_cut_unasked() {
    let book = Book::new();
    let mark = book.folder.path().join("book.jsonl.index.behind");
    let mut ledger = book.open().unwrap();
    book.index_sql("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'full'); END");
    let next = Entry { height: Height::new(300), ..entries()[5].clone() };
    assert_eq!(ledger.append(next.clone()).unwrap().counter, ENTRIES + 1);
    assert!(matches!(ledger.index_state(), IndexState::Damaged { .. }));
    assert!(mark.exists());
    drop(ledger);
    book.index_sql("DROP TRIGGER full");
    let (whole, index) = (fs::read(book.file()).unwrap(), fs::read(book.index()).unwrap());

    let mut damaged = whole.clone();
    damaged[whole.len() - 100] ^= 1;
    fs::write(book.file(), damaged).unwrap();
    assert_damaged(&book, ENTRIES + 2, 0, "acknowledged without the index");
    fs::write(book.file(), &whole[..whole.len() - 9]).unwrap();
    for _ in 0..2 {
        let mut ledger = book.open().unwrap();
        let refused = ledger.append(next.clone()).unwrap_err();
        assert!(matches!(refused, LedgerError::Torn { line: 22, .. }), "{refused}");
    }
    fs::write(book.file(), &whole).unwrap();
    assert_eq!(fs::read(book.index()).unwrap(), index);
    assert_eq!(book.open().unwrap().index_state(), &IndexState::Behind { entries: 1 });
    assert!(!mark.exists(), "the index has all entries again");

    fs::write(book.file(), &whole[..whole.len() - 9]).unwrap();
    fs::write(book.index(), &index).unwrap();
    fs::write(&mark, b"").unwrap();
    assert!(!book.survey().unacknowledged);
    let (mut ledger, _) = book.repair();
    assert!(!mark.exists());
    assert_eq!(ledger.append(next).unwrap().counter, ENTRIES + 1);
    drop(ledger);
    assert_eq!(audit(&book.file(), None).unwrap().index, IndexState::Current);
}
