//! A signer elsewhere: PSBTs out, signed PSBTs in.

use std::path::Path;

use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::{Amount, FeeRate, OutPoint, Psbt, ScriptBuf, Transaction};
use serde::{Deserialize, Serialize};
use tapstake_crypto::pop::{Account, Context as Binding, ProofOfPossession};
use tapstake_params::StakingParams;
use tapstake_script::{Leaf, StakeTerms};
use tapstake_tx::delegation::{Delegation, Draft, PreSigned, StakerSignatures};
use tapstake_tx::psbt::{self, Spent};
use tapstake_tx::{Slashable, Stake};
use tapstake_wallet::{
    Exit, LockReason, PendingStake, PsbtFormat, Rehearsal, RehearsedExit, SkipRehearsal, StakerKey, Wallet,
    read_psbt, write_psbt,
};

use super::draft::SKIPPED;
use super::{Run, Staked, exit_destination};
use crate::error::{Context, Error, Result};
use crate::file::kind::Kind;
use crate::session::Session;
use crate::stakes::private_folders;
use crate::{file, output};

/// A stake that waits for signatures from elsewhere, as a file between its PSBTs.
#[derive(Debug, Serialize, Deserialize)]
struct Exported {
    format: u32,
    network: bitcoin::Network,
    params_version: u32,
    terms: StakeTerms,
    value_sat: u64,
    slashing_fee_sat: u64,
    staker: StakerKey,
    account: Account,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    binding: Option<Binding>,
    exit_destination: ScriptBuf,
    exit_fee_rate_sat_per_kwu: u64,
    /// The stake that an expansion moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expands: Option<OutPoint>,
}

const FORMAT: u32 = 2;
const STAKE: &str = "stake.json";
const STAKING_PSBT: &str = "staking.psbt";
const EXIT_PSBT: &str = "exit.psbt";
const SLASHING_PSBT: &str = "slashing.psbt";
const UNBONDING_SLASHING_PSBT: &str = "unbonding-slashing.psbt";
const POSSESSION_PSBT: &str = "possession.psbt";
/// A proof of possession that was made otherwise, as `pop create` writes it.
const POSSESSION_FILE: &str = "possession.json";
/// More than any of these files takes, but a PSBT.
const MAX_FILE: u64 = 64 * 1024;
/// A PSBT carries whole previous transactions.
const MAX_PSBT: u64 = 16 << 20;

/// The folder between this program and a signer elsewhere.
pub(crate) struct Elsewhere<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) params: &'a StakingParams,
    pub(crate) folder: &'a Path,
    /// The command that goes on with the folder.
    pub(crate) command: &'static str,
}

/// What is to be signed elsewhere.
pub(crate) struct ToSign<'a> {
    /// The staking transaction.
    pub(crate) staking: &'a Psbt,
    pub(crate) draft: &'a Delegation<Draft>,
    pub(crate) staker: &'a StakerKey,
    pub(crate) slashing_fee: Amount,
    /// Of the rehearsed exit.
    pub(crate) fee_rate: FeeRate,
    pub(crate) possession: ToProve,
}

/// The proof of possession that goes with it.
pub(crate) enum ToProve {
    /// To be signed as well.
    For(Account, Option<Binding>),
    /// Made before.
    Made(Box<ProofOfPossession>),
}

/// What came back, besides the staking transaction.
pub(crate) struct Signed {
    /// The staking transaction, signed or in part.
    pub(crate) staking: Psbt,
    pub(crate) terms: StakeTerms,
    pub(crate) value: Amount,
    pub(crate) slashing_fee: Amount,
    pub(crate) staker: StakerKey,
    /// The stake that an expansion moves.
    pub(crate) expands: Option<OutPoint>,
    exported: Exported,
}

