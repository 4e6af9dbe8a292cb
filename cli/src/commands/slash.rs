//! `tapstake slash`: punish a provider that gave its key away. Anybody can.

use std::path::PathBuf;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, OutPoint, Txid, XOnlyPublicKey};
use clap::Args;
use serde::Serialize;
use tapstake_chain::ChainSource;
use tapstake_tracker::{FollowUpKind, StakeState, Store, observe};
use tapstake_tx::delegation::{Delegation, Verified};

use crate::commands::equivocation;
use crate::delegation::{self, StakeArg};
use crate::error::{Error, Result};
use crate::live::{SourceArgs, guard_mainnet, network_dir};
use crate::output::{Show, facts};
use crate::session::Session;
use crate::stakes::open_store;

/// Slash a stake, or its unbonding output, with the evidence that its provider equivocated
///
/// Nothing else is needed, no wallet and no key of one's own: the provider's key comes out of the evidence, and decrypts what
/// the covenant signed in advance. Part of the stake is burned or paid as the parameters say, the rest goes to the staker's
/// refund output. A burning slashing goes out through a bitcoind: Electrum servers cannot pass it on.
#[derive(Debug, Args)]
pub(crate) struct SlashArgs {
    /// The stake's delegation file, or its outpoint if it is in the list
    #[arg(long, value_name = "FILE|OUTPOINT")]
    delegation: StakeArg,
    /// The evidence, as tapstake equivocation writes it
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    /// Slash the unbonding output, whatever the source says about the stake
    #[arg(long)]
    unbonding: bool,
    #[command(flatten)]
    source: SourceArgs,
    /// Show the transaction, ready to be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Slashed {
    status: &'static str,
    stake: OutPoint,
    provider: XOnlyPublicKey,
    spends: &'static str,
    txid: Txid,
    slashed_sat: u64,
    burns: bool,
    refund_sat: u64,
    fee_sat: u64,
    tx: String,
}

impl Show for Slashed {
    fn text(&self) -> String {
        let sat = |value| Amount::from_sat(value).to_string();
        facts([
            ("status", self.status.to_owned()),
            ("stake", self.stake.to_string()),
            ("provider", self.provider.to_string()),
            ("spends", format!("the {} output", self.spends)),
            ("slashing txid", self.txid.to_string()),
            (if self.burns { "burned" } else { "paid" }, sat(self.slashed_sat)),
            ("refunded", sat(self.refund_sat)),
            ("fee", sat(self.fee_sat)),
        ])
    }
}

pub(crate) fn run(args: &SlashArgs, session: &Session<'_>) -> Result<()> {
    let secp = &session.secp;
    // A bystander has no list, and none is made.
    let listed = network_dir(session).is_ok_and(|folder| folder.join("stakes.sqlite").exists());
    let mut store: Option<Store> = listed.then(|| open_store(session)).transpose()?;
    let delegation = delegation::verified(session, &args.delegation.package(store.as_ref())?)?;
    let evidence = equivocation::read_evidence(&args.evidence)?;
    let equivocation = evidence.verify(secp).map_err(equivocation::refused)?;
    let exposed = equivocation.exposed_key();

    let source = if args.dry_run && args.unbonding { None } else { Some(args.source.connect(session)?) };
    let unbonded = match &source {
        Some(source) if !args.unbonding => is_unbonded(session, source.chain(), store.as_ref(), &delegation)?,
        _ => true,
    };
    let (slashing, tx, value) = if unbonded {
        let value = delegation.unbonding().coin().value;
        (delegation.unbonding_slashing(), delegation.verified_parts().slash_unbonding(secp, exposed)?, value)
    } else {
        (delegation.slashing(), delegation.verified_parts().slash(secp, exposed)?, delegation.stake().value())
    };
    let stake = delegation.stake().outpoint();
    let mut report = Slashed {
        status: "dry run: ready to be sent",
        stake,
        provider: exposed.public_key(),
        spends: if unbonded { "unbonding" } else { "staking" },
        txid: tx.compute_txid(),
        slashed_sat: slashing.slashed().to_sat(),
        burns: slashing.burns(),
        refund_sat: slashing.refund().value.to_sat(),
        fee_sat: (value - slashing.slashed() - slashing.refund().value).to_sat(),
        tx: serialize_hex(&tx),
    };
    if let (false, Some(source)) = (args.dry_run, &source) {
        guard_mainnet(session, "slash the stake")?;
        if let Some(store) = &mut store
            && store.get(&stake)?.is_some()
        {
            store.keep(&stake, FollowUpKind::Slashing, &tx)?;
        }
        let burned = if slashing.burns() { slashing.slashed() } else { Amount::ZERO };
        source.chain().broadcast_presigned(&tx, burned)?;
        report.status = "broadcast";
    }
    session.out.show(&report);
    Ok(())
}

/// Whether the unbonding output is to be slashed, and not the staking output: whichever is unspent.
///
/// # Errors
///
/// If neither is there to be slashed.
fn is_unbonded(
    session: &Session<'_>,
    chain: &dyn ChainSource,
    store: Option<&Store>,
    delegation: &Delegation<Verified>,
) -> Result<bool> {
    let (staking, unbonding) = (delegation.stake().coin(), delegation.unbonding().coin());
    // What is unspent any node says at once; only what is spent has to be looked for.
    if let Ok(None) = chain.spend(&staking.outpoint, staking.output.script_pubkey(), None) {
        return Ok(false);
    }
    if let Ok(None) = chain.spend(&unbonding.outpoint, unbonding.output.script_pubkey(), None) {
        return Ok(true);
    }
    let record = delegation::record(session, store, delegation)?;
    match observe(chain, &session.secp, &record)?.state {
        StakeState::Unbonding { .. } | StakeState::Unbonded { .. } => Ok(true),
        StakeState::InMempool | StakeState::Confirmed { .. } | StakeState::Expired { .. } => Ok(false),
        over => Err(Error::rule("spent", format!("nothing is there to slash: the stake is {over}"))),
    }
}
