//! The book that these tests are about, and what is asked of it.

use std::fs;
use std::path::PathBuf;

use bitcoin::Network;
use bitcoin::secp256k1::{Keypair, Secp256k1};
use tapstake_ledger::{Ledger, LedgerError, Survey, audit};
use tapstake_params::{Height, SlashingRate, Timelock};
use tapstake_restake::{Denomination, Entry, Event, PartsPerMillion, PoolId, ServiceId, ServiceTerms};

/// The entries of the book that these tests are about.
pub(crate) const ENTRIES: u64 = 20;

pub(crate) fn entries() -> Vec<Entry> {
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

pub(crate) struct Book {
    pub(crate) folder: tempfile::TempDir,
}

impl Book {
    pub(crate) fn new() -> Self {
        let book = Book { folder: tempfile::tempdir().unwrap() };
        let mut ledger = Ledger::create(&book.file(), Network::Regtest).unwrap();
        let made = ledger.append_all(entries()).unwrap();
        assert!(made.iter().map(|made| made.counter).eq(1..=ENTRIES));
        book
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("book.jsonl")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.folder.path().join("book.jsonl.index")
    }

    pub(crate) fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(&self.file())
    }

    pub(crate) fn survey(&self) -> Survey {
        Ledger::survey(&self.file()).unwrap()
    }

    /// Repairs it, and returns what was cut off, from where it is saved.
    pub(crate) fn repair(&self) -> (Ledger, Vec<u8>) {
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

    pub(crate) fn index_sql(&self, change: &str) {
        rusqlite::Connection::open(self.index()).unwrap().execute_batch(change).unwrap();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        fs::read_to_string(self.file()).unwrap().lines().map(str::to_owned).collect()
    }

    pub(crate) fn write(&self, lines: &[String]) {
        fs::write(self.file(), lines.join("\n") + "\n").unwrap();
    }
}

/// The line that is refused, by opening and by an audit alike, with the index and without.
pub(crate) fn refused_line(book: &Book) -> u64 {
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

/// The line that follows those of the book, as an entry writes it.
pub(crate) fn next_line() -> (Entry, Vec<u8>) {
    let book = Book::new();
    let next = Entry { height: Height::new(300), ..entries()[5].clone() };
    book.open().unwrap().append(next.clone()).unwrap();
    let line = book.lines()[21].clone() + "\n";
    (next, line.into_bytes())
}

/// Opening and an audit refuse the line as damaged, and leave the journal as it is. Nothing tells that it was not acknowledged; a
/// survey tells how many are lost that were.
pub(crate) fn assert_damaged(book: &Book, expected: u64, lost: u64, what: &str) {
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
