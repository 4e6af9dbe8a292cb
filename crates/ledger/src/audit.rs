//! Everything anew: each hash, each event, each sum, and each row of the index.

use std::path::Path;

use bitcoin::Network;
use serde::Serialize;
use tapstake_params::Height;

use crate::error::LedgerError;
use crate::index::{Found, Index, IndexState};
use crate::journal::{Journal, Tip, TornLine};
use crate::ledger::{Replayed, Witness, replay};
use crate::line::Head;
use crate::rows::Queries;

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
    let mut queries = index.as_ref().map(Queries::new).transpose()?;
    let mut rows = queries.as_mut().map(Queries::rows).transpose()?;
    let witness = seen.map(Witness::new);
    let mut kept = Kept::new(known);
    let pass = |tip: &Tip| witness.as_ref().map_or(Ok(()), |witness| witness.pass(&journal, tip));
    pass(&journal.first())?;
    kept.pass(&journal.first());
    let Replayed { book, tip, torn, .. } = replay(&journal, |step| {
        pass(&step.tip)?;
        kept.pass(&step.tip);
        match &mut rows {
            Some(rows) if seen.is_some_and(|seen| step.tip.counter <= seen.counter) => rows.compare(&step),
            _ => Ok(()),
        }
    })?;
    if let Some(witness) = witness {
        witness.end(&journal, &tip)?;
    }
    if let (Some(rows), Some(seen)) = (rows, seen) {
        rows.end(seen.counter)?;
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
