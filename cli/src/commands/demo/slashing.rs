//! A provider gives its key away, and somebody who has nothing but what is public slashes.

use bitcoin::key::Secp256k1;
use bitcoin::secp256k1::rand::random;
use bitcoin::{Transaction, XOnlyPublicKey};
use tapstake_crypto::adaptor;
use tapstake_crypto::eots::{self, Seed, Vote};
use tapstake_params::{Schedule, local};
use tapstake_tx::Withdrawable;
use tapstake_tx::delegation::{CheckedDelegation, DelegationPackage};
use tapstake_verifier::equivocation::{Evidence, SignedVote, VerifiedEquivocation};

use super::report::Step;
use super::restaking::SERVICES;
use super::story::{Story, Told, step};
use crate::error::{Error, Result};
use crate::output;

/// The service that the first provider votes for.
const SERVICE: &str = SERVICES[0].0;
/// The height of the service's own chain at which it votes twice.
const HEIGHT: u64 = 1_000;

impl Story<'_> {
    /// The first provider signs two blocks; its key comes out, and with it the slashing. The second provider's key does not.
    pub(super) fn equivocate(
        &mut self,
        told: &Told,
        first: XOnlyPublicKey,
        second: XOnlyPublicKey,
    ) -> Result<()> {
        let seed = Seed::new(random());
        let votes = [[1; 32], [2; 32]].map(|block_hash| self.vote(&seed, first, block_hash));
        for vote in &votes {
            self.step(Step {
                stake: Some(told.name),
                what: "provider votes",
                note: Some(format!("{SERVICE}, height {HEIGHT}, block {:02x}…", vote.vote.block_hash[0])),
                ..step()
            });
        }

        // From here on only what lies open is used: the delegation's bytes, the votes' text, the parameters.
        let delegation = told.delegation.package().without_witnesses().to_bytes();
        let evidence = output::json(&Evidence::TwoVotes(Box::new(votes)));
        let bystander = Bystander::read(&self.schedule, &delegation, &evidence)?;
        self.step(Step {
            stake: Some(told.name),
            what: "key extracted from two votes",
            note: Some(format!("of provider {}…", &bystander.equivocation.provider().to_string()[..16])),
            ..step()
        });
        let reason = bystander.fails_for(second)?;
        self.step(Step {
            stake: Some(told.name),
            what: "same key, the other provider",
            note: Some("refused: its signatures stay encrypted".to_owned()),
            reason: Some(reason),
            ..step()
        });
        let signed = bystander.slash(&self.schedule)?;
        self.slashed(told, &signed, &bystander.equivocation)
    }

    fn vote(&self, seed: &Seed, provider: XOnlyPublicKey, block_hash: [u8; 32]) -> SignedVote {
        let randomness = eots::randomness(&self.secp, seed, SERVICE.as_bytes(), HEIGHT);
        let vote = Vote { height: HEIGHT, block_hash };
        let keypair = local::provider_keypair(&self.secp, 0);
        SignedVote {
            service: SERVICE.to_owned(),
            provider,
            vote,
            public_randomness: randomness.public(),
            committed: None,
            signature: eots::sign(&keypair, &randomness, &vote.message()),
        }
    }

    /// A tenth is burned, the rest comes back after the unbonding time.
    fn slashed(&mut self, told: &Told, signed: &Transaction, evidence: &VerifiedEquivocation) -> Result<()> {
        let slashing = told.delegation.slashing();
        let txid = self.ground.broadcast_burning(signed, slashing.slashed())?;
        let height = self.mine(1)?;
        let refund = slashing.refund();
        let fee = told.stake().value() - slashing.slashed() - refund.value;
        self.fees += fee;
        self.burned += slashing.slashed();
        self.step(Step {
            stake: Some(told.name),
            what: "slash: burn",
            txid: Some(txid),
            value: Some(slashing.slashed()),
            fee: Some(fee),
            height: Some(height),
            note: Some("sent by a bystander".to_owned()),
            ..step()
        });
        self.step(Step {
            stake: Some(told.name),
            what: "slash: refund output",
            txid: Some(txid),
            value: Some(refund.value),
            height: Some(height),
            note: Some(format!("locked for {} blocks", told.stake().terms().unbonding_time)),
            ..step()
        });
        self.slash_books(told, evidence)?;
        let withdrawn = self.withdraw(told, Withdrawable::from(refund), height, "withdraw refund")?;
        self.back_in_pool(told, withdrawn)
    }
}

/// Somebody without any secret: a delegation file, two votes, and the parameters that everybody has.
struct Bystander {
    secp: Secp256k1<bitcoin::secp256k1::All>,
    package: DelegationPackage,
    equivocation: VerifiedEquivocation,
}

impl Bystander {
    fn read(schedule: &Schedule, delegation: &[u8], evidence: &str) -> Result<Self> {
        let secp = Secp256k1::new();
        let package = DelegationPackage::from_bytes(delegation)?;
        package.check(&secp, schedule)?;
        let evidence: Evidence = serde_json::from_str(evidence)?;
        let equivocation = evidence.verify(&secp)?;
        Ok(Bystander { secp, package, equivocation })
    }

    /// Says why the exposed key decrypts nothing that was signed for another provider.
    fn fails_for(&self, other: XOnlyPublicKey) -> Result<String> {
        let position = self.package.providers.keys().iter().position(|key| *key == other);
        let position = position.ok_or_else(|| Error::failed("the other provider is not the stake's"))?;
        for signatures in self.package.parts.covenant.values() {
            let signature = signatures.slashing.get(position);
            let signature = signature.ok_or_else(|| Error::failed("a member did not sign for a provider"))?;
            if adaptor::decrypt(signature, &other, self.equivocation.exposed_key()).is_ok() {
                return Err(Error::failed("one provider's key decrypted what is signed for another"));
            }
        }
        Ok(format!("the exposed key is not that of provider {other}"))
    }

    fn slash(&self, schedule: &Schedule) -> Result<Transaction> {
        let CheckedDelegation::Verified(delegation) = self.package.check(&self.secp, schedule)? else {
            return Err(Error::failed("the delegation lost its quorum"));
        };
        Ok(delegation.verified_parts().slash(&self.secp, self.equivocation.exposed_key())?)
    }
}
