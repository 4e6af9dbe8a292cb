//! The staker's part: coins chosen and locked in the wallet, the exit rehearsed, everything signed that is signed in
//! advance.

use bitcoin::{FeeRate, ScriptBuf};
use tapstake_chain::ChainSource;
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::local;
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::{Delegation, Draft, PreSigned, State};
use tapstake_tx::{Stake, check_not_replaced};
use tapstake_wallet::{
    Exit, FundRequest, PendingStake, Rehearsal, RehearsedExit, Signer, SkipRehearsal, StakePlan, StakeValue,
    StakerKey, Wallet,
};

use super::{Run, Staked, Value};
use crate::committee::LocalCommittee;
use crate::error::{Context, Error, Result};
use crate::input::{keys, timelock};
use crate::possession::no_account;
use crate::session::Session;
use crate::spending::{aux, not_funded};
use crate::stakes::open_store;

impl Run<'_> {
    pub(super) fn start(&self, wallet: &mut Wallet) -> Result<()> {
        let Run { args, session, params, .. } = self;
        let slashing_fee = self.slashing_fee()?;
        let account = self.account()?;
        let fee_rate = args.fee.rate(session, self.source.chain())?;
        let staker = wallet.staker_key(args.staker_index)?;
        let pending = self.fund(wallet, &staker, fee_rate)?;
        let outpoint = pending.stake().outpoint();
        if args.dry_run {
            let status = "dry run: nothing was signed, locked or sent";
            let mut report = Staked::new(status, pending.stake(), session.network(), params.version);
            report.fee_sat = Some(pending.fee().to_sat());
            session.out.show(&report);
            return Ok(());
        }
        let drafted = self.refuse_replacing(&pending).and_then(|()| {
            let draft = pending.draft(&session.secp, session.network(), params, slashing_fee)?;
            check_presigned(session, self.source.chain(), &draft, args.accept_low_presigned_fees)?;
            match &args.export {
                Some(folder) => {
                    self.export(wallet, &pending, &draft, &staker, fee_rate, folder).map(|()| None)
                }
                None => self.sign(wallet, &pending, &staker, fee_rate, account).map(Some),
            }
        });
        match drafted {
            Ok(None) => Ok(()),
            Ok(Some((delegation, exit))) => {
                self.sending().go_on(wallet, &delegation, &staker, exit.as_ref(), args.draft.as_deref())
            }
            Err(error) => Err(self.give_up(wallet, outpoint, error)),
        }
    }

    /// Chooses coins for the stake and locks them.
    fn fund(&self, wallet: &mut Wallet, staker: &StakerKey, fee_rate: FeeRate) -> Result<PendingStake> {
        let Run { args, session, params, .. } = self;
        let terms = self.terms(staker)?;
        let tag = params.phase_1.as_ref().map(|phase_1| phase_1.tag);
        let tag = tag.filter(|_| !args.no_op_return && terms.parties.providers().keys().len() == 1);
        let value = match args.amount.expect("clap asks for it without --finish and --broadcast") {
            Value::Exact(amount) => StakeValue::Exact(amount),
            Value::All => StakeValue::Everything,
        };
        let plan = StakePlan { params, terms: &terms, value, tag };
        let mut request = FundRequest::new(Vec::new(), fee_rate).coins(args.coin.clone());
        if args.dry_run {
            request = request.dry_run();
        }
        wallet.fund_stake(&session.secp, &plan, &request).map_err(|error| not_funded(error, wallet))
    }

    fn terms(&self, staker: &StakerKey) -> Result<StakeTerms> {
        let Run { args, session, params, .. } = self;
        let providers = if args.provider.is_empty() {
            if LocalCommittee::of(session, params).is_none() {
                return Err(Error::usage("no finality provider").next("give --provider KEY"));
            }
            vec![local::provider_keypair(&session.secp, 0).x_only_public_key().0]
        } else {
            keys(&args.provider)?
        };
        let time = timelock(args.time.expect("clap asks for it without --finish and --broadcast"))?;
        Ok(StakeTerms::under(params, staker.x_only, Providers::new(providers)?, time)?)
    }

    /// The account that the stake is for; under the local parameters nobody has to have one.
    pub(super) fn account(&self) -> Result<Account> {
        let Run { args, session, params, .. } = self;
        if let Some(account) = args.possession.account() {
            return Ok(account.clone());
        }
        if LocalCommittee::of(session, params).is_some() {
            return Account::text("local").map_err(|error| Error::rule("possession", error));
        }
        Err(no_account())
    }

    /// Refuses to spend a coin of a staking transaction that others have signed on already: replacing it would void all
    /// that is signed on its txid.
    fn refuse_replacing(&self, pending: &PendingStake) -> Result<()> {
        for (_, record) in open_store(self.session)?.entries()? {
            let Some(staking_tx) = record.ok().and_then(|record| record.staking_tx) else { continue };
            check_not_replaced(&staking_tx, &pending.psbt().unsigned_tx)
                .next("tapstake bump lets a child pay for it; tapstake stakes forget gives it up")?;
        }
        Ok(())
    }

    /// Rehearses the exit, and has the wallet sign everything that the staker signs in advance.
    fn sign(
        &self,
        wallet: &mut Wallet,
        pending: &PendingStake,
        staker: &StakerKey,
        fee_rate: FeeRate,
        account: Account,
    ) -> Result<(Delegation<PreSigned>, Option<RehearsedExit>)> {
        let Run { args, session, params, .. } = self;
        let signer = args.wallet.signer(wallet).next("sign elsewhere: --export DIR, then --finish DIR")?;
        let exit = if args.skip_exit_rehearsal_and_risk_the_coins {
            session.out.warn(SKIPPED);
            None
        } else {
            let destination = exit_destination(wallet)?;
            Some(rehearse(session, pending.stake(), &signer, staker, destination, fee_rate)?)
        };
        let settled = match &exit {
            Some(exit) => Exit::Rehearsed(exit.clone()),
            None => Exit::Skipped(SkipRehearsal::and_risk_that_the_coins_never_move()),
        };
        let ready = pending.sign(wallet, &signer, settled)?;
        let draft = ready.draft(&session.secp, session.network(), params, self.slashing_fee()?)?;
        let keypair = signer.keypair_of(staker)?;
        let possession = args.possession.prove(session, keypair.keypair(), account)?;
        Ok((pre_sign(session, draft, keypair.keypair(), possession)?, exit))
    }
}

