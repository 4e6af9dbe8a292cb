use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Amount, OutPoint, Transaction, TxOut, Weight, XOnlyPublicKey};
use tapstake_params::{Height, StakingParams};
use tapstake_tx::delegation::{
    CheckedDelegation, CovenantSignatures, Delegation, DelegationError, DelegationPackage, State,
};
use tapstake_tx::{ExpansionTx, SlashingTx, Stake, UnbondingTx};

use super::error::{CovenantError, Refusal};
use super::key::CovenantKey;
use super::policy::Policy;
use super::signed::{MemberSignatures, SignedExpansion, Subject};

/// A delegation that keeps every rule of the protocol and of the parameters version that it names, by the policy's own copy
/// of the parameters, with the staker's signatures and proof of possession, and without a wrong signature of anybody.
#[derive(Debug)]
pub struct Checked<'a> {
    policy: &'a Policy,
    package: &'a DelegationPackage,
    params: &'a StakingParams,
    stake: Stake,
    unbonding: UnbondingTx,
    slashing: SlashingTx,
    unbonding_slashing: SlashingTx,
    expansion: Option<(Stake, ExpansionTx)>,
}

/// A delegation that the policy lets sign, now.
#[derive(Debug)]
pub struct Approved<'a>(Checked<'a>);

/// How it stands with a member's signature that lets the old stake of an expansion go.
///
/// Whoever has a quorum of them moves the old stake, with or without signatures on top of the new one: a stake that cannot
/// be slashed would take the place of one that can. So a member gives its own only where the new stake's quorum comes with
/// it, and the delegation goes round a second time where that is not so at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The delegation expands no stake, or the member does not sit in the old stake's committee.
    NotAsked,
    /// It is given: a quorum of the new stake's committee has signed, this member included; or both committees are the
    /// same keys, of which the new stake needs no more than the old one, so that as many have signed for the new stake as
    /// let the old one go.
    Given,
    /// It waits for a quorum of the new stake's committee.
    Waits {
        /// How many of the new stake's committee have signed, this member included if it sits there.
        signed: usize,
        /// How many must.
        needed: usize,
    },
}

impl<'a> Checked<'a> {
    /// Checks everything that does not depend on the member's own rules.
    ///
    /// # Errors
    ///
    /// [`Refusal::Delegation`] names the rule.
    pub fn new<C: Verification>(
        secp: &Secp256k1<C>,
        policy: &'a Policy,
        package: &'a DelegationPackage,
    ) -> Result<Self, Refusal> {
        let params = policy.schedule.version(package.params_version);
        let params = params.map_err(DelegationError::from)?;
        Ok(match package.check(secp, &policy.schedule)? {
            CheckedDelegation::Draft(_) => return Err(DelegationError::StakerMissing.into()),
            CheckedDelegation::PreSigned(delegation) => Self::of(policy, package, params, &delegation),
            CheckedDelegation::PartlySigned(delegation) => Self::of(policy, package, params, &delegation),
            CheckedDelegation::Verified(delegation) => Self::of(policy, package, params, &delegation),
        })
    }

    fn of<S: State>(
        policy: &'a Policy,
        package: &'a DelegationPackage,
        params: &'a StakingParams,
        delegation: &Delegation<S>,
    ) -> Self {
        Checked {
            policy,
            package,
            params,
            stake: delegation.stake().clone(),
            unbonding: delegation.unbonding().clone(),
            slashing: delegation.slashing().clone(),
            unbonding_slashing: delegation.unbonding_slashing().clone(),
            expansion: delegation.previous().cloned().zip(delegation.expansion().cloned()),
        }
    }

    /// The stake.
    pub const fn stake(&self) -> &Stake {
        &self.stake
    }

    /// What the staking transaction spends.
    pub(super) fn coins(&self) -> Vec<OutPoint> {
        self.package.staking_tx.input.iter().map(|input| input.previous_output).collect()
    }

    /// The same without the old stake of an expansion.
    pub(super) fn funding(&self) -> Vec<OutPoint> {
        self.coins().into_iter().skip(usize::from(self.expansion.is_some())).collect()
    }

    /// What the record knows a delegation by.
    pub(super) fn subject(&self) -> Subject {
        let terms = self.stake.terms();
        Subject {
            stake: self.stake.outpoint(),
            params_version: self.package.params_version,
            staker: terms.parties.staker(),
            value: self.stake.value(),
            staking_time: terms.staking_time,
            unbonding: self.unbonding.tx().compute_txid(),
            slashing: self.slashing.tx().compute_txid(),
            unbonding_slashing: self.unbonding_slashing.tx().compute_txid(),
            expansion: self.expansion.as_ref().map(|(previous, tx)| SignedExpansion {
                previous: previous.outpoint(),
                digest: tx.spend(previous).sighash(),
            }),
        }
    }

