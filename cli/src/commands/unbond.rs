//! `tapstake unbond`: end a stake early, with what the covenant signed in advance.

use std::path::{Path, PathBuf};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::{Amount, OutPoint, Txid};
use clap::Args;
use serde::Serialize;
use tapstake_tracker::{FollowUpKind, StakeRecord, StakeState, observe};
use tapstake_tx::delegation::{Delegation, Verified};
use tapstake_tx::psbt::{self, Spent};
use tapstake_wallet::{PsbtFormat, StakerKey, read_psbt, write_psbt};

use crate::delegation::{self, StakeArg};
use crate::error::{Error, Result};
use crate::live::{SourceArgs, WalletArgs, guard_mainnet};
use crate::output::{Show, facts};
use crate::session::Session;
use crate::spending::aux;
use crate::stakes::{list_delegation, open_store, staker_key, staker_key_in, staker_keypair};

/// End a stake early: the staker adds its signature to the unbonding transaction that the covenant signed in advance
///
/// A stake that is given by its delegation file is put into the list, so that withdraw finds its coins later.
#[derive(Debug, Args)]
pub(crate) struct UnbondArgs {
    /// The stake, by its outpoint in the list or by its delegation file
    #[arg(value_name = "OUTPOINT|FILE")]
    stake: StakeArg,
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Show the signed transaction, send nothing
    #[arg(long)]
    dry_run: bool,
    /// Write the unbonding as a PSBT, for the staker to sign elsewhere
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    export_psbt: Option<PathBuf>,
    /// Take the staker's signature from a PSBT that --export-psbt wrote, and go on from there
    #[arg(long, value_name = "FILE", conflicts_with = "export_psbt")]
    import_psbt: Option<PathBuf>,
}

#[derive(Serialize)]
struct Unbonding {
    status: &'static str,
    stake: OutPoint,
    txid: Txid,
    value_sat: u64,
    fee_sat: u64,
    unbonding_time: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psbt: Option<PathBuf>,
}

impl Show for Unbonding {
    fn text(&self) -> String {
        let mut rows = vec![
            ("status", self.status.to_owned()),
            ("stake", self.stake.to_string()),
            ("unbonding txid", self.txid.to_string()),
            ("value", Amount::from_sat(self.value_sat).to_string()),
            ("fee", Amount::from_sat(self.fee_sat).to_string()),
            (
                "withdrawable",
                format!("{} blocks after it confirms: tapstake withdraw {}", self.unbonding_time, self.stake),
            ),
        ];
        rows.extend(self.psbt.iter().map(|path| ("psbt", path.display().to_string())));
        facts(rows)
    }
}

pub(crate) fn run(args: &UnbondArgs, session: &Session<'_>) -> Result<()> {
    let secp = &session.secp;
    let mut store = open_store(session)?;
    let delegation = delegation::verified(session, &args.stake.package(Some(&store))?)?;
    let (stake, unbonding) = (delegation.stake(), delegation.unbonding());
    let record = delegation::record(session, Some(&store), &delegation)?;
    let mut report = Unbonding {
        status: "dry run: signed, not sent",
        stake: stake.outpoint(),
        txid: unbonding.tx().compute_txid(),
        value_sat: unbonding.coin().value.to_sat(),
        fee_sat: (stake.value() - unbonding.coin().value).to_sat(),
        unbonding_time: stake.terms().unbonding_time.blocks(),
        tx: None,
        psbt: None,
    };
    if let Some(file) = &args.export_psbt {
        export(args, session, &delegation, &record, file)?;
        report.status = "waiting for the staker's signature: then tapstake unbond --import-psbt FILE";
        report.psbt = Some(file.clone());
        session.out.show(&report);
        return Ok(());
    }
    let (signature, staker) = match &args.import_psbt {
        Some(file) => (imported(&delegation, file)?, staker_key(&record)),
        None => {
            let wallet = args.wallet.open(session)?;
            let keypair = staker_keypair(&args.wallet.signer(&wallet)?, &wallet, &record)?;
            let signature = unbonding.spend(stake).sign(secp, keypair.keypair(), &aux()).1;
            (signature, staker_key_in(&wallet, &record))
        }
    };
    let tx = delegation.verified_parts().finish_unbonding(secp, signature)?;
    report.tx = Some(serialize_hex(&tx));
    if !args.dry_run {
        guard_mainnet(session, "unbond the stake")?;
        let source = args.source.connect(session)?;
        let seen = observe(source.chain(), secp, &record)?;
        check_locked(&seen.state)?;
        if list_delegation(session, &mut store, &delegation, Some(&staker))? {
            session.out.note("the stake is in the list now: tapstake stakes follows it");
        }
        store.note(&record.outpoint, &seen)?;
        store.keep(&record.outpoint, FollowUpKind::Unbonding, &tx)?;
        source.chain().broadcast(&tx)?;
        report.status = "broadcast";
    }
    session.out.show(&report);
    Ok(())
}

/// Refuses a stake whose coins do not lie in its staking output, locked.
fn check_locked(state: &StakeState) -> Result<()> {
    let refused = |rule| Error::rule(rule, format!("nothing to unbond: the stake is {state}"));
    Err(match state {
        StakeState::InMempool | StakeState::Confirmed { .. } => return Ok(()),
        StakeState::Prepared => refused("not-in-mempool").next(
            "it was never sent, or is lost: tapstake stakes resume sends it once a quorum has signed; tapstake stakes \
             forget gives it up",
        ),
        StakeState::Conflicted { .. } => {
            refused("spent-input").next("nothing is locked in it: tapstake stakes forget frees its coins")
        }
        StakeState::Expired { .. } | StakeState::Unbonded { .. } | StakeState::RefundWithdrawable { .. } => {
            refused("spent").next("tapstake withdraw gets the coins back at once")
        }
        StakeState::Unbonding { .. } | StakeState::Slashed { .. } => {
            refused("spent").next("tapstake stakes shows when tapstake withdraw gets the coins back")
        }
        _ => refused("spent").next("tapstake stakes lists the stakes that there are"),
    })
}

/// Writes the unbonding transaction for the staker to sign.
fn export(
    args: &UnbondArgs,
    session: &Session<'_>,
    delegation: &Delegation<Verified>,
    record: &StakeRecord,
    file: &Path,
) -> Result<()> {
    let staker: StakerKey = match args.wallet.folder(session)?.exists() {
        true => staker_key_in(&args.wallet.open(session)?, record),
        false => staker_key(record),
    };
    let coin = delegation.stake().coin();
    let spent = Spent { txout: coin.to_txout(), output: &coin.output, leaf: coin.output.unbonding() };
    let psbt = psbt::create(delegation.unbonding().tx().clone(), &[spent], &staker.origins())?;
    Ok(write_psbt(file, &psbt, PsbtFormat::Base64)?)
}

/// The staker's signature from a PSBT. Whether it is right is seen when the transaction is put together.
fn imported(delegation: &Delegation<Verified>, file: &Path) -> Result<Signature> {
    let stake = delegation.stake();
    let (staker, leaf) = (stake.terms().parties.staker(), stake.coin().output.unbonding());
    let signed = psbt::signatures(&read_psbt(file)?, delegation.unbonding().tx(), 0, leaf)?;
    signed.get(&staker).copied().ok_or_else(|| {
        let message = format!("{} is not signed with staker key {staker}", file.display());
        Error::rule("staker-signature", message)
            .next("sign it with the words of the wallet that made the stake")
    })
}
