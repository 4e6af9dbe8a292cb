//! How entries are made, or tried, and what is shown of them.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint};
use serde::Serialize;
use tapstake_ledger::{Head, IndexState, Ledger, LedgerError, Record, Stopped, TornLine};
use tapstake_params::Height;
use tapstake_restake::{Backing, Book, Denomination, Entry, Event, Flows, Loss, PoolId, ServiceId};

use super::show::Left;
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
    /// Show what would come of it, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Two weeks. A height further above the last entry is rather mistyped than meant, and no later entry can be below it.
const AHEAD: u32 = 2_016;
const BLOCKS_A_DAY: u32 = 144;

impl At {
    /// The book, open for entries of a height. One far ahead is asked about first, while the book is free for others.
    pub(super) fn open(&self, session: &Session<'_>) -> Result<Opened> {
        let height = |ledger: &Ledger| self.height.map_or(ledger.book().height(), Height::new);
        let mut ledger = self.book.open(session)?;
        if let Some(question) = far_ahead(ledger.book(), height(&ledger)) {
            drop(ledger);
            session.out.confirm(&format!("{question}. Go on?")).map_err(|_| {
                Error::rule("height-ahead", question).next("give another --height, or --yes if it is right")
            })?;
            ledger = self.book.open(session)?;
        }
        let copy = self.dry_run.then(|| ledger.book().clone());
        Ok(Opened { height: height(&ledger), copy, ledger })
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
        self.make_all(events, outcomes, BTreeMap::new(), session)
    }

    /// Makes entries, and shows them and what they pay in all.
    pub(super) fn make_all(
        mut self,
        events: Vec<Event>,
        outcomes: Vec<Outcome>,
        paid_in_all: BTreeMap<Denomination, u128>,
        session: &Session<'_>,
    ) -> Result<()> {
        let records = self.enter(events).or_else(stopped)?;
        let entries = records.into_iter().zip(outcomes).map(|(record, outcome)| Made { record, outcome });
        self.show(entries.collect(), paid_in_all, session);
        Ok(())
    }

    /// Makes one entry, and shows it with what it has brought about, as `outcome` reads it off the book.
    pub(super) fn make_one(
        mut self,
        event: Event,
        outcome: impl FnOnce(&Book) -> Outcome,
        session: &Session<'_>,
    ) -> Result<()> {
        let records = self.enter([event]).or_else(stopped)?;
        self.shown(records, outcome, session);
        Ok(())
    }

    /// Shows one entry that was made.
    pub(super) fn shown(
        self,
        records: Vec<Record>,
        outcome: impl FnOnce(&Book) -> Outcome,
        session: &Session<'_>,
    ) {
        let outcome = outcome(self.book());
        let entries = records.into_iter().zip([outcome]).map(|(record, outcome)| Made { record, outcome });
        self.show(entries.collect(), BTreeMap::new(), session);
    }

    fn show(&self, entries: Vec<Made>, paid_in_all: BTreeMap<Denomination, u128>, session: &Session<'_>) {
        if let IndexState::Damaged { reason } = self.ledger.index_state() {
            session
                .out
                .note(&format!("the index could not be written, and is made anew next time: {reason}"));
        }
        let paid_in_all = paid_in_all.into_iter().map(|(coin, paid)| (coin, paid.to_string())).collect();
        let (dry_run, head) = (self.copy.is_some(), self.ledger.head());
        session.out.show(&Recorded { dry_run, entries, paid_in_all, head });
    }
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

/// What is asked about a height far above the last entry. Before the first entry there is nothing to hold it against.
fn far_ahead(book: &Book, height: Height) -> Option<String> {
    let last = book.height();
    let blocks = height.blocks_since(last).filter(|blocks| *blocks > AHEAD && book.entries() > 0)?;
    let days = blocks / BLOCKS_A_DAY;
    Some(format!(
        "height {height} is {blocks} blocks, about {days} days, above the last entry at height {last}, \
         and no later entry can be below it"
    ))
}

/// What an entry has brought about, beside what it says.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    /// In base units of `denomination`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) paid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) denomination: Option<Denomination>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) paid_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) paid_sat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shares: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quoted_sat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) matures_at: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) losses: Option<Vec<LossRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost_sat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) borne: Option<Vec<Borne>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) gained: Vec<Gained>,
    /// In base units of `denomination`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) given_back: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pool: Option<PoolId>,
    /// In that pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing_sat: Option<u64>,
    /// What that pool has and owes nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) surplus_sat: Option<u64>,
    /// Of the stake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) leaving: Option<BTreeMap<ServiceId, Left>>,
}

#[derive(Debug, Serialize)]
pub(super) struct LossRow {
    stake: OutPoint,
    lost_sat: u64,
}

/// What a pool has lost, and who of it.
#[derive(Debug, Serialize)]
pub(super) struct Borne {
    pool: PoolId,
    from_shares_sat: u64,
    from_exits_sat: u64,
}

/// What a pool got back of what it had lost, and who of it.
#[derive(Debug, Serialize)]
pub(super) struct Gained {
    pool: PoolId,
    to_shares_sat: u64,
    to_exits_sat: u64,
}

/// What a pool has and owes nobody, if there is any.
pub(super) fn surplus(backing: Backing) -> Option<u64> {
    Some(backing.surplus().to_sat()).filter(|sat| *sat > 0)
}

/// What every pool has lost and got back, and what its shares and exits had before an entry.
pub(super) struct Before(BTreeMap<PoolId, (Flows, Amount, Amount)>);

