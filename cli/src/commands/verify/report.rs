//! What `tapstake verify` prints.

use bitcoin::{BlockHash, OutPoint, Txid, XOnlyPublicKey};
use serde::Serialize;
use tapstake_crypto::pop::PossessionForm;
use tapstake_params::{Height, Timelock, Window};
use tapstake_restake::AdmittedStake;
use tapstake_verifier::{Registration, Status, VerifiedStake};

use super::Verdict;
use crate::network::NetworkName;
use crate::output::{Show, facts};

/// What is known of the stake's spends: a source's word, for no proof shows that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Spends {
    NotLookedFor,
    SourceCannotTell,
    NoneReported,
}

impl std::fmt::Display for Spends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Spends::NotLookedFor => "not looked for: give --live",
            Spends::SourceCannotTell => "the source cannot tell",
            Spends::NoneReported => "none reported by the source",
        })
    }
}

/// A stake that is on Bitcoin.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    verdict: String,
    spends: Spends,
    /// `null` where nothing shows that the stake can be slashed.
    slashable: Option<Slashable>,
    status: &'static str,
    network: NetworkName,
    outpoint: OutPoint,
    /// In sat.
    value: u64,
    staker: XOnlyPublicKey,
    providers: Vec<XOnlyPublicKey>,
    covenant: Vec<XOnlyPublicKey>,
    quorum: usize,
    staking_time: Timelock,
    unbonding_time: Timelock,
    registration: Registration,
    params_version: u32,
    cap: Option<&'static str>,
    inclusion_height: Height,
    block: BlockHash,
    tip_height: Height,
    tip: BlockHash,
    confirmations: u32,
    expires_at: Height,
}

/// What shows that a stake can be slashed, and for whom.
#[derive(Debug, Serialize)]
struct Slashable {
    /// What is slashed at least, in sat: fees are not in it.
    value: u64,
    /// What a slashing costs the staker at most, in sat: the slashed part and every fee, be it slashed before or after its
    /// unbonding. It is what the books count.
    cost: u64,
    known_providers: Vec<XOnlyPublicKey>,
    signed_by: Vec<XOnlyPublicKey>,
    account: String,
    possession: PossessionForm,
    /// The service that the proof of possession names.
    service: Option<String>,
    unbonding_txid: Txid,
    slashing_txid: Txid,
    unbonding_slashing_txid: Txid,
}

impl Slashable {
    fn new(stake: &VerifiedStake) -> Self {
        let (delegation, possession) = (stake.delegation(), stake.possession());
        Slashable {
            value: stake.slashable().to_sat(),
            cost: AdmittedStake::from(stake).slashable().to_sat(),
            known_providers: stake.known_providers().to_vec(),
            signed_by: delegation.signed_by().copied().collect(),
            account: stake.account().to_string(),
            possession: possession.form(),
            service: possession.context.as_ref().map(|context| context.service().to_owned()),
            unbonding_txid: delegation.unbonding().tx().compute_txid(),
            slashing_txid: delegation.slashing().tx().compute_txid(),
            unbonding_slashing_txid: delegation.unbonding_slashing().tx().compute_txid(),
        }
    }
}

const NOT_SLASHABLE: &str = "not shown: the proof carries no delegation";

impl Slashable {
    fn possession_text(&self) -> String {
        match &self.service {
            Some(service) => format!("{}, for {service} on this network", self.possession),
            None => format!("{}, for the account alone", self.possession),
        }
    }
}

impl std::fmt::Display for Slashable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (value, cost) = (self.value, self.cost);
        write!(f, "{value} sat at least are slashed; it costs the staker {cost} sat at most, fees included")
    }
}

impl Report {
    pub(super) fn new(verdict: &Verdict, spends: Spends) -> Self {
        let stake = verdict.included();
        let (text, slashable) = match verdict {
            Verdict::Included(stake) => (stake.to_string(), None),
            Verdict::Slashable(stake) => (stake.to_string(), Some(Slashable::new(stake))),
        };
        let terms = stake.terms();
        let parties = &terms.parties;
        let (tip_height, tip) = stake.tip();
        Report {
            verdict: text,
            spends,
            slashable,
            status: match stake.status() {
                Status::Active => "active",
                Status::Expired => "expired",
            },
            network: stake.network().into(),
            outpoint: stake.outpoint(),
            value: stake.value().to_sat(),
            staker: parties.staker(),
            providers: parties.providers().keys().to_vec(),
            covenant: parties.covenant().keys().to_vec(),
            quorum: parties.covenant().threshold(),
            staking_time: terms.staking_time,
            unbonding_time: terms.unbonding_time,
            registration: stake.registration(),
            params_version: stake.params_version(),
            cap: stake.cap().map(cap_name),
            inclusion_height: stake.inclusion_height(),
            block: stake.block_hash(),
            tip_height,
            tip,
            confirmations: stake.confirmations(),
            expires_at: stake.expires_at(),
        }
    }
}

/// Whether a version's cap leaves room, in a word.
pub(crate) const fn cap_name(window: Window) -> &'static str {
    match window {
        Window::Within => "within",
        Window::Over => "over",
        Window::Unknown => "unknown",
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let mut lines = vec![
            ("verdict", self.verdict.clone()),
            ("spends", self.spends.to_string()),
            (
                "slashable",
                self.slashable.as_ref().map_or_else(|| NOT_SLASHABLE.to_owned(), Slashable::to_string),
            ),
            ("status", self.status.into()),
            ("network", self.network.to_string()),
            ("stake", self.outpoint.to_string()),
            ("value", format!("{} sat", self.value)),
            ("staker", self.staker.to_string()),
        ];
        lines.extend(self.providers.iter().map(|key| ("provider", key.to_string())));
        lines.extend([
            ("covenant", format!("{} of {}", self.quorum, self.covenant.len())),
            ("staking time", format!("{} blocks", self.staking_time)),
            ("unbonding time", format!("{} blocks", self.unbonding_time)),
            ("parameters", format!("version {}", self.params_version)),
            ("block", format!("{} at height {}", self.block, self.inclusion_height)),
            ("tip", format!("{} at height {}", self.tip, self.tip_height)),
            ("confirmations", self.confirmations.to_string()),
            ("active until", format!("height {}", self.expires_at)),
        ]);
        if let Some(slashable) = &self.slashable {
            lines.push(("signed by", format!("{} covenant members", slashable.signed_by.len())));
            lines.extend(slashable.known_providers.iter().map(|key| ("known provider", key.to_string())));
            lines.push(("account", slashable.account.clone()));
            lines.push(("possession", slashable.possession_text()));
        }
        if let Some(cap) = self.cap {
            lines.push(("cap", cap.into()));
        }
        facts(lines)
    }
}
