//! Rules 15 to 17: the stake can be slashed, and it is for this service.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Amount, BlockHash, XOnlyPublicKey};
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::{Height, Schedule};
use tapstake_tx::Stake;
use tapstake_tx::delegation::{DelegationError, VerifiedParts};

use crate::headers::HeaderChain;
use crate::verify::check_network;
use crate::{
    IncludedStake, ServicePolicy, StakeProof, VerifyError, verify, verify_in_trusted_block,
    verify_with_own_headers,
};

/// A stake that is on Bitcoin and can be slashed, for a service that knows one of its providers: rules 1 to 17 hold.
///
/// Only the verifier makes one. This is what pays or counts security takes, next to rule 18
/// ([`IncludedStake::require_active`]) and a look for spends; the providers are asked about once more when the stake
/// becomes active ([`VerifiedStake::recheck_providers`]).
///
/// Displayed, it reads as the whole verdict: slashable for so much, included at height h, not reported spent as of tip
/// t, valid until height v.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedStake {
    included: IncludedStake,
    delegation: VerifiedParts,
    known_providers: Vec<XOnlyPublicKey>,
}

impl VerifiedStake {
    /// The stake as it is on Bitcoin: outpoint, value, terms, heights.
    pub const fn included(&self) -> &IncludedStake {
        &self.included
    }

    /// What is signed in advance, every signature verified: the unbonding transaction and both slashing transactions. It
    /// completes a slashing with the exposed key of a provider ([`VerifiedParts::slash`]).
    pub const fn delegation(&self) -> &VerifiedParts {
        &self.delegation
    }

    /// What a slashing takes from the stake at least, be it slashed before or after its unbonding.
    pub fn slashable(&self) -> Amount {
        self.delegation.slashing().slashed().min(self.delegation.unbonding_slashing().slashed())
    }

    /// The stake's providers that the service knew when the stake was verified, at least one, ascending. It secures the service
    /// through these; others of [`IncludedStake::terms`] vote for other services, and each can be slashed for.
    pub fn known_providers(&self) -> &[XOnlyPublicKey] {
        &self.known_providers
    }

    /// The proof that the staker has the staker's key.
    pub fn possession(&self) -> &ProofOfPossession {
        self.delegation.parts().possession.as_ref().expect("no delegation is verified without")
    }

    /// The account that the staker has named.
    ///
    /// Without a context, what the staker signed is the account's raw bytes or text, not its kind or prefix: whoever
    /// brought the proof may have written `hex:…` for `bech32:bbn1…`, or another prefix. Pay by it only under a policy that
    /// names the kind ([`ServicePolicy::accounts`]) or asks for a context.
    pub fn account(&self) -> &Account {
        &self.possession().account
    }

    /// Asks about the providers once more (rule 17), by the service's policy of now: to be done when the stake becomes
    /// active, for a provider slashed meanwhile must not come back with it.
    ///
    /// # Errors
    ///
    /// [`VerifyError::SlashedProvider`] or [`VerifyError::UnknownProviders`].
    pub fn recheck_providers(mut self, policy: &ServicePolicy) -> Result<Self, VerifyError> {
        self.known_providers = check_providers(self.included.terms().parties.providers().keys(), policy)?;
        Ok(self)
    }
}

impl fmt::Display for VerifiedStake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slashable for {} sat, {}", self.slashable().to_sat(), self.included)
    }
}

/// Checks a proof against the service's own header chain: rules 5 to 17.
///
/// [`verify`], and the delegation that the proof carries. What is cheap is looked at first, so the rule that an error
/// names need not be the first of those broken.
///
/// # Errors
///
/// [`VerifyError`] names a rule that the proof breaks.
pub fn verify_slashable<C: Verification>(
    secp: &Secp256k1<C>,
    proof: &StakeProof,
    chain: &HeaderChain,
    schedule: &Schedule,
    policy: &ServicePolicy,
) -> Result<VerifiedStake, VerifyError> {
    slashable(secp, proof, verify(secp, proof, chain, schedule, &policy.stake)?, schedule, policy)
}

