use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Message, Secp256k1, Signing, Verification};
use bitcoin::{Transaction, XOnlyPublicKey};
use tapstake_crypto::ExposedKey;
use tapstake_crypto::adaptor::{self, AdaptorSignature};

use super::check::Presigned;
use super::{CovenantSignatures, DelegationError, DelegationParts, SignedTx};
use crate::coin::{Coin, Slashable, Stake};
use crate::fee_rates::PresignedFeeRates;
use crate::slashing::SlashingTx;
use crate::spend::Signatures;
use crate::unbonding::UnbondingTx;

/// Everything signed in advance on top of a stake, every signature verified and a quorum among them: the stake can be
/// unbonded by its staker, and slashed by anyone who has a provider's exposed key.
///
/// Made by [`DelegationParts::check`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedParts {
    stake: Stake,
    presigned: Presigned,
    parts: DelegationParts,
}

impl VerifiedParts {
    pub(super) const fn new(stake: Stake, presigned: Presigned, parts: DelegationParts) -> Self {
        VerifiedParts { stake, presigned, parts }
    }

    /// The stake.
    pub const fn stake(&self) -> &Stake {
        &self.stake
    }

    /// The unbonding transaction.
    pub const fn unbonding(&self) -> &UnbondingTx {
        &self.presigned.unbonding
    }

    /// The slashing transaction of the staking output.
    pub const fn slashing(&self) -> &SlashingTx {
        &self.presigned.slashing
    }

    /// The slashing transaction of the unbonding output.
    pub const fn unbonding_slashing(&self) -> &SlashingTx {
        &self.presigned.unbonding_slashing
    }

    /// The data it was checked from.
    pub const fn parts(&self) -> &DelegationParts {
        &self.parts
    }

    /// The members whose signatures are there, ascending: at least a quorum.
    pub fn signed_by(&self) -> impl Iterator<Item = &XOnlyPublicKey> {
        self.parts.covenant.keys()
    }

    /// What the transactions signed in advance pay.
    pub fn presigned_fee_rates(&self) -> PresignedFeeRates {
        self.presigned.fee_rates(&self.stake)
    }

    /// The unbonding transaction with its witness: the staker's signature, and exactly a quorum of the committee's.
    ///
    /// # Errors
    ///
    /// [`DelegationError::Witness`] if the staker's signature does not verify.
    pub fn finish_unbonding<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        staker: Signature,
    ) -> Result<Transaction, DelegationError> {
        finish_unbonding(secp, &self.stake, &self.presigned, &self.parts, staker)
    }

    /// The slashing transaction of the staking output with its witness, by nothing but a provider's exposed key.
    ///
    /// # Errors
    ///
    /// [`DelegationError::UnknownProvider`] if it is the key of no provider of this stake.
    pub fn slash<C: Signing + Verification>(
        &self,
        secp: &Secp256k1<C>,
        exposed: &ExposedKey,
    ) -> Result<Transaction, DelegationError> {
        slash(secp, &self.stake, &self.presigned, &self.parts, exposed)
    }

    /// The slashing transaction of the unbonding output with its witness, likewise.
    ///
    /// # Errors
    ///
    /// [`DelegationError::UnknownProvider`] if it is the key of no provider of this stake.
    pub fn slash_unbonding<C: Signing + Verification>(
        &self,
        secp: &Secp256k1<C>,
        exposed: &ExposedKey,
    ) -> Result<Transaction, DelegationError> {
        slash_unbonding(secp, &self.stake, &self.presigned, &self.parts, exposed)
    }
}

pub(super) fn finish_unbonding<C: Verification>(
    secp: &Secp256k1<C>,
    stake: &Stake,
    presigned: &Presigned,
    parts: &DelegationParts,
    staker: Signature,
) -> Result<Transaction, DelegationError> {
    let quorum = stake.terms().parties.covenant().threshold();
    let members = parts.covenant.iter().take(quorum).map(|(member, given)| (*member, given.unbonding));
    let signatures: Signatures = members.chain([(stake.terms().parties.staker(), staker)]).collect();
    Ok(presigned.unbonding.finish(secp, stake, &signatures)?)
}

pub(super) fn slash<C: Signing + Verification>(
    secp: &Secp256k1<C>,
    stake: &Stake,
    presigned: &Presigned,
    parts: &DelegationParts,
    exposed: &ExposedKey,
) -> Result<Transaction, DelegationError> {
    let staker = parts.staker.ok_or(DelegationError::StakerMissing)?.slashing;
    let given = |signatures: &CovenantSignatures, provider: usize| signatures.slashing.get(provider).copied();
    let slashing = Slashing { tx: &presigned.slashing, digest: presigned.slashing_digests()[0], staker };
    slashing.finish(secp, stake, stake.coin(), parts, exposed, given)
}

pub(super) fn slash_unbonding<C: Signing + Verification>(
    secp: &Secp256k1<C>,
    stake: &Stake,
    presigned: &Presigned,
    parts: &DelegationParts,
    exposed: &ExposedKey,
) -> Result<Transaction, DelegationError> {
    let staker = parts.staker.ok_or(DelegationError::StakerMissing)?.unbonding_slashing;
    let given = |signatures: &CovenantSignatures, provider: usize| {
        signatures.unbonding_slashing.get(provider).copied()
    };
    let slashing =
        Slashing { tx: &presigned.unbonding_slashing, digest: presigned.slashing_digests()[1], staker };
    slashing.finish(secp, stake, presigned.unbonding.coin(), parts, exposed, given)
}

struct Slashing<'a> {
    tx: &'a SlashingTx,
    digest: (SignedTx, [u8; 32]),
    staker: Signature,
}

impl Slashing<'_> {
    fn finish<O: Slashable, C: Signing + Verification>(
        &self,
        secp: &Secp256k1<C>,
        stake: &Stake,
        coin: &Coin<O>,
        parts: &DelegationParts,
        exposed: &ExposedKey,
        given: impl Fn(&CovenantSignatures, usize) -> Option<AdaptorSignature>,
    ) -> Result<Transaction, DelegationError> {
        let parties = &stake.terms().parties;
        let provider = exposed.public_key();
        let position = parties.providers().as_quorum().position(&provider);
        let position = position.ok_or(DelegationError::UnknownProvider { key: provider })?;
        let decrypted = parts.covenant.iter().filter_map(|(member, signatures)| {
            let signature = adaptor::decrypt(&given(signatures, position)?, &provider, exposed).ok()?;
            Some((*member, signature))
        });
        let mut signatures: Signatures = decrypted.take(parties.covenant().threshold()).collect();
        signatures.insert(parties.staker(), self.staker);
        // The key is anybody's by now: no randomness is needed to keep it.
        let message = Message::from_digest(self.digest.1);
        let own = secp.sign_schnorr_with_aux_rand(&message, &exposed.keypair(secp), &[0; 32]);
        signatures.insert(provider, own);
        Ok(self.tx.finish(secp, coin, &signatures)?)
    }
}
