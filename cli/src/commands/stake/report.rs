//! What is said of a stake in the making.

use std::path::PathBuf;

use bitcoin::{Amount, FeeRate, Network, OutPoint, Txid};
use serde::Serialize;
use tapstake_params::Height;
use tapstake_tx::Stake;
use tapstake_tx::delegation::{Delegation, State};

use crate::commands::delegation::Paid;
use crate::delegation::Signers;
use crate::output::{Show, facts};
use crate::spending::show_rate;

/// A stake, and how far it is.
#[derive(Serialize)]
pub(crate) struct Staked {
    status: &'static str,
    outpoint: OutPoint,
    txid: Txid,
    value_sat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fee_sat: Option<u64>,
    staking_time: u16,
    unbonding_time: u16,
    params_version: u32,
    address: String,
    pub(crate) exit_rehearsed: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    signers: Option<Signers>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    presigned: Vec<Paid>,
    #[serde(skip)]
    mempool_minimum: Option<FeeRate>,
    /// The block that holds it already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) height: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expands: Option<OutPoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recovery_sheet: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delegation: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) folder: Option<PathBuf>,
}

impl Staked {
    /// A stake that nobody has signed anything for.
    pub(crate) fn new(status: &'static str, stake: &Stake, network: Network, params_version: u32) -> Self {
        Staked {
            status,
            outpoint: stake.outpoint(),
            txid: stake.outpoint().txid,
            value_sat: stake.value().to_sat(),
            fee_sat: None,
            staking_time: stake.terms().staking_time.blocks(),
            unbonding_time: stake.terms().unbonding_time.blocks(),
            params_version,
            address: stake.coin().output.address(network).to_string(),
            exit_rehearsed: false,
            signers: None,
            presigned: Vec::new(),
            mempool_minimum: None,
            height: None,
            expands: None,
            recovery_sheet: None,
            delegation: None,
            folder: None,
        }
    }

    /// A stake with its delegation.
    pub(crate) fn with<S: State>(
        status: &'static str,
        delegation: &Delegation<S>,
        mempool_minimum: Option<FeeRate>,
    ) -> Self {
        let (network, version) = (delegation.network(), delegation.params_version());
        Staked {
            fee_sat: delegation.staking_fee().map(Amount::to_sat),
            signers: Some(Signers::of(delegation)),
            presigned: Paid::all(delegation),
            mempool_minimum,
            expands: delegation.previous().map(Stake::outpoint),
            ..Staked::new(status, delegation.stake(), network, version)
        }
    }
}

impl Show for Staked {
    fn text(&self) -> String {
        let mut rows = vec![
            ("status", self.status.to_owned()),
            ("stake", self.outpoint.to_string()),
            ("address", self.address.clone()),
            ("value", Amount::from_sat(self.value_sat).to_string()),
        ];
        rows.extend(self.height.map(|height| ("in block", height.to_string())));
        rows.extend(self.fee_sat.map(|fee| ("fee", Amount::from_sat(fee).to_string())));
        rows.extend([
            ("locked for", format!("{} blocks", self.staking_time)),
            ("unbonding takes", format!("{} blocks", self.unbonding_time)),
            ("parameters", format!("version {}", self.params_version)),
            ("exit rehearsed", if self.exit_rehearsed { "yes" } else { "no" }.to_owned()),
        ]);
        rows.extend(self.expands.iter().map(|stake| ("expands", stake.to_string())));
        if let Some(Signers { signed_by, needed, .. }) = &self.signers {
            rows.push(("covenant", format!("{} of {needed} have signed", signed_by.len())));
        }
        rows.extend(self.presigned.iter().map(Paid::row));
        rows.extend(self.mempool_minimum.map(|rate| ("mempool's least", show_rate(rate))));
        rows.extend(self.recovery_sheet.iter().map(|path| ("recovery sheet", path.display().to_string())));
        rows.extend(self.delegation.iter().map(|path| ("delegation file", path.display().to_string())));
        rows.extend(self.folder.iter().map(|path| ("to be signed in", path.display().to_string())));
        facts(rows)
    }
}
