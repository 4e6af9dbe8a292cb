//! A signer elsewhere: PSBTs out, signed PSBTs in.

use std::path::Path;

use bitcoin::{Amount, FeeRate, Psbt, ScriptBuf, Transaction};
use serde::{Deserialize, Serialize};
use tapstake_crypto::pop::{Account, Context as Binding, ProofOfPossession};
use tapstake_script::StakeTerms;
use tapstake_tx::Slashable;
use tapstake_tx::delegation::{Delegation, Draft, PreSigned, StakerSignatures};
use tapstake_tx::psbt::{self, Spent};
use tapstake_wallet::{
    Exit, LockReason, PendingStake, PsbtFormat, Rehearsal, SkipRehearsal, StakerKey, Wallet, read_psbt,
    write_psbt,
};

use super::draft::SKIPPED;
use super::{Run, Staked, exit_destination};
use crate::error::{Context, Error, Result};
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
/// More than any of these files takes.
const MAX_FILE: u64 = 64 * 1024;

impl Run<'_> {
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
        let Run { args, session, params, .. } = self;
        let destination = exit_destination(wallet)?;
        let rehearsal = Rehearsal::new(pending.stake(), destination.clone(), fee_rate)?;
        let (account, binding) = (self.account()?, args.possession.binding(session)?);
        private_folders(folder)?;
        if folder.join(STAKE).exists() {
            let message = format!("{} holds another stake's export already", folder.display());
            return Err(Error::rule("file", message).next("finish that one, or give another folder"));
        }
        let write = |name: &str, psbt: &Psbt| write_psbt(&folder.join(name), psbt, PsbtFormat::Base64);
        write(STAKING_PSBT, pending.psbt())?;
        write(EXIT_PSBT, &rehearsal.psbt(staker)?)?;
        let (stake, unbonding) = (draft.stake(), draft.unbonding());
        write(SLASHING_PSBT, &slashing_psbt(draft.slashing().tx(), stake.coin(), staker)?)?;
        let of_unbonding = slashing_psbt(draft.unbonding_slashing().tx(), unbonding.coin(), staker)?;
        write(UNBONDING_SLASHING_PSBT, &of_unbonding)?;
        write(POSSESSION_PSBT, &self.possession_psbt(staker, &account, binding.as_ref())?)?;
        let exported = Exported {
            format: FORMAT,
            network: session.network(),
            params_version: params.version,
            terms: stake.terms().clone(),
            value_sat: stake.value().to_sat(),
            slashing_fee_sat: self.slashing_fee()?.to_sat(),
            staker: staker.clone(),
            account,
            binding,
            exit_destination: destination,
            exit_fee_rate_sat_per_kwu: fee_rate.to_sat_per_kwu(),
        };
        file::write_new(&folder.join(STAKE), output::json(&exported).as_bytes())?;
        session.out.note(&format!(
            "sign the five PSBTs in {0}, put the signed ones in their place, then: tapstake stake --finish {0}. In place of \
             {POSSESSION_PSBT} (BIP-0322) {POSSESSION_FILE} is taken, as tapstake pop create writes it",
            folder.display(),
        ));
        let mut report = Staked::with("waiting for signatures; its coins are locked", draft, None);
        report.folder = Some(folder.to_owned());
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

    /// Goes on with the signed PSBTs in a folder.
    pub(super) fn finish(&self, wallet: &mut Wallet, folder: &Path) -> Result<()> {
        let Run { args, session, params, .. } = self;
        let exported = self.exported(folder)?;
        let value = Amount::from_sat(exported.value_sat);
        params.check_stake(value, exported.terms.staking_time)?;
        let signed = read_psbt(&folder.join(STAKING_PSBT))?;
        let pending = PendingStake::resume(&session.secp, signed.clone(), exported.terms.clone(), value)?;
        // The wallet locked these coins for the stake it funded; the folder may have been changed since.
        let locked = LockReason::PendingStake(pending.stake().outpoint());
        let foreign = |coin: &bitcoin::OutPoint| wallet.lock_reason(*coin).as_ref() != Some(&locked);
        if let Some(coin) = pending.coins().into_iter().find(foreign) {
            let message = format!(
                "{} stakes {} with coin {coin}, which this wallet did not lock for it",
                folder.display(),
                pending.stake().outpoint()
            );
            return Err(Error::rule("other-transaction", message)
                .next("it was changed, or is another wallet's: export anew"));
        }
        let fee_rate = FeeRate::from_sat_per_kwu(exported.exit_fee_rate_sat_per_kwu);
        let rehearsed = if args.skip_exit_rehearsal_and_risk_the_coins {
            session.out.warn(SKIPPED);
            None
        } else {
            let rehearsal = Rehearsal::new(pending.stake(), exported.exit_destination.clone(), fee_rate)?;
            Some(rehearsal.accept(&session.secp, &read_psbt(&folder.join(EXIT_PSBT))?)?)
        };
        let exit = match &rehearsed {
            Some(exit) => Exit::Rehearsed(exit.clone()),
            None => Exit::Skipped(SkipRehearsal::and_risk_that_the_coins_never_move()),
        };
        let ready = pending.ready(wallet, signed, exit)?;
        let fee = Amount::from_sat(exported.slashing_fee_sat);
        let draft = ready.draft(&session.secp, session.network(), params, fee)?;
        let delegation = self.pre_signed(draft, &exported, folder)?;
        let file = args.draft.as_deref();
        self.sending().go_on(wallet, &delegation, &exported.staker, rehearsed.as_ref(), file)
    }

    /// What was exported, if it is for this network and the parameters that apply now.
    fn exported(&self, folder: &Path) -> Result<Exported> {
        let Run { session, params, .. } = self;
        let path = folder.join(STAKE);
        let exported: Exported =
            serde_json::from_slice(&file::read(&path, MAX_FILE)?).context(path.display())?;
        if exported.format != FORMAT {
            let found = exported.format;
            let message = format!("{} has format {found}, this version reads {FORMAT}", path.display());
            return Err(Error::rule("file-version", message).next("export it anew"));
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
        Ok(exported)
    }

    /// The draft with the staker's signatures from the PSBTs.
    fn pre_signed(
        &self,
        draft: Delegation<Draft>,
        exported: &Exported,
        folder: &Path,
    ) -> Result<Delegation<PreSigned>> {
        let staker = exported.staker.x_only;
        let slashing = read_psbt(&folder.join(SLASHING_PSBT))?;
        let unbonding_slashing = read_psbt(&folder.join(UNBONDING_SLASHING_PSBT))?;
        let (stake, unbonding) = (draft.stake(), draft.unbonding());
        let signature = |name: &str, psbt: &Psbt, tx: &Transaction, leaf| {
            let found = psbt::signatures(psbt, tx, 0, leaf)?.get(&staker).copied();
            let missing =
                || Error::rule("staker-signature", format!("{name} is not signed with key {staker}"));
            found.ok_or_else(missing)
        };
        let signatures = StakerSignatures {
            slashing: signature(
                SLASHING_PSBT,
                &slashing,
                draft.slashing().tx(),
                stake.coin().output.slashing_leaf(),
            )?,
            unbonding_slashing: signature(
                UNBONDING_SLASHING_PSBT,
                &unbonding_slashing,
                draft.unbonding_slashing().tx(),
                unbonding.coin().output.slashing_leaf(),
            )?,
        };
        let possession = possession(exported, folder)?;
        Ok(draft.pre_sign(&self.session.secp, signatures, possession)?)
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

/// The proof of possession: a file of its own, else the PSBT's signature.
fn possession(exported: &Exported, folder: &Path) -> Result<ProofOfPossession> {
    let own = folder.join(POSSESSION_FILE);
    if own.exists() {
        return serde_json::from_slice(&file::read(&own, MAX_FILE)?).context(own.display());
    }
    let psbt = read_psbt(&folder.join(POSSESSION_PSBT))?;
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
