//! `tapstake stakes`: the list, and what keeps it.

use std::path::PathBuf;

use bitcoin::{Amount, OutPoint, Txid};
use clap::Subcommand;
use serde::Serialize;
use tapstake_tracker::{StakeRecord, StakeState, Store, observe, resume};
use tapstake_wallet::RecoverySheet;

use crate::commands::stake::check_in_force;
use crate::delegation::{self, StakeArg};
use crate::error::Result;
use crate::live::{SourceArgs, WalletArgs};
use crate::output::{Show, table};
use crate::session::Session;
use crate::stakes::{Failed, each, open_store, record_of, sheet_facts};

mod forget;
mod restore;

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
    /// Add a stake from its delegation file or its recovery sheet
    Restore(restore::Restore),
    /// Take a stake off the list, free the coins locked for it, and keep its delegation as a file. What is on the chain
    /// stays what it is
    Forget(forget::Forget),
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
    wallet: WalletArgs,
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

#[derive(Serialize)]
struct Listed {
    stakes: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
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
    /// How many of the covenant have signed a stake that is only prepared, as far as is known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    covenant_signed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    covenant_needed: Option<usize>,
}

impl Show for Listed {
    fn text(&self) -> String {
        if self.stakes.is_empty() {
            return "no stakes".to_owned();
        }
        let mut text = table(
            &["stake", "value", "locked for", "state"],
            &["value", "locked for"],
            self.stakes.iter().map(|row| {
                vec![
                    row.outpoint.to_string(),
                    Amount::from_sat(row.value_sat).to_string(),
                    format!("{} blocks", row.staking_time),
                    match (row.state, row.covenant_signed, row.covenant_needed) {
                        (Some(state), Some(signed), Some(needed)) => {
                            format!("{state}; {signed} of {needed} covenant members have signed")
                        }
                        (Some(state), ..) => state.to_string(),
                        (None, ..) => "not asked".to_owned(),
                    },
                ]
            }),
        );
        for failed in &self.failed {
            text.push_str(&format!("\nfailed  {}", failed.line()));
        }
        text
    }
}

#[derive(Serialize)]
struct Resumed {
    resumed: Vec<Txid>,
    /// Prepared stakes that wait for the covenant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<OutPoint>,
    /// Stakes that can never be: another transaction took what they spend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicted: Vec<OutPoint>,
    /// Coins that are locked for stakes which the list does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unlisted: Vec<Unlisted>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Unlisted {
    stake: OutPoint,
    coins: Vec<OutPoint>,
}

impl Show for Resumed {
    fn text(&self) -> String {
        let mut lines: Vec<String> = self.resumed.iter().map(|txid| format!("sent again: {txid}")).collect();
        lines.extend(self.waiting.iter().map(|stake| format!("{stake} waits for the covenant's signatures")));
        lines.extend(self.conflicted.iter().map(|stake| {
            format!("{stake} can never be: tapstake stakes forget {stake} frees the coins locked for it")
        }));
        lines.extend(self.unlisted.iter().flat_map(|Unlisted { stake, coins }| {
            coins
                .iter()
                .map(move |coin| format!("coin {coin} is locked for {stake}, which is not in the list"))
        }));
        lines.extend(self.failed.iter().map(|failed| format!("failed: {}", failed.line())));
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
        Some(Command::Restore(args)) => restore::run(args, session),
        Some(Command::Forget(args)) => forget::run(args, session),
    }
}

fn list(args: &List, session: &Session<'_>) -> Result<()> {
    let mut store = open_store(session)?;
    let empty = store.entries()?.is_empty();
    let source = if args.offline || empty { None } else { Some(args.source.connect(session)?) };
    let (stakes, failed) = each(session, &mut store, |store, record| {
        let state = match &source {
            None => store.last_seen(&record.outpoint)?.map(|seen| seen.state),
            Some(source) => {
                let observed = observe(source.chain(), &session.secp, &record)?;
                store.note(&record.outpoint, &observed)?;
                Some(observed.state)
            }
        };
        let mut row = row(&record, state);
        if row.state == Some(StakeState::Prepared)
            && let Some(package) = store.delegation(&record.outpoint)?
        {
            row.covenant_signed = Some(package.parts.covenant.len());
            row.covenant_needed = Some(record.terms.parties.covenant().threshold());
        }
        Ok(row)
    })?;
    for row in stakes.iter().filter(|row| row.state.is_some_and(|state| is_over(&state))) {
        let stake = row.outpoint;
        session.out.note(&format!("{stake} can never be: tapstake stakes forget {stake} frees its coins"));
    }
    session.out.show(&Listed { stakes, failed });
    Ok(())
}

/// Whether another transaction has taken, in a block, what the staking transaction spends.
const fn is_over(state: &StakeState) -> bool {
    matches!(state, StakeState::Conflicted { height: Some(_), .. })
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
        covenant_signed: None,
        covenant_needed: None,
    }
}

fn resume_all(args: &Resume, session: &Session<'_>) -> Result<()> {
    let source = args.source.connect(session)?;
    let mut store = open_store(session)?;
    let (mut waiting, mut conflicted) = (Vec::new(), Vec::new());
    let (sent, failed) = each(session, &mut store, |store, record| {
        let observed = observe(source.chain(), &session.secp, &record)?;
        store.note(&record.outpoint, &observed)?;
        if is_over(&observed.state) {
            conflicted.push(record.outpoint);
        }
        if observed.state != StakeState::Prepared {
            return Ok(None);
        }
        // Only what a quorum has signed is sent.
        let package = StakeArg::Listed(record.outpoint).package(Some(store))?;
        match delegation::verified(session, &package) {
            Ok(verified) => {
                check_in_force(session, source.chain().tip()?.height, &verified)?;
                Ok(Some(resume(source.chain(), &verified)?))
            }
            Err(error) if error.rule_name() == Some("quorum") => {
                waiting.push(record.outpoint);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    })?;
    let unlisted = unlisted(args, session, &store)?;
    let resumed = sent.into_iter().flatten().collect();
    session.out.show(&Resumed { resumed, waiting, conflicted, unlisted, failed });
    Ok(())
}

/// Coins that a stake locked which is in no list: its making was broken off, or it waits for signatures elsewhere.
fn unlisted(args: &Resume, session: &Session<'_>, store: &Store) -> Result<Vec<Unlisted>> {
    if !args.wallet.folder(session)?.exists() {
        return Ok(Vec::new());
    }
    let listed: Vec<OutPoint> = store.entries()?.into_iter().map(|(stake, _)| stake).collect();
    let pending = args.wallet.open(session)?.pending_stakes();
    let unlisted: Vec<Unlisted> = pending
        .into_iter()
        .filter(|(stake, _)| !listed.contains(stake))
        .map(|(stake, coins)| Unlisted { stake, coins })
        .collect();
    if !unlisted.is_empty() {
        session
            .out
            .note("locked coins of stakes that will not come: tapstake wallet unlock OUTPOINT frees them");
    }
    Ok(unlisted)
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
