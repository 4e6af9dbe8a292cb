//! `tapstake unbond`: end a stake early, with the covenant.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, OutPoint, Txid};
use clap::Args;
use serde::Serialize;
use tapstake_tracker::{FollowUpKind, KeptParams, StakeState, observe};
use tapstake_tx::{Signatures, UnbondingTx};

use crate::committee::Committee;
use crate::error::{Error, Result};
use crate::live::{SourceArgs, WalletArgs, guard_mainnet};
use crate::output::{Show, facts};
use crate::session::Session;
use crate::spending::{CommitteeArgs, aux};
use crate::stakes::{open_store, record_of, staker_signature};

/// End a stake early: staker and covenant sign its one unbonding transaction
#[derive(Debug, Args)]
pub(crate) struct UnbondArgs {
    /// The stake
    #[arg(value_name = "OUTPOINT")]
    outpoint: OutPoint,
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    committee: CommitteeArgs,
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
    let record = record_of(&store, args.outpoint)?;
    let stake = record.stake(secp);
    let schedule = session.schedule()?;
    let params = schedule.version(record.params.version)?;
    if params.covenant != *stake.terms().parties.covenant() || KeptParams::from(params) != record.params {
        return Err(Error::rule(
            "covenant",
            format!("the stake was made under other parameters than this version {}", params.version),
        )
        .next("give the --params the stake was made under"));
    }
    let committee = Committee::at_hand(session, params, args.committee.covenant_key_file.as_deref())?;

    let unbonding = UnbondingTx::build(secp, &stake, params.unbonding_fee)?;
    let spend = unbonding.spend(&stake);
    let mut signatures: Signatures =
        committee.members().iter().map(|member| spend.sign(secp, member, &aux())).collect();
    signatures.extend([staker_signature(session, &args.wallet, &record, &spend)?]);
    let tx = unbonding.finish(secp, &stake, &signatures)?;

    let mut report = Unbonding {
        status: "dry run: signed, not sent",
        stake: args.outpoint,
        txid: tx.compute_txid(),
        value_sat: unbonding.coin().value.to_sat(),
        fee_sat: params.unbonding_fee.to_sat(),
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
        store.keep(&args.outpoint, FollowUpKind::Unbonding, &tx)?;
        source.chain().broadcast(&tx)?;
        report.status = "broadcast";
    }
    session.out.show(&report);
    Ok(())
}
