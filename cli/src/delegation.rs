//! Delegations: as files, in the list of stakes, and what is said of them.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bitcoin::{OutPoint, XOnlyPublicKey};
use serde::Serialize;
use tapstake_params::{Height, Quorum};
use tapstake_tracker::{KeptParams, StakeRecord, Store};
use tapstake_tx::delegation::{
    CheckedDelegation, Delegation, DelegationPackage, MAGIC, MAX_PACKAGE_JSON_BYTES, State, Verified,
};

use crate::error::{Context, Error, Result};
use crate::file::kind::Kind;
use crate::session::Session;
use crate::{file, output};

/// A stake by its outpoint, if it is in the list, or by its delegation file.
#[derive(Debug, Clone)]
pub(crate) enum StakeArg {
    /// In the list.
    Listed(OutPoint),
    /// In a file.
    File(PathBuf),
}

impl FromStr for StakeArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| StakeArg::File(text.into()), StakeArg::Listed))
    }
}

impl StakeArg {
    /// The delegation, put together of what the file and the list have.
    pub(crate) fn package(&self, store: Option<&Store>) -> Result<DelegationPackage> {
        let kept = |outpoint| store.map_or(Ok(None), |store| store.delegation(outpoint));
        match self {
            StakeArg::File(path) => {
                let package = read(path)?;
                match kept(&package.outpoint())? {
                    Some(kept) => Ok(kept.combine(package)?),
                    None => Ok(package),
                }
            }
            StakeArg::Listed(outpoint) => kept(outpoint)?.ok_or_else(|| {
                Error::rule("delegation", format!("no delegation of stake {outpoint} is kept here"))
                    .next("give its delegation file instead of its outpoint")
            }),
        }
    }
}

/// Reads a delegation file, JSON or binary. Nothing in it is checked.
pub(crate) fn read(path: &Path) -> Result<DelegationPackage> {
    let bytes = file::read(path, MAX_PACKAGE_JSON_BYTES as u64)?;
    let named = || format!("delegation file {}", path.display());
    if bytes.starts_with(&MAGIC) {
        return DelegationPackage::from_bytes(&bytes).context(named());
    }
    file::json(&bytes, Kind::Delegation).context(named())
}

/// A delegation file's text.
pub(crate) fn to_text(package: &DelegationPackage) -> Vec<u8> {
    (output::json(package) + "\n").into_bytes()
}

/// Checks everything in a delegation by the session's parameters.
pub(crate) fn check(session: &Session<'_>, package: &DelegationPackage) -> Result<CheckedDelegation> {
    Ok(package.check(&session.secp, &session.schedule()?)?)
}

/// The delegation, if a quorum of the covenant has signed it.
///
/// # Errors
///
/// If it breaks a rule, or who is still to sign: the rule is then `quorum` or `staker-signature`.
pub(crate) fn verified(session: &Session<'_>, package: &DelegationPackage) -> Result<Delegation<Verified>> {
    let signers = match check(session, package)? {
        CheckedDelegation::Verified(verified) => return Ok(verified),
        CheckedDelegation::Draft(_) => {
            return Err(Error::rule("staker-signature", "the staker has not signed the delegation yet"));
        }
        CheckedDelegation::PreSigned(delegation) => Signers::of(&delegation),
        CheckedDelegation::PartlySigned(delegation) => Signers::of(&delegation),
    };
    let mut message =
        format!("{} of {} covenant members have signed", signers.signed_by.len(), signers.needed);
    if let (Some(signed), Some(needed)) = (&signers.previous_signed_by, signers.previous_needed) {
        message.push_str(&format!(", {} of {needed} for the old stake", signed.len()));
    }
    for member in &signers.signed_by {
        message.push_str(&format!("; signed: {member}"));
    }
    let next = match (signers.two_rounds, signers.missing) {
        (false, _) => {
            "each member runs tapstake covenant sign FILE; tapstake delegation check COPIES… --out FILE combines them"
        }
        (true, 0) => {
            "the new committee has its quorum: now comes the second round. Each member of the old stake's committee, those \
             who signed before included, runs tapstake covenant sign FILE on this file, which has that quorum in it; \
             tapstake delegation check COPIES… --out FILE combines them"
        }
        (true, _) => {
            "the committee changes, so the file goes round twice: first each member of the new committee runs tapstake \
             covenant sign FILE, and tapstake delegation check COPIES… --out FILE combines them; then, with that quorum in \
             the file, the members of the old stake's committee do, those who signed before included"
        }
    };
    Err(Error::rule("quorum", message).next(next))
}

/// Who of the committees has signed, and who may still.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Signers {
    pub(crate) signed_by: Vec<XOnlyPublicKey>,
    pub(crate) not_signed_by: Vec<XOnlyPublicKey>,
    pub(crate) needed: usize,
    pub(crate) missing: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous_signed_by: Option<Vec<XOnlyPublicKey>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous_needed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous_missing: Option<usize>,
    /// Whether members let the old stake go only once the new one has its quorum.
    #[serde(skip)]
    two_rounds: bool,
}

impl Signers {
    pub(crate) fn of<S: State>(delegation: &Delegation<S>) -> Self {
        let covenant = delegation.stake().terms().parties.covenant();
        let signed_by: Vec<_> = delegation.signed_by().copied().collect();
        let others = covenant.keys().iter().filter(|key| !signed_by.contains(key));
        let old = delegation.previous().map(|previous| previous.terms().parties.covenant());
        let previous = old.map(Quorum::threshold);
        Signers {
            not_signed_by: others.copied().collect(),
            signed_by,
            needed: covenant.threshold(),
            missing: delegation.missing(),
            previous_signed_by: previous.map(|_| delegation.previous_signed_by().copied().collect()),
            previous_needed: previous,
            previous_missing: previous.map(|_| delegation.missing_previous()),
            // As members judge it: where the same keys sign and no more of them must, one round does both.
            two_rounds: old
                .is_some_and(|old| old.keys() != covenant.keys() || covenant.threshold() > old.threshold()),
        }
    }
}

/// The stake of a delegation as a record, to be followed: the list's own if it has one, else what the delegation says.
pub(crate) fn record<S: State>(
    session: &Session<'_>,
    store: Option<&Store>,
    delegation: &Delegation<S>,
) -> Result<StakeRecord> {
    let outpoint = delegation.stake().outpoint();
    if let Some(record) = store.map_or(Ok(None), |store| store.get(&outpoint))? {
        let schedule = session.schedule()?;
        let params = schedule.version(delegation.params_version())?;
        if KeptParams::from(params) != record.params {
            let message = format!(
                "stake {outpoint} was made under other parameters than this version {}",
                params.version
            );
            return Err(Error::rule("parameters", message).next("give the --params the stake was made under"));
        }
        return Ok(record);
    }
    new_record(session, delegation, Height::GENESIS)
}

/// A new record of a delegation's stake, made at the tip `made_at`.
pub(crate) fn new_record<S: State>(
    session: &Session<'_>,
    delegation: &Delegation<S>,
    made_at: Height,
) -> Result<StakeRecord> {
    let schedule = session.schedule()?;
    let params = schedule.version(delegation.params_version())?;
    let tx = delegation.unsigned_staking_tx().clone();
    Ok(StakeRecord::new(session.network(), delegation.stake(), params, tx, made_at)?)
}