/// What is said where nobody tried whether the coins come out again.
pub(super) const SKIPPED: &str =
    "the exit was not rehearsed: if the signer cannot sign Taproot leaves, the coins stay locked for ever";

/// The staker's signatures on a draft.
pub(crate) fn pre_sign(
    session: &Session<'_>,
    draft: Delegation<Draft>,
    staker: &bitcoin::key::Keypair,
    possession: ProofOfPossession,
) -> Result<Delegation<PreSigned>> {
    Ok(draft.sign(&session.secp, staker, &aux(), possession)?)
}

/// Where a rehearsed exit pays to.
pub(crate) fn exit_destination(wallet: &mut Wallet) -> Result<ScriptBuf> {
    Ok(wallet.next_unused_address()?.address.script_pubkey())
}

/// Has the signer sign the withdrawal of the stake.
pub(crate) fn rehearse(
    session: &Session<'_>,
    stake: &Stake,
    signer: &Signer,
    staker: &StakerKey,
    destination: ScriptBuf,
    fee_rate: FeeRate,
) -> Result<RehearsedExit> {
    let rehearsal = Rehearsal::new(stake, destination, fee_rate)?;
    let rehearsed = rehearsal.sign(&session.secp, signer, staker);
    rehearsed.next("the staker key is elsewhere? rehearse there: --export DIR, then --finish DIR")
}

/// Compares what is signed in advance with what the mempool takes now, before coins are locked: unbonding and burning
/// slashings cannot be bumped. Returns the mempool's least fee rate.
///
/// # Errors
///
/// If one pays less, unless that is accepted.
pub(crate) fn check_presigned<S: State>(
    session: &Session<'_>,
    chain: &dyn ChainSource,
    delegation: &Delegation<S>,
    accept: bool,
) -> Result<FeeRate> {
    let minimum = chain.relay_fee()?;
    let below = delegation.presigned_fee_rates().check_against_mempool_minimum(minimum);
    for paid in &below {
        session.out.warn(&paid.to_string());
    }
    match below.first() {
        Some(paid) if !accept => Err(Error::rule("presigned-fee", paid).next(
            "its fee cannot be raised once it is signed. Wait for a quieter mempool, give --slashing-fee if it is a \
             slashing, or accept it: --accept-low-presigned-fees",
        )),
        _ => Ok(minimum),
    }
}
