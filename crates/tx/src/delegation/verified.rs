use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Message, Secp256k1, Signing, Verification};
use bitcoin::{Transaction, XOnlyPublicKey};
use tapstake_crypto::ExposedKey;
use tapstake_crypto::adaptor::{self, AdaptorSignature};

use super::check::Presigned;
use super::{CovenantSignatures, DelegationError, DelegationParts};
use crate::coin::Stake;
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
        let parties = &self.stake.terms().parties;
        let members = self.parts.covenant.iter().take(parties.covenant().threshold());
        let members = members.map(|(member, given)| (*member, given.unbonding));
        let signatures: Signatures = members.chain([(parties.staker(), staker)]).collect();
        Ok(self.presigned.unbonding.finish(secp, &self.stake, &signatures)?)
    }

    /// The slashing transaction of the staking output with its witness, by nothing but a provider's exposed key: exactly a
    /// quorum of decrypted signatures.
    ///
    /// # Errors
    ///
    /// [`DelegationError::UnknownProvider`] if it is the key of no provider of this stake.
    pub fn slash<C: Signing + Verification>(
        &self,
        secp: &Secp256k1<C>,
        exposed: &ExposedKey,
    ) -> Result<Transaction, DelegationError> {
        let staker = self.parts.staker.ok_or(DelegationError::StakerMissing)?.slashing;
        let [(_, digest), _] = self.presigned.slashing_digests();
        let signatures = self.slashing_signatures(secp, exposed, digest, staker, |given| &given.slashing)?;
        Ok(self.presigned.slashing.finish(secp, self.stake.coin(), &signatures)?)
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
        let Presigned { unbonding, unbonding_slashing, .. } = &self.presigned;
        let staker = self.parts.staker.ok_or(DelegationError::StakerMissing)?.unbonding_slashing;
        let [_, (_, digest)] = self.presigned.slashing_digests();
        let signatures =
            self.slashing_signatures(secp, exposed, digest, staker, |given| &given.unbonding_slashing)?;
        Ok(unbonding_slashing.finish(secp, unbonding.coin(), &signatures)?)
    }

    /// Those of staker and provider, and a quorum of the committee's, decrypted.
    fn slashing_signatures<C: Signing>(
        &self,
        secp: &Secp256k1<C>,
        exposed: &ExposedKey,
        digest: [u8; 32],
        staker: Signature,
        encrypted: impl Fn(&CovenantSignatures) -> &[AdaptorSignature],
    ) -> Result<Signatures, DelegationError> {
        let parties = &self.stake.terms().parties;
        let provider = exposed.public_key();
        let position = parties.providers().as_quorum().position(&provider);
        let position = position.ok_or(DelegationError::UnknownProvider { key: provider })?;
        let decrypted = self.parts.covenant.iter().filter_map(|(member, given)| {
            let signature = adaptor::decrypt(encrypted(given).get(position)?, &provider, exposed).ok()?;
            Some((*member, signature))
        });
        let mut signatures: Signatures = decrypted.take(parties.covenant().threshold()).collect();
        signatures.insert(parties.staker(), staker);
        // The key is anybody's by now: no randomness is needed to keep it.
        let message = Message::from_digest(digest);
        let own = secp.sign_schnorr_with_aux_rand(&message, &exposed.keypair(secp), &[0; 32]);
        signatures.insert(provider, own);
        Ok(signatures)
    }
}
