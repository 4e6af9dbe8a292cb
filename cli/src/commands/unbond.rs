//! `tapstake unbond`: end a stake early, with what the covenant signed in advance.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, OutPoint, Txid};
use clap::Args;
use serde::Serialize;
use tapstake_tracker::{FollowUpKind, StakeState, observe};

use crate::delegation::{self, StakeArg};
use crate::error::{Error, Result};
use crate::live::{SourceArgs, WalletArgs, guard_mainnet};
use crate::output::{Show, facts};
use crate::session::Session;
use crate::stakes::{open_store, staker_signature};

/// End a stake early: the staker adds its signature to the unbonding transaction that the covenant signed in advance
#[derive(Debug, Args)]
pub(crate) struct UnbondArgs {
    /// The stake, by its outpoint in the list or by its delegation file
    #[arg(value_name = "OUTPOINT|FILE")]
    stake: StakeArg,
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Show the signed transaction, send nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Unbonding {
    status: &'static str,
    stake: OutPoint,
    txid: Txid,
    value_sat: u64,
    fee_sat: u64,
    unbonding_time: u16,
    tx: String,
}

impl Show for Unbonding {
    fn text(&self) -> String {
        facts([
            ("status", self.status.to_owned()),
            ("stake", self.stake.to_string()),
            ("unbonding txid", self.txid.to_string()),
            ("value", Amount::from_sat(self.value_sat).to_string()),
            ("fee", Amount::from_sat(self.fee_sat).to_string()),
            ("withdrawable", format!("{} blocks after it confirms", self.unbonding_time)),
        ])
    }
}

pub(crate) fn run(args: &UnbondArgs, session: &Session<'_>) -> Result<()> {
    let secp = &session.secp;
    let mut store = open_store(session)?;
    let delegation = delegation::verified(session, &args.stake.package(Some(&store))?)?;
    let (stake, unbonding) = (delegation.stake(), delegation.unbonding());
    let record = delegation::record(session, Some(&store), &delegation)?;
    let (_, signature) = staker_signature(session, &args.wallet, &record, &unbonding.spend(stake))?;
    let tx = delegation.finish_unbonding(secp, signature)?;

    let mut report = Unbonding {
        status: "dry run: signed, not sent",
        stake: stake.outpoint(),
        txid: tx.compute_txid(),
        value_sat: unbonding.coin().value.to_sat(),
        fee_sat: (stake.value() - unbonding.coin().value).to_sat(),
        unbonding_time: stake.terms().unbonding_time.blocks(),
        tx: serialize_hex(&tx),
    };
    if !args.dry_run {
        guard_mainnet(session, "unbond the stake")?;
        let source = args.source.connect(session)?;
        match observe(source.chain(), secp, &record)?.state {
            StakeState::InMempool | StakeState::Confirmed { .. } => {}
            state @ StakeState::Expired { .. } => {
                let refused = Error::rule("spent", format!("nothing to unbond: the stake is {state}"));
                return Err(refused.next("tapstake withdraw gets the coins back at once"));
            }
            state => return Err(Error::rule("spent", format!("nothing to unbond: the stake is {state}"))),
        }
        if store.get(&record.outpoint)?.is_some() {
            store.keep(&record.outpoint, FollowUpKind::Unbonding, &tx)?;
        }
        source.chain().broadcast(&tx)?;
        report.status = "broadcast";
    }
    session.out.show(&report);
    Ok(())
}
