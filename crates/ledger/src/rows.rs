//! The rows of an index, held against what the journal makes.

use rusqlite::{Row, Statement};

use crate::error::LedgerError;
use crate::index::{self, EntryRow, Index};
use crate::replay::Step;

/// What asks an index for all its rows.
pub(crate) struct Queries<'a> {
    index: &'a Index,
    entries: Statement<'a>,
    points: Statement<'a>,
}

/// The rows that were not yet compared.
pub(crate) struct Rows<'a> {
    index: &'a Index,
    entries: rusqlite::Rows<'a>,
    points: rusqlite::Rows<'a>,
    /// The first difference: what differs, and at which entry.
    differs: Option<(&'static str, u64)>,
}

impl<'a> Queries<'a> {
    pub(crate) fn new(index: &'a Index) -> Result<Self, LedgerError> {
        let failed = |error| index.error(error);
        let entries = index.entry_query().map_err(failed)?;
        Ok(Queries { index, entries, points: index.point_query().map_err(failed)? })
    }

    pub(crate) fn rows(&mut self) -> Result<Rows<'_>, LedgerError> {
        let Queries { index, entries, points } = self;
        let failed = |error| index.error(error);
        let entries = entries.query([]).map_err(failed)?;
        Ok(Rows { index, entries, points: points.query([None::<&str>]).map_err(failed)?, differs: None })
    }
}

impl Rows<'_> {
    /// Compares the rows of an entry. A difference is kept for [`Rows::end`]: a journal that is not the one that the index has
    /// seen differs in its rows too, and is to be refused as what it is.
    pub(crate) fn compare(&mut self, step: &Step<'_>) -> Result<(), LedgerError> {
        if self.differs.is_some() {
            return Ok(());
        }
        let (counter, height, start) = (step.tip.counter, step.height, step.start);
        let failed = |error| self.index.error(error);
        let expected = EntryRow { counter, height, kind: step.kind.to_owned(), start };
        if !is_next(&mut self.entries, index::entry_of, &expected).map_err(failed)? {
            self.differs = Some(("the row", counter));
            return Ok(());
        }
        for point in step.points {
            if !is_next(&mut self.points, index::point_of, point).map_err(failed)? {
                self.differs = Some(("a pool's worth", counter));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Refuses an index of which a row was not what the journal makes, or that has more of them. `counter` is the last entry
    /// that it has seen.
    pub(crate) fn end(mut self, counter: u64) -> Result<(), LedgerError> {
        let failed = |error| self.index.error(error);
        let mut differs = self.differs;
        if differs.is_none()
            && (self.entries.next().map_err(failed)?.is_some()
                || self.points.next().map_err(failed)?.is_some())
        {
            differs = Some(("a row too many", counter));
        }
        match differs {
            Some((what, counter)) => {
                Err(LedgerError::IndexDiffers { file: self.index.file().to_owned(), what, counter })
            }
            None => Ok(()),
        }
    }
}

/// Whether the next row is the expected one. One whose value cannot be read is another.
fn is_next<T: PartialEq>(
    rows: &mut rusqlite::Rows<'_>,
    read: fn(&Row<'_>) -> Result<T, rusqlite::Error>,
    expected: &T,
) -> Result<bool, rusqlite::Error> {
    match rows.next()?.map(read).transpose() {
        Err(error) if index::is_value(&error) => Ok(false),
        other => Ok(other?.as_ref() == Some(expected)),
    }
}
