//! A journal that is open, the book that it makes, and its index.

use std::path::Path;

use bitcoin::Network;
use serde::Serialize;
use tapstake_params::Height;
use tapstake_restake::{Book, Entry, Event, PoolId};

use crate::error::{Damage, LedgerError, Stopped};
use crate::index::{self, EntryRow, Found, Index, IndexState, Seen};
use crate::journal::{Journal, Tip, TornLine};
use crate::line::{self, BookId, Head, MAX_LINE};
use crate::replay::{Replayed, Step, replay};
use crate::rows::Queries;
use crate::series::{Point, Series};
use crate::witness::{Judged, Witness, beside, judge};

mod repair;

pub use repair::Survey;

/// The books of one operator, open for one process.
///
/// While it lives no other process opens the same file: that one waits for five seconds and is then refused. Who can only read the
/// journal shares it with all others who can only read it.
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
    /// Whether nothing can be written.
    read_only: bool,
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

impl Ledger {
    /// Makes an empty book in a new file and opens it. The folders above it are made too.
    ///
    /// No file that is there is ever replaced.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Exists`], [`LedgerError::Unfinished`] if an empty file has the name, [`LedgerError::LostJournal`] if an index
    /// lies there, and [`LedgerError::Io`], as where the name leaves no room for those of the files beside it.
    pub fn create(file: &Path, network: Network) -> Result<Self, LedgerError> {
        Journal::create(file, network)?;
        Ledger::with_new_index(Journal::open(file)?, IndexState::Current, None)
    }

    /// Opens a book: reads its journal, checks every line and makes every entry. The index is brought up to it, or made anew
    /// if it is missing, older or proven to be damaged. One that cannot be read for another reason is left as it is: it may
    /// know of entries that the journal has lost.
    ///
    /// Where the journal or its folder may not be written, nothing is: [`Ledger::is_read_only`].
    ///
    /// # Errors
    ///
    /// [`LedgerError::Damaged`], [`LedgerError::Shortened`] and [`LedgerError::Rewritten`] with the number of the line;
    /// [`LedgerError::Missing`], [`LedgerError::LostJournal`], [`LedgerError::Unfinished`], [`LedgerError::NoBook`],
    /// [`LedgerError::NewerVersion`], [`LedgerError::Busy`], [`LedgerError::Moved`], [`LedgerError::Io`], [`LedgerError::Index`], and
    /// [`LedgerError::IndexDiffers`] if a row of the index is not what the journal makes.
    pub fn open(file: &Path) -> Result<Self, LedgerError> {
        Ledger::of(Journal::open(file)?)
    }

    /// Opens a book to read it only: nothing is written, also where it could be, and every entry is refused.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open`].
    pub fn open_to_read(file: &Path) -> Result<Self, LedgerError> {
        Ledger::to_read(Journal::open(file)?)
    }

