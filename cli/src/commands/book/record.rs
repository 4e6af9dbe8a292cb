//! Entries about services, providers and stakes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use clap::Subcommand;
use serde::Serialize;
use tapstake_ledger::{Head, Ledger, Stopped};
use tapstake_params::Height;
use tapstake_restake::{
    Allocation, Book, Denomination, End, Entry, Event, Loss, Part, PartsPerMillion, PoolId, ServiceId,
    ServiceTerms,
};

use super::refusal::by_book;
use super::show::Left;
use super::{BookFile, name, refused};
use crate::commands::equivocation::read_evidence;
use crate::error::{Context, Error, Result};
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

/// Two weeks. A height further above the last entry is rather mistyped than meant, and no later entry can be below it.
const AHEAD: u32 = 2_016;
const BLOCKS_A_DAY: u32 = 144;

impl At {
    /// The book, and the height of an entry that is made now. One far ahead is asked about first.
    pub(super) fn open(&self, session: &Session<'_>) -> Result<(Ledger, Height)> {
        let ledger = self.book.open(session)?;
        let height = self.height.map_or(ledger.book().height(), Height::new);
        if let Some(question) = far_ahead(ledger.book(), height) {
            session.out.confirm(&format!("{question}. Go on?")).map_err(|_| {
                Error::rule("height-ahead", question).next("give another --height, or --yes if it is right")
            })?;
        }
        Ok((ledger, height))
    }

