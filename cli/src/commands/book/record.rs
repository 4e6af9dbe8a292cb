//! Entries about services, providers and stakes.

use std::path::PathBuf;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use clap::Subcommand;
use serde::Serialize;
use tapstake_ledger::{Head, Ledger};
use tapstake_params::Height;
use tapstake_restake::{
    Allocation, Denomination, End, Entry, Event, Loss, Part, PartsPerMillion, ServiceId, ServiceTerms,
};

use super::refusal::by_book;
use super::{BookFile, name, refused};
use crate::commands::equivocation::read_evidence;
use crate::error::{Error, Result};
use crate::input::{self, KeyArg, key_arg};
use crate::output::{Show, facts};
use crate::session::Session;
use crate::spending::amount_arg;

/// Where and when an entry is made.
#[derive(Debug, clap::Args)]
pub(crate) struct At {
    #[command(flatten)]
    book: BookFile,
    /// The Bitcoin height at which it takes effect [default: that of the last entry]
    #[arg(long, value_name = "HEIGHT")]
    height: Option<u32>,
}

impl At {
    pub(super) fn open(&self, session: &Session<'_>) -> Result<(Ledger, Height)> {
        let ledger = self.book.open(session)?;
        let height = self.height.map_or(ledger.book().height(), Height::new);
        Ok((ledger, height))
    }

    pub(super) const fn names_a_height(&self) -> bool {
        self.height.is_some()
    }
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
}

#[derive(Debug, Serialize)]
pub(super) struct LossRow {
    stake: OutPoint,
    lost_sat: u64,
}

impl Outcome {
    /// What a slashing takes.
    fn of_losses(losses: &[Loss]) -> Self {
        let rows = losses.iter().map(|loss| LossRow { stake: loss.outpoint, lost_sat: loss.amount.to_sat() });
        let lost = losses.iter().map(|loss| loss.amount.to_sat()).sum();
        Outcome { losses: Some(rows.collect()), lost_sat: Some(lost), ..Outcome::default() }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        if let Some(paid) = &self.paid {
            rows.push(("paid", format!("{paid} {}", text(self.denomination.as_ref()))));
        }
        rows.extend(self.paid_sat.map(|sat| ("paid", format!("{sat} sat"))));
        rows.extend(self.paid_to.iter().map(|to| ("paid to", to.clone())));
        rows.extend(self.shares.iter().map(|shares| ("shares", shares.clone())));
        rows.extend(self.exit.map(|exit| ("exit", exit.to_string())));
        rows.extend(self.quoted_sat.map(|sat| ("worth now", format!("{sat} sat"))));
        rows.extend(self.matures_at.map(|height| ("may be paid at", format!("height {height}"))));
        for loss in self.losses.iter().flatten() {
            rows.push(("slashed", format!("{} loses {} sat", loss.stake, loss.lost_sat)));
        }
        rows.extend(self.lost_sat.map(|sat| ("lost in all", format!("{sat} sat"))));
        rows
    }
}

fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Entries that are on the disk.
#[derive(Serialize)]
struct Recorded {
    entries: Vec<Made>,
    head: Head,
}

#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    record: tapstake_ledger::Record,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Show for Recorded {
    fn text(&self) -> String {
        let mut rows = Vec::new();
        for Made { record, outcome } in &self.entries {
            let kind = record.kind.replace('_', " ");
            rows.push(("entry", format!("{} at height {}: {kind}", record.counter, record.height)));
            rows.extend(outcome.rows());
        }
        rows.push(("hash", self.head.to_string()));
        facts(rows)
    }
}

/// Makes entries, each of them on the disk before the next, and shows them.
pub(super) fn make(
    ledger: &mut Ledger,
    height: Height,
    events: impl IntoIterator<Item = (Event, Outcome)>,
    session: &Session<'_>,
) -> Result<()> {
    let mut entries = Vec::new();
    for (event, outcome) in events {
        let record = appended(ledger, height, event, &entries, session)?;
        entries.push(Made { record, outcome });
    }
    shown(ledger, entries, session);
    Ok(())
}

/// Makes the entry after others of the same command: a refusal of it does not leave them unsaid, for they are made.
fn appended(
    ledger: &mut Ledger,
    height: Height,
    event: Event,
    before: &[Made],
    session: &Session<'_>,
) -> Result<tapstake_ledger::Record> {
    ledger.append(Entry { height, event }).map_err(|error| {
        if let (Some(first), Some(last)) = (before.first(), before.last()) {
            let (from, to) = (first.record.counter, last.record.counter);
            session
                .out
                .warn(&format!("entries {from} to {to} are made: only what comes after them is refused"));
        }
        refused(error)
    })
}