impl Before {
    pub(super) fn of(book: &Book) -> Self {
        let pools = book
            .pools()
            .map(|(name, pool)| (name.clone(), (*pool.flows(), pool.assets(), pool.queue().total())));
        Before(pools.collect())
    }

    /// Who has borne what since then.
    pub(super) fn borne(&self, book: &Book) -> Vec<Borne> {
        let hit = self.0.iter().filter_map(|(name, (flows, assets, queued))| {
            let pool = book.pool(name).ok()?;
            let less = |before: &Amount, now| before.checked_sub(now).unwrap_or(Amount::ZERO).to_sat();
            (flows.lost < pool.flows().lost).then(|| Borne {
                pool: name.clone(),
                from_shares_sat: less(assets, pool.assets()),
                from_exits_sat: less(queued, pool.queue().total()),
            })
        });
        hit.collect()
    }

    /// Who has got back what since then.
    pub(super) fn gained(&self, book: &Book) -> Vec<Gained> {
        let risen = self.0.iter().filter_map(|(name, (flows, assets, queued))| {
            let pool = book.pool(name).ok()?;
            let more =
                |before: &Amount, now: Amount| now.checked_sub(*before).unwrap_or(Amount::ZERO).to_sat();
            (flows.recovered < pool.flows().recovered).then(|| Gained {
                pool: name.clone(),
                to_shares_sat: more(assets, pool.assets()),
                to_exits_sat: more(queued, pool.queue().total()),
            })
        });
        risen.collect()
    }
}

impl Outcome {
    /// What a slashing takes.
    pub(super) fn of_losses(losses: &[Loss]) -> Self {
        let rows = losses.iter().map(|loss| LossRow { stake: loss.outpoint, lost_sat: loss.amount.to_sat() });
        let lost = losses.iter().map(|loss| loss.amount.to_sat()).sum();
        Outcome { losses: Some(rows.collect()), lost_sat: Some(lost), ..Outcome::default() }
    }

    /// What a stake still stands for, and what its pool misses, if it has one.
    pub(super) fn of_stake(book: &Book, stake: &OutPoint) -> Self {
        let pool = book.minted_in(stake).ok().flatten();
        let state = pool.and_then(|pool| book.pool(pool).ok());
        Outcome {
            pool: pool.cloned(),
            missing_sat: state.map(|state| state.backing().missing().to_sat()),
            surplus_sat: state.and_then(|state| surplus(state.backing())),
            leaving: book.exposure(stake).ok().map(|exposure| Left::of(&exposure)),
            ..Outcome::default()
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        rows.extend(self.exit.map(|exit| ("exit", exit.to_string())));
        if let Some(paid) = &self.paid {
            rows.push(("paid", format!("{paid} {}", text(self.denomination.as_ref()))));
        }
        rows.extend(self.paid_sat.map(|sat| ("paid", format!("{sat} sat"))));
        rows.extend(self.paid_to.iter().map(|to| ("paid to", to.clone())));
        if let Some(back) = &self.given_back {
            rows.push(("given back", format!("{back} {}", text(self.denomination.as_ref()))));
        }
        rows.extend(self.pool.iter().map(|pool| ("pool", pool.to_string())));
        rows.extend(self.shares.iter().map(|shares| ("shares", shares.clone())));
        rows.extend(self.quoted_sat.map(|sat| ("worth now", format!("{sat} sat"))));
        rows.extend(self.matures_at.map(|height| ("may be paid at", format!("height {height}"))));
        for loss in self.losses.iter().flatten() {
            rows.push(("slashed", format!("{} loses {} sat", loss.stake, loss.lost_sat)));
        }
        rows.extend(self.lost_sat.map(|sat| ("lost in all", format!("{sat} sat"))));
        rows.extend(self.status.map(|status| ("stake is", status.to_owned())));
        rows.extend(self.missing_sat.filter(|sat| *sat > 0).map(|sat| ("pool misses", format!("{sat} sat"))));
        rows.extend(self.surplus_sat.map(|sat| ("owed to nobody", format!("{sat} sat"))));
        for (service, Left { nominal_sat, until }) in self.leaving.iter().flatten() {
            rows.push(("still stands for", format!("{service}: {nominal_sat} sat below height {until}")));
        }
        for Borne { pool, from_shares_sat, from_exits_sat } in self.borne.iter().flatten() {
            rows.push((
                "borne",
                format!("in {pool}: {from_shares_sat} sat by shares, {from_exits_sat} sat by exits"),
            ));
        }
        for Gained { pool, to_shares_sat, to_exits_sat } in &self.gained {
            rows.push((
                "given",
                format!("in {pool}: {to_shares_sat} sat to shares, {to_exits_sat} sat to exits"),
            ));
        }
        rows
    }
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Entries that are on the disk, unless it is a dry run.
#[derive(Serialize)]
struct Recorded {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    entries: Vec<Made>,
    /// In base units.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    paid_in_all: BTreeMap<Denomination, String>,
    /// Of the book as it is on the disk.
    head: Head,
}

#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    record: Record,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Show for Recorded {
    fn text(&self) -> String {
        let mut rows = Vec::new();
        if self.dry_run {
            rows.push(("dry run", "nothing is written; this is what would be".to_owned()));
        }
        for Made { record, outcome } in &self.entries {
            let kind = record.kind.replace('_', " ");
            rows.push(("entry", format!("{} at height {}: {kind}", record.counter, record.height)));
            rows.extend(outcome.rows());
        }
        rows.extend(self.paid_in_all.iter().map(|(coin, paid)| ("paid in all", format!("{paid} {coin}"))));
        rows.push((if self.dry_run { "hash as it is" } else { "hash" }, self.head.to_string()));
        facts(rows)
    }
}