impl Elsewhere<'_> {
    /// Writes what a signer elsewhere needs, and what [`Elsewhere::read`] needs to go on.
    pub(crate) fn export(&self, wallet: &mut Wallet, of: ToSign<'_>) -> Result<()> {
        let Elsewhere { session, params, folder, command } = self;
        let ToSign { draft, staker, fee_rate, .. } = of;
        let (stake, unbonding) = (draft.stake(), draft.unbonding());
        let destination = exit_destination(wallet)?;
        let rehearsal = Rehearsal::new(stake, destination.clone(), fee_rate)?;
        private_folders(folder)?;
        if folder.join(STAKE).exists() {
            let message = format!("{} holds another stake's export already", folder.display());
            return Err(Error::rule("file", message).next("finish that one, or give another folder"));
        }
        let write = |name: &str, psbt: &Psbt| write_psbt(&folder.join(name), psbt, PsbtFormat::Base64);
        write(STAKING_PSBT, of.staking)?;
        write(EXIT_PSBT, &rehearsal.psbt(staker)?)?;
        write(SLASHING_PSBT, &slashing_psbt(draft.slashing().tx(), stake.coin(), staker)?)?;
        let of_unbonding = slashing_psbt(draft.unbonding_slashing().tx(), unbonding.coin(), staker)?;
        write(UNBONDING_SLASHING_PSBT, &of_unbonding)?;
        let (many, (account, binding)) = match of.possession {
            ToProve::For(account, binding) => {
                write(POSSESSION_PSBT, &self.possession_psbt(staker, &account, binding.as_ref())?)?;
                ("five", (account, binding))
            }
            ToProve::Made(proof) => {
                file::write_new(&folder.join(POSSESSION_FILE), output::json(&proof).as_bytes())?;
                ("four", (proof.account, proof.context))
            }
        };
        let exported = Exported {
            format: FORMAT,
            network: session.network(),
            params_version: params.version,
            terms: stake.terms().clone(),
            value_sat: stake.value().to_sat(),
            slashing_fee_sat: of.slashing_fee.to_sat(),
            staker: staker.clone(),
            account,
            binding,
            exit_destination: destination,
            exit_fee_rate_sat_per_kwu: fee_rate.to_sat_per_kwu(),
            expands: draft.previous().map(Stake::outpoint),
        };
        file::write_new(&folder.join(STAKE), output::json(&exported).as_bytes())?;
        let or_made = match many {
            "five" => format!(
                ". In place of {POSSESSION_PSBT} (BIP-0322) {POSSESSION_FILE} is taken, as tapstake pop create writes it"
            ),
            _ => String::new(),
        };
        session.out.note(&format!(
            "sign the {many} PSBTs in {0}, put the signed ones in their place, then: tapstake {command} --finish \
             {0}{or_made}",
            folder.display(),
        ));
        let mut report = Staked::with("waiting for signatures; its coins are locked", draft, None);
        report.folder = Some((*folder).to_owned());
        session.out.show(&report);
        Ok(())
    }

    /// The proof of possession in its BIP-0322 form, to be signed by the key path of the staker's own address.
    fn possession_psbt(
        &self,
        staker: &StakerKey,
        account: &Account,
        binding: Option<&Binding>,
    ) -> Result<Psbt> {
        let request = ProofOfPossession::bip322_request(&self.session.secp, &staker.x_only, account, binding);
        let mut psbt = Psbt::from_unsigned_tx(request.to_sign)?;
        let input = psbt.inputs.first_mut().expect("a transaction of one input");
        input.witness_utxo = Some(request.prevout);
        input.tap_internal_key = Some(staker.x_only);
        let origins = staker.origins().into_iter();
        input.tap_key_origins = origins.map(|(key, source)| (key, (Vec::new(), source))).collect();
        Ok(psbt)
    }

    /// Reads what was exported and the staking transaction's PSBT, if they are for this network and the parameters that
    /// apply now.
    pub(crate) fn read(&self) -> Result<Signed> {
        let exported = self.exported()?;
        let staking = self.psbt(STAKING_PSBT)?;
        Ok(Signed {
            staking,
            terms: exported.terms.clone(),
            value: Amount::from_sat(exported.value_sat),
            slashing_fee: Amount::from_sat(exported.slashing_fee_sat),
            staker: exported.staker.clone(),
            expands: exported.expands,
            exported,
        })
    }

    fn exported(&self) -> Result<Exported> {
        let Elsewhere { session, params, folder, command } = self;
        let path = folder.join(STAKE);
        let exported: Exported =
            serde_json::from_slice(&file::read(&path, MAX_FILE)?).context(path.display())?;
        if exported.format != FORMAT {
            let found = exported.format;
            let message = format!("{} has format {found}, this version reads {FORMAT}", path.display());
            return Err(Error::rule("file-version", message).next("export it anew"));
        }
        let made_by = if exported.expands.is_some() { "expand" } else { "stake" };
        if made_by != *command {
            let message = format!("{} was written by tapstake {made_by} --export", folder.display());
            let next = format!("tapstake {made_by} --finish {}", folder.display());
            return Err(Error::rule("file", message).next(next));
        }
        if exported.network != session.network() {
            let message = format!(
                "the stake in {} is for {}, not {}",
                path.display(),
                exported.network,
                session.network()
            );
            return Err(Error::rule("network", message).next(format!("give --network {}", exported.network)));
        }
        if exported.params_version != params.version {
            let (then, now) = (exported.params_version, params.version);
            let message =
                format!("the stake was drafted under parameters version {then}, version {now} applies now");
            return Err(Error::rule("parameters", message).next("export it anew"));
        }
        let parties = &exported.terms.parties;
        if *parties.covenant() != params.covenant || exported.terms.unbonding_time != params.unbonding_time {
            let message = format!("{} has other terms than its parameters", path.display());
            return Err(Error::rule("parameters", message));
        }
        params.check_stake(Amount::from_sat(exported.value_sat), exported.terms.staking_time)?;
        Ok(exported)
    }

    /// A PSBT of the folder; whether it is signed is seen when its signature is needed.
    fn psbt(&self, name: &str) -> Result<Psbt> {
        let path = self.folder.join(name);
        file::of_kind(&file::read(&path, MAX_PSBT)?, Kind::Psbt).context(path.display())?;
        read_psbt(&path).context(path.display())
    }

    /// Refuses a PSBT that nobody has signed, before any rule judges what its signature would be.
    fn check_signed(&self, rule: &'static str, name: &str, psbt: &Psbt) -> Result<()> {
        let signed = |input: &bitcoin::psbt::Input| {
            input.final_script_witness.is_some()
                || input.final_script_sig.is_some()
                || input.tap_key_sig.is_some()
                || !input.tap_script_sigs.is_empty()
                || !input.partial_sigs.is_empty()
        };
        if psbt.inputs.iter().any(signed) {
            return Ok(());
        }
        let (path, command) = (self.folder.join(name), self.command);
        let message = format!("{} is not signed: it is a PSBT as it was exported", path.display());
        let next = "sign it where the keys are, put it in its place, then tapstake";
        Err(Error::rule(rule, message).next(format!("{next} {command} --finish {}", self.folder.display())))
    }

    /// The exit, rehearsed elsewhere.
    pub(crate) fn rehearsed(&self, stake: &Stake, signed: &Signed) -> Result<RehearsedExit> {
        let exported = &signed.exported;
        let fee_rate = FeeRate::from_sat_per_kwu(exported.exit_fee_rate_sat_per_kwu);
        let psbt = self.psbt(EXIT_PSBT)?;
        self.check_signed("exit-rehearsal", EXIT_PSBT, &psbt)?;
        let rehearsal = Rehearsal::new(stake, exported.exit_destination.clone(), fee_rate)?;
        Ok(rehearsal.accept(&self.session.secp, &psbt)?)
    }

    /// Refuses a staking transaction that spends a coin which the wallet did not lock for it: the folder may have been
    /// changed since.
    pub(crate) fn check_coins(
        &self,
        wallet: &Wallet,
        stake: OutPoint,
        coins: impl IntoIterator<Item = OutPoint>,
    ) -> Result<()> {
        let locked = LockReason::PendingStake(stake);
        let foreign = |coin: &OutPoint| wallet.lock_reason(*coin).as_ref() != Some(&locked);
        let Some(coin) = coins.into_iter().find(foreign) else { return Ok(()) };
        let message = format!(
            "{} stakes {stake} with coin {coin}, which this wallet did not lock for it",
            self.folder.display(),
        );
        Err(Error::rule("other-transaction", message)
            .next("it was changed, or is another wallet's: export anew"))
    }

    /// Refuses a staking transaction that nobody has signed.
    pub(crate) fn check_staking(&self, staking: &Psbt) -> Result<()> {
        self.check_signed("signatures", STAKING_PSBT, staking)
    }

    /// The staker's signature in a PSBT of one of the stake's own transactions.
    fn signature(&self, staker: &StakerKey, name: &str, tx: &Transaction, leaf: &Leaf) -> Result<Signature> {
        self.signature_in(&self.psbt(name)?, staker, name, tx, leaf)
    }

    fn signature_in(
        &self,
        psbt: &Psbt,
        staker: &StakerKey,
        name: &str,
        tx: &Transaction,
        leaf: &Leaf,
    ) -> Result<Signature> {
        let key = staker.x_only;
        let found = psbt::signatures(psbt, tx, 0, leaf)?.get(&key).copied();
        found.ok_or_else(|| {
            let path = self.folder.join(name);
            let message = format!("{} is not signed with staker key {key}", path.display());
            Error::rule("staker-signature", message).next("sign it where the staker key is")
        })
    }

    /// The staker's signature for the old stake of an expansion.
    pub(crate) fn expansion_signature(
        &self,
        signed: &Signed,
        previous: &Stake,
        tx: &Transaction,
    ) -> Result<Signature> {
        let leaf = previous.coin().output.unbonding();
        self.signature_in(&signed.staking, &signed.staker, STAKING_PSBT, tx, leaf)
    }

    /// The draft with the staker's signatures from the PSBTs.
    pub(crate) fn pre_signed(
        &self,
        draft: Delegation<Draft>,
        signed: &Signed,
    ) -> Result<Delegation<PreSigned>> {
        let (stake, unbonding) = (draft.stake().coin(), draft.unbonding().coin());
        let signature = |name: &str, tx: &Transaction, leaf| self.signature(&signed.staker, name, tx, leaf);
        let signatures = StakerSignatures {
            slashing: signature(SLASHING_PSBT, draft.slashing().tx(), stake.output.slashing_leaf())?,
            unbonding_slashing: signature(
                UNBONDING_SLASHING_PSBT,
                draft.unbonding_slashing().tx(),
                unbonding.output.slashing_leaf(),
            )?,
        };
        let possession = self.possession(&signed.exported)?;
        Ok(draft.pre_sign(&self.session.secp, signatures, possession)?)
    }

    /// The proof of possession: a file of its own, else the PSBT's signature.
    fn possession(&self, exported: &Exported) -> Result<ProofOfPossession> {
        let own = self.folder.join(POSSESSION_FILE);
        if own.exists() {
            return file::json(&file::read(&own, MAX_FILE)?, Kind::Possession).context(own.display());
        }
        let psbt = self.psbt(POSSESSION_PSBT)?;
        let input = psbt.inputs.first();
        let signed = input.and_then(|input| match (&input.final_script_witness, &input.tap_key_sig) {
            (Some(witness), _) => Some(witness.clone()),
            (None, Some(signature)) => Some(bitcoin::Witness::p2tr_key_spend(signature)),
            (None, None) => None,
        });
        let witness = signed.ok_or_else(|| {
            Error::rule("possession", format!("{POSSESSION_PSBT} is not signed"))
                .next(format!("sign it, or put a proof into {POSSESSION_FILE}"))
        })?;
        let (account, binding) = (exported.account.clone(), exported.binding.clone());
        Ok(ProofOfPossession::from_bip322_witness(account, binding, witness)?)
    }
}