/// Makes one entry, and shows it with what it has brought about, as `outcome` reads it off the book.
pub(super) fn make_one(
    ledger: &mut Ledger,
    height: Height,
    event: Event,
    outcome: impl FnOnce(&tapstake_restake::Book) -> Outcome,
    session: &Session<'_>,
) -> Result<()> {
    let record = ledger.append(Entry { height, event }).map_err(refused)?;
    let outcome = outcome(ledger.book());
    shown(ledger, vec![Made { record, outcome }], session);
    Ok(())
}

fn shown(ledger: &Ledger, entries: Vec<Made>, session: &Session<'_>) {
    if let tapstake_ledger::IndexState::Damaged { reason } = ledger.index_state() {
        session.out.note(&format!("the index could not be written, and is made anew next time: {reason}"));
    }
    session.out.show(&Recorded { entries, head: ledger.head() });
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Register a service
    Add(ServiceAdd),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServiceAdd {
    /// Its name
    #[arg(value_parser = name::<ServiceId>)]
    name: ServiceId,
    /// What its rewards are counted in: the base units of its coin, such as ubbn
    #[arg(long, value_name = "NAME", value_parser = name::<Denomination>)]
    denomination: Denomination,
    /// What an equivocation costs, as a decimal: the rate at which stakes must have signed their slashing in advance
    #[arg(long, value_name = "RATE")]
    slashing_rate: String,
    /// The blocks for which a stake must stay slashable after it ended
    #[arg(long, value_name = "BLOCKS")]
    unbonding_time: u64,
    /// How often a stake may count, over all services together: 100% is once
    #[arg(long, value_name = "PERCENT")]
    leverage_limit: PartsPerMillion,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// Register a provider of a service
    Add(ProviderAdd),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ProviderAdd {
    /// Its key
    #[arg(value_parser = key_arg)]
    provider: KeyArg,
    /// The service
    #[arg(long, value_name = "NAME", value_parser = name::<ServiceId>)]
    service: ServiceId,
    /// Its part of every reward
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    commission: PartsPerMillion,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Allocate {
    /// The stake
    #[arg(value_name = "OUTPOINT")]
    stake: OutPoint,
    /// The service
    #[arg(long, value_name = "NAME", value_parser = name::<ServiceId>)]
    service: ServiceId,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct How {
    /// Every provider of the stake that serves the service counts the whole stake
    #[arg(long)]
    shared: bool,
    /// A provider counts a part of the stake; give it once for each
    #[arg(long = "part", value_name = "KEY=AMOUNT", value_parser = part_arg)]
    parts: Vec<(KeyArg, Amount)>,
    /// It does not count any more; what it has earned stays
    #[arg(long)]
    withdraw: bool,
}

fn part_arg(text: &str) -> Result<(KeyArg, Amount), String> {
    let (key, amount) = text.split_once('=').ok_or("give KEY=AMOUNT")?;
    Ok((key_arg(key)?, amount_arg(amount)?))
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reward {
    /// How many base units
    amount: u128,
    /// The service
    #[arg(long, value_name = "NAME", value_parser = name::<ServiceId>)]
    service: ServiceId,
    /// The provider
    #[arg(long, value_name = "KEY", value_parser = key_arg)]
    provider: KeyArg,
    /// What it is counted in [default: what the service pays in]
    #[arg(long, value_name = "NAME", value_parser = name::<Denomination>)]
    denomination: Option<Denomination>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Claim {
    /// The stake
    #[arg(value_name = "OUTPOINT", required_unless_present = "commission")]
    stake: Option<OutPoint>,
    /// A provider, to be paid its commission
    #[arg(long, value_name = "KEY", value_parser = key_arg, conflicts_with = "stake")]
    commission: Option<KeyArg>,
    /// The service
    #[arg(long, value_name = "NAME", value_parser = name::<ServiceId>)]
    service: ServiceId,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EndArgs {
    /// The stake
    #[arg(value_name = "OUTPOINT", required_unless_present = "due", requires = "how")]
    stake: Option<OutPoint>,
    /// How it ended
    #[arg(long = "by", value_name = "HOW", value_enum)]
    how: Option<EndName>,
    /// Every stake that has expired by the height
    #[arg(long, conflicts_with_all = ["stake", "how"], requires = "height")]
    due: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum EndName {
    /// Its staker unbonds it
    Unbonding,
    /// Its expiry is reached
    Expired,
    /// Its output is spent in another way
    Spent,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Slash {
    /// The evidence, as `tapstake equivocation --out` writes it: it is verified here
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    #[command(flatten)]
    at: At,
}

pub(crate) fn service(command: &ServiceCommand, session: &Session<'_>) -> Result<()> {
    let ServiceCommand::Add(args) = command;
    let terms = ServiceTerms {
        denomination: args.denomination.clone(),
        slashing_rate: input::rate(&args.slashing_rate)?,
        unbonding_time: input::timelock(args.unbonding_time)?,
        leverage_limit: args.leverage_limit,
    };
    let event = Event::RegisterService { service: args.name.clone(), terms };
    let (mut ledger, height) = args.at.open(session)?;
    make(&mut ledger, height, [(event, Outcome::default())], session)
}

pub(crate) fn provider(command: &ProviderCommand, session: &Session<'_>) -> Result<()> {
    let ProviderCommand::Add(args) = command;
    let (service, provider) = (args.service.clone(), args.provider.to_x_only()?);
    let event = Event::RegisterProvider { service, provider, commission: args.commission };
    let (mut ledger, height) = args.at.open(session)?;
    make(&mut ledger, height, [(event, Outcome::default())], session)
}

pub(crate) fn allocate(args: &Allocate, session: &Session<'_>) -> Result<()> {
    let How { shared, parts, .. } = &args.how;
    let part = |(key, amount): &(KeyArg, Amount)| Ok(Part { provider: key.to_x_only()?, amount: *amount });
    let allocation = match (shared, parts.is_empty()) {
        (true, _) => Allocation::Shared,
        (_, false) => Allocation::Exclusive(parts.iter().map(part).collect::<Result<_>>()?),
        _ => Allocation::Withdrawn,
    };
    let event = Event::Allocate { stake: args.stake, service: args.service.clone(), allocation };
    let (mut ledger, height) = args.at.open(session)?;
    make(&mut ledger, height, [(event, Outcome::default())], session)
}

pub(crate) fn reward(args: &Reward, session: &Session<'_>) -> Result<()> {
    let (service, provider) = (args.service.clone(), args.provider.to_x_only()?);
    let (mut ledger, height) = args.at.open(session)?;
    let denomination = match &args.denomination {
        Some(denomination) => denomination.clone(),
        None => ledger.book().service(&service).map_err(by_book)?.terms.denomination.clone(),
    };
    let event = Event::Reward { service, provider, denomination, amount: args.amount };
    make(&mut ledger, height, [(event, Outcome::default())], session)
}

pub(crate) fn claim(args: &Claim, session: &Session<'_>) -> Result<()> {
    let (mut ledger, height) = args.at.open(session)?;
    let (book, service) = (ledger.book(), args.service.clone());
    let denomination = Some(book.service(&service).map_err(by_book)?.terms.denomination.clone());
    let (event, paid, to) = match (&args.commission, args.stake) {
        (Some(key), _) => {
            let provider: XOnlyPublicKey = key.to_x_only()?;
            let owed = book.provider(&service, &provider).map_err(by_book)?.rewards.commission;
            (Event::ClaimCommission { service, provider }, owed, provider.to_string())
        }
        (None, Some(stake)) => {
            let owed = book.claimable(&stake, &service).map_err(by_book)?;
            let owner = book.stake(&stake).map_err(by_book)?.owner.to_string();
            (Event::Claim { stake, service }, owed, owner)
        }
        (None, None) => return Err(Error::usage("name a stake, or a provider by --commission")),
    };
    let outcome =
        Outcome { paid: Some(paid.to_string()), denomination, paid_to: Some(to), ..Outcome::default() };
    make(&mut ledger, height, [(event, outcome)], session)
}

pub(crate) fn end(args: &EndArgs, session: &Session<'_>) -> Result<()> {
    let (mut ledger, height) = args.at.open(session)?;
    let end = match (args.how, args.stake) {
        (Some(how), Some(stake)) => {
            let end = match how {
                EndName::Unbonding => End::Unbonding,
                EndName::Expired => End::Expired,
                EndName::Spent => End::Spent,
            };
            return make(
                &mut ledger,
                height,
                [(Event::EndStake { stake, end }, Outcome::default())],
                session,
            );
        }
        _ => End::Expired,
    };
    let mut entries = Vec::new();
    while let Some(stake) = ledger.book().due(height) {
        let event = Event::EndStake { stake, end };
        let record = appended(&mut ledger, height, event, &entries, session)?;
        entries.push(Made { record, outcome: Outcome::default() });
    }
    shown(&ledger, entries, session);
    Ok(())
}

pub(crate) fn slash(args: &Slash, session: &Session<'_>) -> Result<()> {
    let evidence = read_evidence(&args.evidence)?;
    let verified = evidence.verify(&session.secp);
    let equivocation = verified.map_err(|error| Error::verification(error.rule(), error))?;
    let (mut ledger, height) = args.at.open(session)?;
    let outcome = Outcome::of_losses(&ledger.book().losses(&equivocation.provider()));
    make(&mut ledger, height, [(Event::slash(&equivocation), outcome)], session)
}