    /// Whether the delegation carries signatures by `member`, which are good then, other than those that it is known to
    /// have `given`.
    pub(super) fn has_unknown_of(&self, member: &XOnlyPublicKey, given: Option<&MemberSignatures>) -> bool {
        let part = self.package.expansion.as_ref();
        let signed = self.package.parts.covenant.contains_key(member);
        let released = part.is_some_and(|part| part.covenant.contains_key(member));
        signed && given.is_none_or(|given| given.covenant.is_none())
            || released && given.is_none_or(|given| given.expansion.is_none())
    }

    /// How it stands with the signature of `member` for the old stake, by what the delegation carries and what `member`
    /// adds to it.
    pub fn release(&self, member: &XOnlyPublicKey) -> Release {
        let Some((previous, _)) = &self.expansion else { return Release::NotAsked };
        let (old, new) = (previous.terms().parties.covenant(), self.stake.terms().parties.covenant());
        if !old.contains(member) {
            return Release::NotAsked;
        }
        if old.keys() == new.keys() && new.threshold() <= old.threshold() {
            return Release::Given;
        }
        let others = self.package.parts.covenant.keys().filter(|key| *key != member).count();
        let (signed, needed) = (others + usize::from(new.contains(member)), new.threshold());
        if signed < needed { Release::Waits { signed, needed } } else { Release::Given }
    }