    pub(super) const fn names_a_height(&self) -> bool {
        self.height.is_some()
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
    /// In base units of `denomination`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) given_back: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pool: Option<PoolId>,
    /// In that pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing_sat: Option<u64>,
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

impl Borne {
    /// By every pool that has lost something between two books.
    pub(super) fn between(before: &Book, after: &Book) -> Vec<Self> {
        let hit = after.pools().filter_map(|(name, after)| {
            let before = before.pool(name).ok()?;
            let less = |before: Amount, after| before.checked_sub(after).unwrap_or(Amount::ZERO).to_sat();
            (before.flows().lost < after.flows().lost).then(|| Borne {
                pool: name.clone(),
                from_shares_sat: less(before.assets(), after.assets()),
                from_exits_sat: less(before.queue().total(), after.queue().total()),
            })
        });
        hit.collect()
    }
}

impl Outcome {
    /// What a slashing takes.
    fn of_losses(losses: &[Loss]) -> Self {
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
        rows.extend(self.missing_sat.filter(|sat| *sat > 0).map(|sat| ("pool misses", format!("{sat} sat"))));
        for (service, Left { nominal_sat, until }) in self.leaving.iter().flatten() {
            rows.push(("still stands for", format!("{service}: {nominal_sat} sat below height {until}")));
        }
        for Borne { pool, from_shares_sat, from_exits_sat } in self.borne.iter().flatten() {
            rows.push((
                "borne",
                format!("in {pool}: {from_shares_sat} sat by shares, {from_exits_sat} sat by exits"),
            ));
        }
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

/// Makes entries, acknowledged together, and shows them. Several are first tried on a copy of the book by whoever asks for them,
/// so that a refusal of one leaves none of them made.
pub(super) fn make(
    ledger: &mut Ledger,
    height: Height,
    events: impl IntoIterator<Item = (Event, Outcome)>,
    session: &Session<'_>,
) -> Result<()> {
    let (entries, outcomes): (Vec<_>, Vec<_>) =
        events.into_iter().map(|(event, outcome)| (Entry { height, event }, outcome)).unzip();
    let records = match ledger.append_all(entries) {
        Ok(records) => records,
        Err(Stopped { made, error }) => {
            let refusal = Err(refused(error));
            // What is made nevertheless does not stay unsaid.
            return match (made.first(), made.last()) {
                (Some(first), Some(last)) => refusal.context(format!(
                    "entries {} to {} are made, what comes after them is not",
                    first.counter, last.counter
                )),
                _ => refusal,
            };
        }
    };
    let entries = records.into_iter().zip(outcomes).map(|(record, outcome)| Made { record, outcome });
    shown(ledger, entries.collect(), session);
    Ok(())
}

/// Makes one entry, and shows it with what it has brought about, as `outcome` reads it off the books before and after.
pub(super) fn make_one(
    ledger: &mut Ledger,
    height: Height,
    event: Event,
    outcome: impl FnOnce(&Book, &Book) -> Outcome,
    session: &Session<'_>,
) -> Result<()> {
    let before = ledger.book().clone();
    let record = ledger.append(Entry { height, event }).map_err(refused)?;
    let outcome = outcome(&before, ledger.book());
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
    /// Change the part that a provider takes of every reward from the next height on
    Commission(ProviderCommission),
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
pub(crate) struct ProviderCommission {
    /// Its key
    #[arg(value_parser = key_arg)]
    provider: KeyArg,
    /// Its part of every reward
    #[arg(value_name = "PERCENT")]
    commission: PartsPerMillion,
    /// The service
    #[arg(long, value_name = "NAME", value_parser = name::<ServiceId>)]
    service: ServiceId,
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
pub(crate) struct GiveBack {
    /// The service
    #[arg(long, value_name = "NAME", value_parser = name::<ServiceId>)]
    service: ServiceId,
    /// The provider
    #[arg(long, value_name = "KEY", value_parser = key_arg)]
    provider: KeyArg,
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
    /// Its staker unbonds it, be it active or expired
    Unbonding,
    /// Its expiry is reached
    Expired,
    /// Its output is spent, and not by what the book knows: it can be slashed no more, and its pool misses it
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
    let (event, at) = match command {
        ProviderCommand::Add(ProviderAdd { service, provider, commission, at }) => {
            let (service, provider, commission) = (service.clone(), provider.to_x_only()?, *commission);
            (Event::RegisterProvider { service, provider, commission }, at)
        }
        ProviderCommand::Commission(ProviderCommission { service, provider, commission, at }) => {
            let (service, provider, commission) = (service.clone(), provider.to_x_only()?, *commission);
            (Event::SetCommission { service, provider, commission }, at)
        }
    };
    let (mut ledger, height) = at.open(session)?;
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
    // What its pool misses is none of its services' business.
    let outcome = |_: &Book, book: &Book| Outcome {
        pool: None,
        missing_sat: None,
        ..Outcome::of_stake(book, &args.stake)
    };
    make_one(&mut ledger, height, event, outcome, session)
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

pub(crate) fn give_back(args: &GiveBack, session: &Session<'_>) -> Result<()> {
    let (service, provider) = (args.service.clone(), args.provider.to_x_only()?);
    let (mut ledger, height) = args.at.open(session)?;
    let outcome = |before: &Book, after: &Book| {
        let given =
            |book: &Book| book.provider(&args.service, &provider).map_or(0, |view| view.rewards.given_back);
        Outcome {
            given_back: Some((given(after).saturating_sub(given(before))).to_string()),
            denomination: after.service(&args.service).ok().map(|view| view.terms.denomination.clone()),
            ..Outcome::default()
        }
    };
    make_one(&mut ledger, height, Event::GiveBack { service, provider }, outcome, session)
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
            let outcome = |_: &Book, book: &Book| Outcome::of_stake(book, &stake);
            return make_one(&mut ledger, height, Event::EndStake { stake, end }, outcome, session);
        }
        _ => End::Expired,
    };
    let (mut book, mut events) = (ledger.book().clone(), Vec::new());
    while let Some(stake) = book.due(height) {
        let entry = Entry { height, event: Event::EndStake { stake, end } };
        book.apply(&entry).map_err(by_book)?;
        events.push((entry.event, Outcome::default()));
    }
    make(&mut ledger, height, events, session)
}

pub(crate) fn slash(args: &Slash, session: &Session<'_>) -> Result<()> {
    let evidence = read_evidence(&args.evidence)?;
    let verified = evidence.verify(&session.secp);
    let equivocation = verified.map_err(|error| Error::verification(error.rule(), error))?;
    let (mut ledger, height) = args.at.open(session)?;
    let outcome = |before: &Book, after: &Book| Outcome {
        borne: Some(Borne::between(before, after)),
        ..Outcome::of_losses(&before.losses(&equivocation.provider()))
    };
    make_one(&mut ledger, height, Event::slash(&equivocation), outcome, session)
}
