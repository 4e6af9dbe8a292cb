//! Everything anew: each hash, each event, each sum, and each row of the index.

use std::path::Path;

use bitcoin::Network;
use serde::Serialize;
use tapstake_params::Height;

use crate::error::LedgerError;
use crate::index::IndexState;
use crate::journal::{Journal, Tip, TornLine};
use crate::line::{BookId, Head};
use crate::replay::Replayed;
use crate::witness::{Judged, beside};

/// What an audit has found in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// What tells the book from every other.
    pub id: BookId,
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
    let (judged, kept) = beside(&journal, |beside| {
        let mut kept = Kept::new(known);
        kept.pass(&journal.first());
        let judged = beside.judge(&journal, |step| {
            kept.pass(&step.tip);
            Ok(())
        })?;
        Ok((judged, kept))
    })?;
    let Judged { replayed: Replayed { book, tip, .. }, torn, state } = judged;
    kept.end()?;
    book.check()?;
    Ok(AuditReport {
        id: journal.id(),
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
