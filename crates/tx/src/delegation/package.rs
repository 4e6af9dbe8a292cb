use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bitcoin::policy::MAX_STANDARD_TX_WEIGHT;
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Message, Secp256k1, Verification};
use bitcoin::{Amount, Network, OutPoint, Script, TxOut, XOnlyPublicKey};
use serde::{Deserialize, Serialize};
use tapstake_params::{Schedule, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms, TermsError, find_output_with_value};

use super::check::{self, Presigned, Proven, SignatureCheck};
use super::{CheckedDelegation, Delegation, DelegationError, DelegationParts, SignedTx, StakingTx, json};
use crate::coin::Stake;
use crate::expansion::{ExpansionTx, sum};
use crate::inspect::OutputKind;
use crate::staking::check_txid_final;

/// The delegation file: a staking transaction that is not sent yet, and what its staker and its committee have signed on top of
/// it so far. Plain data, nothing checked.
///
/// It claims who stakes with whom, how much, for how long and under which version of the parameters. Committee, quorum,
/// unbonding time, fees and slashing come from the reader's own parameters.
///
/// It is read and written as JSON through serde, and as bytes by [`DelegationPackage::to_bytes`] and
/// [`DelegationPackage::from_bytes`] (`docs/delegation-format.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "json::PackageFields", into = "json::PackageFields")]
pub struct DelegationPackage {
    /// The network that the stake is for.
    pub network: Network,
    /// The version of the parameters that the stake is made under.
    pub params_version: u32,
    /// The staker's key.
    pub staker: XOnlyPublicKey,
    /// The finality providers.
    pub providers: Providers,
    /// The timelock of the staking output.
    pub staking_time: Timelock,
    /// The stake's value.
    pub value: Amount,
    /// Which output of the staking transaction is the stake.
    pub vout: u32,
    /// The staking transaction, signed or not.
    pub staking_tx: StakingTx,
    /// What the staking transaction's inputs spend, one for each. Only signatures of Taproot inputs commit to all of it: for
    /// others it is the staker's word.
    pub prevouts: Vec<TxOut>,
    /// What is signed in advance.
    pub parts: DelegationParts,
    /// The old stake, if the staking transaction expands one.
    pub expansion: Option<ExpansionPart>,
}

/// The old stake of an expansion, and what is signed to move it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpansionPart {
    /// The old stake.
    pub previous: PreviousStake,
    /// The staker's signature on input 0.
    pub staker: Option<Signature>,
    /// The signatures of the old committee's members on input 0, by their keys.
    pub covenant: BTreeMap<XOnlyPublicKey, Signature>,
}

/// The stake that an expansion spends; staker and providers are those of the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreviousStake {
    /// Where it lies.
    pub outpoint: OutPoint,
    /// What it holds.
    pub value: Amount,
    /// The version of the parameters that it was made under.
    pub params_version: u32,
    /// Its timelock.
    pub staking_time: Timelock,
}

impl DelegationPackage {
    /// Where the stake will lie.
    pub fn outpoint(&self) -> OutPoint {
        OutPoint { txid: self.staking_tx.compute_txid(), vout: self.vout }
    }

    /// The terms of the stake under a version of the parameters.
    ///
    /// # Errors
    ///
    /// [`TermsError`] if one key has two roles.
    pub fn terms(&self, params: &StakingParams) -> Result<StakeTerms, TermsError> {
        StakeTerms::under(params, self.staker, self.providers.clone(), self.staking_time)
    }

    /// A copy for the committee, which cannot be sent: without the staking transaction's witnesses and, if it expands a
    /// stake, without the staker's signature on the old one.
    #[must_use]
    pub fn without_witnesses(mut self) -> Self {
        self.staking_tx = self.staking_tx.without_witnesses();
        if let Some(expansion) = &mut self.expansion {
            expansion.staker = None;
        }
        self
    }

