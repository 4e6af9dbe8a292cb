//! `tapstake delegation`: what is in a delegation file, and what is missing.

use std::path::PathBuf;

use bitcoin::{Amount, FeeRate, OutPoint, XOnlyPublicKey};
use clap::Subcommand;
use serde::Serialize;
use tapstake_tx::delegation::{CheckedDelegation, Delegation, DelegationPackage, State};

use crate::delegation::{self, Signers, StakeArg};
use crate::error::{Error, Result};
use crate::file;
use crate::network::NetworkName;
use crate::output::{Show, facts};
use crate::session::Session;
use crate::spending::show_rate;
use crate::stakes::open_store;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check every rule, say who has signed and what is missing; several copies are combined
    Check(Check),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Delegation files of one stake, JSON or binary; its outpoint is the copy in the list of stakes
    #[arg(value_name = "FILE|OUTPOINT", required = true)]
    copies: Vec<StakeArg>,
    /// Write the copies, combined, to this file: a new one, or one of the copies
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write it in the compact binary form instead of JSON
    #[arg(long, requires = "out")]
    binary: bool,
}

#[derive(Serialize)]
struct Checked {
    state: &'static str,
    stake: OutPoint,
    network: NetworkName,
    params_version: u32,
    staker: XOnlyPublicKey,
    providers: Vec<XOnlyPublicKey>,
    value_sat: u64,
    staking_time: u16,
    possession: Option<Possession>,
    #[serde(flatten)]
    signers: Signers,
    #[serde(skip_serializing_if = "Option::is_none")]
    expands: Option<OutPoint>,
    presigned: Vec<Paid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Possession {
    account: String,
    form: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
}

/// What a transaction signed in advance pays.
#[derive(Debug, Serialize)]
pub(crate) struct Paid {
    tx: String,
    fee_sat: u64,
    vsize: u64,
    #[serde(skip)]
    rate: FeeRate,
}

impl Paid {
    pub(crate) fn all<S: State>(delegation: &Delegation<S>) -> Vec<Paid> {
        let rates = delegation.presigned_fee_rates();
        let paid = rates.all().into_iter().map(|paid| Paid {
            tx: paid.tx.to_string(),
            fee_sat: paid.fee.to_sat(),
            vsize: paid.weight.to_vbytes_ceil(),
            rate: paid.rate(),
        });
        paid.collect()
    }

    pub(crate) fn row(&self) -> (&'static str, String) {
        let fee = Amount::from_sat(self.fee_sat).to_sat();
        ("signed in advance", format!("{}: {fee} sat, {}", self.tx, show_rate(self.rate)))
    }
}

impl Show for Checked {
    fn text(&self) -> String {
        let Signers { signed_by, needed, missing, previous_signed_by, previous_needed, .. } = &self.signers;
        let mut rows = vec![
            ("state", self.state.to_owned()),
            ("stake", self.stake.to_string()),
            ("network", self.network.to_string()),
            ("parameters", format!("version {}", self.params_version)),
            ("staker", self.staker.to_string()),
        ];
        rows.extend(self.providers.iter().map(|key| ("provider", key.to_string())));
        rows.extend([
            ("value", Amount::from_sat(self.value_sat).to_string()),
            ("locked for", format!("{} blocks", self.staking_time)),
        ]);
        rows.extend(self.expands.iter().map(|stake| ("expands", stake.to_string())));
        rows.push(match &self.possession {
            Some(proof) => ("possession", format!("{} ({})", proof.account, proof.form)),
            None => ("possession", "not proven".to_owned()),
        });
        rows.push(("covenant", format!("{} of {needed} have signed, {missing} missing", signed_by.len())));
        rows.extend(signed_by.iter().map(|key| ("signed by", key.to_string())));
        if let (Some(signed), Some(needed)) = (previous_signed_by, previous_needed) {
            rows.push(("old covenant", format!("{} of {needed} have signed", signed.len())));
        }
        rows.extend(self.presigned.iter().map(Paid::row));
        rows.extend(self.file.iter().map(|path| ("written to", path.display().to_string())));
        facts(rows)
    }
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<()> {
    let Command::Check(args) = command;
    let mut copies = args.copies.iter().map(|copy| match copy {
        StakeArg::File(path) => delegation::read(path),
        // What goes into a file is for others to have: the staking transaction is this list's to send.
        StakeArg::Listed(_) => Ok(copy.package(Some(&open_store(session)?))?.without_witnesses()),
    });
    let first = copies.next().ok_or_else(|| Error::usage("no delegation file"))??;
    let package = copies.try_fold(first, |all, copy| Ok::<_, Error>(all.combine(copy?)?))?;
    let checked = delegation::check(session, &package)?;
    if let Some(path) = &args.out {
        let bytes = if args.binary { package.to_bytes() } else { delegation::to_text(&package) };
        let is_copy = |copy: &StakeArg| matches!(copy, StakeArg::File(file) if file == path);
        match args.copies.iter().any(is_copy) {
            true => file::replace(path, &bytes)?,
            false => file::write_new(path, &bytes)?,
        }
    }
    let (state, signers, presigned) = match &checked {
        CheckedDelegation::Draft(draft) => ("draft", Signers::of(draft), Paid::all(draft)),
        CheckedDelegation::PreSigned(signed) => ("pre-signed", Signers::of(signed), Paid::all(signed)),
        CheckedDelegation::PartlySigned(partly) => ("partly-signed", Signers::of(partly), Paid::all(partly)),
        CheckedDelegation::Verified(verified) => ("verified", Signers::of(verified), Paid::all(verified)),
    };
    let outpoint = package.outpoint();
    let DelegationPackage { network, params_version, staker, providers, staking_time, value, parts, .. } =
        package;
    session.out.show(&Checked {
        state,
        stake: outpoint,
        network: network.into(),
        params_version,
        staker,
        providers: providers.keys().to_vec(),
        value_sat: value.to_sat(),
        staking_time: staking_time.blocks(),
        possession: parts.possession.map(|proof| Possession {
            account: proof.account.to_string(),
            form: proof.form().to_string(),
            service: proof.context.map(|binding| binding.service().to_owned()),
        }),
        signers,
        expands: package.expansion.map(|part| part.previous.outpoint),
        presigned,
        file: args.out.clone(),
    });
    Ok(())
}
