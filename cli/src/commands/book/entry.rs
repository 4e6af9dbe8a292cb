//! How entries are made, or tried, and what is shown of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bitcoin::{Network, OutPoint};
use serde::Serialize;
use tapstake_ledger::{Head, IndexState, Ledger, LedgerError, Record, Stopped, TornLine};
use tapstake_params::Height;
use tapstake_restake::{Book, BookError, Denomination, Entry, Event, HolderId, PoolId};

use super::outcome::{Outcome, watch};
use super::refusal::in_book;
use super::words::words;
use super::{BookFile, refused};
use crate::error::{Context, Error, Result};
use crate::output::{Show, facts};
use crate::session::Session;

/// Where and when an entry is made.
#[derive(Debug, clap::Args)]
pub(crate) struct At {
    #[command(flatten)]
    book: BookFile,
    /// The Bitcoin height at which it takes effect [default: that of the last entry]
    #[arg(long, value_name = "HEIGHT")]
    height: Option<u32>,
    /// The number that the entry is to have, of several the first: refused unless it is the next
    #[arg(long, value_name = "ENTRY", value_parser = clap::value_parser!(u64).range(1..))]
    expect: Option<u64>,
    /// Show what would come of it, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Two weeks. A height further above the last entry is rather mistyped than meant, and no later entry can be below it.
const AHEAD: u32 = 2_016;
const BLOCKS_A_DAY: u32 = 144;

/// A height that no chain of the network has: mainnet comes here about 2047, and no test network is half as high as this.
const fn beyond(network: Network) -> u32 {
    match network {
        Network::Bitcoin => 2_000_000,
        _ => 10_000_000,
    }
}

impl At {
    /// The book, open for entries of a height. One far ahead is asked about first, while the book is free for others.
    pub(super) fn open(&self, session: &Session<'_>) -> Result<Opened> {
        let height = |ledger: &Ledger| self.height.map_or(ledger.book().height(), Height::new);
        let mut ledger = self.ledger(session)?;
        if let Some(question) = far_ahead(&ledger, height(&ledger)) {
            drop(ledger);
            session.out.confirm(&format!("{question}. Go on?")).map_err(|_| {
                Error::rule("height-ahead", question).next("give another --height, or --yes if it is right")
            })?;
            ledger = self.ledger(session)?;
        }
        let copy = self.dry_run.then(|| ledger.book().clone());
        Ok(Opened { height: height(&ledger), copy, ledger })
    }

    /// The book, unless what is to be made has another number than it would get.
    fn ledger(&self, session: &Session<'_>) -> Result<Ledger> {
        let ledger = self.book.open(session)?;
        let made = ledger.book().entries();
        match self.expect.map(|expected| (expected, made.saturating_sub(expected).saturating_add(1))) {
            Some((expected, since)) if Some(expected) != made.checked_add(1) => {
                let next = match expected <= made {
                    true => format!(
                        "tapstake book log --last {since} shows what was made from {expected} on: if it is this, do not make it again"
                    ),
                    false => "tapstake book log shows what was made".to_owned(),
                };
                let message = format!("the book has {made} entries: the next one is not number {expected}");
                Err(Error::rule("entry-number", message).next(next))
            }
            _ => Ok(ledger),
        }
    }

    pub(super) const fn names_a_height(&self) -> bool {
        self.height.is_some()
    }
}

/// A book that is open for entries of one height.
pub(super) struct Opened {
    ledger: Ledger,
    pub(super) height: Height,
    /// What a dry run works on.
    copy: Option<Book>,
}

impl Opened {
    pub(super) fn book(&self) -> &Book {
        self.copy.as_ref().unwrap_or(self.ledger.book())
    }

    /// Makes entries, acknowledged together. What a dry run makes is in its copy of the book only.
    ///
    /// Several are first tried on a copy by whoever asks for them, unless none can be refused behind the first: so a refusal of one
    /// leaves none of them made.
    pub(super) fn enter(&mut self, events: impl IntoIterator<Item = Event>) -> Result<Vec<Record>, Stopped> {
        let height = self.height;
        let entries = events.into_iter().map(|event| Entry { height, event });
        match &mut self.copy {
            None => self.ledger.append_all(entries),
            Some(book) => {
                let mut made = Vec::new();
                match tried(&self.ledger, book, entries, &mut made) {
                    Ok(()) => Ok(made),
                    // Nothing is made by a dry run.
                    Err(error) => Err(Stopped { made: Vec::new(), error }),
                }
            }
        }
    }

