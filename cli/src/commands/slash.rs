//! `tapstake slash`: punish a provider whose key is known.

use std::path::PathBuf;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::key::Keypair;
use bitcoin::{Amount, OutPoint, Transaction, Txid};
use clap::Args;
use serde::Serialize;
use tapstake_params::Slashing;
use tapstake_tracker::{FollowUpKind, KeptParams, StakeState, observe};
use tapstake_tx::{Coin, Signatures, Slashable, SlashingTx, Stake, UnbondingTx};

use crate::committee::{Committee, secret_keys};
use crate::error::{Error, Result};
use crate::live::{SourceArgs, WalletArgs, guard_mainnet};
use crate::output::{Show, facts};
use crate::session::Session;
use crate::spending::{CommitteeArgs, amount_arg, aux};
use crate::stakes::{open_store, record_of, staker_signature};

/// Slash a stake, or its unbonding output, with a provider's secret key
///
/// Part of the stake is burned or paid as the parameters say, the rest goes to the staker's refund output. A burning
/// slashing goes out through a bitcoind: Electrum servers cannot pass it on.
#[derive(Debug, Args)]
pub(crate) struct SlashArgs {
    /// The stake
    #[arg(value_name = "OUTPOINT")]
    outpoint: OutPoint,
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    committee: CommitteeArgs,
    /// File with the secret key of one of the stake's providers, - for stdin
    #[arg(long, value_name = "FILE")]
    provider_key_file: PathBuf,
    /// The fee, not below the parameters' least [default: that]
    #[arg(long, value_name = "AMOUNT", value_parser = amount_arg)]
    fee: Option<Amount>,
    /// Show the signed transaction, send nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Slashed {
    status: &'static str,
    stake: OutPoint,
    spends: &'static str,
    txid: Txid,
    slashed_sat: u64,
    burns: bool,
    refund_sat: u64,
    fee_sat: u64,
    tx: String,
}

impl Show for Slashed {
    fn text(&self) -> String {
        let sat = |value| Amount::from_sat(value).to_string();
        facts([
            ("status", self.status.to_owned()),
            ("stake", self.stake.to_string()),
            ("spends", format!("the {} output", self.spends)),
            ("slashing txid", self.txid.to_string()),
            (if self.burns { "burned" } else { "paid" }, sat(self.slashed_sat)),
            ("refunded", sat(self.refund_sat)),
            ("fee", sat(self.fee_sat)),
        ])
    }
}

pub(crate) fn run(args: &SlashArgs, session: &Session<'_>) -> Result<()> {
    let mut store = open_store(session)?;
    let record = record_of(&store, args.outpoint)?;
    let stake = record.stake(&session.secp);
    let schedule = session.schedule()?;
    let params = schedule.version(record.params.version)?;
    if KeptParams::from(params) != record.params {
        let message =
            format!("the stake was made under other parameters than this version {}", params.version);
        return Err(Error::rule("parameters", message).next("give the --params the stake was made under"));
    }
    let Some(rules) = &params.slashing else {
        return Err(Error::rule(
            "parameters",
            format!("parameters version {} do not say how to slash", params.version),
        ));
    };
    let committee = Committee::at_hand(session, params, args.committee.covenant_key_file.as_deref())?;
    let provider = secret_keys(session, &args.provider_key_file, "provider key")?
        .into_iter()
        .find(|pair| stake.terms().parties.providers().keys().contains(&pair.x_only_public_key().0))
        .ok_or_else(|| Error::rule("provider", "the key is none of the stake's providers'"))?;

    let source = args.source.connect(session)?;
    let fee = args.fee.unwrap_or(rules.min_fee);
    let job =
        Job { args, session, record: &record, stake: &stake, rules, fee, committee: &committee, provider };
    let (slashing, tx, spends) = match observe(source.chain(), &session.secp, &record)?.state {
        StakeState::Unbonding { .. } | StakeState::Unbonded { .. } => {
            let unbonding = UnbondingTx::build(&session.secp, &stake, params.unbonding_fee)?;
            let (slashing, tx) = job.sign(unbonding.coin())?;
            (slashing, tx, "unbonding")
        }
        StakeState::Prepared
        | StakeState::InMempool
        | StakeState::Confirmed { .. }
        | StakeState::Expired { .. } => {
            let (slashing, tx) = job.sign(stake.coin())?;
            (slashing, tx, "staking")
        }
        over => return Err(Error::rule("spent", format!("nothing is left to slash: the stake is {over}"))),
    };
    let mut report = Slashed {
        status: "dry run: signed, not sent",
        stake: args.outpoint,
        spends,
        txid: tx.compute_txid(),
        slashed_sat: slashing.slashed().to_sat(),
        burns: slashing.burns(),
        refund_sat: slashing.refund().value.to_sat(),
        fee_sat: fee.to_sat(),
        tx: serialize_hex(&tx),
    };
    if !args.dry_run {
        guard_mainnet(session, "slash the stake")?;
        store.keep(&args.outpoint, FollowUpKind::Slashing, &tx)?;
        if slashing.burns() {
            source.chain().broadcast_burning(&tx, slashing.slashed())?;
        } else {
            source.chain().broadcast(&tx)?;
        }
        report.status = "broadcast";
    }
    session.out.show(&report);
    Ok(())
}

struct Job<'a> {
    args: &'a SlashArgs,
    session: &'a Session<'a>,
    record: &'a tapstake_tracker::StakeRecord,
    stake: &'a Stake,
    rules: &'a Slashing,
    fee: Amount,
    committee: &'a Committee,
    provider: Keypair,
}

impl Job<'_> {
    fn sign<O: Slashable>(&self, coin: &Coin<O>) -> Result<(SlashingTx, Transaction)> {
        let secp = &self.session.secp;
        let slashing = SlashingTx::build(coin, self.stake.refund_output(), self.rules, self.fee)?;
        let spend = slashing.spend(coin);
        let others = self.committee.members().iter().chain([&self.provider]);
        let mut signatures: Signatures = others.map(|key| spend.sign(secp, key, &aux())).collect();
        signatures.extend([staker_signature(self.session, &self.args.wallet, self.record, &spend)?]);
        let tx = slashing.finish(secp, coin, &signatures)?;
        Ok((slashing, tx))
    }
}
