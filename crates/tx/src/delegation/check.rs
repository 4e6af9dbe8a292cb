use alloc::boxed::Box;
use alloc::vec::Vec;

use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Message, Parity, PublicKey, Secp256k1, Verification};
use bitcoin::{Amount, Transaction, XOnlyPublicKey};
use tapstake_crypto::adaptor::{AdaptorSignature, point};
use tapstake_crypto::pop::ProofOfPossession;
use tapstake_params::{Quorum, StakingParams};

use super::{DelegationError, DelegationParts, SignedTx, VerifiedParts};
use crate::coin::Stake;
use crate::fee_rates::PresignedFeeRates;
use crate::slashing::SlashingTx;
use crate::unbonding::UnbondingTx;

/// The transactions on top of one staking output, checked, with what is signed of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Presigned {
    pub(super) unbonding: UnbondingTx,
    pub(super) slashing: SlashingTx,
    pub(super) unbonding_slashing: SlashingTx,
    digests: [[u8; 32]; 3],
}

impl Presigned {
    /// Builds them, with this fee for either slashing.
    pub(super) fn build<C: Verification>(
        secp: &Secp256k1<C>,
        params: &StakingParams,
        stake: &Stake,
        slashing_fee: Amount,
    ) -> Result<Self, DelegationError> {
        let rules =
            params.slashing.as_ref().ok_or(DelegationError::NoSlashing { version: params.version })?;
        let unbonding = UnbondingTx::build(secp, stake, params.unbonding_fee)?;
        let refund = stake.refund_output();
        let slashing = SlashingTx::build(stake.coin(), refund, rules, slashing_fee)
            .map_err(|source| DelegationError::Slashing { tx: SignedTx::Slashing, source })?;
        let unbonding_slashing = SlashingTx::build(unbonding.coin(), refund, rules, slashing_fee)
            .map_err(|source| DelegationError::Slashing { tx: SignedTx::UnbondingSlashing, source })?;
        Ok(Self::with_digests(stake, unbonding, slashing, unbonding_slashing))
    }

    /// Checks all that can be said without a signature.
    pub(super) fn check<C: Verification>(
        secp: &Secp256k1<C>,
        params: &StakingParams,
        stake: &Stake,
        parts: &DelegationParts,
    ) -> Result<Self, DelegationError> {
        check_terms(params, stake)?;
        let rules =
            params.slashing.as_ref().ok_or(DelegationError::NoSlashing { version: params.version })?;
        for (tx, carrier) in parts.transactions() {
            if carrier.input.iter().any(|input| !input.witness.is_empty()) {
                return Err(DelegationError::UnexpectedWitness { tx });
            }
        }
        let unbonding = UnbondingTx::check(secp, stake, params.unbonding_fee, &parts.unbonding_tx)?;
        let refund = stake.refund_output();
        let slashing = SlashingTx::check(stake.coin(), refund, rules, &parts.slashing_tx)
            .map_err(|source| DelegationError::Slashing { tx: SignedTx::Slashing, source })?;
        let unbonding_slashing =
            SlashingTx::check(unbonding.coin(), refund, rules, &parts.unbonding_slashing_tx)
                .map_err(|source| DelegationError::Slashing { tx: SignedTx::UnbondingSlashing, source })?;
        Ok(Self::with_digests(stake, unbonding, slashing, unbonding_slashing))
    }

    fn with_digests(
        stake: &Stake,
        unbonding: UnbondingTx,
        slashing: SlashingTx,
        unbonding_slashing: SlashingTx,
    ) -> Self {
        let spends = [
            unbonding.spend(stake),
            slashing.spend(stake.coin()),
            unbonding_slashing.spend(unbonding.coin()),
        ];
        let digests = spends.map(|spend| *Message::from(spend.sighash()).as_ref());
        Presigned { unbonding, slashing, unbonding_slashing, digests }
    }

    /// What signatures on the unbonding transaction are over.
    pub(super) const fn unbonding_digest(&self) -> [u8; 32] {
        self.digests[0]
    }

    /// What signatures on either slashing transaction are over.
    pub(super) const fn slashing_digests(&self) -> [(SignedTx, [u8; 32]); 2] {
        [(SignedTx::Slashing, self.digests[1]), (SignedTx::UnbondingSlashing, self.digests[2])]
    }

    pub(super) fn fee_rates(&self, stake: &Stake) -> PresignedFeeRates {
        PresignedFeeRates::new(stake, &self.unbonding, &self.slashing, &self.unbonding_slashing)
    }
}

/// Checks that a stake is one of these parameters.
pub(super) fn check_terms(params: &StakingParams, stake: &Stake) -> Result<(), DelegationError> {
    let (terms, version) = (stake.terms(), params.version);
    if *terms.parties.covenant() != params.covenant {
        return Err(DelegationError::Committee { version });
    }
    if terms.unbonding_time != params.unbonding_time {
        let (actual, expected) = (terms.unbonding_time, params.unbonding_time);
        return Err(DelegationError::UnbondingTime { actual, expected, version });
    }
    Ok(params.check_stake(stake.value(), terms.staking_time)?)
}

