//! `tapstake tx`

use bitcoin::{OutPoint, ScriptBuf, Txid};
use clap::{Subcommand, ValueEnum};
use tapstake_params::Slashing;
use tapstake_script::StakeTerms;
use tapstake_tx::{Coin, Slashable, SlashingTx, Stake, UnbondingTx};

use crate::commands::terms::PartiesArgs;
use crate::commands::tx::report::TxReport;
use crate::error::{Error, Result};
use crate::input::{self, script_arg};
use crate::session::Session;

mod inspect;
mod report;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build the one unbonding transaction of a stake, unsigned
    Unbonding {
        #[command(flatten)]
        stake: StakeArgs,
        /// The fee in sat, exactly that of the parameters
        #[arg(long, value_name = "SAT")]
        fee: u64,
        /// The staking time in blocks; the transaction does not depend on it, what is signed does
        #[arg(long, value_name = "BLOCKS")]
        staking_time: Option<u64>,
    },
    /// Build a slashing transaction, unsigned
    Slashing {
        #[command(flatten)]
        stake: StakeArgs,
        /// The output that is slashed
        #[arg(long, value_enum)]
        spends: Spends,
        /// The staking time in blocks
        #[arg(long, value_name = "BLOCKS")]
        staking_time: u64,
        /// The script that the slashed part goes to
        #[arg(long, value_name = "HEX", value_parser = script_arg)]
        slashing_script: ScriptBuf,
        /// The part that is slashed, a decimal such as 0.001
        #[arg(long, value_name = "RATE")]
        slashing_rate: String,
        /// The slashing fee in sat
        #[arg(long, value_name = "SAT")]
        fee: u64,
        /// The fee of the unbonding transaction in sat, whose output is slashed with --spends unbonding
        #[arg(long, value_name = "SAT", required_if_eq("spends", "unbonding"))]
        unbonding_fee: Option<u64>,
    },
    /// Say what a transaction is, and every fact about it
    Inspect {
        /// The transaction in hex, or a file with it; - for hex on stdin
        #[arg(value_name = "HEX|FILE")]
        tx: String,
    },
}

/// A stake, as far as its other transactions need to know it.
#[derive(Debug, clap::Args)]
pub(crate) struct StakeArgs {
    #[command(flatten)]
    parties: PartiesArgs,
    /// The txid of the staking transaction
    #[arg(long, value_name = "TXID")]
    staking_txid: Txid,
    /// The position of the staking output
    #[arg(long, value_name = "N")]
    staking_vout: u32,
    /// The value of the staking output in sat
    #[arg(long, value_name = "SAT")]
    staking_value: u64,
    /// The unbonding time in blocks, 1 to 65535
    #[arg(long, value_name = "BLOCKS")]
    unbonding_time: u64,
}

/// The outputs that can be slashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spends {
    /// The staking output
    Staking,
    /// The output of the unbonding transaction
    Unbonding,
}

impl StakeArgs {
    fn to_stake(&self, session: &Session<'_>, staking_time: u64) -> Result<Stake> {
        let terms = StakeTerms {
            parties: self.parties.to_parties()?,
            staking_time: input::timelock(staking_time)?,
            unbonding_time: input::timelock(self.unbonding_time)?,
        };
        let outpoint = OutPoint { txid: self.staking_txid, vout: self.staking_vout };
        Ok(Stake::new(&session.secp, terms, outpoint, input::amount(self.staking_value)?))
    }
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<()> {
    match command {
        Command::Inspect { tx } => inspect::run(tx, session)?,
        Command::Unbonding { stake, fee, staking_time } => {
            // The transaction holds nothing of the staking time, so any does where none is given; the digest to sign
            // is over the staking output, so without the true one there is none.
            let given = stake.to_stake(session, staking_time.unwrap_or(1))?;
            let unbonding = UnbondingTx::build(&session.secp, &given, input::amount(*fee)?)?;
            let mut report = TxReport::new("unbonding", session.network(), unbonding.tx(), given.coin());
            report.pays(0, "unbonding");
            let spend = unbonding.spend(&given);
            report.signed_by(spend.leaf());
            if staking_time.is_some() {
                report.add_digest(&spend, given.coin())?;
            }
            session.out.show(&report);
        }
        Command::Slashing {
            stake,
            spends,
            staking_time,
            slashing_script,
            slashing_rate,
            fee,
            unbonding_fee,
        } => {
            let given = stake.to_stake(session, *staking_time)?;
            let fee = input::amount(*fee)?;
            let slashing = Slashing {
                rate: input::rate(slashing_rate)?,
                pk_script: slashing_script.clone(),
                min_fee: fee,
            };
            match (spends, unbonding_fee) {
                (Spends::Staking, _) => slash(session, given.coin(), &given, &slashing)?,
                (Spends::Unbonding, Some(unbonding_fee)) => {
                    let unbonding =
                        UnbondingTx::build(&session.secp, &given, input::amount(*unbonding_fee)?)?;
                    slash(session, unbonding.coin(), &given, &slashing)?;
                }
                (Spends::Unbonding, None) => {
                    return Err(Error::usage("--spends unbonding needs --unbonding-fee"));
                }
            }
        }
    }
    Ok(())
}

fn slash<O: Slashable>(
    session: &Session<'_>,
    coin: &Coin<O>,
    stake: &Stake,
    slashing: &Slashing,
) -> Result<()> {
    let built = SlashingTx::build(coin, stake.refund_output(), slashing, slashing.min_fee)?;
    let mut report = TxReport::new("slashing", session.network(), built.tx(), coin);
    report.pays(0, "slashed");
    report.pays(1, "refund");
    let spend = built.spend(coin);
    report.signed_by(spend.leaf());
    report.add_digest(&spend, coin)?;
    if built.burns() {
        report.burns = Some(built.slashed().to_sat());
    }
    session.out.show(&report);
    Ok(())
}