    /// Refuses funding by a staking or unbonding output of the same staker and providers, under any version of the
    /// parameters, with the timelock of this stake or the shortest or longest of that version. For committee members, who do
    /// not sign for stakes on top of stakes but by an expansion; beyond this they have their records to go by.
    ///
    /// # Errors
    ///
    /// [`DelegationError::FundingIsStake`] names the input, [`DelegationError::Terms`] a key with two roles.
    pub fn check_funding<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        schedule: &Schedule,
    ) -> Result<(), DelegationError> {
        let old_stake = usize::from(self.expansion.is_some());
        let funding = || self.prevouts.iter().enumerate().skip(old_stake);
        if !funding().any(|(_, prevout)| prevout.script_pubkey.is_p2tr()) {
            return Ok(());
        }
        let refuse = |script: &Script, kind| match funding().find(|(_, it)| *it.script_pubkey == *script) {
            Some((input, _)) => Err(DelegationError::FundingIsStake { input, kind }),
            None => Ok(()),
        };
        for params in schedule.versions() {
            let mut terms = self.terms(params)?;
            refuse(terms.unbonding_output(secp).script_pubkey(), OutputKind::Unbonding)?;
            let times = [self.staking_time, params.min_staking_time, params.max_staking_time];
            for time in BTreeSet::from(times) {
                terms.staking_time = time;
                refuse(terms.staking_output(secp).script_pubkey(), OutputKind::Staking)?;
            }
        }
        Ok(())
    }

    /// Judges everything in it by the parameters of its version and says how far it is.
    ///
    /// # Errors
    ///
    /// [`DelegationError`] names the rule that is broken. A wrong signature is never passed over, however many others
    /// there are.
    pub fn check<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        schedule: &Schedule,
    ) -> Result<CheckedDelegation, DelegationError> {
        let prepared = self.prepare(secp, schedule)?;
        let proven = prepared.checks().iter().map(|check| check.verify(secp));
        let proven = proven.collect::<Result<Vec<_>, _>>()?;
        prepared.accept(proven)
    }

    /// As [`DelegationPackage::check`], up to the signatures, for callers with several cores.
    ///
    /// # Errors
    ///
    /// [`DelegationError`] names the rule that is broken.
    pub fn prepare<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        schedule: &Schedule,
    ) -> Result<PreparedDelegation<'_>, DelegationError> {
        if self.network != schedule.network() {
            let (actual, expected) = (self.network, schedule.network());
            return Err(DelegationError::Network { actual, expected });
        }
        let params = schedule.version(self.params_version)?;
        let core = Core::check(secp, params, self, |version| Ok(schedule.version(version)?))?;
        let mut checks = self.parts.signature_checks(&core.stake, &core.presigned)?;
        if let (Some(part), Some(expanded)) = (&self.expansion, &core.expanded) {
            checks.extend(part.signature_checks(expanded)?);
        }
        Ok(PreparedDelegation { package: self, core, checks })
    }
}

/// A delegation whose transactions keep every rule, and whose signatures are still to be verified.
#[derive(Debug, Clone)]
pub struct PreparedDelegation<'a> {
    package: &'a DelegationPackage,
    core: Core,
    checks: Vec<SignatureCheck<'a>>,
}

impl<'a> PreparedDelegation<'a> {
    /// Every signature there is, to be verified in any order and on any thread.
    pub fn checks(&self) -> &[SignatureCheck<'a>] {
        &self.checks
    }

    /// Takes the tokens of all of [`PreparedDelegation::checks`], in that order.
    ///
    /// # Errors
    ///
    /// [`DelegationError::Unproven`] if one is missing, of another signature, or left over;
    /// [`DelegationError::StakerMissing`] or [`DelegationError::PossessionMissing`] if some are there that come after
    /// these.
    pub fn accept(
        self,
        proven: impl IntoIterator<Item = Proven<'a>>,
    ) -> Result<CheckedDelegation, DelegationError> {
        check::accept(&self.checks, proven)?;
        Delegation::in_its_state(self.package.clone(), self.core)
    }
}

/// What is derived from a package and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Core {
    pub(super) stake: Stake,
    pub(super) presigned: Presigned,
    pub(super) expanded: Option<Expanded>,
}

/// What is derived from the expansion part of a package and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) previous: Stake,
    pub(super) tx: ExpansionTx,
    pub(super) digest: [u8; 32],
}

