//! `tapstake expand`: move a live stake into a larger or longer one.

use std::path::PathBuf;

use bitcoin::{Amount, OutPoint};
use tapstake_script::StakeTerms;
use tapstake_tracker::{StakeRecord, StakeState, observe};
use tapstake_tx::delegation::{Delegation, PreSigned, Verified};
use tapstake_wallet::{ExpansionPlan, PendingExpansion, RehearsedExit, Scan, StakerKey, Wallet};

use crate::commands::stake::{
    Checks, Sending, Staked, broadcast_file, check_presigned, exit_destination, pre_sign, rehearse,
};
use crate::committee::LocalCommittee;
use crate::delegation::{self, StakeArg};
use crate::error::{Error, Result};
use crate::input::timelock;
use crate::live::{SourceArgs, WalletArgs, guard_mainnet};
use crate::possession::PossessionArgs;
use crate::session::Session;
use crate::spending::{FeeArgs, amount_arg, not_funded};
use crate::stakes::{open_store, record_of, staker_key_in, staker_keypair};

/// Move a live stake into a larger or longer one
///
/// The same road as a new stake: --draft writes a delegation file, both committees sign it, the old one for its stake to be
/// moved, and --broadcast sends it. Staker and providers stay; the new timelock starts afresh.
#[derive(Debug, clap::Args)]
pub(crate) struct ExpandArgs {
    /// The live stake
    #[arg(value_name = "OUTPOINT", required_unless_present = "broadcast")]
    stake: Option<OutPoint>,
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    fee: FeeArgs,
    #[command(flatten)]
    possession: PossessionArgs,
    /// What the new stake holds, with its unit; not below the old one [default: the same]
    #[arg(long, value_name = "AMOUNT", value_parser = amount_arg)]
    amount: Option<Amount>,
    /// For how many blocks from now on [default: as many as the old stake]
    #[arg(long, value_name = "BLOCKS")]
    time: Option<u64>,
    /// The coin that pays for it, one that never was a stake [default: the smallest that can]
    #[arg(long, value_name = "OUTPOINT")]
    coin: Option<OutPoint>,
    /// Write a delegation file for both committees to sign, and send nothing
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    draft: Option<PathBuf>,
    /// Send the expansion of a delegation file that a quorum of both committees has signed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stake", "draft", "dry_run", "amount", "time", "coin"])]
    broadcast: Option<PathBuf>,
    /// What either slashing transaction pays to the miners [default: the parameters' least]
    #[arg(long, value_name = "AMOUNT", value_parser = amount_arg)]
    slashing_fee: Option<Amount>,
    /// Go on although a transaction signed in advance pays less than mempools take now. None of them can be bumped
    #[arg(long)]
    accept_low_presigned_fees: bool,
    /// Show what would be done: nothing is signed, locked or sent
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &ExpandArgs, session: &Session<'_>) -> Result<()> {
    if let Some(path) = &args.broadcast {
        let checks =
            Checks { accept_low_presigned_fees: args.accept_low_presigned_fees, skip_exit_rehearsal: false };
        return broadcast_file(session, &args.wallet, &args.source, path, checks);
    }
    if let Some(path) = args.draft.iter().find(|path| path.exists()) {
        let message = format!("{} is there already", path.display());
        return Err(Error::rule("file", message).next("give another name, or move it away"));
    }
    let outpoint = args.stake.ok_or_else(|| Error::usage("no stake to expand"))?;
    let store = open_store(session)?;
    let record = record_of(&store, outpoint)?;
    let previous = delegation::verified(session, &StakeArg::Listed(outpoint).package(Some(&store))?)?;
    let source = args.source.connect(session)?;
    let mut wallet = args.wallet.open(session)?;
    source.sync(session, &mut wallet, Scan::Auto)?;
    let seen = observe(source.chain(), &session.secp, &record)?;
    let tip = seen.tip.height;
    match seen.state {
        StakeState::Confirmed { active_until, .. } if tip < active_until => {}
        state => {
            return Err(Error::rule("spent", format!("only an active stake expands: this one is {state}")));
        }
    }
    let schedule = session.schedule()?;
    let params = schedule.at(tip.saturating_add(1))?;
    if args.draft.is_none() && LocalCommittee::of(session, params).is_none() {
        return Err(Error::rule("covenant", "both committees must sign before coins move").next(
            "write a delegation file with --draft FILE, have the members sign it, then --broadcast FILE",
        ));
    }
    if !args.dry_run {
        guard_mainnet(session, "prepare the expansion of a stake")?;
    }
    let old = previous.stake().terms();
    let time = args.time.map_or(Ok(old.staking_time), timelock)?;
    let terms = StakeTerms::under(params, old.parties.staker(), old.parties.providers().clone(), time)?;
    let fee_rate = args.fee.rate(session, source.chain())?;
    let plan = ExpansionPlan {
        previous: previous.stake(),
        params,
        terms: &terms,
        value: args.amount.unwrap_or(previous.stake().value()),
        fee_rate,
        coin: args.coin,
    };
    let pending = wallet.fund_expansion(&session.secp, &plan).map_err(|error| not_funded(error, &wallet))?;
    let new = pending.expansion().stake().outpoint();
    if args.dry_run {
        wallet.unlock_stake(new)?;
        let status = "dry run: nothing was signed, locked or sent";
        let stake = pending.expansion().stake();
        let mut report = Staked::new(status, stake, session.network(), params.version);
        report.fee_sat = Some(pending.expansion().fee().to_sat());
        report.expands = Some(outpoint);
        session.out.show(&report);
        return Ok(());
    }
    let staker = staker_key_in(&wallet, &record);
    let job = Job { args, session, previous: &previous, record: &record, staker: &staker };
    let sending = Sending { session, source: &source, wallet: &args.wallet, tip };
    let drafted = job.sign(&sending, &mut wallet, &pending, &plan);
    match drafted {
        Ok((delegation, exit)) => {
            drop(store);
            sending.go_on(&mut wallet, &delegation, &staker, Some(&exit), args.draft.as_deref())
        }
        Err(error) => {
            wallet.unlock_stake(new)?;
            Err(error)
        }
    }
}