/// One signature of a delegation, to be verified: pure work, independent of every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureCheck<'a>(Claim<'a>);

/// The proof that one [`SignatureCheck`] holds. Only [`SignatureCheck::verify`] makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven<'a>(SignatureCheck<'a>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim<'a> {
    Possession {
        staker: XOnlyPublicKey,
        proof: &'a ProofOfPossession,
    },
    Staker {
        staker: XOnlyPublicKey,
        tx: SignedTx,
        digest: [u8; 32],
        signature: &'a Signature,
    },
    Member {
        member: &'a XOnlyPublicKey,
        tx: SignedTx,
        digest: [u8; 32],
        signature: &'a Signature,
    },
    Adaptor {
        member: &'a XOnlyPublicKey,
        /// With both coordinates, since finding y to an x takes a square root.
        provider: PublicKey,
        tx: SignedTx,
        digest: [u8; 32],
        signature: &'a AdaptorSignature,
    },
}

impl<'a> SignatureCheck<'a> {
    pub(super) const fn possession(staker: XOnlyPublicKey, proof: &'a ProofOfPossession) -> Self {
        SignatureCheck(Claim::Possession { staker, proof })
    }

    pub(super) const fn staker(
        staker: XOnlyPublicKey,
        (tx, digest): (SignedTx, [u8; 32]),
        signature: &'a Signature,
    ) -> Self {
        SignatureCheck(Claim::Staker { staker, tx, digest, signature })
    }

    pub(super) const fn member(
        member: &'a XOnlyPublicKey,
        (tx, digest): (SignedTx, [u8; 32]),
        signature: &'a Signature,
    ) -> Self {
        SignatureCheck(Claim::Member { member, tx, digest, signature })
    }

    /// Verifies it: a BIP-0340 signature, an adaptor signature, or a proof of possession.
    ///
    /// # Errors
    ///
    /// [`DelegationError`] names whose signature on what it is.
    pub fn verify<C: Verification>(self, secp: &Secp256k1<C>) -> Result<Proven<'a>, DelegationError> {
        match self.0 {
            Claim::Possession { staker, proof } => {
                let verified = proof.verify(secp, &staker);
                verified.map_err(|error| DelegationError::Possession(Box::new(error)))?;
            }
            Claim::Staker { staker, tx, digest, signature } => {
                let verified = secp.verify_schnorr(signature, &Message::from_digest(digest), &staker);
                verified.map_err(|_| DelegationError::StakerSignature { tx })?;
            }
            Claim::Member { member, tx, digest, signature } => {
                let verified = secp.verify_schnorr(signature, &Message::from_digest(digest), member);
                verified.map_err(|_| DelegationError::CovenantSignature { member: *member, tx })?;
            }
            Claim::Adaptor { member, provider, tx, digest, signature } => {
                let verified = point::verify(secp, signature, member, &provider, &digest);
                verified.map_err(|_| DelegationError::AdaptorSignature {
                    member: *member,
                    tx,
                    provider: Box::new(provider.x_only_public_key().0),
                })?;
            }
        }
        Ok(Proven(self))
    }
}

/// Accepts tokens if they prove exactly `checks`, in their order.
pub(super) fn accept<'a>(
    checks: &[SignatureCheck<'a>],
    proven: impl IntoIterator<Item = Proven<'a>>,
) -> Result<(), DelegationError> {
    let mut proven = proven.into_iter();
    match checks.iter().position(|check| proven.next().is_none_or(|token| token.0 != *check)) {
        Some(position) => Err(DelegationError::Unproven { position }),
        None if proven.next().is_some() => Err(DelegationError::Unproven { position: checks.len() }),
        None => Ok(()),
    }
}

/// Parts of a delegation whose transactions keep every rule, and whose signatures are still to be verified.
#[derive(Debug, Clone)]
pub struct PreparedParts<'a> {
    parts: &'a DelegationParts,
    stake: &'a Stake,
    presigned: Presigned,
    checks: Vec<SignatureCheck<'a>>,
}

impl<'a> PreparedParts<'a> {
    /// Every signature there is, to be verified in any order and on any thread.
    pub fn checks(&self) -> &[SignatureCheck<'a>] {
        &self.checks
    }

    /// Takes the tokens of all of [`PreparedParts::checks`], in that order.
    ///
    /// # Errors
    ///
    /// [`DelegationError::Unproven`] if one is missing, of another signature, or left over.
    pub fn accept(
        self,
        proven: impl IntoIterator<Item = Proven<'a>>,
    ) -> Result<VerifiedParts, DelegationError> {
        accept(&self.checks, proven)?;
        Ok(VerifiedParts::new(self.stake.clone(), self.presigned, self.parts.clone()))
    }
}

