//! A journal that is open, the book that it makes, and its index.

use std::path::Path;

use bitcoin::Network;
use serde::Serialize;
use tapstake_params::Height;
use tapstake_restake::{Book, Entry, Event, PoolId};

use crate::error::{Damage, LedgerError};
use crate::index::{self, Found, Index, IndexState};
use crate::journal::{Journal, Tip, TornLine, line_of};
use crate::line::{self, Head, MAX_LINE};
use crate::rows::Queries;
use crate::series::{Point, Series};

/// The books of one operator, open for one process.
///
/// While it lives no other process opens the same file: that one waits for five seconds and is then refused.
#[derive(Debug)]
pub struct Ledger {
    journal: Journal,
    tip: Tip,
    book: Book,
    series: Series,
    index: Index,
    index_state: IndexState,
    /// Whether the index has all entries and keeps them.
    indexed: bool,
    torn: Option<TornLine>,
    failed: bool,
}

/// An entry that is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its number, from 1.
    pub counter: u64,
    /// Its height.
    pub height: Height,
    /// The name of its event, as in JSON.
    pub kind: String,
    /// Its event.
    pub event: Event,
}

/// An entry that the book has taken.
struct Taken {
    record: Record,
    start: u64,
    points: Vec<Point>,
}

/// An entry on its way from the journal into the book.
pub(crate) struct Step<'a> {
    pub(crate) tip: Tip,
    pub(crate) height: Height,
    pub(crate) kind: &'a str,
    pub(crate) start: u64,
    pub(crate) points: &'a [Point],
}

/// What a journal makes.
pub(crate) struct Replayed {
    pub(crate) book: Book,
    pub(crate) series: Series,
    pub(crate) tip: Tip,
    pub(crate) torn: Option<TornLine>,
}