    /// Makes entries, and shows them.
    pub(super) fn make(
        self,
        events: impl IntoIterator<Item = (Event, Outcome)>,
        session: &Session<'_>,
    ) -> Result<()> {
        let (events, outcomes): (Vec<_>, Vec<_>) = events.into_iter().unzip();
        self.make_beside(events, outcomes, Beside::default(), session)
    }

    /// Makes entries, and shows them and what they pay in all.
    pub(super) fn make_all(
        self,
        events: Vec<Event>,
        outcomes: Vec<Outcome>,
        paid_in_all: BTreeMap<Denomination, u128>,
        session: &Session<'_>,
    ) -> Result<()> {
        let paid_in_all = paid_in_all.into_iter().map(|(coin, paid)| (coin, paid.to_string())).collect();
        self.make_beside(events, outcomes, Beside { paid_in_all, ..Beside::default() }, session)
    }

    /// Makes entries, and shows them and what is to be said beside them.
    pub(super) fn make_beside(
        mut self,
        events: Vec<Event>,
        outcomes: Vec<Outcome>,
        beside: Beside,
        session: &Session<'_>,
    ) -> Result<()> {
        let records = self.enter(events).or_else(stopped)?;
        let entries = records.into_iter().zip(outcomes).map(|(record, outcome)| Made { record, outcome });
        self.show(entries.collect(), beside, session);
        Ok(())
    }

    /// Makes entries that do not bear on one another, and shows them with what has come of each.
    pub(super) fn make_each(mut self, events: Vec<Event>, session: &Session<'_>) -> Result<()> {
        let seen = events.clone();
        let outcomes: Vec<_> = seen.iter().map(|event| watch(self.book(), event)).collect();
        let records = self.enter(events).or_else(stopped)?;
        let made = records.into_iter().zip(outcomes);
        let made = made.map(|(record, outcome)| Made { record, outcome: outcome(self.book()) }).collect();
        self.show(made, Beside::default(), session);
        Ok(())
    }

    /// Makes one entry, and shows it with what has come of it.
    pub(super) fn make_one(self, event: Event, session: &Session<'_>) -> Result<()> {
        let seen = event.clone();
        self.make_or(event, |error, book| Err(in_book(book, &seen, error)), session)
    }

    /// The same, with what to say of a refusal by the book.
    pub(super) fn make_or(
        mut self,
        event: Event,
        refusal: impl FnOnce(BookError, &Book) -> Result<()>,
        session: &Session<'_>,
    ) -> Result<()> {
        let seen = event.clone();
        let outcome = watch(self.book(), &seen);
        let records = match self.enter([event]) {
            Err(Stopped { error: LedgerError::Refused(error), .. }) => return refusal(*error, self.book()),
            made => made.or_else(stopped)?,
        };
        let outcome = outcome(self.book());
        if let Some(pool) = outcome.new_holder().and_then(|name| pool_named(self.book(), name)) {
            session.out.warn(&format!(
                "holder {pool} is named like pool {pool}, and is not that pool: tapstake book pool deposit puts shares into \
                 a pool"
            ));
        }
        if let (Event::Slash { provider }, Some(0)) = (&seen, outcome.lost_sat())
            && self.book().services().all(|service| self.book().provider(service.name, provider).is_err())
        {
            session.out.warn(&format!(
                "provider {provider} serves no service of this book, and nothing in it can be slashed with its key: is this \
                 the evidence, and the book, that you mean?"
            ));
        }
        let entries = records.into_iter().zip([outcome]).map(|(record, outcome)| Made { record, outcome });
        self.show(entries.collect(), Beside::default(), session);
        Ok(())
    }

