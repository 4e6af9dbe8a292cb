//! `tapstake expand`: move a live stake into a larger or longer one.

use std::path::PathBuf;

use bitcoin::{Amount, OutPoint};
use tapstake_params::{Height, StakingParams};
use tapstake_script::StakeTerms;
use tapstake_tracker::{StakeRecord, StakeState, observe};
use tapstake_tx::ExpansionTx;
use tapstake_tx::delegation::{Delegation, Draft, PreSigned, Verified};
use tapstake_wallet::{ExpansionPlan, PendingExpansion, RehearsedExit, Scan, StakerKey, Wallet};

use crate::commands::stake::{
    Checks, Elsewhere, Sending, Staked, ToProve, broadcast_file, check_folder, check_presigned,
    exit_destination, pre_sign, rehearse,
};
use crate::committee::LocalCommittee;
use crate::delegation::{self, StakeArg};
use crate::error::{Context, Error, Result};
use crate::input::timelock;
use crate::live::{Source, SourceArgs, WalletArgs, guard_mainnet};
use crate::possession::{PossessionArgs, no_account};
use crate::session::Session;
use crate::spending::{FeeArgs, amount_arg, not_funded};
use crate::stakes::{open_store, record_of, staker_key_in, staker_keypair};

mod elsewhere;

/// Move a live stake into a larger or longer one
///
/// The same road as a new stake: --draft writes a delegation file, both committees sign it, the old one for its stake to be
/// moved, and --broadcast sends it. Staker and providers stay; the new timelock starts afresh.
#[derive(Debug, clap::Args)]
pub(crate) struct ExpandArgs {
    /// The live stake
    #[arg(value_name = "OUTPOINT", required_unless_present_any = ["broadcast", "finish"])]
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
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stake", "draft", "export", "finish", "dry_run", "amount", "time", "coin"])]
    broadcast: Option<PathBuf>,
    /// Write PSBTs to this folder, to be signed elsewhere: the expansion, exit rehearsal, both slashings and, with --account,
    /// the proof of possession. In the expansion the staker key signs for the old stake and the wallet's keys for the coin that
    /// pays; the committee's signatures come into the delegation file, as always
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "draft"])]
    export: Option<PathBuf>,
    /// Take the signed PSBTs from a folder that --export wrote, and go on from there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["stake", "export", "dry_run", "amount", "time", "coin", "slashing_fee", "account"])]
    finish: Option<PathBuf>,
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
    let drafted = args.draft.iter().find(|path| path.exists());
    if let Some(path) = drafted.or_else(|| args.export.iter().find(|path| path.is_file())) {
        let message = format!("{} is there already", path.display());
        return Err(Error::rule("file", message).next("give another name, or move it away"));
    }
    if let Some(folder) = &args.finish {
        check_folder(folder, "expand")?;
    }
    let store = open_store(session)?;
    if let Some(outpoint) = args.stake {
        record_of(&store, outpoint)?;
    }
    let source = args.source.connect(session)?;
    let tip = source.chain().tip()?.height;
    let schedule = session.schedule()?;
    let params = schedule.at(tip.saturating_add(1))?;
    let folder = args.finish.as_deref();
    let elsewhere = folder.map(|folder| Elsewhere { session, params, folder, command: "expand" });
    let signed = elsewhere.as_ref().map(Elsewhere::read).transpose()?;
    let outpoint = signed.as_ref().map_or(args.stake, |signed| signed.expands);
    let outpoint = outpoint.ok_or_else(|| Error::usage("no stake to expand"))?;
    let record = record_of(&store, outpoint)?;
    let previous = delegation::verified(session, &StakeArg::Listed(outpoint).package(Some(&store))?)?;
    let mut wallet = args.wallet.open(session)?;
    source.sync(session, &mut wallet, Scan::Auto)?;
    let seen = observe(source.chain(), &session.secp, &record)?;
    check_active(&seen.state, seen.tip.height)?;
    if args.draft.is_none() && args.export.is_none() && LocalCommittee::of(session, params).is_none() {
        return Err(Error::rule("covenant", "both committees must sign before coins move").next(
            "write a delegation file with --draft FILE, have the members sign it, then --broadcast FILE",
        ));
    }
    if !args.dry_run {
        guard_mainnet(session, "prepare the expansion of a stake")?;
    }
    drop(store);
    let job = Job { args, session, source: &source, params, tip, previous: &previous, record: &record };
    match (&elsewhere, &signed) {
        (Some(elsewhere), Some(signed)) => job.finish(&mut wallet, elsewhere, signed),
        _ => job.start(&mut wallet),
    }
}

/// Refuses a stake that is not active at `tip`, and says what to do in its state.
fn check_active(state: &StakeState, tip: Height) -> Result<()> {
    let refused = Error::rule("spent", format!("only an active stake expands: this one is {state}"));
    Err(match state {
        StakeState::Confirmed { active_until, .. } if tip < *active_until => return Ok(()),
        StakeState::InMempool => refused.next("wait until it is in a block; tapstake bump helps it on"),
        StakeState::Prepared => refused.next(
            "send it first: tapstake stakes resume does, once a quorum has signed; tapstake stakes forget gives it up",
        ),
        StakeState::Confirmed { .. } => refused.next(
            "its active time is over: tapstake withdraw gets the coins back once the timelock ends, and tapstake stake \
             locks them again",
        ),
        StakeState::Expired { .. } | StakeState::Unbonded { .. } | StakeState::RefundWithdrawable { .. } => {
            refused.next("tapstake withdraw gets the coins back at once, and tapstake stake locks them again")
        }
        _ => refused,
    })
}

