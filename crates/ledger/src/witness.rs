//! What lies beside a journal, and what that tells of it.

use crate::error::LedgerError;
use crate::index::{self, Found, Index, IndexState, Seen};
use crate::journal::{self, Journal, Rest, Tip, TornLine, line_of};
use crate::replay::{Replayed, Step, replay};
use crate::rows::Queries;

/// What lies beside a journal, to hold that against.
pub(crate) struct Beside<'a> {
    index: Option<&'a Index>,
    pub(crate) witness: Option<Witness>,
    state: IndexState,
}

/// A journal that its index lets stand.
pub(crate) struct Judged {
    pub(crate) replayed: Replayed,
    pub(crate) torn: Option<TornLine>,
    pub(crate) state: IndexState,
}

/// Reads a journal and what lies beside it; once more without the index, if that turns out to be damaged. Nothing is written.
pub(crate) fn beside<T>(
    journal: &Journal,
    read: impl Fn(Beside<'_>) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let path = Index::path_of(journal.path());
    let without = |state| read(Beside { index: None, witness: None, state });
    if journal.is_read_only()
        && let Some(error) = Index::denied(&path)
    {
        // Whoever let the journal be read has kept the witness back.
        return without(IndexState::Unreadable { reason: error.to_string() });
    }
    let (index, seen) = match Index::look(&path)? {
        Found::Unusable(state) => return without(state),
        Found::Usable(index, seen) => (index, seen),
    };
    match read(Beside { index: Some(&index), witness: Some(Witness::new(seen)), state: IndexState::Current })
    {
        // What it has seen still holds.
        Err(LedgerError::Index { error, .. }) if index::is_damage(&error) => {
            let witness = Some(Witness::new(Seen { vouches: false, ..seen }));
            read(Beside { index: None, witness, state: IndexState::Damaged { reason: error.to_string() } })
        }
        other => other,
    }
}

impl Beside<'_> {
    /// The last entry that the index has seen.
    pub(crate) fn last(&self) -> u64 {
        self.witness.map_or(0, |witness| witness.seen.tip.counter)
    }

    /// Reads the journal, and holds it against what its index has seen and, where that can be read, has in its rows: returns also
    /// whether these are right, as far as they go.
    pub(crate) fn compare(
        &self,
        journal: &Journal,
        mut each: impl FnMut(&Step<'_>) -> Result<(), LedgerError>,
    ) -> Result<(Replayed, Result<(), LedgerError>), LedgerError> {
        let last = self.last();
        let mut queries = self.index.map(Queries::new).transpose()?;
        let mut rows = queries.as_mut().map(Queries::rows).transpose()?;
        let pass = |tip: &Tip| self.witness.map_or(Ok(()), |witness| witness.pass(journal, tip));
        pass(&journal.first())?;
        let replayed = replay(journal, |step| {
            pass(&step.tip)?;
            each(&step)?;
            match &mut rows {
                Some(rows) if step.tip.counter <= last => rows.compare(&step),
                _ => Ok(()),
            }
        })?;
        Ok((replayed, rows.map_or(Ok(()), |rows| rows.end(last))))
    }

    /// Reads the journal, and refuses it as opening does.
    pub(crate) fn judge(
        self,
        journal: &Journal,
        each: impl FnMut(&Step<'_>) -> Result<(), LedgerError>,
    ) -> Result<Judged, LedgerError> {
        let (mut replayed, rows) = self.compare(journal, each)?;
        let torn = judge(journal, self.witness.as_ref(), &replayed.tip, replayed.rest.take(), rows)?;
        let entries = replayed.tip.counter - self.last();
        let behind = self.index.is_some() && entries > 0;
        let state = if behind { IndexState::Behind { entries } } else { self.state };
        Ok(Judged { replayed, torn, state })
    }
}

/// Holds what an index has seen against the journal.
#[derive(Clone, Copy)]
pub(crate) struct Witness {
    seen: Seen,
}

impl Witness {
    pub(crate) const fn new(seen: Seen) -> Self {
        Witness { seen }
    }

    /// Refuses a journal that has something else where the index ends.
    pub(crate) fn pass(&self, journal: &Journal, tip: &Tip) -> Result<(), LedgerError> {
        let known = &self.seen.tip;
        if tip.counter == known.counter && tip != known {
            return Err(LedgerError::Rewritten {
                file: journal.path().to_owned(),
                line: line_of(tip.counter),
                found: tip.head,
                known: known.head,
            });
        }
        Ok(())
    }

    /// Refuses a journal that ends before the index does.
    pub(crate) fn end(&self, journal: &Journal, tip: &Tip) -> Result<(), LedgerError> {
        let known = self.seen.tip.counter;
        if tip.counter < known {
            let line = line_of(tip.counter).saturating_add(1);
            return Err(LedgerError::Shortened { file: journal.path().to_owned(), line, known });
        }
        Ok(())
    }

    /// Whether nobody was told of anything that follows the whole lines, which end at `tip`.
    pub(crate) fn clears(&self, journal: &Journal, tip: &Tip) -> Result<bool, LedgerError> {
        Ok(self.seen.vouches && self.seen.tip == *tip && journal.has_one_name()?)
    }
}

/// A last line without end, after the whole lines, which end at `tip`. `index` is whether the rows of the index are right, as far
/// as they go. A damaged line is refused, and so is a journal that has less than the index has seen.
pub(crate) fn judge(
    journal: &Journal,
    witness: Option<&Witness>,
    tip: &Tip,
    rest: Option<Rest>,
    index: Result<(), LedgerError>,
) -> Result<Option<TornLine>, LedgerError> {
    let cleared = match (witness, &rest, &index) {
        (Some(witness), Some(_), Ok(())) => witness.clears(journal, tip)?,
        _ => false,
    };
    let torn = match rest {
        Some(Rest { line, damage: Some(damage), .. }) => {
            return Err(journal::damaged(journal.path(), line, damage, cleared));
        }
        rest => rest.map(|Rest { line, bytes, .. }| TornLine { line, bytes, unacknowledged: cleared }),
    };
    if let Some(witness) = witness {
        witness.end(journal, tip)?;
    }
    index.map(|()| torn)
}
