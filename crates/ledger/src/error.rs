use std::io;
use std::path::PathBuf;

use bitcoin::Network;
use tapstake_restake::{BookError, Imbalance};

use crate::ledger::Record;
use crate::line::Head;

/// What is wrong with a line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Its hash is not that of the line and the lines before it: one of its bytes was changed, or a line before it was
    /// removed, added or moved.
    #[error(
        "its hash does not follow from it and the line before: it was changed, or a line was removed, added or moved"
    )]
    Hash,
    /// It is longer than any entry.
    #[error("it is longer than 1 MiB")]
    TooLong,
    /// Its hash is right and its form is not: another program wrote it.
    #[error("it is no entry: {0}")]
    Form(String),
    /// Its number is not the next.
    #[error("it is entry {found} where entry {expected} belongs")]
    Counter {
        /// Its number.
        found: u64,
        /// The next number.
        expected: u64,
    },
    /// The book refuses its entry.
    #[error("the book refuses it: {0}")]
    Refused(Box<BookError>),
}

/// Why a ledger cannot be opened, or does not take an entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A file or folder cannot be read or written.
    #[error("{}: {error}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is a file of this name already.
    #[error("{} is there already", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// There is no such book.
    #[error("there is no book at {}", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// Another process is at it.
    #[error("{} is in use by another process", file.display())]
    Busy {
        /// The file.
        file: PathBuf,
    },
    /// There is no journal of this name, and an index beside it that tells of one: entries are lost with it.
    #[error("there is no book at {}, and its index lies there: its journal is lost", file.display())]
    LostJournal {
        /// The file.
        file: PathBuf,
        /// The index.
        index: PathBuf,
    },
    /// The first line is not that of a journal.
    #[error("{} is no book: line 1 does not say so", file.display())]
    NoBook {
        /// The file.
        file: PathBuf,
    },
    /// The file is empty, and no index is beside it: whoever began the book was stopped before its first line. No entry is in it.
    #[error("{} is empty: a book that was not finished being made", file.display())]
    Unfinished {
        /// The file.
        file: PathBuf,
    },
    /// Neither it nor what belongs beside it can be written by this process. Nothing was written.
    #[error("{} can only be read here", file.display())]
    ReadOnly {
        /// The file.
        file: PathBuf,
    },
    /// The file of this name is no longer the one that was opened.
    #[error("{} was moved, removed or replaced while it was open{}", file.display(), match written {
        true => "; the entry is in the file that had this name, and not in the one that has it",
        false => ": nothing was written",
    })]
    Moved {
        /// The file.
        file: PathBuf,
        /// Whether lines were written before that was seen: they are in a file that has another name or none.
        written: bool,
    },
    /// A format of a newer program.
    #[error("{} is of version {found}, this program reads version {supported}", file.display())]
    NewerVersion {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The version read here.
        supported: u32,
    },
    /// A line was changed, removed, added or moved. Nothing is read beyond it.
    #[error("{}, line {line}: {damage}{}", file.display(), match unacknowledged {
        true => "; its index tells that nobody was told of it or what follows",
        false => "",
    })]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        damage: Damage,
        /// Whether the line and all that follows were never acknowledged, as the index tells: a writer was stopped there.
        unacknowledged: bool,
    },
    /// Entries that were acknowledged are gone from the end.
    #[error(
        "{}, line {line}: missing or cut off, and its index has seen {known} entries: acknowledged entries are gone",
        file.display()
    )]
    Shortened {
        /// The file.
        file: PathBuf,
        /// The number of the first line that is not whole.
        line: u64,
        /// The entries that the index has seen.
        known: u64,
    },
    /// The journal is whole, and not the one that the index has seen.
    #[error("{}, line {line}: it ends in {found}, where its index has seen {known}", file.display())]
    Rewritten {
        /// The file.
        file: PathBuf,
        /// The number of the line.
        line: u64,
        /// Its hash.
        found: Head,
        /// The hash that the index has seen there.
        known: Head,
    },
    /// The last line has no end, and no index tells that it was never acknowledged.
    #[error(
        "{}, line {line}: cut off after {bytes} bytes, and no index tells that it was never acknowledged",
        file.display()
    )]
    Torn {
        /// The file.
        file: PathBuf,
        /// The number of the line.
        line: u64,
        /// The bytes that are left of it.
        bytes: u64,
    },
    /// The journal does not end as in the survey that the repair was asked for with. Nothing was cut.
    #[error("{} has changed since it was looked at", file.display())]
    Changed {
        /// The file.
        file: PathBuf,
    },
    /// The write of an entry has failed, and so has taking back what of it has reached the file.
    #[error("{}: {error}; whether the entry is in the journal is not certain: look before it is entered again", file.display())]
    Uncertain {
        /// The file.
        file: PathBuf,
        /// Why it cannot be written.
        error: io::Error,
    },
    /// The entries are in the journal, on the disk, and stay; its index could not be told of them, nor marked as behind. Until the
    /// book is opened again, it would take them for such as nobody was told of.
    #[error(
        "{}: entries {first} to {last} are in the journal, do not enter them again; its index could be neither written nor \
         marked as behind: {error}",
        file.display()
    )]
    Unmarked {
        /// The file.
        file: PathBuf,
        /// The first of the entries.
        first: u64,
        /// The last of them.
        last: u64,
        /// Why the mark could not be made.
        error: Box<LedgerError>,
    },
    /// The journal does not have the hash that the caller knows.
    #[error("entry {counter} should end in {expected}, {}", match found {
        Some(found) => format!("it ends in {found}"),
        None => "there is no such entry".to_owned(),
    })]
    OtherHead {
        /// The entry's number; 0 is the first line.
        counter: u64,
        /// What the caller knows.
        expected: Head,
        /// What the journal has.
        found: Option<Head>,
    },
    /// The book is of another network.
    #[error("{} is a book of {found}, not of {expected}", file.display())]
    Network {
        /// The file.
        file: PathBuf,
        /// Its network.
        found: Network,
        /// The network asked for.
        expected: Network,
    },
    /// The book refuses the entry. Nothing was written.
    #[error(transparent)]
    Refused(Box<BookError>),
    /// An entry that does not fit into a line.
    #[error("the entry takes {bytes} bytes, a line takes at most 1 MiB")]
    TooLong {
        /// The bytes.
        bytes: usize,
    },
    /// An earlier write failed: what has reached the disk is seen by opening it again.
    #[error("{}: an earlier write failed; open it again", file.display())]
    Failed {
        /// The file.
        file: PathBuf,
    },
    /// The books do not balance.
    #[error("the books do not balance: {0}")]
    Imbalance(Box<Imbalance>),
    /// The index says something else than the journal, or a row of it has a value that no row can have.
    #[error("{}: {what} at entry {counter} is not what the journal makes", file.display())]
    IndexDiffers {
        /// The index.
        file: PathBuf,
        /// What differs.
        what: &'static str,
        /// The number of the entry.
        counter: u64,
    },
    /// The index cannot be read or written, and nothing proves that it is damaged.
    #[error("{}: the index cannot be used: {error}", file.display())]
    Index {
        /// The index.
        file: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
}

/// Why [`Ledger::append_all`](crate::Ledger::append_all) has stopped before the last entry, and what it had made until then.
#[derive(Debug, thiserror::Error)]
#[error("{error} (entries made before it: {})", made.len())]
pub struct Stopped {
    /// The entries that are made: they are acknowledged and stay.
    pub made: Vec<Record>,
    /// Why the next one is not.
    pub error: LedgerError,
}

impl From<BookError> for LedgerError {
    fn from(error: BookError) -> Self {
        LedgerError::Refused(Box::new(error))
    }
}

impl From<Imbalance> for LedgerError {
    fn from(error: Imbalance) -> Self {
        LedgerError::Imbalance(Box::new(error))
    }
}