/// One expansion in the making.
struct Job<'a> {
    args: &'a ExpandArgs,
    session: &'a Session<'a>,
    source: &'a Source,
    /// Those of the new stake.
    params: &'a StakingParams,
    tip: Height,
    previous: &'a Delegation<Verified>,
    record: &'a StakeRecord,
}

impl Job<'_> {
    fn start(&self, wallet: &mut Wallet) -> Result<()> {
        let Job { args, session, source, params, previous, .. } = *self;
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
        let pending = wallet.fund_expansion(&session.secp, &plan);
        let pending = pending.map_err(|error| not_funded(error, wallet))?;
        let stake = pending.expansion().stake();
        if args.dry_run {
            wallet.unlock_stake(stake.outpoint())?;
            let status = "dry run: nothing was signed, locked or sent";
            let mut report = Staked::new(status, stake, session.network(), params.version);
            report.fee_sat = Some(pending.expansion().fee().to_sat());
            report.expands = Some(previous.stake().outpoint());
            session.out.show(&report);
            return Ok(());
        }
        let staker = staker_key_in(wallet, self.record);
        let drafted = match &args.export {
            Some(folder) => self.export(wallet, &pending, &staker, fee_rate, folder).map(|()| None),
            None => self.sign(wallet, &pending, &staker, &plan).map(Some),
        };
        match drafted {
            Ok(None) => Ok(()),
            Ok(Some((delegation, exit))) => {
                self.sending().go_on(wallet, &delegation, &staker, Some(&exit), args.draft.as_deref())
            }
            Err(error) => {
                wallet.unlock_stake(stake.outpoint())?;
                Err(error)
            }
        }
    }

    fn sending(&self) -> Sending<'_> {
        Sending { session: self.session, source: self.source, wallet: &self.args.wallet, tip: self.tip }
    }

    /// What either slashing transaction pays.
    fn slashing_fee(&self) -> Result<Amount> {
        let rules = self.params.slashing.as_ref().ok_or_else(|| {
            Error::rule("params-version", "the parameters in force do not say how to slash")
        })?;
        Ok(self.args.slashing_fee.unwrap_or(rules.min_fee))
    }

    /// The delegation of the new stake, unsigned.
    fn draft(&self, expansion: &ExpansionTx, slashing_fee: Amount) -> Result<Delegation<Draft>> {
        let Job { session, params, previous, .. } = self;
        let schedule = session.schedule()?;
        let (secp, network) = (&session.secp, session.network());
        let old = schedule.version(previous.params_version())?;
        Ok(Delegation::expand(secp, network, params, previous.stake(), old, expansion, slashing_fee)?)
    }

    /// The proof of possession: the old stake's, unless another account is given.
    fn possession(&self) -> Result<ToProve> {
        let Job { args, session, previous, .. } = self;
        match (args.possession.account(), &previous.parts().possession) {
            (Some(account), _) => Ok(ToProve::For(account.clone(), args.possession.binding(session)?)),
            (None, Some(proof)) => {
                let service = proof.context.as_ref().map(|binding| binding.service());
                let service = service.map(|service| format!(", for service {service}")).unwrap_or_default();
                session.out.note(&format!(
                    "the new stake is for the old one's account: {}{service}; --account names another",
                    proof.account
                ));
                Ok(ToProve::Made(Box::new(proof.clone())))
            }
            (None, None) => Err(no_account()),
        }
    }

    /// Everything that the staker signs: the exit of the new stake, its funding, what is signed in advance, and the old
    /// stake.
    fn sign(
        &self,
        wallet: &mut Wallet,
        pending: &PendingExpansion,
        staker: &StakerKey,
        plan: &ExpansionPlan<'_>,
    ) -> Result<(Delegation<PreSigned>, RehearsedExit)> {
        let Job { args, session, source, record, .. } = self;
        let draft = self.draft(pending.expansion(), self.slashing_fee()?)?;
        check_presigned(session, source.chain(), &draft, args.accept_low_presigned_fees)?;
        let signer = args.wallet.signer(wallet).next("sign elsewhere: --export DIR, then --finish DIR")?;
        let keypair = staker_keypair(&signer, wallet, record)?;
        let destination = exit_destination(wallet)?;
        let exit = rehearse(session, draft.stake(), &signer, staker, destination, plan.fee_rate)?;
        let draft = draft.fund(&pending.sign_funding(wallet, &signer)?)?;
        let possession = match self.possession()? {
            ToProve::For(account, _) => args.possession.prove(session, keypair.keypair(), account)?,
            ToProve::Made(proof) => *proof,
        };
        Ok((pre_sign(session, draft, keypair.keypair(), possession)?, exit))
    }
}
