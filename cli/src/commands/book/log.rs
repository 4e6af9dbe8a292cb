//! Entries as they were made.

use std::collections::{BTreeSet, VecDeque};

use bitcoin::{OutPoint, XOnlyPublicKey};
use clap::builder::PossibleValuesParser;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tapstake_ledger::{Ledger, Record};
use tapstake_params::Height;
use tapstake_restake::{Book, Entry, Event, HolderId, PoolId, ServiceId};

use super::entry::Made;
use super::outcome::watch;
use super::refusal::{by_book, named};
pub(super) use super::words::words;
use super::{BookFile, name, refused};
use crate::error::Result;
use crate::input::{KeyArg, key_arg};
use crate::output::{Show, table};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: u32,
    /// Only those of one kind
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(kinds()))]
    kind: Option<String>,
    /// Only those at or above a height
    #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
    from: u32,
    /// Only those at or below a height
    #[arg(long, value_name = "HEIGHT")]
    to: Option<u32>,
    /// Only those about this stake, and the slashing that took it
    #[arg(long, value_name = "OUTPOINT")]
    stake: Option<OutPoint>,
    /// Only those about this pool, what became of its stakes, and whatever has changed what it is worth
    #[arg(long, value_name = "NAME", value_parser = name::<PoolId>)]
    pool: Option<PoolId>,
    /// Only those about this provider, and stakes that are delegated to it
    #[arg(long, value_name = "KEY", value_parser = key_arg)]
    provider: Option<KeyArg>,
    /// Only those about this service
    #[arg(long, value_name = "NAME", value_parser = name::<ServiceId>)]
    service: Option<ServiceId>,
    /// Only those about this holder, and payments of its exits
    #[arg(long, value_name = "NAME", value_parser = name::<HolderId>)]
    holder: Option<HolderId>,
    #[command(flatten)]
    book: BookFile,
}

/// The names of all events: those that reading an event without a name expects.
pub(super) fn kinds() -> &'static [&'static str] {
    #[derive(Debug)]
    struct Expected(&'static [&'static str]);

    impl std::fmt::Display for Expected {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "one of {:?}", self.0)
        }
    }

    impl std::error::Error for Expected {}

    impl serde::de::Error for Expected {
        fn custom<T: std::fmt::Display>(_: T) -> Self {
            Expected(&[])
        }

        fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
            Expected(expected)
        }
    }

    let nameless = Event::deserialize(StrDeserializer::<Expected>::new(""));
    nameless.map_or_else(|Expected(names)| names, |_| &[])
}

#[derive(Serialize)]
struct Listed {
    entries: Vec<Made>,
}

impl Show for Listed {
    fn text(&self) -> String {
        if self.entries.is_empty() {
            return "no such entry".to_owned();
        }
        let rows = self.entries.iter().map(|Made { record, outcome }| {
            let fields: Vec<String> =
                words(record).into_iter().map(|(name, value)| format!("{name} {value}")).collect();
            let came = outcome.rows().into_iter().map(|(name, value)| format!("{name} {value}"));
            let said: Vec<String> = [fields.join(", ")].into_iter().chain(came).collect();
            let kind = record.kind.replace('_', " ");
            vec![record.counter.to_string(), record.height.to_string(), kind, said.join("; ")]
        });
        table(&["entry", "height", "event", ""], &["entry", "height"], rows)
    }
}

/// What entries are to be about, which pass in their order.
struct About<'a> {
    args: &'a Log,
    book: &'a Book,
    provider: Option<XOnlyPublicKey>,
    /// The entries that have changed what the pool is worth.
    worth: BTreeSet<u64>,
    /// The book before each entry, where that tells whom one concerns that does not name them.
    before: Option<Book>,
}

impl<'a> About<'a> {
    /// Refuses what the book does not know.
    fn new(args: &'a Log, ledger: &'a Ledger) -> Result<Self> {
        let book = ledger.book();
        if let Some(stake) = &args.stake {
            book.stake(stake).map_err(by_book)?;
        }
        if let Some(service) = &args.service {
            book.service(service).map_err(|error| named(book, error))?;
        }
        let mut worth = BTreeSet::new();
        if let Some(pool) = &args.pool {
            let found = book.lrt_pool(pool).map(drop).or_else(|_| book.pool(pool).map(drop));
            found.map_err(|error| named(book, error))?;
            worth.extend(ledger.points(Some(pool)).map_err(refused)?.into_iter().map(|point| point.counter));
        }
        let provider = args.provider.as_ref().map(KeyArg::to_x_only).transpose()?;
        let before = (args.stake.is_some() || args.holder.is_some()).then(Book::new);
        Ok(About { args, book, provider, worth, before })
    }

