//! A journal read into the book that it makes.

use tapstake_params::Height;
use tapstake_restake::Book;

use crate::error::{Damage, LedgerError};
use crate::journal::{Journal, Rest, Tip};
use crate::line;
use crate::series::{Point, Series};

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
    pub(crate) rest: Option<Rest>,
}

/// Reads a journal from the first line on, each line once, as far as they are whole.
pub(crate) fn replay(
    journal: &Journal,
    mut each: impl FnMut(Step<'_>) -> Result<(), LedgerError>,
) -> Result<Replayed, LedgerError> {
    let (mut book, mut series, mut lines) = (Book::new(), Series::default(), journal.lines()?);
    let mut tip = lines.tip();
    loop {
        let counter = tip.counter + 1;
        let Some((start, text)) = lines.next()? else {
            return Ok(Replayed { book, series, tip: lines.tip(), rest: lines.rest() });
        };
        let taken = line::parse(text, counter).and_then(|entry| {
            book.apply(&entry).map_err(|error| Damage::Refused(error.into()))?;
            Ok(entry)
        });
        let entry = match taken {
            Ok(entry) => entry,
            Err(damage) => {
                let rest = journal.rest(&tip, Some(damage))?;
                return Ok(Replayed { book, series, tip, rest: Some(rest) });
            }
        };
        tip = lines.tip();
        let points = series.after(&book, &entry.event);
        each(Step { tip, height: entry.height, kind: entry.event.kind(), start, points: &points })?;
    }
}