struct Job<'a> {
    args: &'a ExpandArgs,
    session: &'a Session<'a>,
    previous: &'a Delegation<Verified>,
    record: &'a StakeRecord,
    staker: &'a StakerKey,
}

impl Job<'_> {
    /// Everything that the staker signs: the exit of the new stake, its funding, what is signed in advance, and the old
    /// stake.
    fn sign(
        &self,
        sending: &Sending<'_>,
        wallet: &mut Wallet,
        pending: &PendingExpansion,
        plan: &ExpansionPlan<'_>,
    ) -> Result<(Delegation<PreSigned>, RehearsedExit)> {
        let Job { args, session, previous, record, staker } = self;
        let schedule = session.schedule()?;
        let previous_params = schedule.version(previous.params_version())?;
        let rules = plan.params.slashing.as_ref().ok_or_else(|| {
            Error::rule("params-version", "the parameters in force do not say how to slash")
        })?;
        let draft = Delegation::expand(
            &session.secp,
            session.network(),
            plan.params,
            previous.stake(),
            previous_params,
            pending.expansion(),
            args.slashing_fee.unwrap_or(rules.min_fee),
        )?;
        check_presigned(session, sending.source.chain(), &draft, args.accept_low_presigned_fees)?;
        let signer = args.wallet.signer(wallet)?;
        let keypair = staker_keypair(&signer, wallet, record)?;
        let destination = exit_destination(wallet)?;
        let exit = rehearse(session, draft.stake(), &signer, staker, destination, plan.fee_rate)?;
        let draft = draft.fund(&pending.sign_funding(wallet, &signer)?)?;
        // The account is that of the old stake, unless another is given.
        let possession = match (args.possession.account(), &previous.parts().possession) {
            (None, Some(proof)) => {
                let service = proof.context.as_ref().map(|binding| binding.service());
                let service = service.map(|service| format!(", for service {service}")).unwrap_or_default();
                session.out.note(&format!(
                    "the new stake is for the old one's account: {}{service}; --account names another",
                    proof.account
                ));
                proof.clone()
            }
            (Some(account), _) => args.possession.prove(session, keypair.keypair(), account.clone())?,
            (None, None) => {
                return Err(Error::usage("no account that the stake is for").next("give --account"));
            }
        };
        Ok((pre_sign(session, draft, keypair.keypair(), possession)?, exit))
    }
}