/// As [`verify_in_trusted_block`], and the delegation that the proof carries: rules 7 to 17.
///
/// # Errors
///
/// [`VerifyError`] names a rule that the proof breaks.
pub fn verify_slashable_in_trusted_block<C: Verification>(
    secp: &Secp256k1<C>,
    proof: &StakeProof,
    block: (Height, BlockHash),
    schedule: &Schedule,
    policy: &ServicePolicy,
) -> Result<VerifiedStake, VerifyError> {
    let included = verify_in_trusted_block(secp, proof, block, schedule, &policy.stake)?;
    slashable(secp, proof, included, schedule, policy)
}

/// As [`verify_with_own_headers`], and the delegation that the proof carries: rules 1 to 17.
///
/// # Errors
///
/// [`VerifyError`] names a rule that the proof breaks.
pub fn verify_slashable_with_own_headers<C: Verification>(
    secp: &Secp256k1<C>,
    proof: &StakeProof,
    trusts: Option<(Height, BlockHash)>,
    schedule: &Schedule,
    policy: &ServicePolicy,
) -> Result<VerifiedStake, VerifyError> {
    let included = verify_with_own_headers(secp, proof, trusts, schedule, &policy.stake)?;
    slashable(secp, proof, included, schedule, policy)
}

/// Rules 15 to 17, wherever the headers came from.
fn slashable<C: Verification>(
    secp: &Secp256k1<C>,
    proof: &StakeProof,
    included: IncludedStake,
    schedule: &Schedule,
    policy: &ServicePolicy,
) -> Result<VerifiedStake, VerifyError> {
    let delegation = proof.delegation.as_ref().ok_or(VerifyError::NoDelegation)?;
    if let Some(context) = &policy.possession_context {
        check_network(proof, "service's proofs of possession", context.network())?;
    }
    let terms = included.terms();
    let known_providers = check_providers(terms.parties.providers().keys(), policy)?;
    let possession = delegation.possession.as_ref().ok_or(DelegationError::PossessionMissing)?;
    check_possession(possession, policy)?;
    let params = schedule.version(included.params_version())?;
    let stake = Stake::new(secp, terms.clone(), included.outpoint(), included.value());
    let delegation = delegation.check(secp, params, &stake)?;
    Ok(VerifiedStake { included, delegation, known_providers })
}

/// Rule 17. Slashed is slashed, whoever knew the provider: its key is out, so the stake is gone.
fn check_providers(
    providers: &[XOnlyPublicKey],
    policy: &ServicePolicy,
) -> Result<Vec<XOnlyPublicKey>, VerifyError> {
    if let Some(provider) = providers.iter().find(|key| policy.slashed_providers.contains(key)) {
        return Err(VerifyError::SlashedProvider { provider: *provider });
    }
    let known: Vec<_> = providers.iter().filter(|key| policy.providers.contains(key)).copied().collect();
    if known.is_empty() {
        return Err(VerifyError::UnknownProviders { providers: providers.to_vec() });
    }
    Ok(known)
}

/// Rule 16 as far as it is the service's to say; that the signature holds is checked with all others.
fn check_possession(possession: &ProofOfPossession, policy: &ServicePolicy) -> Result<(), VerifyError> {
    let form = possession.form();
    if !policy.possession_forms.contains(&form) {
        return Err(VerifyError::PossessionForm { form, accepted: policy.possession_forms.clone() });
    }
    if possession.context != policy.possession_context {
        let (found, expected) = (possession.context.clone(), policy.possession_context.clone());
        return Err(VerifyError::PossessionContext { found, expected });
    }
    if !policy.accounts.accepts(&possession.account) {
        let (account, accepted) = (possession.account.clone(), policy.accounts.clone());
        return Err(VerifyError::PossessionAccount(Box::new((account, accepted))));
    }
    Ok(())
}