    fn show(&self, entries: Vec<Made>, beside: Beside, session: &Session<'_>) {
        if let IndexState::Damaged { reason } = self.ledger.index_state() {
            session
                .out
                .note(&format!("the index could not be written, and is made anew next time: {reason}"));
        }
        let (dry_run, head) = (self.copy.is_some(), self.ledger.head());
        session.out.show(&Recorded { dry_run, entries, beside, head });
    }
}

/// The pool that has the name of a holder.
fn pool_named(book: &Book, holder: &HolderId) -> Option<PoolId> {
    let name = PoolId::new(holder.as_str()).ok()?;
    (book.pool(&name).is_ok() || book.lrt_pool(&name).is_ok()).then_some(name)
}

/// Makes entries in a copy of the book, and refuses what the ledger would.
fn tried(
    ledger: &Ledger,
    book: &mut Book,
    entries: impl Iterator<Item = Entry>,
    made: &mut Vec<Record>,
) -> Result<(), LedgerError> {
    if let Some(TornLine { line, bytes, unacknowledged: false }) = ledger.torn() {
        return Err(LedgerError::Torn { file: ledger.file().to_owned(), line, bytes });
    }
    for entry in entries {
        book.apply(&entry)?;
        let Entry { height, event } = entry;
        let kind =
            serde_json::to_value(&event).ok().and_then(|event| event.as_object()?.keys().next().cloned());
        made.push(Record { counter: book.entries(), height, kind: kind.unwrap_or_default(), event });
    }
    Ok(())
}

/// A refusal that says what is made nevertheless.
pub(super) fn stopped<T>(Stopped { made, error }: Stopped) -> Result<T> {
    let refusal = Err(refused(error));
    match (made.first(), made.last()) {
        (Some(first), Some(last)) => refusal.context(format!(
            "entries {} to {} are made, what comes after them is not",
            first.counter, last.counter
        )),
        _ => refusal,
    }
}

/// What is asked about a height far above the last entry, or, before the first entry, above every chain.
fn far_ahead(ledger: &Ledger, height: Height) -> Option<String> {
    let book = ledger.book();
    if book.entries() == 0 {
        let ahead = height.to_u32() >= beyond(ledger.network());
        return ahead.then(|| {
            format!(
                "height {height} is above that of any chain, and no later entry of this book can be below it"
            )
        });
    }
    let last = book.height();
    let blocks = height.blocks_since(last).filter(|blocks| *blocks > AHEAD)?;
    let days = blocks / BLOCKS_A_DAY;
    Some(format!(
        "height {height} is {blocks} blocks, about {days} days, above the last entry at height {last}, \
         and no later entry can be below it"
    ))
}

/// Entries that are on the disk, unless it is a dry run.
#[derive(Serialize)]
struct Recorded {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    entries: Vec<Made>,
    #[serde(flatten)]
    beside: Beside,
    /// Of the book as it is on the disk.
    head: Head,
}

/// What is said beside entries that are made together.
#[derive(Default, Serialize)]
pub(super) struct Beside {
    /// In base units.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    paid_in_all: BTreeMap<Denomination, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left_out: Vec<LeftOut>,
}

/// A proof of a stake that is in the book without it.
#[derive(Serialize)]
pub(super) struct LeftOut {
    pub(super) proof: PathBuf,
    pub(super) stake: OutPoint,
    /// Of the stake.
    pub(super) status: &'static str,
}

/// An entry, and what has come of it.
#[derive(Serialize)]
pub(super) struct Made {
    #[serde(flatten)]
    pub(super) record: Record,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

impl Show for Recorded {
    fn text(&self) -> String {
        let row = |(name, value): (&str, String)| (name.to_owned(), value);
        let mut rows = Vec::new();
        if self.dry_run {
            rows.push(row(("dry run", "nothing is written; this is what would be".to_owned())));
        }
        if self.entries.is_empty() {
            rows.push(row(("entries", "none".to_owned())));
        }
        for Made { record, outcome } in &self.entries {
            let kind = record.kind.replace('_', " ");
            rows.push(row(("entry", format!("{} at height {}: {kind}", record.counter, record.height))));
            let about = words(record);
            let came = outcome.rows().into_iter().map(row).filter(|row| !about.contains(row));
            let came: Vec<_> = came.collect();
            rows.extend(about);
            rows.extend(came);
        }
        let Beside { paid_in_all, left_out } = &self.beside;
        rows.extend(left_out.iter().map(|LeftOut { proof, stake, status }| {
            row(("left out", format!("{}: stake {stake} is in the book, {status}", proof.display())))
        }));
        rows.extend(paid_in_all.iter().map(|(coin, paid)| row(("paid in all", format!("{paid} {coin}")))));
        rows.push(row((if self.dry_run { "hash as it is" } else { "hash" }, self.head.to_string())));
        facts(rows)
    }
}
