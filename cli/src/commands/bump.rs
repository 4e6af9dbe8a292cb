//! `tapstake bump`: help a staking transaction that is stuck.

use bitcoin::{Amount, FeeRate, OutPoint, Txid};
use serde::Serialize;
use tapstake_wallet::{Scan, WalletError, extract_tx};

use crate::delegation::{self, StakeArg};
use crate::error::{Error, Result};
use crate::live::{SourceArgs, WalletArgs, guard_mainnet};
use crate::output::{Show, facts};
use crate::session::Session;
use crate::spending::{fee_rate_arg, now, show_rate};
use crate::stakes::open_store;

/// Raise the fee of a staking transaction that waits in the mempool, by a child that spends its change (CPFP)
///
/// It is never replaced (RBF): unbonding and slashings are signed on its txid, which a replacement does not have, so that
/// all of them would be void and the coins locked without them. The child goes out alone and needs the staking transaction
/// in the source's mempool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The stake, by its outpoint in the list or by its delegation file
    #[arg(value_name = "OUTPOINT|FILE")]
    stake: StakeArg,
    /// Fee rate of both transactions together, in sat per virtual byte
    #[arg(long, value_name = "SAT/VB", value_parser = fee_rate_arg)]
    fee_rate: FeeRate,
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Show the child, sign and send nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Bumped {
    status: &'static str,
    stake: OutPoint,
    staking_fee_sat: u64,
    child: Txid,
    child_fee_sat: u64,
    change_sat: u64,
    #[serde(skip)]
    rate: FeeRate,
}

impl Show for Bumped {
    fn text(&self) -> String {
        let sat = |value| Amount::from_sat(value).to_string();
        facts([
            ("status", self.status.to_owned()),
            ("stake", self.stake.to_string()),
            ("staking fee", sat(self.staking_fee_sat)),
            ("child", self.child.to_string()),
            ("child's fee", sat(self.child_fee_sat)),
            ("together", show_rate(self.rate)),
            ("change left", sat(self.change_sat)),
        ])
    }
}

pub(crate) fn run(args: &Args, session: &Session<'_>) -> Result<()> {
    let store = open_store(session)?;
    let delegation = delegation::verified(session, &args.stake.package(Some(&store))?)?;
    let mut wallet = args.wallet.open(session)?;
    let source = args.source.connect(session)?;
    source.sync(session, &mut wallet, Scan::Auto)?;
    let txid = delegation.staking_txid();
    let seen = source.chain().transaction(&txid)?;
    let parent = match seen {
        Some(seen) if seen.block.is_none() => seen.tx,
        Some(_) => {
            return Err(Error::rule(
                "confirmed",
                format!("staking transaction {txid} is in a block already"),
            ));
        }
        None => {
            let message = format!("staking transaction {txid} is not in the source's mempool");
            return Err(Error::rule("not-in-mempool", message).next("send it: tapstake stakes resume"));
        }
    };
    let paid = delegation.staking_fee().ok_or_else(|| {
        Error::rule("prevouts", format!("the outputs that {txid} is said to spend add up to no amount"))
    })?;
    let funded = wallet.fund_child(&parent, paid, args.fee_rate).map_err(|error| match error {
        WalletError::NoChange(_) => Error::from(error)
            .next("an earlier child may have spent it already; a stake of all coins has no change"),
        other => other.into(),
    })?;
    let mut report = Bumped {
        status: "dry run: nothing was signed or sent",
        stake: delegation.stake().outpoint(),
        staking_fee_sat: paid.to_sat(),
        child: funded.txid(),
        child_fee_sat: funded.fee.to_sat(),
        change_sat: funded.change.map_or(0, |(_, value)| value.to_sat()),
        rate: args.fee_rate,
    };
    if !args.dry_run {
        guard_mainnet(session, "send a child of the staking transaction")?;
        let signer = args.wallet.signer(&wallet)?;
        let mut psbt = funded.psbt;
        wallet.sign(&signer, &mut psbt)?;
        wallet.finalize(&mut psbt)?;
        // The child pays for its parent too, so its own rate may be far above what is asked for both.
        let child = extract_tx(psbt, FeeRate::MAX)?;
        source.chain().broadcast(&child)?;
        wallet.note_broadcast(child, now())?;
        report.status = "broadcast";
    }
    session.out.show(&report);
    Ok(())
}
