//! Everything anew: each hash, each event, each sum, and each row of the index.

use std::path::Path;

use bitcoin::Network;
use serde::Serialize;
use tapstake_params::Height;

use crate::error::LedgerError;
use crate::index::{self, EntryRow, Found, Index, IndexState};
use crate::journal::{Journal, Tip, TornLine};
use crate::ledger::{Replayed, Witness, replay};
use crate::line::Head;

/// What an audit has found in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The network.
    pub network: Network,
    /// The entries, each of which follows from the one before and was taken by the book.
    pub entries: u64,
    /// The height of the last entry.
    pub height: Height,
    /// The hash of the last line.
    pub head: Head,
    /// The bytes of the journal.
    pub bytes: u64,
    /// How far the index went. As far as it goes, each of its rows is what the journal makes.
    pub index: IndexState,
    /// The last line, if it has no end.
    pub torn: Option<TornLine>,
}

/// Recomputes a book from its journal, reading it once, adds up everything that it keeps as a sum, and compares the index row
/// by row. Nothing is written; memory does not grow with the number of entries, but with that of stakes, holders and exits.
///
/// With `known`, the number of an entry (0 for the first line) and the hash that somebody has kept, the journal must have that hash
/// there: this shows what the files alone cannot, that nobody has written both anew.
///
/// # Errors
///
/// As [`Ledger::open`](crate::Ledger::open); [`LedgerError::Imbalance`] if a sum is not that of its parts,
/// [`LedgerError::IndexDiffers`], and [`LedgerError::OtherHead`] if the journal does not have the hash that is known.
pub fn audit(file: &Path, known: Option<(u64, Head)>) -> Result<AuditReport, LedgerError> {
    let journal = Journal::open(file)?;
    let path = Index::path_of(file);
    let (index, seen, mut state) = match Index::open(&path)? {
        Found::Usable(index, seen) => (Some(index), Some(seen), IndexState::Current),
        Found::Unusable(state) => (None, None, state),
    };
    let database = |error| index::failed(&path, error);
    let mut queries =
        index.as_ref().map(|index| Ok((index.entry_query()?, index.point_query()?))).transpose();
    let queries = queries.as_mut().map_err(|error: &mut rusqlite::Error| {
        database(std::mem::replace(error, rusqlite::Error::InvalidQuery))
    })?;
    let mut rows = match queries {
        Some((entries, points)) => {
            Some((entries.query([]).map_err(database)?, points.query([None::<&str>]).map_err(database)?))
        }
        None => None,
    };
    let witness = seen.map(Witness::new);
    let mut kept = Kept::new(known);
    let pass = |tip: &Tip| witness.as_ref().map_or(Ok(()), |witness| witness.pass(&journal, tip));
    pass(&journal.first())?;
    kept.pass(&journal.first());
    let differs = |what, counter| LedgerError::IndexDiffers { file: path.clone(), what, counter };
    let Replayed { book, tip, torn, .. } = replay(&journal, |step| {
        pass(&step.tip)?;
        kept.pass(&step.tip);
        let counter = step.tip.counter;
        let (Some((entries, points)), true) = (&mut rows, seen.is_some_and(|seen| counter <= seen.counter))
        else {
            return Ok(());
        };
        let row = entries.next().map_err(database)?.map(index::entry_of).transpose().map_err(database)?;
        let (kind, height, start) = (step.kind.to_owned(), step.height, step.start);
        if row != Some(EntryRow { counter, height, kind, start }) {
            return Err(differs("the row", counter));
        }
        for point in step.points {
            let row = points.next().map_err(database)?.map(index::point_of).transpose().map_err(database)?;
            if row.as_ref() != Some(point) {
                return Err(differs("a pool's worth", counter));
            }
        }
        Ok(())
    })?;
    if let Some(witness) = witness {
        witness.end(&journal, &tip)?;
    }
    if let Some((entries, points)) = &mut rows
        && (entries.next().map_err(database)?.is_some() || points.next().map_err(database)?.is_some())
    {
        return Err(differs("a row too many", tip.counter));
    }
    if let Some(entries @ 1..) = seen.map(|seen| tip.counter - seen.counter) {
        state = IndexState::Behind { entries };
    }
    kept.end()?;
    book.check()?;
    Ok(AuditReport {
        network: journal.network(),
        entries: tip.counter,
        height: book.height(),
        head: tip.head,
        bytes: tip.length,
        index: state,
        torn,
    })
}

/// A hash that somebody has kept, and what the journal has there.
struct Kept {
    known: Option<(u64, Head)>,
    found: Option<Head>,
}

impl Kept {
    const fn new(known: Option<(u64, Head)>) -> Self {
        Kept { known, found: None }
    }

    fn pass(&mut self, tip: &Tip) {
        if self.known.is_some_and(|(counter, _)| counter == tip.counter) {
            self.found = Some(tip.head);
        }
    }

    fn end(&self) -> Result<(), LedgerError> {
        match self.known {
            Some((counter, expected)) if self.found != Some(expected) => {
                Err(LedgerError::OtherHead { counter, expected, found: self.found })
            }
            _ => Ok(()),
        }
    }
}
