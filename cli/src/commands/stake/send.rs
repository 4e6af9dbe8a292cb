//! From what the staker has signed to the chain: the delegation file, and what is checked before its staking transaction
//! is sent.

use std::path::{Path, PathBuf};

use bitcoin::Txid;
use tapstake_chain::ChainError;
use tapstake_params::Height;
use tapstake_tracker::{StakeRecord, StakeState, Store, observe, resume};
use tapstake_tx::Stake;
use tapstake_tx::delegation::{Delegation, PreSigned, State, Verified};
use tapstake_wallet::{RecoverySheet, RehearsedExit, Scan, StakerKey, Wallet};

use super::draft::SKIPPED;
use super::{Staked, check_presigned, exit_destination, rehearse};
use crate::committee::LocalCommittee;
use crate::delegation::{self, StakeArg};
use crate::error::{Error, Result};
use crate::file;
use crate::live::{Source, SourceArgs, WalletArgs, guard_mainnet, network_dir};
use crate::session::Session;
use crate::spending::{FeeArgs, now};
use crate::stakes::{forgotten_file, open_store, origin, private_folders, sheet_facts, staker_of};

/// A stake on its way to the chain.
pub(crate) struct Sending<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) source: &'a Source,
    pub(crate) wallet: &'a WalletArgs,
    pub(crate) tip: Height,
}

/// What may be left out before a stake is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checks {
    pub(crate) accept_low_presigned_fees: bool,
    pub(crate) skip_exit_rehearsal: bool,
}