    fn of(journal: Journal) -> Result<Self, LedgerError> {
        let path = Index::path_of(journal.path());
        if journal.is_read_only() || !Index::can_be_made(&path)? {
            return Ledger::to_read(journal);
        }
        let (index, seen) = match Index::open(&path)? {
            Found::Usable(index, seen) => (index, seen),
            Found::Unusable(state) => return Ledger::with_new_index(journal, state, None),
        };
        match Ledger::with_index(&journal, &index, seen) {
            Ok(judged) => Ok(Ledger::new(journal, judged, index, false)),
            Err(LedgerError::Index { error, .. }) if index::is_damage(&error) => {
                drop(index);
                let state = IndexState::Damaged { reason: error.to_string() };
                // It tells no longer what was never acknowledged.
                Ledger::with_new_index(journal, state, Some(Seen { vouches: false, ..seen }))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a book of which nothing is written. The index that it asks is one of its own.
    fn to_read(journal: Journal) -> Result<Self, LedgerError> {
        let (judged, index) = beside(&journal, |beside| {
            let index = Index::temporary(&Index::path_of(journal.path()))?;
            let add = |step: &Step<'_>| {
                index.add(step.tip.counter, step.height, step.kind, step.start, step.points)
            };
            let judged = beside.judge(&journal, add)?;
            index.commit(&judged.replayed.tip)?;
            Ok((judged, index))
        })?;
        Ok(Ledger::new(journal, judged, index, true))
    }

    fn new(journal: Journal, judged: Judged, index: Index, read_only: bool) -> Self {
        let Judged { replayed: Replayed { book, series, tip, .. }, torn, state: index_state } = judged;
        let indexed = !read_only && torn.is_none_or(|torn| torn.unacknowledged);
        if indexed {
            index.unmark();
        }
        Ledger { journal, tip, book, series, index, index_state, indexed, torn, read_only, failed: false }
    }

    fn with_index(journal: &Journal, index: &Index, seen: Seen) -> Result<Judged, LedgerError> {
        let witness = Witness::new(seen);
        let last = seen.tip.counter;
        witness.pass(journal, &journal.first())?;
        let mut queries = Queries::new(index)?;
        let mut rows = Some(queries.rows()?);
        let mut begun = false;
        let mut replayed = replay(journal, |step| {
            witness.pass(journal, &step.tip)?;
            if step.tip.counter <= last {
                return rows.as_mut().map_or(Ok(()), |rows| rows.compare(&step));
            }
            // All rows are compared before the first is added.
            if let Some(rows) = rows.take() {
                rows.end(last)?;
            }
            if !begun {
                index.begin()?;
                begun = true;
            }
            index.add(step.tip.counter, step.height, step.kind, step.start, step.points)
        })?;
        let rows = rows.take().map_or(Ok(()), |rows| rows.end(last));
        let torn = judge(journal, Some(&witness), &replayed.tip, replayed.rest.take(), rows)?;
        let entries = replayed.tip.counter - last;
        // An index as far as the whole lines would tell that what follows was never acknowledged, which this one did not.
        if torn.is_none() {
            journal.complete(&replayed.tip)?;
            if begun {
                index.commit(&replayed.tip)?;
            }
        }
        let state = if entries == 0 { IndexState::Current } else { IndexState::Behind { entries } };
        Ok(Judged { replayed, torn, state })
    }

    /// Makes the index anew. What the old one has seen, if that is known, still holds.
    fn with_new_index(journal: Journal, state: IndexState, seen: Option<Seen>) -> Result<Self, LedgerError> {
        let witness = seen.map(Witness::new);
        let mut index = Index::create(&Index::path_of(journal.path()))?;
        let pass = |tip: &Tip| witness.as_ref().map_or(Ok(()), |witness| witness.pass(&journal, tip));
        pass(&journal.first())?;
        let mut replayed = replay(&journal, |step| {
            pass(&step.tip)?;
            index.add(step.tip.counter, step.height, step.kind, step.start, step.points)
        })?;
        let torn = judge(&journal, witness.as_ref(), &replayed.tip, replayed.rest.take(), Ok(()))?;
        if torn.is_none() {
            journal.complete(&replayed.tip)?;
            index.commit(&replayed.tip)?;
            index.publish()?;
        }
        Ok(Ledger::new(journal, Judged { replayed, torn, state }, index, false))
    }

    /// Makes an entry: when this returns, it is on the disk, and no kill takes it back.
    ///
    /// A line that a killed process has left half written, and of which the index tells that nobody was told, is cut off first and
    /// saved as in [`Ledger::repair`]. An index that cannot be written fails nothing: the entry stands, [`Ledger::index_state`] says
    /// it, and a mark beside the index keeps it from telling that what follows was never acknowledged.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Refused`] if the book refuses it, [`LedgerError::TooLong`], [`LedgerError::ReadOnly`]: nothing was written.
    /// [`LedgerError::Torn`] if the last line has no end and the index does not tell that it was never acknowledged.
    /// [`LedgerError::Moved`] if the file is no longer the one that was opened (Unix), with whether the entry was written to that
    /// one. [`LedgerError::Unmarked`] if the entry is made, and the mark is not. [`LedgerError::Io`] if it cannot be written,
    /// [`LedgerError::Uncertain`] if what was written cannot be taken back either. After the last four nothing more is written, before
    /// the book is opened again.
    pub fn append(&mut self, entry: Entry) -> Result<Record, LedgerError> {
        let mut made = self.append_all([entry]).map_err(|stopped| stopped.error)?;
        made.pop().ok_or_else(|| LedgerError::Failed { file: self.journal.path().to_owned() })
    }

    /// Makes several entries, which are acknowledged together: when this returns, all of them are on the disk.
    ///
    /// # Errors
    ///
    /// As [`Ledger::append`], with the entries that are made nevertheless: those before one that is refused.
    pub fn append_all(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<Vec<Record>, Stopped> {
        let mut made = Vec::new();
        match self.try_append_all(entries, &mut made) {
            Ok(()) => Ok(made),
            Err(error) => Err(Stopped { made, error }),
        }
    }

    fn try_append_all(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
        acknowledged: &mut Vec<Record>,
    ) -> Result<(), LedgerError> {
        if self.read_only {
            return Err(LedgerError::ReadOnly { file: self.journal.path().to_owned() });
        }
        if self.failed {
            return Err(LedgerError::Failed { file: self.journal.path().to_owned() });
        }
        match self.torn {
            Some(TornLine { line, bytes, unacknowledged: false }) => {
                return Err(LedgerError::Torn { file: self.journal.path().to_owned(), line, bytes });
            }
            Some(_) => {
                self.journal.cut(&self.tip)?;
                self.torn = None;
            }
            None => {}
        }
        let (mut tip, mut lines, mut made, mut refused) = (self.tip, Vec::new(), Vec::new(), Ok(()));
        for entry in entries {
            match self.take(&mut tip, &mut lines, entry) {
                Ok(taken) => made.push(taken),
                Err(error) => {
                    refused = Err(error);
                    break;
                }
            }
        }
        if !made.is_empty() {
            // Until they are written and noted, the book is ahead of the file.
            self.failed = true;
            self.write(tip, &lines)?;
            let noted = self.note(&made);
            acknowledged.extend(made.into_iter().map(|taken| taken.record));
            noted?;
            self.failed = false;
        }
        refused
    }

    /// Writes the lines of entries that the book has taken, of which the last ends at `tip`.
    fn write(&mut self, tip: Tip, lines: &[u8]) -> Result<(), LedgerError> {
        self.journal.in_place()?;
        self.journal.append(&self.tip, lines)?;
        // Who opens the book next must find them.
        if self.journal.in_place().is_err() {
            return Err(LedgerError::Moved { file: self.journal.path().to_owned(), written: true });
        }
        self.tip = tip;
        Ok(())
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
        let record = Record { counter, height, kind: event.kind().to_owned(), event };
        Ok(Taken { record, start, points })
    }

    /// Tells the index of entries that are on the disk, or marks it as behind.
    fn note(&mut self, made: &[Taken]) -> Result<(), LedgerError> {
        if !self.indexed {
            return Ok(());
        }
        let add = || {
            self.index.begin()?;
            for Taken { record: Record { counter, height, kind, .. }, start, points } in made {
                self.index.add(*counter, *height, kind, *start, points)?;
            }
            self.index.commit(&self.tip)
        };
        if let Err(error) = add() {
            self.indexed = false;
            self.index_state = IndexState::Damaged { reason: error.to_string() };
            // An index that is neither told nor marked would take what follows it for never acknowledged.
            return self.index.mark_behind().map_err(|error| LedgerError::Unmarked {
                file: self.journal.path().to_owned(),
                first: self.tip.counter + 1 - made.len() as u64,
                last: self.tip.counter,
                error: Box::new(error),
            });
        }
        self.index_state = IndexState::Current;
        Ok(())
    }

    /// The book that the journal makes.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// The Bitcoin network whose stakes it is about.
    pub const fn network(&self) -> Network {
        self.journal.network()
    }

    /// What tells the book from every other.
    pub const fn id(&self) -> BookId {
        self.journal.id()
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

    /// Whether nothing of it is written: [`Ledger::append`] refuses every entry.
    pub const fn is_read_only(&self) -> bool {
        self.read_only
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
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// Every entry, oldest first, each read when it is asked for.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Index`]; for an entry as [`Ledger::last`].
    pub fn records(&self) -> Result<impl Iterator<Item = Result<Record, LedgerError>>, LedgerError> {
        let rows = self.index.last(u32::MAX, None, Height::GENESIS)?;
        Ok(rows.into_iter().map(|row| self.read(&row)))
    }

    fn read(&self, row: &EntryRow) -> Result<Record, LedgerError> {
        let text = self.journal.line_at(row.start)?;
        let differs = |_| self.differs("the place", row.counter);
        let Entry { height, event } = line::parse(&text, row.counter).map_err(differs)?;
        Ok(Record { counter: row.counter, height, kind: event.kind().to_owned(), event })
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

#[cfg(test)]
mod tests;
