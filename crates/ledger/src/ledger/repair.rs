//! What follows the whole lines of a journal: seen, and cut off.

use std::path::{Path, PathBuf};

use bitcoin::Network;
use serde::Serialize;

use super::Ledger;
use crate::error::LedgerError;
use crate::index::{Index, IndexState};
use crate::journal::{Journal, Tip, line_of};
use crate::line::Head;
use crate::replay::Replayed;
use crate::witness::beside;

/// What a repair does to a journal, and what its index tells of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// The network.
    pub network: Network,
    /// The entries that stay: those of the whole lines.
    pub entries: u64,
    /// The hash of the last of these lines.
    pub head: Head,
    /// The number of the first line that is not whole, or not there.
    pub line: u64,
    /// The bytes from its start on, which are cut off; zero if the journal ends there.
    pub bytes: u64,
    /// The entries that go and were acknowledged, for the index has seen them.
    pub lost: u64,
    /// Whether the index tells that nobody was told of anything else that goes. One that is missing, damaged, marked as behind or not
    /// exactly as far as the whole lines tells nothing.
    pub unacknowledged: bool,
}

impl Survey {
    /// Whether anything is to be repaired.
    pub const fn is_broken(&self) -> bool {
        self.bytes > 0 || self.lost > 0
    }
}

/// Reads a journal as far as its lines are whole, and holds its end against its index.
fn survey(journal: &Journal) -> Result<(Survey, Tip), LedgerError> {
    beside(journal, |beside| {
        let (Replayed { tip, rest, .. }, rows) = beside.compare(journal, |_| Ok(()))?;
        let differs = match rows {
            Err(LedgerError::IndexDiffers { .. }) => true,
            other => other.map(|()| false)?,
        };
        let clears = match beside.witness {
            Some(witness) if !differs => witness.clears(journal, &tip)?,
            _ => false,
        };
        let survey = Survey {
            network: journal.network(),
            entries: tip.counter,
            head: tip.head,
            line: line_of(tip.counter).saturating_add(1),
            bytes: rest.map_or(0, |rest| rest.bytes),
            lost: beside.last().saturating_sub(tip.counter),
            unacknowledged: clears,
        };
        Ok((survey, tip))
    })
}

impl Ledger {
    /// Looks at the end of a journal and at what its index tells of it. Nothing is written.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open`], but for damage in lines after the first and entries that are gone: those are what the survey tells.
    pub fn survey(file: &Path) -> Result<Survey, LedgerError> {
        Ok(survey(&Journal::open(file)?)?.0)
    }

    /// Keeps the whole lines of a journal and cuts off what follows them, as a survey has told: that is saved first, in a new file
    /// `NAME.cut-LINE-NUMBER` beside the journal, which is returned. The index is made anew. Entries that the survey calls lost are
    /// gone from the book; whoever asks for this says so. Where nothing is broken this opens the book.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open`]; [`LedgerError::Changed`] if the journal or its index no longer tell the same; [`LedgerError::ReadOnly`]
    /// if something is broken and may not be written.
    pub fn repair(file: &Path, asked: &Survey) -> Result<(Self, Option<PathBuf>), LedgerError> {
        let journal = Journal::open(file)?;
        let (found, tip) = survey(&journal)?;
        if found != *asked {
            return Err(LedgerError::Changed { file: journal.path().to_owned() });
        }
        if !found.is_broken() {
            return Ok((Ledger::of(journal)?, None));
        }
        if journal.is_read_only() || !Index::can_be_made(&Index::path_of(journal.path()))? {
            return Err(LedgerError::ReadOnly { file: journal.path().to_owned() });
        }
        let saved = if found.bytes > 0 { Some(journal.cut(&tip)?) } else { None };
        Ok((Ledger::with_new_index(journal, IndexState::Current, None)?, saved))
    }
}