    /// Asks the member's own rules. `tip` is the height of the end of the chain, as [`Policy::in_force`] has it.
    ///
    /// Whether the old stake of an expansion is still there is not asked: a signature to spend what is spent is worth
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal`] names the rule.
    pub fn approve<C: Verification>(
        self,
        secp: &Secp256k1<C>,
        tip: Option<Height>,
    ) -> Result<Approved<'a>, Refusal> {
        let (in_force, height) = self.policy.in_force(tip)?;
        if in_force.version != self.params.version {
            let (given, expected) = (self.params.version, in_force.version);
            return Err(Refusal::Version { given, expected, height });
        }
        self.package.check_funding(secp, &self.policy.schedule)?;
        self.check_bounds()?;
        self.check_parties()?;
        self.check_fees()?;
        if self.expansion.is_some() && !self.policy.rules.expansions {
            return Err(Refusal::Expansion);
        }
        Ok(Approved(self))
    }

    fn check_bounds(&self) -> Result<(), Refusal> {
        let (rules, params) = (&self.policy.rules, self.params);
        let value = self.stake.value();
        let min = rules.min_value.unwrap_or(params.min_staking_value);
        let max = rules.max_value.unwrap_or(params.max_staking_value);
        if value < min || value > max {
            return Err(Refusal::Value { value, min, max });
        }
        let time = self.stake.terms().staking_time;
        let min = rules.min_staking_time.unwrap_or(params.min_staking_time);
        let max = rules.max_staking_time.unwrap_or(params.max_staking_time);
        if time < min || time > max {
            return Err(Refusal::Time { time, min, max });
        }
        Ok(())
    }

    fn check_parties(&self) -> Result<(), Refusal> {
        let rules = &self.policy.rules;
        let providers = self.stake.terms().parties.providers().keys();
        if let Some(unknown) = providers.iter().find(|key| !rules.services.has_provider(key)) {
            return Err(Refusal::Provider(*unknown));
        }
        let possession = self.package.parts.possession.as_ref().ok_or(DelegationError::PossessionMissing)?;
        let form = possession.form();
        if !rules.possession_forms.contains(&form) {
            return Err(Refusal::PossessionForm(form));
        }
        match &possession.context {
            None if rules.possession_names_service => Err(Refusal::PossessionContext),
            None => Ok(()),
            Some(context) if context.network() != self.package.network => {
                let (given, expected) = (context.network(), self.package.network);
                Err(Refusal::PossessionNetwork { given, expected })
            }
            Some(context) if !rules.services.has_service(context.service()) => {
                Err(Refusal::Service(context.service().to_owned()))
            }
            Some(context) if !providers.iter().any(|key| rules.services.serves(context.service(), key)) => {
                Err(Refusal::ServiceProvider(context.service().to_owned()))
            }
            Some(_) => Ok(()),
        }
    }

    /// The prevouts are the staker's word, but a word that binds it: a Taproot input whose signature is over other values
    /// is not valid, and the others' fee is the staker's own loss.
    fn check_fees(&self) -> Result<(), Refusal> {
        let rules = &self.policy.rules;
        let (tx, prevouts) = (self.package.staking_tx.unsigned(), self.package.prevouts.as_slice());
        // Made-up values saturate, and the rate of a made-up fee stays a number.
        let paid = |outputs: &[TxOut]| {
            outputs.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()))
        };
        let fee = Amount::from_sat(paid(prevouts).saturating_sub(paid(&tx.output))).min(Amount::MAX_MONEY);
        let rate = fee / self.signed_weight(tx, prevouts);
        let (min, max) = (rules.min_fee_rate, rules.max_fee_rate);
        if rate < min || rate > max {
            return Err(Refusal::StakingFee { fee, rate, min, max });
        }
        let slashings =
            [(&self.slashing, self.stake.value()), (&self.unbonding_slashing, self.unbonding.coin().value)];
        let least = self.params.slashing.as_ref().map_or(Amount::ZERO, |slashing| slashing.min_fee);
        let most = least.checked_mul(rules.max_slashing_fee_multiple.into()).unwrap_or(Amount::MAX_MONEY);
        for (slashing, value) in slashings {
            let fee = Amount::from_sat(value.to_sat().saturating_sub(paid(&slashing.tx().output)));
            if fee > most {
                return Err(Refusal::SlashingFee { fee, most });
            }
        }
        Ok(())
    }

    /// What the staking transaction weighs once every input is signed.
    fn signed_weight(&self, tx: &Transaction, prevouts: &[TxOut]) -> Weight {
        let witnesses = prevouts.iter().enumerate().map(|(input, prevout)| match &self.expansion {
            Some((previous, _)) if input == 0 => previous.coin().output.unbonding().witness_weight(),
            _ => expected_witness(prevout),
        });
        // Marker and flag.
        tx.weight() + Weight::from_wu(2) + witnesses.sum()
    }
}

/// The weight of the witness that spends an output in the common way: 1 byte for the number of items, each item with its
/// length. Of scripts behind a hash nothing is known but that there is a witness.
fn expected_witness(prevout: &TxOut) -> Weight {
    let script = &prevout.script_pubkey;
    Weight::from_wu(match () {
        () if script.is_p2tr() => 1 + 65,
        () if script.is_p2wpkh() => 1 + 73 + 34,
        () => 1,
    })
}

impl Approved<'_> {
    pub(super) const fn checked(&self) -> &Checked<'_> {
        &self.0
    }

    /// Asks `key` for its member's signatures: those of the stake's committee if it sits there, that of the expanded
    /// stake's committee if it sits there and [`Checked::release`] lets it.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotMember`] if it sits in neither, [`Refusal::ReleaseWaits`] if it sits in the expanded stake's alone and
    /// the new stake lacks its quorum, [`CovenantError::Key`].
    pub fn sign(&self, key: &dyn CovenantKey) -> Result<MemberSignatures, CovenantError> {
        let Checked { stake, unbonding, slashing, unbonding_slashing, .. } = &self.0;
        let member = key.public_key();
        let parties = &stake.terms().parties;
        let for_each_provider = |digest| {
            let providers = parties.providers().keys().iter();
            providers.map(|provider| key.adaptor_sign(digest, provider)).collect::<Result<Vec<_>, _>>()
        };
        let covenant = if parties.covenant().contains(&member) {
            Some(CovenantSignatures {
                unbonding: key.sign(unbonding.spend(stake).sighash())?,
                slashing: for_each_provider(slashing.spend(stake.coin()).sighash())?,
                unbonding_slashing: for_each_provider(unbonding_slashing.spend(unbonding.coin()).sighash())?,
            })
        } else {
            None
        };
        let expansion = self.sign_release(key)?;
        if covenant.is_none() && expansion.is_none() {
            return Err(match self.0.release(&member) {
                Release::Waits { signed, needed } => Refusal::ReleaseWaits { signed, needed },
                Release::Given | Release::NotAsked => Refusal::NotMember(member),
            }
            .into());
        }
        Ok(MemberSignatures { covenant, expansion })
    }

    /// Asks `key` for its member's signature that lets the old stake go, if it may be given.
    pub(super) fn sign_release(&self, key: &dyn CovenantKey) -> Result<Option<Signature>, CovenantError> {
        match (&self.0.expansion, self.0.release(&key.public_key())) {
            (Some((previous, tx)), Release::Given) => Ok(Some(key.sign(tx.spend(previous).sighash())?)),
            _ => Ok(None),
        }
    }

    /// The delegation with a member's signatures in it.
    ///
    /// # Errors
    ///
    /// [`DelegationError`] for signatures that do not verify.
    pub fn add<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        member: XOnlyPublicKey,
        signatures: &MemberSignatures,
    ) -> Result<DelegationPackage, DelegationError> {
        self.0.add(secp, member, signatures)
    }
}

impl Checked<'_> {
    pub(super) fn add<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        member: XOnlyPublicKey,
        signatures: &MemberSignatures,
    ) -> Result<DelegationPackage, DelegationError> {
        let mut package = self.package.clone();
        if let Some(signatures) = &signatures.covenant {
            package.parts.covenant.insert(member, signatures.clone());
        }
        if let (Some(signature), Some(part)) = (signatures.expansion, &mut package.expansion) {
            part.covenant.insert(member, signature);
        }
        package.check(secp, &self.policy.schedule)?;
        Ok(package)
    }
}
