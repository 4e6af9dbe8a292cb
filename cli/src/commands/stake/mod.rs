//! `tapstake stake`: lock coins, once it is sure that they come out again.
//!
//! Every stake goes the same road: [`draft`] funds it, rehearses its exit and has the staker sign; the covenant signs the
//! delegation file, or the public committee of the local parameters here; [`send`] takes what a quorum has signed and hands
//! it to the chain. [`elsewhere`] is the same with a signer elsewhere.

use std::path::PathBuf;

use bitcoin::{Amount, Network, OutPoint};
use tapstake_params::{Height, StakingParams};
use tapstake_wallet::{Scan, Wallet};

use crate::committee::LocalCommittee;
use crate::error::{Error, Result};
use crate::input::{KeyArg, key_arg};
use crate::live::{Source, SourceArgs, WalletArgs, guard_mainnet};
use crate::possession::PossessionArgs;
use crate::session::Session;
use crate::spending::{FeeArgs, amount_arg};

mod draft;
mod elsewhere;
mod report;
mod send;

pub(crate) use draft::{check_presigned, exit_destination, pre_sign, rehearse};
pub(crate) use elsewhere::{Elsewhere, Signed, ToProve, ToSign, check_folder};
pub(crate) use report::Staked;
pub(crate) use send::{Checks, Sending, broadcast_file, check_in_force};

/// Lock coins in a stake
///
/// First the staker's part, then the covenant's, then the coins: --draft writes a delegation file with everything signed
/// that must be signed in advance, and nothing is sent; each covenant member adds its signatures to the file (tapstake
/// covenant sign); --broadcast sends the staking transaction once a quorum has signed. Before that the signer signs the
/// withdrawal of this very stake (exit rehearsal), and the stake's record and recovery sheet are on disk.
///
/// Under the local parameters, whose committee is public, one call without --draft does all of it.
#[derive(Debug, clap::Args)]
pub(crate) struct StakeArgs {
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    fee: FeeArgs,
    #[command(flatten)]
    possession: PossessionArgs,
    /// How much to lock, with its unit: 0.5btc or 50000sat; or all
    #[arg(long, value_name = "AMOUNT|all", value_parser = value_arg, required_unless_present_any = ["finish", "broadcast"])]
    amount: Option<Value>,
    /// For how many blocks, 1 to 65535
    #[arg(long, value_name = "BLOCKS", required_unless_present_any = ["finish", "broadcast"])]
    time: Option<u64>,
    /// A finality provider's key; several secure several services [default: the local set's provider]
    #[arg(long, value_name = "KEY", value_parser = key_arg)]
    provider: Vec<KeyArg>,
    /// Index of the staker key on the wallet's staker chain
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    staker_index: u32,
    /// Spend this coin; repeatable, and then no others
    #[arg(long, value_name = "OUTPOINT")]
    coin: Vec<OutPoint>,
    /// Leave out the OP_RETURN by which phase-1 stakes are found
    #[arg(long)]
    no_op_return: bool,
    /// Show what would be done: nothing is signed, locked or sent
    #[arg(long)]
    dry_run: bool,
    /// Write a delegation file for the covenant to sign, and send nothing. The file holds no secret, and not the
    /// signatures of the staking transaction: those stay here, so that nobody can send it before a quorum has signed
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    draft: Option<PathBuf>,
    /// Send the staking transaction of a delegation file that a quorum of the covenant has signed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["draft", "dry_run", "export", "finish", "amount", "time", "provider"])]
    pub(crate) broadcast: Option<PathBuf>,
    /// Write PSBTs to this folder, to be signed elsewhere: staking, exit rehearsal, both slashings, proof of possession
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "draft"])]
    export: Option<PathBuf>,
    /// Take the signed PSBTs from a folder that --export wrote, and go on from there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["export", "dry_run", "amount", "time", "provider"])]
    finish: Option<PathBuf>,
    /// What either slashing transaction pays to the miners [default: the parameters' least]
    #[arg(long, value_name = "AMOUNT", value_parser = amount_arg)]
    slashing_fee: Option<Amount>,
    /// Go on although a transaction signed in advance pays less than mempools take now. None of them can be bumped
    #[arg(long)]
    pub(crate) accept_low_presigned_fees: bool,
    /// Skip the exit rehearsal. If the signer cannot sign Taproot leaves, the coins NEVER come out again
    #[arg(long)]
    pub(crate) skip_exit_rehearsal_and_risk_the_coins: bool,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Exact(Amount),
    All,
}

