//! A journal that somebody has touched, a writer that was killed, an index that is gone.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::fs;
use std::path::{Path, PathBuf};

use bitcoin::Network;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Keypair, Secp256k1};
use tapstake_ledger::{Damage, IndexState, Ledger, LedgerError, Survey, audit};
use tapstake_params::{Height, SlashingRate, Timelock};
use tapstake_restake::{
    BookError, Denomination, Entry, Event, PartsPerMillion, PoolId, ServiceId, ServiceTerms,
};

/// The entries of the book that these tests are about.
const ENTRIES: u64 = 20;

fn entries() -> Vec<Entry> {
    let provider = Keypair::from_seckey_slice(&Secp256k1::new(), &[7; 32]).unwrap().x_only_public_key().0;
    let (service, denomination) = (ServiceId::new("a").unwrap(), Denomination::new("u").unwrap());
    let terms = ServiceTerms {
        denomination: denomination.clone(),
        slashing_rate: SlashingRate::from_ten_thousandths(1_000).unwrap(),
        unbonding_time: Timelock::new(100).unwrap(),
        leverage_limit: PartsPerMillion::percent(200).unwrap(),
    };
    let mut events = vec![
        Event::RegisterService { service: service.clone(), terms },
        Event::RegisterProvider { service: service.clone(), provider, commission: PartsPerMillion::ZERO },
        Event::OpenPool { pool: PoolId::new("p").unwrap(), unbonding_time: Timelock::new(100).unwrap() },
    ];
    events.extend((4..=ENTRIES).map(|amount| Event::Reward {
        service: service.clone(),
        provider,
        denomination: denomination.clone(),
        amount: amount.into(),
    }));
    (100..).map(Height::new).zip(events).map(|(height, event)| Entry { height, event }).collect()
}

struct Book {
    folder: tempfile::TempDir,
}

impl Book {
    fn new() -> Self {
        let book = Book { folder: tempfile::tempdir().unwrap() };
        let mut ledger = Ledger::create(&book.file(), Network::Regtest).unwrap();
        let made = ledger.append_all(entries()).unwrap();
        assert!(made.iter().map(|made| made.counter).eq(1..=ENTRIES));
        book
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("book.jsonl")
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join("book.jsonl.index")
    }

    fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(&self.file())
    }

    fn survey(&self) -> Survey {
        Ledger::survey(&self.file()).unwrap()
    }

    /// Repairs it, and returns what was cut off, from where it is saved.
    fn repair(&self) -> (Ledger, Vec<u8>) {
        let survey = self.survey();
        let (ledger, saved) = Ledger::repair(&self.file(), &survey).unwrap();
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let cut = saved.map_or(Vec::new(), |saved| {
            assert!(name(saved.clone()).starts_with(&format!("book.jsonl.cut-{}-", survey.line)));
            fs::read(saved).unwrap()
        });
        assert_eq!((cut.len() as u64, ledger.book().entries()), (survey.bytes, survey.entries));
        assert_eq!(ledger.head(), survey.head);
        drop(ledger);
        assert!(!self.survey().is_broken());
        (self.open().unwrap(), cut)
    }

    fn index_sql(&self, change: &str) {
        rusqlite::Connection::open(self.index()).unwrap().execute_batch(change).unwrap();
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(self.file()).unwrap().lines().map(str::to_owned).collect()
    }

    fn write(&self, lines: &[String]) {
        fs::write(self.file(), lines.join("\n") + "\n").unwrap();
    }
}

/// The line that is refused, by opening and by an audit alike, with the index and without.
fn refused_line(book: &Book) -> u64 {
    let line = |error| match error {
        LedgerError::Damaged { line, .. } | LedgerError::Shortened { line, .. } => line,
        other => panic!("{other}"),
    };
    let before = fs::read(book.file()).unwrap();
    let found = line(book.open().unwrap_err());
    assert_eq!(line(audit(&book.file(), None).unwrap_err()), found);
    assert_eq!(fs::read(book.file()).unwrap(), before, "a refused journal is left as it is");
    found
}

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

/// The line that follows those of the book, as an entry writes it.
fn next_line() -> (Entry, Vec<u8>) {
    let book = Book::new();
    let next = Entry { height: Height::new(300), ..entries()[5].clone() };
    book.open().unwrap().append(next.clone()).unwrap();
    let line = book.lines()[21].clone() + "\n";
    (next, line.into_bytes())
}

/// Opening and an audit refuse the line as damaged, and leave the journal as it is. Nothing tells that it was not acknowledged; a
/// survey tells how many are lost that were.
fn assert_damaged(book: &Book, expected: u64, lost: u64, what: &str) {
    let before = fs::read(book.file()).unwrap();
    for refused in [book.open().map(drop), audit(&book.file(), None).map(drop)] {
        let error = refused.unwrap_err();
        let LedgerError::Damaged { line, unacknowledged: false, .. } = error else {
            panic!("{what}: {error}")
        };
        assert_eq!(line, expected, "{what}");
    }
    let survey = book.survey();
    assert_eq!((survey.line, survey.lost, survey.unacknowledged), (expected, lost, false), "{what}");
    assert_eq!(fs::read(book.file()).unwrap(), before, "{what}");
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