impl Core {
    /// By the parameters of the stake's version and, for an expansion, those of the old stake's.
    pub(super) fn check<'p, C: Verification>(
        secp: &Secp256k1<C>,
        params: &StakingParams,
        package: &DelegationPackage,
        params_of: impl Fn(u32) -> Result<&'p StakingParams, DelegationError>,
    ) -> Result<Self, DelegationError> {
        let terms = package.terms(params)?;
        let stake = Stake::new(secp, terms, package.outpoint(), package.value);
        let script_pubkey = stake.coin().output.script_pubkey();
        let actual = find_output_with_value(&package.staking_tx, script_pubkey, package.value)?;
        if actual != package.vout {
            return Err(DelegationError::Vout { actual, expected: package.vout });
        }
        check_staking_tx(&stake, package)?;
        let expanded = match &package.expansion {
            Some(part) => {
                let params = params_of(part.previous.params_version)?;
                Some(Expanded::check(secp, params, &stake, package, part)?)
            }
            None => None,
        };
        let presigned = Presigned::check(secp, params, &stake, &package.parts)?;
        // The old stake that an expansion spends is checked with it.
        if expanded.is_none() {
            refuse_own_kind(&stake, &presigned, &package.prevouts)?;
        }
        Ok(Core { stake, presigned, expanded })
    }
}

/// The rules of any staking transaction that others are signed on.
fn check_staking_tx(stake: &Stake, package: &DelegationPackage) -> Result<(), DelegationError> {
    let (tx, prevouts) = (package.staking_tx.unsigned(), &package.prevouts);
    if tx.input.is_empty() || tx.is_coinbase() {
        return Err(DelegationError::NoInputs { txid: stake.outpoint().txid });
    }
    let mut seen = BTreeSet::new();
    if let Some(input) = tx.input.iter().position(|input| !seen.insert(input.previous_output)) {
        return Err(DelegationError::SpentTwice { input });
    }
    check_txid_final(tx, prevouts)?;
    let weight = tx.weight().to_wu();
    if weight > u64::from(MAX_STANDARD_TX_WEIGHT) {
        return Err(DelegationError::Weight { weight });
    }
    let (inputs, outputs) = (sum(prevouts), sum(&tx.output));
    if outputs > inputs {
        return Err(DelegationError::Overspent { inputs, outputs });
    }
    Ok(())
}

/// Refuses funding by an output that has the script of this very stake, or of its unbonding.
fn refuse_own_kind(stake: &Stake, presigned: &Presigned, prevouts: &[TxOut]) -> Result<(), DelegationError> {
    let scripts = [
        (OutputKind::Staking, stake.coin().output.script_pubkey()),
        (OutputKind::Unbonding, presigned.unbonding.coin().output.script_pubkey()),
    ];
    for (input, prevout) in prevouts.iter().enumerate() {
        if let Some((kind, _)) = scripts.iter().find(|(_, script)| **script == prevout.script_pubkey) {
            return Err(DelegationError::FundingIsStake { input, kind: *kind });
        }
    }
    Ok(())
}

impl Expanded {
    fn check<C: Verification>(
        secp: &Secp256k1<C>,
        params: &StakingParams,
        stake: &Stake,
        package: &DelegationPackage,
        part: &ExpansionPart,
    ) -> Result<Self, DelegationError> {
        let PreviousStake { outpoint, value, staking_time, .. } = part.previous;
        let terms = StakeTerms::under(params, package.staker, package.providers.clone(), staking_time)?;
        let previous = Stake::new(secp, terms, outpoint, value);
        let tx = package.staking_tx.unsigned();
        let tx = ExpansionTx::check(secp, &previous, stake.clone(), tx, &package.prevouts)?;
        if package.staking_tx.has_witness(0) {
            return Err(DelegationError::UnexpectedWitness { tx: SignedTx::Expansion });
        }
        let digest = *Message::from(tx.spend(&previous).sighash()).as_ref();
        Ok(Expanded { previous, tx, digest })
    }

    /// What signatures on input 0 are over.
    pub(super) const fn signed(&self) -> (SignedTx, [u8; 32]) {
        (SignedTx::Expansion, self.digest)
    }
}

impl ExpansionPart {
    fn signature_checks<'a>(
        &'a self,
        expanded: &Expanded,
    ) -> Result<Vec<SignatureCheck<'a>>, DelegationError> {
        let parties = &expanded.previous.terms().parties;
        let staker = self.staker.as_ref();
        let staker = staker.map(|it| SignatureCheck::staker(parties.staker(), expanded.signed(), it));
        let mut checks: Vec<_> = staker.into_iter().collect();
        for (member, signature) in &self.covenant {
            if !parties.covenant().contains(member) {
                return Err(DelegationError::UnknownMember { member: *member, tx: SignedTx::Expansion });
            }
            checks.push(SignatureCheck::member(member, expanded.signed(), signature));
        }
        Ok(checks)
    }
}
