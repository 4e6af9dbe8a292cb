//! Entries about services, providers and stakes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bitcoin::{Amount, OutPoint};
use clap::Subcommand;
use tapstake_crypto::pop::Account;
use tapstake_restake::{
    Allocation, Denomination, End, Event, Part, PartsPerMillion, ServiceId, ServiceTerms, StakeStatus,
    StakeView,
};
use tapstake_verifier::equivocation::VerifiedEquivocation;

use super::entry::{At, Opened};
use super::name;
use super::outcome::watch;
use super::refusal::by_book;
use crate::commands::equivocation::{self, read_evidence};
use crate::error::{Context, Error, Result};
use crate::input::{self, KeyArg, key_arg, percent_arg};
use crate::session::Session;
use crate::spending::amount_arg;

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
    /// What an equivocation costs, such as 0.1 or 10%: the rate at which stakes must have signed their slashing in advance
    #[arg(long, value_name = "RATE")]
    slashing_rate: String,
    /// The blocks for which a stake must stay slashable after it ended
    #[arg(long, value_name = "BLOCKS")]
    unbonding_time: u64,
    /// How often a stake may count, over all services together: 100% is once
    #[arg(long, value_name = "PERCENT", value_parser = percent_arg)]
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
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent_arg)]
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
    #[arg(value_name = "PERCENT", value_parser = percent_arg)]
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
    #[arg(value_name = "OUTPOINT", required_unless_present_any = ["commission", "all"])]
    stake: Option<OutPoint>,
    /// A provider, to be paid its commission
    #[arg(long, value_name = "KEY", value_parser = key_arg, conflicts_with = "stake")]
    commission: Option<KeyArg>,
    /// Whatever stakes can claim, one entry each; no commission
    #[arg(long, conflicts_with_all = ["stake", "commission"])]
    all: bool,
    /// With --all: only for this owner's stakes, such as text:ann
    #[arg(long, value_name = "ACCOUNT", requires = "all")]
    owner: Option<Account>,
    /// The service [with --all by default: every service]
    #[arg(long, value_name = "NAME", value_parser = name::<ServiceId>, required_unless_present = "all")]
    service: Option<ServiceId>,
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
    args.at.open(session)?.make_one(event, session)
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
    at.open(session)?.make_one(event, session)
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
    args.at.open(session)?.make_one(event, session)
}

pub(crate) fn reward(args: &Reward, session: &Session<'_>) -> Result<()> {
    let (service, provider) = (args.service.clone(), args.provider.to_x_only()?);
    let opened = args.at.open(session)?;
    let denomination = match &args.denomination {
        Some(denomination) => denomination.clone(),
        None => opened.book().service(&service).map_err(by_book)?.terms.denomination.clone(),
    };
    let event = Event::Reward { service, provider, denomination, amount: args.amount };
    opened.make_one(event, session)
}

pub(crate) fn give_back(args: &GiveBack, session: &Session<'_>) -> Result<()> {
    let (service, provider) = (args.service.clone(), args.provider.to_x_only()?);
    args.at.open(session)?.make_one(Event::GiveBack { service, provider }, session)
}

pub(crate) fn claim(args: &Claim, session: &Session<'_>) -> Result<()> {
    let opened = args.at.open(session)?;
    let Some(service) = args.service.clone().filter(|_| !args.all) else {
        return claim_all(args, opened, session);
    };
    let event = match (&args.commission, args.stake) {
        (Some(key), _) => Event::ClaimCommission { service, provider: key.to_x_only()? },
        (None, Some(stake)) => Event::Claim { stake, service },
        (None, None) => return Err(Error::usage("name a stake, or a provider by --commission")),
    };
    opened.make_one(event, session)
}

/// Pays all that stakes, or those of one owner, can claim. No claim changes what another one pays.
fn claim_all(args: &Claim, opened: Opened, session: &Session<'_>) -> Result<()> {
    let book = opened.book();
    let asked = args.service.as_ref().map(|service| book.service(service)).transpose().map_err(by_book)?;
    let asked = asked.map(|service| service.name);
    let coins: BTreeMap<_, _> = book.services().map(|service| (service.name, service.terms)).collect();
    let (mut events, mut outcomes, mut sums) = (Vec::new(), Vec::new(), BTreeMap::<_, u128>::new());
    for stake in book.stakes().filter(|stake| args.owner.as_ref().is_none_or(|owner| owner == stake.owner)) {
        let claims = book.claims(&stake.outpoint).map_err(by_book)?;
        for (service, paid) in claims.into_iter().filter(|(name, _)| asked.is_none_or(|asked| asked == *name))
        {
            if let Some(terms) = coins.get(service) {
                // Services choose the names of their coins: a sum of coins called alike may be more than can be counted.
                let sum = sums.entry(terms.denomination.clone()).or_default();
                *sum = sum.saturating_add(paid);
            }
            let event = Event::Claim { stake: stake.outpoint, service: service.clone() };
            outcomes.push(watch(book, &event)(book));
            events.push(event);
        }
    }
    if events.is_empty() {
        let whose = args.owner.as_ref().map_or("no stake".to_owned(), |owner| format!("no stake of {owner}"));
        let at = args.service.as_ref().map_or(String::new(), |service| format!(" from {service}"));
        return Err(Error::rule("nothing-owed", format!("{whose} can claim anything{at}")));
    }
    opened.make_all(events, outcomes, sums, session)
}

pub(crate) fn end(args: &EndArgs, session: &Session<'_>) -> Result<()> {
    let opened = args.at.open(session)?;
    if let (Some(how), Some(stake)) = (args.how, args.stake) {
        let end = match how {
            EndName::Unbonding => End::Unbonding,
            EndName::Expired => End::Expired,
            EndName::Spent => End::Spent,
        };
        return opened.make_one(Event::EndStake { stake, end }, session);
    }
    // What expired first ends first, and none of these ends can be refused.
    let expired =
        |stake: &StakeView<'_>| stake.status == StakeStatus::Active && stake.expires_at <= opened.height;
    let mut due: Vec<_> = opened.book().stakes().filter(expired).collect();
    due.sort_by_key(|stake| stake.expires_at);
    let ends = due.iter().map(|stake| Event::EndStake { stake: stake.outpoint, end: End::Expired });
    let ends = ends.collect();
    opened.make_each(ends, session)
}

pub(crate) fn slash(args: &Slash, session: &Session<'_>) -> Result<()> {
    let equivocation = equivocation(&args.evidence, session)?;
    args.at.open(session)?.make_one(Event::slash(&equivocation), session)
}

/// What a file with evidence shows.
pub(super) fn equivocation(path: &Path, session: &Session<'_>) -> Result<VerifiedEquivocation> {
    let verified = read_evidence(path)?.verify(&session.secp).map_err(equivocation::refused);
    verified.context(path.display())
}
