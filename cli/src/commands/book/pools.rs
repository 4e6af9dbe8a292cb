//! Entries about pools, over stakes and over receipts.

use bitcoin::{Amount, OutPoint};
use clap::Subcommand;
use tapstake_restake::{
    Book, BookError, Event, ExitId, HolderId, PartsPerMillion, PoolError, PoolId, ServiceId,
};

use super::entry::At;
use super::name;
use super::outcome::Outcome;
use super::refusal::{by_book, named};
use crate::error::{Error, Result};
use crate::input::{self, percent_arg};
use crate::session::Session;
use crate::spending::amount_arg;

#[derive(Debug, Subcommand)]
pub(crate) enum PoolCommand {
    /// Open a pool over stakes, or with --over one over the receipts of a pool
    Open(Open),
    /// Record bitcoin that comes into a pool for all its shares; into a pool over receipts come shares, see --shares
    Reward(PoolReward),
    /// Take back a reward of a pool, or a part of one, that never came
    TakeReward(Missing),
    /// Record cash for what a pool misses, or what has come of a loss after all
    MakeGood(Missing),
    /// Give up what a pool misses: its shares and exits bear it like a slashing
    WriteDown(Missing),
    /// Give what a pool has and owes nobody to its shares and exits: a loss that was none after all
    WriteUp(Missing),
    /// Record cash that leaves a pool other than to an exit: never there, or stolen, or given back to who put too much in
    TakeCash(Missing),
    /// Let a service count a part of what a pool over receipts holds
    Choose(Choose),
    /// End that
    Leave(Leave),
    /// Put shares of the pool beneath into a pool over receipts
    Deposit(Move),
    /// Take them out again, by shares of the pool over receipts
    Redeem(Move),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Open {
    /// Its name
    #[arg(value_parser = new_name)]
    pool: PoolId,
    /// The blocks for which an exit waits: at least as many as any of its stakes takes to unbond
    #[arg(long, value_name = "BLOCKS", required_unless_present = "over", conflicts_with = "over")]
    unbonding_time: Option<u64>,
    /// The pool beneath
    #[arg(long, value_name = "POOL", value_parser = name::<PoolId>, requires = "leverage_limit")]
    over: Option<PoolId>,
    /// How much of what it holds its services count at most, all together
    #[arg(long, value_name = "PERCENT", requires = "over", value_parser = percent_arg)]
    leverage_limit: Option<PartsPerMillion>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PoolReward {
    /// The pool, over stakes or over receipts
    #[arg(value_parser = name::<PoolId>)]
    pool: PoolId,
    /// How much, such as 5000sat
    #[arg(value_parser = amount_arg, required_unless_present = "shares")]
    amount: Option<Amount>,
    /// Shares of the pool beneath
    #[arg(long, conflicts_with = "amount", requires = "from")]
    shares: Option<u128>,
    /// Who gives those
    #[arg(long, value_name = "HOLDER", value_parser = name::<HolderId>, requires = "shares")]
    from: Option<HolderId>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Missing {
    /// The pool
    #[arg(value_parser = name::<PoolId>)]
    pool: PoolId,
    /// How much, such as 5000sat
    #[arg(value_parser = amount_arg)]
    amount: Amount,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Choose {
    /// The pool over receipts
    #[arg(value_parser = name::<PoolId>)]
    pool: PoolId,
    /// The service
    #[arg(value_parser = name::<ServiceId>)]
    service: ServiceId,
    /// The part
    #[arg(value_name = "PERCENT", value_parser = percent_arg)]
    part: PartsPerMillion,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Leave {
    /// The pool over receipts
    #[arg(value_parser = name::<PoolId>)]
    pool: PoolId,
    /// The service
    #[arg(value_parser = name::<ServiceId>)]
    service: ServiceId,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// The pool over receipts
    #[arg(value_parser = name::<PoolId>)]
    pool: PoolId,
    /// How many, or all: in deposit shares of the pool beneath, in redeem shares of this pool
    #[arg(value_parser = shares_arg)]
    shares: Shares,
    /// Whose they are
    #[arg(long, value_parser = name::<HolderId>)]
    holder: HolderId,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Mint {
    /// The stake
    #[arg(value_name = "OUTPOINT")]
    stake: OutPoint,
    /// The pool
    #[arg(long, value_parser = name::<PoolId>)]
    pool: PoolId,
    /// Who gets the shares
    #[arg(long, value_name = "HOLDER", value_parser = name::<HolderId>)]
    to: HolderId,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Transfer {
    /// How many, or all
    #[arg(value_parser = shares_arg)]
    shares: Shares,
    /// The pool, over stakes or over receipts
    #[arg(long, value_parser = name::<PoolId>)]
    pool: PoolId,
    /// Whose they are
    #[arg(long, value_name = "HOLDER", value_parser = name::<HolderId>)]
    from: HolderId,
    /// Who gets them
    #[arg(long, value_name = "HOLDER", value_parser = name::<HolderId>)]
    to: HolderId,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Exit {
    /// The shares to give up, or all
    #[arg(required_unless_present = "amount", value_parser = shares_arg)]
    shares: Option<Shares>,
    /// An exact amount to wait for instead, such as 5000sat
    #[arg(long, value_parser = amount_arg, conflicts_with = "shares")]
    amount: Option<Amount>,
    /// The pool
    #[arg(long, value_parser = name::<PoolId>)]
    pool: PoolId,
    /// Whose shares they are, and who is paid
    #[arg(long, value_parser = name::<HolderId>)]
    holder: HolderId,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Finalise {
    /// The exit's number in its pool [default: all whose unbonding has ended, in their order]
    exit: Option<u64>,
    /// The pool
    #[arg(long, value_parser = name::<PoolId>)]
    pool: PoolId,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Return {
    /// The stake
    #[arg(value_name = "OUTPOINT")]
    stake: OutPoint,
    /// What came back, such as 5000sat
    #[arg(long, value_parser = amount_arg)]
    amount: Amount,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Revive {
    /// The stake
    #[arg(value_name = "OUTPOINT")]
    stake: OutPoint,
    #[command(flatten)]
    at: At,
}

/// A name for a pool, which is not that of a pool's account.
fn new_name(text: &str) -> Result<PoolId, String> {
    match text.starts_with("lrt:") {
        true => Err("names that begin with lrt: are accounts of pools".to_owned()),
        false => name(text),
    }
}

/// Shares as they are typed.
#[derive(Debug, Clone, Copy)]
enum Shares {
    /// All that the holder has.
    All,
    Exact(u128),
}

fn shares_arg(text: &str) -> Result<Shares, String> {
    match text {
        "all" => Ok(Shares::All),
        _ => text.parse().map(Shares::Exact).map_err(|_| "shares are a whole number, or all".to_owned()),
    }
}

impl Shares {
    const fn of(self, balance: u128) -> u128 {
        match self {
            Shares::All => balance,
            Shares::Exact(shares) => shares,
        }
    }
}

/// The shares of a holder in a pool, of whichever kind.
fn balance(book: &Book, pool: &PoolId, holder: &HolderId) -> u128 {
    let over = book.lrt_pool(pool).map(|(lrt, _)| lrt.balance(holder));
    over.or_else(|_| book.pool(pool).map(|pool| pool.balance(holder))).unwrap_or(0)
}

fn plain(at: &At, event: Event, session: &Session<'_>) -> Result<()> {
    at.open(session)?.make_one(event, session)
}

pub(crate) fn pool(command: &PoolCommand, session: &Session<'_>) -> Result<()> {
    match command {
        PoolCommand::Open(args) => open(args, session),
        PoolCommand::Reward(args) => reward(args, session),
        PoolCommand::TakeReward(args) => {
            plain(&args.at, Event::TakeReward { pool: args.pool.clone(), amount: args.amount }, session)
        }
        PoolCommand::MakeGood(args) => {
            plain(&args.at, Event::MakeGood { pool: args.pool.clone(), amount: args.amount }, session)
        }
        PoolCommand::WriteDown(args) => {
            plain(&args.at, Event::WriteDown { pool: args.pool.clone(), amount: args.amount }, session)
        }
        PoolCommand::WriteUp(args) => {
            plain(&args.at, Event::WriteUp { pool: args.pool.clone(), amount: args.amount }, session)
        }
        PoolCommand::TakeCash(args) => {
            plain(&args.at, Event::TakeCash { pool: args.pool.clone(), amount: args.amount }, session)
        }
        PoolCommand::Choose(Choose { pool, service, part, at }) => {
            let event = Event::ChooseService { pool: pool.clone(), service: service.clone(), part: *part };
            plain(at, event, session)
        }
        PoolCommand::Leave(Leave { pool, service, at }) => {
            plain(at, Event::LeaveService { pool: pool.clone(), service: service.clone() }, session)
        }
        PoolCommand::Deposit(Move { pool, shares, holder, at }) => {
            let (opened, pool, holder) = (at.open(session)?, pool.clone(), holder.clone());
            let beneath = opened.book().lrt_pool(&pool).map(|(_, beneath)| beneath.balance(&holder));
            let shares = shares.of(beneath.unwrap_or(0));
            opened.make_one(Event::LrtDeposit { pool, holder, shares }, session)
        }
        PoolCommand::Redeem(Move { pool, shares, holder, at }) => {
            let (opened, pool, holder) = (at.open(session)?, pool.clone(), holder.clone());
            let shares = shares.of(balance(opened.book(), &pool, &holder));
            opened.make_one(Event::LrtRedeem { pool, holder, shares }, session)
        }
    }
}

fn open(args: &Open, session: &Session<'_>) -> Result<()> {
    let pool = args.pool.clone();
    let event = match (&args.over, args.leverage_limit, args.unbonding_time) {
        (Some(over), Some(leverage_limit), _) => Event::OpenLrt { pool, over: over.clone(), leverage_limit },
        (_, _, blocks) => Event::OpenPool { pool, unbonding_time: input::timelock(blocks.unwrap_or(0))? },
    };
    plain(&args.at, event, session)
}

fn reward(args: &PoolReward, session: &Session<'_>) -> Result<()> {
    let pool = args.pool.clone();
    let event = match (&args.from, args.shares) {
        (Some(from), Some(shares)) => Event::LrtReward { pool, from: from.clone(), shares },
        _ => Event::PoolReward { pool, amount: args.amount.unwrap_or(Amount::ZERO) },
    };
    plain(&args.at, event, session)
}

pub(crate) fn mint(args: &Mint, session: &Session<'_>) -> Result<()> {
    let (pool, holder) = (args.pool.clone(), args.to.clone());
    plain(&args.at, Event::Mint { pool, holder, stake: args.stake }, session)
}

pub(crate) fn transfer(args: &Transfer, session: &Session<'_>) -> Result<()> {
    let (pool, from, to) = (args.pool.clone(), args.from.clone(), args.to.clone());
    if from == to {
        return Err(Error::usage(format!("{from} would give shares to itself")).next("name another holder"));
    }
    let opened = args.at.open(session)?;
    let shares = args.shares.of(balance(opened.book(), &pool, &from));
    let event = match opened.book().lrt_pool(&pool) {
        Ok(_) => Event::LrtTransfer { pool, from, to, shares },
        Err(_) => Event::Transfer { pool, from, to, shares },
    };
    opened.make_one(event, session)
}

pub(crate) fn exit(args: &Exit, session: &Session<'_>) -> Result<()> {
    let (opened, pool, holder) = (args.at.open(session)?, args.pool.clone(), args.holder.clone());
    let event = match (args.amount, args.shares.unwrap_or(Shares::Exact(0))) {
        (Some(amount), _) => Event::RequestWithdrawal { pool, holder, amount },
        (None, shares) => {
            let shares = shares.of(balance(opened.book(), &pool, &holder));
            Event::RequestExit { pool, holder, shares }
        }
    };
    opened.make_one(event, session)
}

pub(crate) fn finalise(args: &Finalise, session: &Session<'_>) -> Result<()> {
    let opened = args.at.open(session)?;
    let mut pool = opened.book().pool(&args.pool).map_err(|error| named(opened.book(), error))?.clone();
    let refusal = |error: PoolError| by_book(BookError::Pool { pool: args.pool.clone(), error });
    // Without a number all that are due, in their order.
    let mut next = args.exit.map(ExitId).or(pool.queue().first());
    if next.is_none() {
        return Err(Error::rule("nothing", format!("pool {}: no exit waits", args.pool)));
    }
    let mut events = Vec::new();
    while let Some(exit) = next {
        match pool.finalise_exit(exit, opened.height) {
            Ok(paid) => {
                let event = Event::FinaliseExit { pool: args.pool.clone(), exit };
                events.push((event, Outcome::of_exit(exit, paid)));
            }
            Err(error) if events.is_empty() => return Err(refusal(error)),
            Err(PoolError::Unbonding { .. }) => break,
            Err(error) => {
                let error = refusal(error).message();
                session.out.warn(&format!("exit {exit} is due and not paid, nor any behind it: {error}"));
                break;
            }
        }
        next = pool.queue().first().filter(|_| args.exit.is_none());
    }
    opened.make(events, session)
}

pub(crate) fn revive(args: &Revive, session: &Session<'_>) -> Result<()> {
    plain(&args.at, Event::ReviveStake { stake: args.stake }, session)
}

pub(crate) fn take_back(args: &Return, session: &Session<'_>) -> Result<()> {
    plain(&args.at, Event::ReturnStake { stake: args.stake, returned: args.amount }, session)
}
