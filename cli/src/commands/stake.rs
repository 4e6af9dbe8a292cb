//! `tapstake stake`: lock coins, once it is sure that they come out again.

use std::path::{Path, PathBuf};

use bitcoin::{Amount, OutPoint, Psbt, Txid};
use serde::{Deserialize, Serialize};
use tapstake_chain::ChainError;
use tapstake_params::{Height, StakingParams, local};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tracker::{StakeRecord, Store};
use tapstake_wallet::{
    Exit, FundRequest, LockReason, PendingStake, PsbtFormat, ReadyStake, RecoverySheet, Rehearsal, Scan,
    SkipRehearsal, StakePlan, StakeValue, StakerKey, Wallet, WalletError, read_psbt, write_psbt,
};

use crate::committee::Committee;
use crate::error::{Context, Error, Result};
use crate::input::{KeyArg, key_arg, keys, timelock};
use crate::live::{Source, SourceArgs, WalletArgs, guard_mainnet, network_dir};
use crate::output::{Show, facts};
use crate::session::Session;
use crate::spending::{CommitteeArgs, FeeArgs, amount_arg, now};
use crate::stakes::{open_store, origin, sheet_facts};

/// Lock coins in a stake
///
/// Before the transaction is broadcast, the signer signs the withdrawal of this very stake (exit rehearsal), and the
/// stake's record and recovery sheet are on disk.
#[derive(Debug, clap::Args)]
pub(crate) struct StakeArgs {
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    fee: FeeArgs,
    #[command(flatten)]
    committee: CommitteeArgs,
    /// How much to lock, with its unit: 0.5btc or 50000sat; or all
    #[arg(long, value_name = "AMOUNT|all", value_parser = value_arg, required_unless_present = "finish")]
    amount: Option<Value>,
    /// For how many blocks, 1 to 65535
    #[arg(long, value_name = "BLOCKS", required_unless_present = "finish")]
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
    /// Write the PSBTs of staking and of exit rehearsal to this folder, to be signed elsewhere
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    export: Option<PathBuf>,
    /// Take the signed PSBTs from a folder that --export wrote, and broadcast
    #[arg(long, value_name = "DIR", conflicts_with_all = ["export", "dry_run", "amount", "time", "provider"])]
    finish: Option<PathBuf>,
    /// Skip the exit rehearsal. If the signer cannot sign Taproot leaves, the coins NEVER come out again
    #[arg(long)]
    skip_exit_rehearsal_and_risk_the_coins: bool,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Exact(Amount),
    All,
}

fn value_arg(text: &str) -> Result<Value, String> {
    if text.eq_ignore_ascii_case("all") { Ok(Value::All) } else { amount_arg(text).map(Value::Exact) }
}

/// A stake that waits for signatures from elsewhere, as a file between its PSBTs.
#[derive(Debug, Serialize, Deserialize)]
struct Draft {
    format: u32,
    network: bitcoin::Network,
    params_version: u32,
    terms: StakeTerms,
    value_sat: u64,
    staker: StakerKey,
    exit_destination: bitcoin::ScriptBuf,
    exit_fee_rate_sat_per_kwu: u64,
}

const DRAFT_FORMAT: u32 = 1;
const DRAFT: &str = "stake.json";
const STAKING_PSBT: &str = "staking.psbt";
const EXIT_PSBT: &str = "exit.psbt";

#[derive(Serialize)]
struct Staked {
    status: &'static str,
    outpoint: OutPoint,
    txid: Txid,
    value_sat: u64,
    fee_sat: u64,
    staking_time: u16,
    unbonding_time: u16,
    params_version: u32,
    address: String,
    exit_rehearsed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_sheet: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<PathBuf>,
}

impl Show for Staked {
    fn text(&self) -> String {
        let mut rows = vec![
            ("status", self.status.to_owned()),
            ("stake", self.outpoint.to_string()),
            ("address", self.address.clone()),
            ("value", Amount::from_sat(self.value_sat).to_string()),
            ("fee", Amount::from_sat(self.fee_sat).to_string()),
            ("locked for", format!("{} blocks", self.staking_time)),
            ("unbonding takes", format!("{} blocks", self.unbonding_time)),
            ("parameters", format!("version {}", self.params_version)),
            ("exit rehearsed", if self.exit_rehearsed { "yes" } else { "no" }.to_owned()),
        ];
        rows.extend(self.recovery_sheet.iter().map(|path| ("recovery sheet", path.display().to_string())));
        rows.extend(self.folder.iter().map(|path| ("to be signed in", path.display().to_string())));
        facts(rows)
    }
}