impl Sending<'_> {
    /// Takes what the staker has signed on: into a delegation file for the covenant, or, without one, through the public
    /// committee onto the chain.
    pub(crate) fn go_on(
        &self,
        wallet: &mut Wallet,
        delegation: &Delegation<PreSigned>,
        staker: &StakerKey,
        exit: Option<&RehearsedExit>,
        file: Option<&Path>,
    ) -> Result<()> {
        let outpoint = delegation.stake().outpoint();
        let mut store = open_store(self.session)?;
        // A stake that was in the list before may be on its way: it stays there, and its coins stay locked.
        let known = store.get(&outpoint)?.is_some();
        let done = self.remember(&mut store, delegation, Some(staker), exit).and_then(|sheet| match file {
            Some(path) => {
                // Without the staking transaction's witnesses: who could send it could lock the coins too early.
                let copy = delegation.package().without_witnesses();
                file::write_new(path, &delegation::to_text(&copy))?;
                let status = "drafted: nothing is sent, its coins are locked in the wallet";
                // The file is out: nothing that fails from here on may take the stake back.
                let mut report = Staked::with(status, delegation, self.source.chain().relay_fee().ok());
                report.exit_rehearsed = exit.is_some();
                report.recovery_sheet = Some(sheet);
                report.delegation = Some(path.to_owned());
                self.session.out.show(&report);
                let expands = delegation.previous().is_some();
                let (who, command) =
                    if expands { ("both committees", "expand") } else { ("the covenant", "stake") };
                self.session.out.note(&format!(
                    "have {who} sign {0} (tapstake covenant sign {0}), then: tapstake {command} --broadcast {0}",
                    path.display()
                ));
                Ok(None)
            }
            None => {
                let schedule = self.session.schedule()?;
                let params = schedule.version(delegation.params_version())?;
                let committee = LocalCommittee::of(self.session, params)
                    .ok_or_else(|| Error::rule("covenant", "the committee of these parameters is not public"))?;
                let verified = committee.sign(self.session, delegation.package(), self.tip)?;
                store.keep_delegation(&verified.package())?;
                Ok(Some((verified, sheet)))
            }
        });
        match done {
            Ok(None) => Ok(()),
            Ok(Some((verified, sheet))) => {
                let sent = self.send(wallet, &verified, exit.is_some(), sheet);
                if let Err(error) = &sent
                    && error.rule_name() == Some("rejected")
                    && !known
                {
                    // A refusal is final: the coins are free again. After silence they may be spent, and stay locked.
                    store.remove(&outpoint)?;
                    wallet.unlock_stake(outpoint)?;
                }
                sent
            }
            Err(error) if known => Err(error),
            Err(error) => {
                store.remove(&outpoint)?;
                wallet.unlock_stake(outpoint)?;
                Err(error)
            }
        }
    }

    /// Writes the recovery sheet, the record and the delegation; says where the sheet is.
    fn remember<S: State>(
        &self,
        store: &mut Store,
        delegation: &Delegation<S>,
        staker: Option<&StakerKey>,
        exit: Option<&RehearsedExit>,
    ) -> Result<PathBuf> {
        let stake = delegation.stake().outpoint();
        let folder = network_dir(self.session)?.join("sheets");
        let sheet = folder.join(format!("{}-{}.json", stake.txid, stake.vout));
        if store.get(&stake)?.is_none() {
            let mut record = delegation::new_record(self.session, delegation, self.tip)?;
            record.staker = staker.and_then(origin);
            record.rehearsed_exit = exit.map(|exit| exit.withdrawal().clone());
            record.wallet = Some(self.wallet.wallet.clone());
            private_folders(&folder)?;
            RecoverySheet::new(&self.session.secp, sheet_facts(&record))?.write(&sheet)?;
            store.insert(&record)?;
        } else if let Some(exit) = exit {
            store.keep_exit(&stake, exit.withdrawal())?;
        }
        store.keep_delegation(&delegation.package())?;
        Ok(sheet)
    }

    /// Hands the staking transaction to the chain.
    fn send(
        &self,
        wallet: &mut Wallet,
        delegation: &Delegation<Verified>,
        exit_rehearsed: bool,
        sheet: PathBuf,
    ) -> Result<()> {
        resume_or_explain(self.source, delegation)?;
        wallet.note_broadcast(delegation.staking_tx()?, now())?;
        let mut report = Staked::with("broadcast", delegation, None);
        report.exit_rehearsed = exit_rehearsed;
        report.recovery_sheet = Some(sheet);
        self.session.out.show(&report);
        Ok(())
    }

    /// Refuses to send a staking transaction one of whose inputs is spent.
    fn check_inputs(&self, wallet: &Wallet, store: &Store, delegation: &Delegation<Verified>) -> Result<()> {
        let chain = self.source.chain();
        let tx = delegation.unsigned_staking_tx();
        if let Some(previous) = delegation.previous() {
            self.check_previous(store, previous, delegation.staking_txid())?;
        }
        let skip = usize::from(delegation.previous().is_some());
        for (input, prevout) in tx.input.iter().zip(delegation.prevouts()).skip(skip) {
            let coin = input.previous_output;
            let spent = |by: String| {
                let message = format!("input {coin} of the staking transaction {by}");
                Error::rule("spent-input", message)
                    .next("draft another stake: tapstake stakes forget gives this one up")
            };
            if wallet.get_coin(coin).is_some() {
                continue;
            }
            match chain.spend(&coin, &prevout.script_pubkey, None) {
                Ok(None) => {}
                Ok(Some(spend)) if spend.txid == delegation.staking_txid() => {}
                Ok(Some(spend)) => return Err(spent(format!("is spent by {}", spend.txid))),
                Err(ChainError::UnknownOutpoint { .. }) => return Err(spent("is on no chain".to_owned())),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Refuses an expansion whose old stake is not live.
    fn check_previous(&self, store: &Store, previous: &Stake, own: Txid) -> Result<()> {
        let outpoint = previous.outpoint();
        let Some(record) = store.get(&outpoint)? else {
            return match self.source.chain().spend(&outpoint, previous.coin().output.script_pubkey(), None)? {
                None => Ok(()),
                Some(spend) if spend.txid == own => Ok(()),
                Some(spend) => {
                    Err(Error::rule("spent", format!("the old stake {outpoint} is spent by {}", spend.txid)))
                }
            };
        };
        match observe(self.source.chain(), &self.session.secp, &record)?.state {
            StakeState::Confirmed { active_until, .. } if self.tip < active_until => Ok(()),
            // Sent before, and sent again.
            StakeState::Expanded { txid, .. } if txid == own => Ok(()),
            state => Err(Error::rule("spent", format!("the old stake {outpoint} is not active: {state}"))),
        }
    }
}

/// Sends what is verified; after silence it may be on its way, and is kept.
fn resume_or_explain(source: &Source, delegation: &Delegation<Verified>) -> Result<()> {
    let sent = resume(source.chain(), delegation).map_err(Error::from);
    sent.map(|_| ()).map_err(|error| match error.rule_name() {
        Some("rejected") => error.next(
            "its coins are free if it was made by this call; a drafted one is kept: send it later, or give it up with \
             tapstake stakes forget",
        ),
        _ => error.next(
            "nobody refused it, so it may be on its way: the stake is kept as prepared and its coins stay locked. Send \
             it again: tapstake stakes resume",
        ),
    })
}

/// Sends the staking transaction of a delegation file, after checking everything that can have changed since.
pub(crate) fn broadcast_file(
    session: &Session<'_>,
    wallet_args: &WalletArgs,
    source_args: &SourceArgs,
    path: &Path,
    checks: Checks,
) -> Result<()> {
    let mut store = open_store(session)?;
    let package = StakeArg::File(path.to_owned()).package(Some(&store))?;
    let delegation = delegation::verified(session, &package)?;
    delegation.staking_tx().map_err(|error| {
        let forgotten = forgotten_file(session, package.outpoint()).is_ok_and(|kept| kept.exists());
        Error::from(error).next(match forgotten {
            true => {
                "the stake was forgotten in this data folder, and the signatures of its coins with it: draft another \
                 (tapstake stake --draft FILE)"
            }
            false => {
                "this copy has not the staking transaction's signatures: send it from the data folder that drafted it; \
                 if the stake was forgotten there, draft another"
            }
        })
    })?;
    let source = source_args.connect(session)?;
    if let Some(height) = in_block(&source, delegation.staking_txid())? {
        return say_confirmed(session, &mut store, &delegation, height);
    }
    let mut wallet = wallet_args.open(session)?;
    source.sync(session, &mut wallet, Scan::Auto)?;
    let tip = source.chain().tip()?.height;
    check_in_force(session, tip, &delegation)?;
    let sending = Sending { session, source: &source, wallet: wallet_args, tip };
    sending.check_inputs(&wallet, &store, &delegation)?;
    check_presigned(session, source.chain(), &delegation, checks.accept_low_presigned_fees)?;
    let exit = rehearsed(&sending, &mut wallet, &store, &delegation, checks)?;
    guard_mainnet(session, "lock coins in a stake")?;
    let staker = staker_of(&wallet, &delegation.stake().terms().parties.staker());
    let sheet = sending.remember(&mut store, &delegation, staker.as_ref(), exit.as_ref())?;
    sending.send(&mut wallet, &delegation, exit.is_some(), sheet)
}

/// The block that holds a transaction, as far as the source can tell.
fn in_block(source: &Source, txid: Txid) -> Result<Option<Height>> {
    match source.chain().transaction(&txid) {
        Ok(found) => Ok(found.and_then(|found| found.block).map(|block| block.height)),
        Err(ChainError::TxIndexMissing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Says that there is nothing to send, and keeps what the file has where the stake is in the list.
fn say_confirmed(
    session: &Session<'_>,
    store: &mut Store,
    delegation: &Delegation<Verified>,
    height: Height,
) -> Result<()> {
    let mut report = Staked::with("in a block already: nothing was sent", delegation, None);
    report.height = Some(height);
    match store.get(&delegation.stake().outpoint())? {
        Some(record) => {
            store.keep_delegation(&delegation.package())?;
            report.exit_rehearsed = record.rehearsed_exit.is_some();
        }
        None => session.out.note("the stake is not in the list here: tapstake stakes restore FILE adds it"),
    }
    session.out.show(&report);
    Ok(())
}

/// Refuses a staking transaction under parameters that do not apply in the next block: services would not count the stake.
pub(crate) fn check_in_force(
    session: &Session<'_>,
    tip: Height,
    delegation: &Delegation<Verified>,
) -> Result<()> {
    let schedule = session.schedule()?;
    let (then, now) = (delegation.params_version(), schedule.at(tip.saturating_add(1))?.version);
    if then == now {
        return Ok(());
    }
    let message = format!("the stake was drafted under parameters version {then}, version {now} applies now");
    Err(Error::rule("params-version", message)
        .next("draft it anew; tapstake stakes forget gives this one up"))
}

/// The exit's rehearsal: the one that is kept, else a new one.
fn rehearsed(
    sending: &Sending<'_>,
    wallet: &mut Wallet,
    store: &Store,
    delegation: &Delegation<Verified>,
    checks: Checks,
) -> Result<Option<RehearsedExit>> {
    let Sending { session, source, wallet: args, .. } = sending;
    let stake = delegation.stake();
    let kept = store.get(&stake.outpoint())?.and_then(|record: StakeRecord| record.rehearsed_exit);
    if let Some(withdrawal) = kept {
        return Ok(Some(RehearsedExit::check(&session.secp, stake, withdrawal)?));
    }
    if checks.skip_exit_rehearsal {
        session.out.warn(SKIPPED);
        return Ok(None);
    }
    let staker = staker_of(wallet, &stake.terms().parties.staker()).ok_or_else(|| {
        Error::rule(
            "exit-rehearsal",
            "the stake's exit was not rehearsed here, and its key is not this wallet's",
        )
        .next("send it from the data folder that drafted it")
    })?;
    let signer = args.signer(wallet)?;
    let fee_rate = FeeArgs::default().rate(session, source.chain())?;
    let destination = exit_destination(wallet)?;
    Ok(Some(rehearse(session, stake, &signer, &staker, destination, fee_rate)?))
}
