//! Putting a stake back into the list.

use std::path::PathBuf;

use bitcoin::{Network, OutPoint};
use tapstake_tx::delegation::{CheckedDelegation, MAX_PACKAGE_JSON_BYTES};
use tapstake_wallet::{RecoverySheet, StakeFacts};

use super::Changed;
use crate::delegation;
use crate::error::{Error, Result};
use crate::file::{self, kind::Kind};
use crate::session::Session;
use crate::stakes::{list_delegation, open_store, record_from, sheet_facts};

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The stake's delegation file or recovery sheet. The delegation file also has what unbonds the stake
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &Restore, session: &Session<'_>) -> Result<()> {
    let bytes = file::read(&args.file, MAX_PACKAGE_JSON_BYTES as u64)?;
    match Kind::of(&bytes) {
        Some(Kind::Delegation) => from_delegation(args, session),
        Some(Kind::Sheet) | None => from_sheet(args, session),
        Some(other) => Err(Error::rule("file", format!("{} is {other}", args.file.display()))
            .next("give the stake's delegation file or its recovery sheet")),
    }
}

fn from_delegation(args: &Restore, session: &Session<'_>) -> Result<()> {
    let package = delegation::read(&args.file)?;
    check_network(package.network, session)?;
    let mut store = open_store(session)?;
    let stake = package.outpoint();
    let new = match delegation::check(session, &package)? {
        CheckedDelegation::Draft(delegation) => list_delegation(session, &mut store, &delegation, None),
        CheckedDelegation::PreSigned(delegation) => list_delegation(session, &mut store, &delegation, None),
        CheckedDelegation::PartlySigned(delegation) => {
            list_delegation(session, &mut store, &delegation, None)
        }
        CheckedDelegation::Verified(delegation) => list_delegation(session, &mut store, &delegation, None),
    }?;
    show(session, stake, if new { "restored" } else { "in the list already, its delegation is kept" });
    Ok(())
}

fn from_sheet(args: &Restore, session: &Session<'_>) -> Result<()> {
    let facts = RecoverySheet::read(&session.secp, &args.file)?.facts();
    check_network(facts.network, session)?;
    let record = record_from(session, &facts)?;
    let mut store = open_store(session)?;
    if let Some(known) = store.get(&facts.outpoint)?
        && same_stake(&sheet_facts(&known), &facts)
    {
        show(session, facts.outpoint, "in the list already");
        return Ok(());
    }
    store.insert(&record)?;
    show(session, facts.outpoint, "restored");
    Ok(())
}

/// Whether both are of one stake: where a key is derived, and what was seen when, are no facts about it.
fn same_stake(one: &StakeFacts, other: &StakeFacts) -> bool {
    let facts = |facts: &StakeFacts| (facts.network, facts.params_version, facts.unbonding_fee, facts.value);
    facts(one) == facts(other) && one.terms == other.terms
}

fn check_network(network: Network, session: &Session<'_>) -> Result<()> {
    if network == session.network() {
        return Ok(());
    }
    let message = format!("the stake is on {network}, not {}", session.network());
    Err(Error::rule("network", message).next(format!("give --network {network}")))
}

fn show(session: &Session<'_>, stake: OutPoint, status: &'static str) {
    session.out.show(&Changed { stake, status });
    session.out.note(
        "tapstake stakes follows it, tapstake withdraw gets its coins back once their timelock is over",
    );
}
