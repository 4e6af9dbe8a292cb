//! Entries as they were made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcoin::{OutPoint, XOnlyPublicKey};
use serde::Serialize;
use serde_json::Value;
use tapstake_ledger::{Ledger, Record};
use tapstake_params::Height;
use tapstake_restake::{Book, End, Event, ExitId, HolderId, PoolId, ServiceId};

use super::refusal::by_book;
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
    /// Only those of one kind, such as reward or request_exit
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only those at or above a height
    #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
    from: u32,
    /// Only those at or below a height
    #[arg(long, value_name = "HEIGHT")]
    to: Option<u32>,
    /// Only those about this stake, and slashings of its providers
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

#[derive(Serialize)]
struct Listed {
    entries: Vec<Record>,
}

impl Show for Listed {
    fn text(&self) -> String {
        let rows = self.entries.iter().map(|record| {
            let event = serde_json::to_value(&record.event).unwrap_or_default();
            let fields = event[&record.kind].as_object().into_iter().flatten();
            let fields: Vec<String> =
                fields.map(|(name, value)| format!("{name} {}", plain(value))).collect();
            let kind = record.kind.replace('_', " ");
            vec![record.counter.to_string(), record.height.to_string(), kind, fields.join(", ")]
        });
        table(&["entry", "height", "event", ""], &["entry", "height"], rows)
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What entries are to be about. They pass in their order: for some, only those before tell whom they concern.
struct About<'a> {
    book: &'a Book,
    stake: Option<OutPoint>,
    pool: Option<PoolId>,
    provider: Option<XOnlyPublicKey>,
    service: Option<ServiceId>,
    holder: Option<HolderId>,
    /// Whose slashing takes the stake, as it is now.
    slashable_by: Vec<XOnlyPublicKey>,
    /// The entries that have changed what the pool is worth.
    worth: BTreeSet<u64>,
    /// How many exits each pool has had, and which of them are the holder's.
    requests: BTreeMap<PoolId, u64>,
    exits: BTreeSet<(PoolId, ExitId)>,
}

impl<'a> About<'a> {
    /// Refuses what the book does not know.
    fn new(args: &Log, ledger: &'a Ledger) -> Result<Self> {
        let book = ledger.book();
        if let Some(stake) = &args.stake {
            book.stake(stake).map_err(by_book)?;
        }
        if let Some(service) = &args.service {
            book.service(service).map_err(by_book)?;
        }
        let mut worth = BTreeSet::new();
        if let Some(pool) = &args.pool {
            book.lrt_pool(pool).map(drop).or_else(|_| book.pool(pool).map(drop)).map_err(by_book)?;
            worth.extend(ledger.points(Some(pool)).map_err(refused)?.into_iter().map(|point| point.counter));
        }
        Ok(About {
            book,
            stake: args.stake,
            pool: args.pool.clone(),
            provider: args.provider.as_ref().map(KeyArg::to_x_only).transpose()?,
            service: args.service.clone(),
            holder: args.holder.clone(),
            slashable_by: Vec::new(),
            worth,
            requests: BTreeMap::new(),
            exits: BTreeSet::new(),
        })
    }

    const fn anything(&self) -> bool {
        self.stake.is_none()
            && self.pool.is_none()
            && self.provider.is_none()
            && self.service.is_none()
            && self.holder.is_none()
    }

    /// Whether an entry is about all of these.
    fn has(&mut self, record: &Record) -> bool {
        let event = serde_json::to_value(&record.event).unwrap_or_default();
        let is = |fields: &[&str], text: String| says(&event, fields, &text);
        let (taken, own_exit) = (self.takes_the_stake(&record.event), self.is_own_exit(&record.event));
        self.stake.is_none_or(|stake| taken || is(&["stake", "outpoint", "of"], stake.to_string()))
            && self.provider.is_none_or(|key| is(&["provider", "providers"], key.to_string()))
            && self.service.as_ref().is_none_or(|service| is(&["service"], service.to_string()))
            && self.pool.as_ref().is_none_or(|pool| {
                let worth = self.worth.contains(&record.counter);
                worth || self.turns_a_stake_of(pool, &record.event) || is(&["pool", "over"], pool.to_string())
            })
            && self
                .holder
                .as_ref()
                .is_none_or(|holder| own_exit || is(&["holder", "from", "to"], holder.to_string()))
    }

    /// Whether this is the slashing of the stake.
    fn takes_the_stake(&mut self, event: &Event) -> bool {
        match event {
            Event::AdmitStake { stake } | Event::ExpandStake { stake, .. }
                if self.stake == Some(stake.outpoint()) =>
            {
                self.slashable_by.clone_from(&stake.data().providers);
            }
            // It is gone, and nothing takes it any more.
            Event::ExpandStake { of: stake, .. }
            | Event::ReturnStake { stake, .. }
            | Event::EndStake { stake, end: End::Spent }
                if self.stake == Some(*stake) =>
            {
                self.slashable_by.clear();
            }
            Event::Slash { provider } if self.slashable_by.contains(provider) => {
                self.slashable_by.clear();
                return true;
            }
            _ => {}
        }
        false
    }

    /// Whether this is what became of a stake of a pool.
    fn turns_a_stake_of(&self, pool: &PoolId, event: &Event) -> bool {
        match event {
            Event::EndStake { stake, .. }
            | Event::ReturnStake { stake, .. }
            | Event::ExpandStake { of: stake, .. } => self.book.minted_in(stake) == Ok(Some(pool)),
            _ => false,
        }
    }

    /// Whether this is the payment of an exit of the holder. Exits are counted by pool, from 0.
    fn is_own_exit(&mut self, event: &Event) -> bool {
        match event {
            Event::RequestExit { pool, holder, .. } | Event::RequestWithdrawal { pool, holder, .. } => {
                let next = self.requests.entry(pool.clone()).or_default();
                if self.holder.as_ref() == Some(holder) {
                    self.exits.insert((pool.clone(), ExitId(*next)));
                }
                *next += 1;
                false
            }
            Event::FinaliseExit { pool, exit } => self.exits.contains(&(pool.clone(), *exit)),
            _ => false,
        }
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

pub(crate) fn run(args: &Log, session: &Session<'_>) -> Result<()> {
    let ledger = args.book.open(session)?;
    let (kind, from) = (args.kind.as_deref(), Height::new(args.from));
    let mut about = About::new(args, &ledger)?;
    if about.anything() && args.to.is_none() {
        let entries = ledger.last(args.last, kind, from).map_err(refused)?;
        session.out.show(&Listed { entries });
        return Ok(());
    }
    let heights = from..=args.to.map_or(Height::new(u32::MAX), Height::new);
    let mut entries = VecDeque::new();
    for record in ledger.records().map_err(refused)? {
        let record = record.map_err(refused)?;
        let asked = kind.is_none_or(|kind| kind == record.kind) && heights.contains(&record.height);
        if about.has(&record) && asked {
            entries.push_back(record);
        }
        if u32::try_from(entries.len()).is_ok_and(|length| length > args.last) {
            entries.pop_front();
        }
    }
    session.out.show(&Listed { entries: entries.into() });
    Ok(())
}