fn value_arg(text: &str) -> Result<Value, String> {
    if text.eq_ignore_ascii_case("all") { Ok(Value::All) } else { amount_arg(text).map(Value::Exact) }
}

pub(crate) fn run(args: &StakeArgs, session: &Session<'_>) -> Result<()> {
    if let Some(path) = &args.broadcast {
        let checks = Checks {
            accept_low_presigned_fees: args.accept_low_presigned_fees,
            skip_exit_rehearsal: args.skip_exit_rehearsal_and_risk_the_coins,
        };
        return broadcast_file(session, &args.wallet, &args.source, path, checks);
    }
    if let Some(path) = args.draft.iter().chain(&args.export).find(|path| path.is_file()) {
        let message = format!("{} is there already", path.display());
        return Err(Error::rule("file", message).next("give another name, or move it away"));
    }
    if let Some(folder) = &args.finish {
        check_folder(folder, "stake")?;
    }
    if session.network() == Network::Bitcoin && args.draft.is_none() && args.export.is_none() {
        // Refused whatever the height: nobody need read a chain for that.
        return Err(needs_draft(session.schedule()?.latest()));
    }
    let mut wallet = args.wallet.open(session)?;
    let source = args.source.connect(session)?;
    source.sync(session, &mut wallet, Scan::Auto)?;
    // A stake of now is judged by the version of the block that will hold it.
    let tip = source.chain().tip()?.height;
    let schedule = session.schedule()?;
    let params = schedule.at(tip.saturating_add(1))?;
    if args.draft.is_none() && args.export.is_none() && LocalCommittee::of(session, params).is_none() {
        return Err(needs_draft(params));
    }
    if !args.dry_run {
        guard_mainnet(session, "prepare a stake")?;
    }
    let run = Run { args, session, source: &source, params, tip };
    match &args.finish {
        Some(folder) => run.finish(&mut wallet, folder),
        None => run.start(&mut wallet),
    }
}

/// Why nothing is locked in one step under parameters whose committee is somebody.
fn needs_draft(params: &StakingParams) -> Error {
    let covenant = &params.covenant;
    let message = format!(
        "{} of {} covenant members must sign before coins are locked (parameters version {})",
        covenant.threshold(),
        covenant.keys().len(),
        params.version
    );
    Error::rule("covenant", message).next(
        "write a delegation file with --draft FILE, have the members sign it (tapstake covenant sign FILE), then \
         tapstake stake --broadcast FILE",
    )
}

/// One stake in the making.
struct Run<'a> {
    args: &'a StakeArgs,
    session: &'a Session<'a>,
    source: &'a Source,
    params: &'a StakingParams,
    tip: Height,
}

impl Run<'_> {
    fn sending(&self) -> Sending<'_> {
        Sending { session: self.session, source: self.source, wallet: &self.args.wallet, tip: self.tip }
    }

    /// What either slashing transaction pays.
    fn slashing_fee(&self) -> Result<Amount> {
        let rules = self.params.slashing.as_ref().ok_or_else(|| {
            let message = format!("parameters version {} do not say how to slash", self.params.version);
            Error::rule("params-version", message)
        })?;
        Ok(self.args.slashing_fee.unwrap_or(rules.min_fee))
    }

    /// Frees what a stake locked that will not come.
    fn give_up(&self, wallet: &mut Wallet, stake: OutPoint, error: Error) -> Error {
        match wallet.unlock_stake(stake) {
            Ok(_) => error,
            Err(also) => Error::from(also),
        }
    }
}