pub(crate) fn run(args: &StakeArgs, session: &Session<'_>) -> Result<()> {
    if session.network() == bitcoin::Network::Bitcoin && args.committee.covenant_key_file.is_none() {
        // Refused whatever the height: nobody need read a chain for that.
        Committee::at_hand(session, session.schedule()?.latest(), None)?;
    }
    let mut wallet = args.wallet.open(session)?;
    let source = args.source.connect(session)?;
    source.sync(session, &mut wallet, Scan::Auto)?;
    // A stake of now is judged by the version of the block that will hold it.
    let tip = source.chain().tip()?.height;
    let schedule = session.schedule()?;
    let params = schedule.at(tip.saturating_add(1))?;
    Committee::at_hand(session, params, args.committee.covenant_key_file.as_deref())?;
    if !args.dry_run {
        guard_mainnet(session, "lock coins in a stake")?;
    }
    let run = Run { args, session, source: &source, params, tip };
    match &args.finish {
        Some(folder) => run.finish(&mut wallet, folder),
        None => run.start(&mut wallet),
    }
}

struct Run<'a> {
    args: &'a StakeArgs,
    session: &'a Session<'a>,
    source: &'a Source,
    params: &'a StakingParams,
    tip: Height,
}

impl Run<'_> {
    fn start(&self, wallet: &mut Wallet) -> Result<()> {
        let Run { args, session, params, .. } = self;
        let fee_rate = args.fee.rate(session, self.source.chain())?;
        let staker = wallet.staker_key(args.staker_index)?;
        let terms = self.terms(&staker)?;
        let tag = params.phase_1.as_ref().map(|phase_1| phase_1.tag);
        let tag = tag.filter(|_| !args.no_op_return && terms.parties.providers().keys().len() == 1);
        let value = match args.amount.expect("clap asks for it without --finish") {
            Value::Exact(amount) => StakeValue::Exact(amount),
            Value::All => StakeValue::Everything,
        };
        let plan = StakePlan { params, terms: &terms, value, tag };
        let mut request = FundRequest::new(Vec::new(), fee_rate).coins(args.coin.clone());
        if args.dry_run {
            request = request.dry_run();
        }
        let pending = wallet.fund_stake(&session.secp, &plan, &request).map_err(|error| match error {
            WalletError::InsufficientFunds { locked, .. } if locked > Amount::ZERO => Error::from(error)
                .next("tapstake wallet utxos says why coins are locked, tapstake wallet unlock OUTPOINT frees them"),
            other => other.into(),
        })?;
        if args.dry_run {
            session.out.show(&self.report("dry run: nothing was signed, locked or sent", &pending, false));
            return Ok(());
        }
        match self.sign(wallet, &pending, &staker, fee_rate) {
            Ok(Some(ready)) => self.send(wallet, &pending, &staker, &ready),
            Ok(None) => Ok(()),
            Err(error) => {
                wallet.unlock_stake(pending.stake().outpoint())?;
                Err(error)
            }
        }
    }

    /// Rehearses the exit and signs; `None` if that is left to a signer elsewhere.
    fn sign(
        &self,
        wallet: &mut Wallet,
        pending: &PendingStake,
        staker: &StakerKey,
        fee_rate: bitcoin::FeeRate,
    ) -> Result<Option<ReadyStake>> {
        let Run { args, session, .. } = self;
        let destination = wallet.next_unused_address()?.address.script_pubkey();
        let rehearsal = Rehearsal::new(pending.stake(), destination.clone(), fee_rate)?;
        if let Some(folder) = &args.export {
            self.export(pending, staker, &rehearsal, (destination, fee_rate), folder)?;
            return Ok(None);
        }
        let signer = args.wallet.signer(wallet).next("sign elsewhere: --export DIR, then --finish DIR")?;
        let exit = if args.skip_exit_rehearsal_and_risk_the_coins {
            session.out.warn(
                "the exit was not rehearsed: if the signer cannot sign Taproot leaves, the coins stay locked for ever",
            );
            Exit::Skipped(SkipRehearsal::and_risk_that_the_coins_never_move())
        } else {
            let rehearsed = rehearsal.sign(&session.secp, &signer, staker);
            Exit::Rehearsed(
                rehearsed
                    .next("the staker key is elsewhere? rehearse there: --export DIR, then --finish DIR")?,
            )
        };
        Ok(Some(pending.sign(wallet, &signer, exit)?))
    }

    fn terms(&self, staker: &StakerKey) -> Result<StakeTerms> {
        let Run { args, session, params, .. } = self;
        let providers = if args.provider.is_empty() {
            let known: Vec<_> = local::covenant_keypairs(&session.secp);
            let local_set = known.iter().all(|pair| params.covenant.contains(&pair.x_only_public_key().0));
            if !local_set {
                return Err(Error::usage("no finality provider").next("give --provider KEY"));
            }
            vec![local::provider_keypair(&session.secp, 0).x_only_public_key().0]
        } else {
            keys(&args.provider)?
        };
        let time = timelock(args.time.expect("clap asks for it without --finish"))?;
        Ok(StakeTerms::under(params, staker.x_only, Providers::new(providers)?, time)?)
    }

    /// Writes what an external signer needs, and what [`Run::finish`] needs to go on.
    fn export(
        &self,
        pending: &PendingStake,
        staker: &StakerKey,
        rehearsal: &Rehearsal,
        (exit_destination, fee_rate): (bitcoin::ScriptBuf, bitcoin::FeeRate),
        folder: &Path,
    ) -> Result<()> {
        let draft = Draft {
            format: DRAFT_FORMAT,
            network: self.session.network(),
            params_version: self.params.version,
            terms: pending.stake().terms().clone(),
            value_sat: pending.stake().value().to_sat(),
            staker: staker.clone(),
            exit_destination,
            exit_fee_rate_sat_per_kwu: fee_rate.to_sat_per_kwu(),
        };
        std::fs::create_dir_all(folder).context(folder.display())?;
        if folder.join(DRAFT).exists() {
            let message = format!("{} holds another stake's export already", folder.display());
            return Err(Error::rule("file", message).next("finish that one, or give another folder"));
        }
        write_psbt(&folder.join(STAKING_PSBT), pending.psbt(), PsbtFormat::Base64)?;
        write_psbt(&folder.join(EXIT_PSBT), &rehearsal.psbt(staker)?, PsbtFormat::Base64)?;
        let path = folder.join(DRAFT);
        std::fs::write(&path, crate::output::json(&draft)).context(path.display())?;
        self.session.out.note(&format!(
            "sign {STAKING_PSBT} and {EXIT_PSBT} in {}, put the signed ones in their place, then: tapstake stake --finish {}",
            folder.display(),
            folder.display()
        ));
        let mut report = self.report("waiting for signatures; its coins are locked", pending, false);
        report.folder = Some(folder.to_owned());
        self.session.out.show(&report);
        Ok(())
    }

    fn finish(&self, wallet: &mut Wallet, folder: &Path) -> Result<()> {
        let Run { args, session, params, .. } = self;
        let path = folder.join(DRAFT);
        let text = std::fs::read(&path).context(path.display())?;
        let draft: Draft = serde_json::from_slice(&text).context(path.display())?;
        if draft.format != DRAFT_FORMAT {
            let message =
                format!("{} has format {}, this version reads {DRAFT_FORMAT}", path.display(), draft.format);
            return Err(Error::rule("file", message));
        }
        if draft.network != session.network() {
            let message = format!(
                "the stake in {} is for {}, not {}",
                path.display(),
                draft.network,
                session.network()
            );
            return Err(Error::rule("network", message).next(format!("give --network {}", draft.network)));
        }
        if draft.params_version != params.version {
            let (then, now) = (draft.params_version, params.version);
            let message =
                format!("the stake was drafted under parameters version {then}, version {now} applies now");
            return Err(Error::rule("parameters", message).next("export it anew"));
        }
        let value = Amount::from_sat(draft.value_sat);
        params.check_stake(value, draft.terms.staking_time)?;
        if draft.terms.parties.covenant() != &params.covenant
            || draft.terms.unbonding_time != params.unbonding_time
        {
            return Err(Error::rule(
                "parameters",
                format!("{} has other terms than its parameters", path.display()),
            ));
        }
        let signed: Psbt = read_psbt(&folder.join(STAKING_PSBT))?;
        let pending = PendingStake::resume(&session.secp, signed.clone(), draft.terms, value)?;
        // The wallet locked these coins for the stake it funded; the folder may have been changed since.
        let locked = LockReason::PendingStake(pending.stake().outpoint());
        if let Some(coin) =
            pending.coins().into_iter().find(|coin| wallet.lock_reason(*coin).as_ref() != Some(&locked))
        {
            let message = format!(
                "{} stakes {} with coin {coin}, which this wallet did not lock for it",
                folder.display(),
                pending.stake().outpoint()
            );
            return Err(Error::rule("other-transaction", message)
                .next("it was changed, or is another wallet's: export anew"));
        }
        let fee_rate = bitcoin::FeeRate::from_sat_per_kwu(draft.exit_fee_rate_sat_per_kwu);
        let exit = if args.skip_exit_rehearsal_and_risk_the_coins {
            Exit::Skipped(SkipRehearsal::and_risk_that_the_coins_never_move())
        } else {
            let rehearsal = Rehearsal::new(pending.stake(), draft.exit_destination, fee_rate)?;
            Exit::Rehearsed(rehearsal.accept(&session.secp, &read_psbt(&folder.join(EXIT_PSBT))?)?)
        };
        let ready = pending.ready(wallet, signed, exit)?;
        self.send(wallet, &pending, &draft.staker, &ready)
    }

    /// Remembers the stake on disk, then broadcasts it.
    fn send(
        &self,
        wallet: &mut Wallet,
        pending: &PendingStake,
        staker: &StakerKey,
        ready: &ReadyStake,
    ) -> Result<()> {
        let Run { session, .. } = self;
        let stake = ready.stake();
        let mut store = open_store(session)?;
        let known = store.get(&stake.outpoint())?;
        let sheet_path = match self.remember(&mut store, known.as_ref(), staker, ready) {
            Ok(path) => path,
            // A stake that was in the list before may have been sent before: its coins stay locked.
            Err(error) if known.is_some() => return Err(error),
            Err(error) => {
                wallet.unlock_stake(stake.outpoint())?;
                return Err(error);
            }
        };
        let sent = self.source.chain().broadcast(ready.tx());
        if let Err(ChainError::Rejected { .. }) = &sent {
            // A refusal is final: the coins are free again. After silence they may be spent, and stay locked.
            store.remove(&stake.outpoint())?;
            wallet.unlock_stake(stake.outpoint())?;
        }
        sent.next(
            "if the source was silent the stake is kept as prepared; send it again: tapstake stakes resume",
        )?;
        wallet.note_broadcast(ready.tx().clone(), now())?;
        let mut report = self.report("broadcast", pending, ready.rehearsed_withdrawal().is_some());
        report.recovery_sheet = Some(sheet_path);
        session.out.show(&report);
        Ok(())
    }

    /// Writes the recovery sheet and the record; says where the sheet is.
    fn remember(
        &self,
        store: &mut Store,
        known: Option<&StakeRecord>,
        staker: &StakerKey,
        ready: &ReadyStake,
    ) -> Result<PathBuf> {
        let Run { args, session, params, tip, .. } = self;
        let (stake, network) = (ready.stake(), session.network());
        let mut record = StakeRecord::new(network, stake, params, ready.tx().clone(), *tip)?;
        record.staker = origin(staker);
        record.rehearsed_exit = ready.rehearsed_withdrawal().cloned();
        record.wallet = Some(args.wallet.wallet.clone());
        if known.is_some_and(|known| known.staking_tx.as_ref() == Some(ready.tx())) {
            return Ok(network_dir(session)?.join("sheets"));
        }
        let folder = network_dir(session)?.join("sheets");
        std::fs::create_dir_all(&folder).context(folder.display())?;
        let path = folder.join(format!("{}-{}.json", stake.outpoint().txid, stake.outpoint().vout));
        RecoverySheet::new(&session.secp, sheet_facts(&record))?.write(&path)?;
        store.insert(&record)?;
        Ok(path)
    }

    fn report(&self, status: &'static str, pending: &PendingStake, exit_rehearsed: bool) -> Staked {
        let stake = pending.stake();
        Staked {
            status,
            outpoint: stake.outpoint(),
            txid: stake.outpoint().txid,
            value_sat: stake.value().to_sat(),
            fee_sat: pending.fee().to_sat(),
            staking_time: stake.terms().staking_time.blocks(),
            unbonding_time: stake.terms().unbonding_time.blocks(),
            params_version: self.params.version,
            address: stake.coin().output.address(self.session.network()).to_string(),
            exit_rehearsed,
            recovery_sheet: None,
            folder: None,
        }
    }
}