impl DelegationParts {
    /// Judges all that is signed in advance on top of `stake`: the unbonding transaction and both slashing transactions by
    /// every rule of `params`, the staker's signatures, the proof of possession, and the committee's: known members, each
    /// signature of each, a quorum of them.
    ///
    /// # Errors
    ///
    /// [`DelegationError`] names the rule that is broken. A wrong signature is never passed over, however many others
    /// there are.
    pub fn check<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        params: &StakingParams,
        stake: &Stake,
    ) -> Result<VerifiedParts, DelegationError> {
        let prepared = self.prepare(secp, params, stake)?;
        let proven = prepared.checks().iter().map(|check| check.verify(secp));
        let proven = proven.collect::<Result<Vec<_>, _>>()?;
        prepared.accept(proven)
    }

    /// As [`DelegationParts::check`], up to the signatures, for callers with several cores.
    ///
    /// # Errors
    ///
    /// [`DelegationError`] names the rule that is broken.
    pub fn prepare<'a, C: Verification>(
        &'a self,
        secp: &Secp256k1<C>,
        params: &StakingParams,
        stake: &'a Stake,
    ) -> Result<PreparedParts<'a>, DelegationError> {
        if self.staker.is_none() {
            return Err(DelegationError::StakerMissing);
        }
        if self.possession.is_none() {
            return Err(DelegationError::PossessionMissing);
        }
        let presigned = Presigned::check(secp, params, stake, self)?;
        let checks = self.signature_checks(stake, &presigned)?;
        let (given, needed) = (self.covenant.len(), params.covenant.threshold());
        if given < needed {
            return Err(DelegationError::Quorum { given, needed, tx: SignedTx::Unbonding });
        }
        Ok(PreparedParts { parts: self, stake, presigned, checks })
    }

    /// The transactions to be signed.
    pub(super) fn transactions(&self) -> [(SignedTx, &Transaction); 3] {
        [
            (SignedTx::Unbonding, &self.unbonding_tx),
            (SignedTx::Slashing, &self.slashing_tx),
            (SignedTx::UnbondingSlashing, &self.unbonding_slashing_tx),
        ]
    }

    /// Every signature there is: the staker's, and those of the committee's members, of which each has signed all or is
    /// refused.
    pub(super) fn signature_checks<'a>(
        &'a self,
        stake: &Stake,
        presigned: &Presigned,
    ) -> Result<Vec<SignatureCheck<'a>>, DelegationError> {
        let parties = &stake.terms().parties;
        let (staker, providers) = (parties.staker(), parties.providers().keys());
        let mut checks = Vec::with_capacity(3 + self.covenant.len() * (1 + 2 * providers.len()));
        checks.extend(self.possession.as_ref().map(|proof| SignatureCheck::possession(staker, proof)));
        if let Some(signatures) = &self.staker {
            checks.extend(signatures.checks(staker, presigned));
        }
        let providers = encryption_keys(providers);
        for (member, signatures) in &self.covenant {
            signatures.push_checks(member, parties.covenant(), &providers, presigned, &mut checks)?;
        }
        Ok(checks)
    }
}

/// The points that slashings are encrypted to: the providers' keys with even Y.
pub(super) fn encryption_keys(providers: &[XOnlyPublicKey]) -> Vec<PublicKey> {
    providers.iter().map(|provider| provider.public_key(Parity::Even)).collect()
}

impl super::StakerSignatures {
    pub(super) fn checks(&self, staker: XOnlyPublicKey, presigned: &Presigned) -> [SignatureCheck<'_>; 2] {
        let [slashing, unbonding_slashing] = presigned.slashing_digests();
        [
            SignatureCheck::staker(staker, slashing, &self.slashing),
            SignatureCheck::staker(staker, unbonding_slashing, &self.unbonding_slashing),
        ]
    }
}

impl super::CovenantSignatures {
    pub(super) fn push_checks<'a>(
        &'a self,
        member: &'a XOnlyPublicKey,
        committee: &Quorum,
        providers: &[PublicKey],
        presigned: &Presigned,
        checks: &mut Vec<SignatureCheck<'a>>,
    ) -> Result<(), DelegationError> {
        if !committee.contains(member) {
            return Err(DelegationError::UnknownMember { member: *member, tx: SignedTx::Unbonding });
        }
        let unbonding = (SignedTx::Unbonding, presigned.unbonding_digest());
        checks.push(SignatureCheck::member(member, unbonding, &self.unbonding));
        let given = [&self.slashing, &self.unbonding_slashing];
        for ((tx, digest), signatures) in presigned.slashing_digests().into_iter().zip(given) {
            let (given, providers_count) = (signatures.len(), providers.len());
            if given != providers_count {
                let (member, providers) = (*member, providers_count);
                return Err(DelegationError::AdaptorCount { member, tx, given, providers });
            }
            checks.extend(signatures.iter().zip(providers).map(|(signature, provider)| {
                SignatureCheck(Claim::Adaptor { member, provider: *provider, tx, digest, signature })
            }));
        }
        Ok(())
    }
}