/// Reads a journal from the first line on, each line once.
pub(crate) fn replay(
    journal: &Journal,
    mut each: impl FnMut(Step<'_>) -> Result<(), LedgerError>,
) -> Result<Replayed, LedgerError> {
    let (mut book, mut series, mut lines) = (Book::new(), Series::default(), journal.lines()?);
    loop {
        let counter = lines.tip().counter + 1;
        let Some((start, text)) = lines.next()? else { break };
        let damaged = |damage| journal.damaged(counter, damage);
        let entry = line::parse(text, counter).map_err(damaged)?;
        book.apply(&entry).map_err(|error| damaged(Damage::Refused(error.into())))?;
        let points = series.after(&book, &entry.event);
        let kind = line::kind(text).to_owned();
        each(Step { tip: lines.tip(), height: entry.height, kind: &kind, start, points: &points })?;
    }
    Ok(Replayed { book, series, tip: lines.tip(), torn: lines.torn() })
}

/// Holds what an index has seen against the journal.
pub(crate) struct Witness {
    seen: Tip,
}

impl Witness {
    pub(crate) const fn new(seen: Tip) -> Self {
        Witness { seen }
    }

    /// Refuses a journal that has something else where the index ends.
    pub(crate) fn pass(&self, journal: &Journal, tip: &Tip) -> Result<(), LedgerError> {
        if tip.counter == self.seen.counter && *tip != self.seen {
            return Err(LedgerError::Rewritten {
                file: journal.path().to_owned(),
                line: line_of(tip.counter),
                found: tip.head,
                known: self.seen.head,
            });
        }
        Ok(())
    }

    /// Refuses a journal that ends before the index does.
    pub(crate) fn end(&self, journal: &Journal, tip: &Tip) -> Result<(), LedgerError> {
        if tip.counter < self.seen.counter {
            let line = line_of(tip.counter).saturating_add(1);
            return Err(LedgerError::Shortened {
                file: journal.path().to_owned(),
                line,
                known: self.seen.counter,
            });
        }
        Ok(())
    }
}

impl Ledger {
    /// Makes an empty book in a new file and opens it. The folders above it are made too.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Exists`], [`LedgerError::Io`].
    pub fn create(file: &Path, network: Network) -> Result<Self, LedgerError> {
        Journal::create(file, network)?;
        let journal = Journal::open(file)?;
        // What lies there without a journal is nobody's.
        Ledger::with_new_index(journal, &Index::path_of(file), IndexState::Current, None)
    }

    /// Opens a book: reads its journal, checks every line and makes every entry. The index is brought up to it, or made anew
    /// if it is missing, older or proven to be damaged. One that cannot be read for another reason is left as it is: it may
    /// know of entries that the journal has lost.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Damaged`], [`LedgerError::Shortened`] and [`LedgerError::Rewritten`] with the number of the line;
    /// [`LedgerError::Missing`], [`LedgerError::NoBook`], [`LedgerError::NewerVersion`], [`LedgerError::Busy`],
    /// [`LedgerError::Io`], [`LedgerError::Index`], and [`LedgerError::IndexDiffers`] if a row of the index is not what the
    /// journal makes.
    pub fn open(file: &Path) -> Result<Self, LedgerError> {
        let journal = Journal::open(file)?;
        let path = Index::path_of(file);
        let (index, seen) = match Index::open(&path)? {
            Found::Usable(index, seen) => (index, seen),
            Found::Unusable(state) => return Ledger::with_new_index(journal, &path, state, None),
        };
        match Ledger::with_index(&journal, &index, seen) {
            Ok((replayed, state)) => Ok(Ledger::new(journal, replayed, index, state)),
            Err(LedgerError::Index { error, .. }) if index::is_damage(&error) => {
                drop(index);
                let state = IndexState::Damaged { reason: error.to_string() };
                Ledger::with_new_index(journal, &path, state, Some(seen))
            }
            Err(error) => Err(error),
        }
    }

    fn new(journal: Journal, replayed: Replayed, index: Index, index_state: IndexState) -> Self {
        let Replayed { book, series, tip, torn } = replayed;
        let kept = matches!(index_state, IndexState::Current | IndexState::Behind { .. });
        let indexed = torn.is_none() || kept;
        Ledger { journal, tip, book, series, index, index_state, indexed, torn, failed: false }
    }

    fn with_index(
        journal: &Journal,
        index: &Index,
        seen: Tip,
    ) -> Result<(Replayed, IndexState), LedgerError> {
        let witness = Witness::new(seen);
        witness.pass(journal, &journal.first())?;
        let mut queries = Queries::new(index)?;
        let mut rows = Some(queries.rows()?);
        let mut begun = false;
        let replayed = replay(journal, |step| {
            witness.pass(journal, &step.tip)?;
            if step.tip.counter <= seen.counter {
                return rows.as_mut().map_or(Ok(()), |rows| rows.compare(&step));
            }
            // All rows are compared before the first is added.
            if let Some(rows) = rows.take() {
                rows.end(seen.counter)?;
            }
            if !begun {
                index.begin()?;
                begun = true;
            }
            index.add(step.tip.counter, step.height, step.kind, step.start, step.points)
        })?;
        witness.end(journal, &replayed.tip)?;
        if let Some(rows) = rows.take() {
            rows.end(seen.counter)?;
        }
        if !begun {
            return Ok((replayed, IndexState::Current));
        }
        index.commit(&replayed.tip)?;
        let entries = replayed.tip.counter - seen.counter;
        Ok((replayed, IndexState::Behind { entries }))
    }

    /// Makes the index anew. What the old one has seen, if that is known, still holds.
    fn with_new_index(
        journal: Journal,
        path: &Path,
        state: IndexState,
        seen: Option<Tip>,
    ) -> Result<Self, LedgerError> {
        let witness = seen.map(Witness::new);
        let mut index = Index::create(path)?;
        let filled = || {
            let pass = |tip: &Tip| witness.as_ref().map_or(Ok(()), |witness| witness.pass(&journal, tip));
            pass(&journal.first())?;
            let replayed = replay(&journal, |step| {
                pass(&step.tip)?;
                index.add(step.tip.counter, step.height, step.kind, step.start, step.points)
            })?;
            if let Some(witness) = &witness {
                witness.end(&journal, &replayed.tip)?;
            }
            // An index that is kept vouches that a torn line was never acknowledged, which nobody knows here.
            if replayed.torn.is_none() {
                index.commit(&replayed.tip)?;
            }
            Ok(replayed)
        };
        match filled() {
            Ok(replayed) => {
                if replayed.torn.is_none() {
                    index.publish()?;
                }
                Ok(Ledger::new(journal, replayed, index, state))
            }
            Err(error) => {
                index.discard();
                Err(error)
            }
        }
    }

    /// Makes an entry: when this returns, it is on the disk, and no kill takes it back.
    ///
    /// A line that a killed process has left half written is cut off first. An index that cannot be written fails nothing: the
    /// entry stands, and [`Ledger::index_state`] says it.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Refused`] if the book refuses it, [`LedgerError::TooLong`]: nothing was written. [`LedgerError::Torn`] if
    /// the last line has no end and the index does not tell whether it was acknowledged. [`LedgerError::Io`] if it cannot be
    /// written; then nothing more is, before the book is opened again.
    pub fn append(&mut self, entry: Entry) -> Result<Record, LedgerError> {
        let mut made = self.append_all([entry])?;
        made.pop().ok_or_else(|| LedgerError::Failed { file: self.journal.path().to_owned() })
    }

    /// Makes several entries, which are acknowledged together: when this returns, all of them are on the disk.
    ///
    /// # Errors
    ///
    /// As [`Ledger::append`]. The entries before one that is refused are made nevertheless; [`Book::entries`] says how many.
    pub fn append_all(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<Vec<Record>, LedgerError> {
        if self.failed {
            return Err(LedgerError::Failed { file: self.journal.path().to_owned() });
        }
        if let Some(TornLine { line, bytes }) = self.torn {
            if self.index_state != IndexState::Current {
                return Err(LedgerError::Torn { file: self.journal.path().to_owned(), line, bytes });
            }
            self.repair()?;
        }
        let (mut tip, mut lines, mut made, mut refused) = (self.tip, Vec::new(), Vec::new(), None);
        for entry in entries {
            match self.take(&mut tip, &mut lines, entry) {
                Ok(taken) => made.push(taken),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        if !made.is_empty() {
            if let Err(error) = self.journal.append(&self.tip, &lines) {
                // The book is ahead of the file now.
                self.failed = true;
                return Err(error);
            }
            self.tip = tip;
            self.note(&made);
        }
        match refused {
            Some(error) => Err(error),
            None => Ok(made.into_iter().map(|taken| taken.record).collect()),
        }
    }

    /// Takes an entry into the book, and its line to those that are to be written.
    fn take(&mut self, tip: &mut Tip, lines: &mut Vec<u8>, entry: Entry) -> Result<Taken, LedgerError> {
        let counter = tip.counter + 1;
        let (text, head) = line::entry(tip.head, counter, &entry);
        if text.len() > MAX_LINE {
            return Err(LedgerError::TooLong { bytes: text.len() });
        }
        // What cannot be read back as it was must not be written.
        match line::parse(&text, counter) {
            Ok(read) if read == entry => {}
            Ok(_) => {
                return Err(self.journal.damaged(counter, Damage::Form("it reads as another".to_owned())));
            }
            Err(damage) => return Err(self.journal.damaged(counter, damage)),
        }
        self.book.apply(&entry)?;
        let start = tip.length;
        *tip = Tip { counter, head, length: start + text.len() as u64 };
        lines.extend_from_slice(&text);
        let points = self.series.after(&self.book, &entry.event);
        let Entry { height, event } = entry;
        let record = Record { counter, height, kind: line::kind(&text).to_owned(), event };
        Ok(Taken { record, start, points })
    }

    /// Tells the index of entries that are on the disk.
    fn note(&mut self, made: &[Taken]) {
        if !self.indexed {
            return;
        }
        let add = || {
            self.index.begin()?;
            for Taken { record: Record { counter, height, kind, .. }, start, points } in made {
                self.index.add(*counter, *height, kind, *start, points)?;
            }
            self.index.commit(&self.tip)
        };
        let added = add();
        self.indexed = added.is_ok();
        self.index_state = match added {
            Ok(()) => IndexState::Current,
            Err(error) => IndexState::Damaged { reason: error.to_string() },
        };
    }

    /// Cuts off a last line that has no end; returns what was cut. Whoever asks for it says that nobody was told of that entry.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`], [`LedgerError::Index`].
    pub fn repair(&mut self) -> Result<Option<TornLine>, LedgerError> {
        if self.torn.is_some() {
            self.journal.cut(&self.tip)?;
            if !self.indexed {
                self.index.commit(&self.tip)?;
                self.index.publish()?;
                self.indexed = true;
            }
        }
        Ok(self.torn.take())
    }

    /// The book that the journal makes.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// The Bitcoin network whose stakes it is about.
    pub const fn network(&self) -> Network {
        self.journal.network()
    }

    /// The file of the journal.
    pub fn file(&self) -> &Path {
        self.journal.path()
    }

    /// The hash of the last line: whoever keeps it knows later that nothing up to it was changed.
    pub const fn head(&self) -> Head {
        self.tip.head
    }

    /// How the index was found when the book was opened, or what came of it since.
    pub const fn index_state(&self) -> &IndexState {
        &self.index_state
    }

    /// The last line, if it has no end.
    pub const fn torn(&self) -> Option<TornLine> {
        self.torn
    }

    /// The last `most` entries at or above a height, of one kind or of any, oldest first.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`], [`LedgerError::Index`], and [`LedgerError::IndexDiffers`] if an entry is not where the index says.
    pub fn last(&self, most: u32, kind: Option<&str>, from: Height) -> Result<Vec<Record>, LedgerError> {
        let rows = self.index.last(most, kind, from)?;
        let read = rows.into_iter().map(|row| {
            let text = self.journal.line_at(row.start)?;
            let differs = |_| self.differs("the place", row.counter);
            let Entry { height, event } = line::parse(&text, row.counter).map_err(differs)?;
            Ok(Record { counter: row.counter, height, kind: line::kind(&text).to_owned(), event })
        });
        read.collect()
    }

    /// What the pools, or one of them, were worth after each entry that changed that, oldest first.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Index`].
    pub fn points(&self, pool: Option<&PoolId>) -> Result<Vec<Point>, LedgerError> {
        self.index.points(pool)
    }

    fn differs(&self, what: &'static str, counter: u64) -> LedgerError {
        LedgerError::IndexDiffers { file: self.index.file().to_owned(), what, counter }
    }
}