    /// Whether an entry is about all of these.
    fn has(&mut self, record: &Record) -> Result<bool> {
        let event = serde_json::to_value(&record.event).unwrap_or_default();
        let is = |fields: &[&str], text: String| says(&event, fields, &text);
        let Log { stake, pool, service, holder, .. } = self.args;
        let found = stake.is_none_or(|stake| {
            is(&["stake", "outpoint", "of"], stake.to_string()) || self.takes(&stake, &record.event)
        }) && holder.as_ref().is_none_or(|holder| {
            is(&["holder", "from", "to"], holder.to_string()) || self.pays(holder, &record.event)
        }) && pool.as_ref().is_none_or(|pool| {
            let turned = || self.turns_a_stake_of(pool, record, &event[&record.kind]);
            is(&["pool", "over"], pool.to_string()) || self.worth.contains(&record.counter) || turned()
        }) && self.provider.is_none_or(|key| is(&["provider", "providers"], key.to_string()))
            && service.as_ref().is_none_or(|service| is(&["service"], service.to_string()));
        if let Some(book) = &mut self.before {
            book.apply(&Entry { height: record.height, event: record.event.clone() }).map_err(by_book)?;
        }
        Ok(found)
    }

    /// Whether this slashes the stake.
    fn takes(&self, stake: &OutPoint, event: &Event) -> bool {
        match (event, &self.before) {
            (Event::Slash { provider }, Some(book)) => {
                book.losses(provider).iter().any(|loss| loss.outpoint == *stake)
            }
            _ => false,
        }
    }

    /// Whether this pays an exit of the holder.
    fn pays(&self, holder: &HolderId, event: &Event) -> bool {
        match (event, &self.before) {
            (Event::FinaliseExit { pool, exit }, Some(book)) => {
                let exit = book.pool(pool).ok().and_then(|pool| pool.queue().get(*exit));
                exit.is_some_and(|exit| exit.holder == *holder)
            }
            _ => false,
        }
    }

    /// Whether this is what became of a stake of the pool: neither what it counts for nor what it earns.
    fn turns_a_stake_of(&self, pool: &PoolId, record: &Record, fields: &Value) -> bool {
        let stakes = ["stake", "of"].into_iter().filter_map(|name| fields[name].as_str()?.parse().ok());
        let mut pools = stakes.map(|stake| self.book.minted_in(&stake));
        !matches!(record.event, Event::Allocate { .. } | Event::Claim { .. })
            && pools.any(|of| of == Ok(Some(pool)))
    }
}

/// Whether one of the fields, wherever it is, is this text or a list with it.
fn says(value: &Value, fields: &[&str], text: &str) -> bool {
    let is = |value: &Value| value.as_str() == Some(text);
    match value {
        Value::Object(object) => object.iter().any(|(name, value)| {
            let named = fields.contains(&name.as_str());
            let listed = || value.as_array().is_some_and(|values| values.iter().any(is));
            (named && (is(value) || listed())) || says(value, fields, text)
        }),
        Value::Array(values) => values.iter().any(|value| says(value, fields, text)),
        _ => false,
    }
}

/// Entries, oldest first, with what came of them. The journal does not say that, so the book is made again up to the last of them.
fn with_outcomes(ledger: &Ledger, entries: impl IntoIterator<Item = Record>) -> Result<Listed> {
    let mut asked = entries.into_iter().peekable();
    let (mut book, mut entries) = (Book::new(), Vec::new());
    for record in ledger.records().map_err(refused)? {
        if asked.peek().is_none() {
            break;
        }
        let Record { counter, height, event, .. } = record.map_err(refused)?;
        let (entry, asked) = (Entry { height, event }, asked.next_if(|asked| asked.counter == counter));
        let asked = asked.map(|record| (record, watch(&book, &entry.event)));
        book.apply(&entry).map_err(by_book)?;
        entries.extend(asked.map(|(record, outcome)| Made { record, outcome: outcome(&book) }));
    }
    Ok(Listed { entries })
}

pub(crate) fn run(args: &Log, session: &Session<'_>) -> Result<()> {
    let ledger = args.book.open(session)?;
    let (kind, from) = (args.kind.as_deref(), Height::new(args.from));
    let mut about = About::new(args, &ledger)?;
    let Log { stake, pool, provider, service, holder, to, .. } = args;
    let named = pool.is_some() || provider.is_some() || service.is_some() || holder.is_some();
    if !named && stake.is_none() && to.is_none() {
        let entries = ledger.last(args.last, kind, from).map_err(refused)?;
        session.out.show(&with_outcomes(&ledger, entries)?);
        return Ok(());
    }
    let heights = from..=args.to.map_or(Height::new(u32::MAX), Height::new);
    let mut entries = VecDeque::new();
    for record in ledger.records().map_err(refused)? {
        let record = record.map_err(refused)?;
        let asked = kind.is_none_or(|kind| kind == record.kind) && heights.contains(&record.height);
        if about.has(&record)? && asked {
            entries.push_back(record);
        }
        if u32::try_from(entries.len()).is_ok_and(|length| length > args.last) {
            entries.pop_front();
        }
    }
    session.out.show(&with_outcomes(&ledger, entries)?);
    Ok(())
}