/// Refuses what is no folder of PSBTs, and says what it is.
///
/// # Errors
///
/// By the rule `file`.
pub(crate) fn check_folder(path: &Path, command: &str) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let found = Kind::of(&file::read(path, MAX_PSBT)?);
    let what = found.map_or("a file".to_owned(), |kind| kind.to_string());
    let message = format!("{} is {what}, not a folder of signed PSBTs", path.display());
    let next = match found.and_then(Kind::taken_by) {
        Some(taken) => format!("{taken}; --finish takes the folder that tapstake {command} --export wrote"),
        None => format!("give the folder that tapstake {command} --export wrote"),
    };
    Err(Error::rule("file", message).next(next))
}

impl Run<'_> {
    fn elsewhere<'a>(&'a self, folder: &'a Path) -> Elsewhere<'a> {
        Elsewhere { session: self.session, params: self.params, folder, command: "stake" }
    }

    /// Writes what a signer elsewhere needs, and what [`Run::finish`] needs to go on.
    pub(super) fn export(
        &self,
        wallet: &mut Wallet,
        pending: &PendingStake,
        draft: &Delegation<Draft>,
        staker: &StakerKey,
        fee_rate: FeeRate,
        folder: &Path,
    ) -> Result<()> {
        let possession = ToProve::For(self.account()?, self.args.possession.binding(self.session)?);
        let (staking, slashing_fee) = (pending.psbt(), self.slashing_fee()?);
        let of = ToSign { staking, draft, staker, slashing_fee, fee_rate, possession };
        self.elsewhere(folder).export(wallet, of)
    }

    /// Goes on with the signed PSBTs in a folder.
    pub(super) fn finish(&self, wallet: &mut Wallet, folder: &Path) -> Result<()> {
        let Run { args, session, params, .. } = self;
        let elsewhere = self.elsewhere(folder);
        let signed = elsewhere.read()?;
        let (staking, terms) = (signed.staking.clone(), signed.terms.clone());
        let pending = PendingStake::resume(&session.secp, staking.clone(), terms, signed.value)?;
        elsewhere.check_coins(wallet, pending.stake().outpoint(), pending.coins())?;
        elsewhere.check_staking(&staking)?;
        let rehearsed = if args.skip_exit_rehearsal_and_risk_the_coins {
            session.out.warn(SKIPPED);
            None
        } else {
            Some(elsewhere.rehearsed(pending.stake(), &signed)?)
        };
        let exit = match &rehearsed {
            Some(exit) => Exit::Rehearsed(exit.clone()),
            None => Exit::Skipped(SkipRehearsal::and_risk_that_the_coins_never_move()),
        };
        let ready = pending.ready(wallet, staking, exit)?;
        let draft = ready.draft(&session.secp, session.network(), params, signed.slashing_fee)?;
        let delegation = elsewhere.pre_signed(draft, &signed)?;
        let file = args.draft.as_deref();
        self.sending().go_on(wallet, &delegation, &signed.staker, rehearsed.as_ref(), file)
    }
}

/// A slashing transaction for the staker to sign.
fn slashing_psbt<O>(tx: &Transaction, coin: &tapstake_tx::Coin<O>, staker: &StakerKey) -> Result<Psbt>
where
    O: Slashable + std::ops::Deref<Target = tapstake_script::StakeOutput>,
{
    let spent = Spent { txout: coin.to_txout(), output: &coin.output, leaf: coin.output.slashing_leaf() };
    Ok(psbt::create(tx.clone(), &[spent], &staker.origins())?)
}
