//! `tapstake stakes`: the list, and what keeps it.

use std::path::PathBuf;

use bitcoin::{Amount, OutPoint, Txid};
use clap::Subcommand;
use serde::Serialize;
use tapstake_tracker::{StakeRecord, StakeState, observe, resume};
use tapstake_wallet::RecoverySheet;

use crate::error::{Error, Result};
use crate::live::SourceArgs;
use crate::output::{Show, table};
use crate::session::Session;
use crate::stakes::{open_store, record_of, sheet_facts};

/// List stakes with their states, and keep the list
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List stakes with their states: the same as no subcommand
    List(List),
    /// Send prepared stakes again, as after a broken connection
    Resume(Resume),
    /// Write the recovery sheet of a stake
    Sheet(Sheet),
    /// Add a stake from its recovery sheet
    Restore(Restore),
    /// Take a stake off the list. The chain knows nothing of the list: the stake stays what it is
    Forget(Forget),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    source: SourceArgs,
    /// Ask no chain source: list what was remembered
    #[arg(long)]
    offline: bool,
}

#[derive(Debug, clap::Args)]
struct Resume {
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, clap::Args)]
struct Sheet {
    /// The stake
    #[arg(value_name = "OUTPOINT")]
    stake: OutPoint,
    /// Write it to this file [default: to stdout]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Restore {
    /// The recovery sheet
    #[arg(value_name = "FILE")]
    sheet: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Forget {
    /// The stake
    #[arg(value_name = "OUTPOINT")]
    stake: OutPoint,
}

#[derive(Serialize)]
struct Listed {
    stakes: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    outpoint: OutPoint,
    value_sat: u64,
    staker: bitcoin::XOnlyPublicKey,
    providers: Vec<bitcoin::XOnlyPublicKey>,
    staking_time: u16,
    unbonding_time: u16,
    params_version: u32,
    #[serde(flatten)]
    state: Option<StakeState>,
}

impl Show for Listed {
    fn text(&self) -> String {
        if self.stakes.is_empty() {
            return "no stakes".to_owned();
        }
        table(
            &["stake", "value", "locked for", "state"],
            &["value", "locked for"],
            self.stakes.iter().map(|row| {
                vec![
                    row.outpoint.to_string(),
                    Amount::from_sat(row.value_sat).to_string(),
                    format!("{} blocks", row.staking_time),
                    row.state.map_or_else(|| "not asked".to_owned(), |state| state.to_string()),
                ]
            }),
        )
    }
}

#[derive(Serialize)]
struct Resumed {
    resumed: Vec<Txid>,
}

impl Show for Resumed {
    fn text(&self) -> String {
        let lines: Vec<String> = self.resumed.iter().map(|txid| format!("sent again: {txid}")).collect();
        if lines.is_empty() { "no stake is only prepared".to_owned() } else { lines.join("\n") }
    }
}

#[derive(Serialize)]
struct Changed {
    stake: OutPoint,
    status: &'static str,
}

impl Show for Changed {
    fn text(&self) -> String {
        format!("{} {}", self.stake, self.status)
    }
}

/// A recovery sheet, as it is or as text.
#[derive(Serialize)]
#[serde(transparent)]
struct SheetShown(RecoverySheet);

impl Show for SheetShown {
    fn text(&self) -> String {
        self.0.to_string()
    }
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<()> {
    match &args.command {
        None => list(&args.list, session),
        Some(Command::List(args)) => list(args, session),
        Some(Command::Resume(args)) => resume_all(args, session),
        Some(Command::Sheet(args)) => sheet(args, session),
        Some(Command::Restore(args)) => restore(args, session),
        Some(Command::Forget(args)) => {
            if !open_store(session)?.remove(&args.stake)? {
                return Err(Error::failed(format!("no stake {} in the list", args.stake)));
            }
            session.out.show(&Changed { stake: args.stake, status: "forgotten" });
            Ok(())
        }
    }
}

fn list(args: &List, session: &Session<'_>) -> Result<()> {
    let mut store = open_store(session)?;
    let records = store.list()?;
    let source = if args.offline || records.is_empty() { None } else { Some(args.source.connect(session)?) };
    let mut stakes = Vec::with_capacity(records.len());
    for record in records {
        let state = match &source {
            None => store.last_seen(&record.outpoint)?.map(|seen| seen.state),
            Some(source) => {
                let observed = observe(source.chain(), &session.secp, &record)?;
                store.note(&record.outpoint, &observed)?;
                Some(observed.state)
            }
        };
        stakes.push(row(&record, state));
    }
    session.out.show(&Listed { stakes });
    Ok(())
}

fn row(record: &StakeRecord, state: Option<StakeState>) -> Row {
    let terms = &record.terms;
    Row {
        outpoint: record.outpoint,
        value_sat: record.value.to_sat(),
        staker: terms.parties.staker(),
        providers: terms.parties.providers().keys().to_vec(),
        staking_time: terms.staking_time.blocks(),
        unbonding_time: terms.unbonding_time.blocks(),
        params_version: record.params.version,
        state,
    }
}

fn resume_all(args: &Resume, session: &Session<'_>) -> Result<()> {
    let source = args.source.connect(session)?;
    let mut resumed = Vec::new();
    for record in open_store(session)?.list()? {
        if observe(source.chain(), &session.secp, &record)?.state == StakeState::Prepared {
            resumed.push(resume(source.chain(), &record)?);
        }
    }
    session.out.show(&Resumed { resumed });
    Ok(())
}

fn sheet(args: &Sheet, session: &Session<'_>) -> Result<()> {
    let record = record_of(&open_store(session)?, args.stake)?;
    let sheet = RecoverySheet::new(&session.secp, sheet_facts(&record))?;
    match &args.output {
        Some(path) => {
            sheet.write(path)?;
            session.out.show(&Changed { stake: args.stake, status: "written" });
        }
        None => session.out.show(&SheetShown(sheet)),
    }
    Ok(())
}

fn restore(args: &Restore, session: &Session<'_>) -> Result<()> {
    let sheet = RecoverySheet::read(&session.secp, &args.sheet)?;
    let facts = sheet.facts();
    if facts.network != session.network() {
        let message = format!("the sheet's stake is on {}, not {}", facts.network, session.network());
        return Err(Error::rule("network", message).next(format!("give --network {}", facts.network)));
    }
    let record = crate::stakes::record_from(session, &facts)?;
    open_store(session)?.insert(&record)?;
    session.out.show(&Changed { stake: facts.outpoint, status: "restored" });
    Ok(())
}
