//! A service, and a proof that it takes.

use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::SecretKey;
use bitcoin::{Amount, Network, ScriptBuf, Transaction, TxOut, WPubkeyHash};
use tapstake_crypto::pop::{Account, Context, ProofOfPossession};
use tapstake_params::local;
use tapstake_script::Providers;
use tapstake_tx::delegation::{
    CovenantSignatures, Delegation, DelegationError, DelegationParts, Draft, PreSigned,
};

use crate::tests::fixture::*;
use crate::{ServicePolicy, StakeProof, VerifiedStake, VerifyError, verify_slashable};

pub(super) fn pair(byte: u8) -> Keypair {
    Keypair::from_secret_key(&Secp256k1::new(), &SecretKey::from_slice(&[byte; 32]).unwrap())
}

pub(super) fn account() -> Account {
    Account::from_raw(&[0xab; 20]).unwrap()
}

pub(super) fn context() -> Context {
    Context::new("a-service", Network::Regtest).unwrap()
}

pub(super) fn possession(byte: u8, context: Option<Context>) -> ProofOfPossession {
    ProofOfPossession::bip340(&Secp256k1::new(), &pair(byte), account(), context, &[0; 32])
}

/// The delegation on top of the fixture's stake, signed by its staker.
pub(super) fn pre_signed(providers: Providers, staking_tx: Transaction) -> Delegation<PreSigned> {
    let secp = Secp256k1::new();
    let schedule = schedule();
    let params = schedule.latest();
    let fee = params.slashing.as_ref().unwrap().min_fee;
    let script_pubkey = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_raw_hash(bitcoin::hashes::Hash::hash(b"")));
    let prevouts = [TxOut { value: Amount::from_sat(1_000_000), script_pubkey }];
    let mut terms = terms();
    terms.parties =
        tapstake_script::Parties::new(terms.parties.staker(), providers, params.covenant.clone()).unwrap();
    let value = Amount::from_sat(VALUE);
    let draft =
        Delegation::<Draft>::build(&secp, Network::Regtest, params, terms, staking_tx, &prevouts, value, fee);
    draft.unwrap().sign(&secp, &pair(3), &[0; 32], possession(3, None)).unwrap()
}

/// With the signatures of so many members.
pub(super) fn signed_by(members: usize, delegation: &Delegation<PreSigned>) -> DelegationParts {
    let secp = Secp256k1::new();
    let keys = local::covenant_keypairs(&secp);
    let mut parts = delegation.package().parts;
    for member in &keys[..members] {
        let signatures = delegation.covenant_signatures(&secp, member, &[0; 32]);
        parts.covenant.insert(member.x_only_public_key().0, signatures);
    }
    parts
}

/// A service that knows the stake's provider, and a proof that it takes: three of five members have signed.
pub(super) struct Service {
    pub(super) world: World,
    pub(super) policy: ServicePolicy,
}

impl Service {
    pub(super) fn honest() -> Self {
        let mut world = World::honest();
        let delegation = pre_signed(claim().providers, staking_tx());
        world.proof.delegation = Some(signed_by(3, &delegation));
        Service::of(world)
    }

    pub(super) fn with_two_providers() -> Self {
        let providers = Providers::new(alloc::vec![key(5), key(7)]).unwrap();
        let mut stake = staking_tx();
        let terms = tapstake_script::StakeTerms::under(
            schedule().latest(),
            claim().staker,
            providers.clone(),
            claim().staking_time,
        );
        let output = terms.unwrap().staking_output(&Secp256k1::new());
        stake.output[1].script_pubkey = output.script_pubkey().clone();
        let mut world = World::with_stake(stake.clone());
        world.proof.claim.providers = providers.clone();
        world.proof.delegation = Some(signed_by(3, &pre_signed(providers, stake)));
        Service::of(world)
    }

    pub(super) fn of(world: World) -> Self {
        let policy = ServicePolicy::new(world.policy.clone(), [key(5)]);
        Service { world, policy }
    }

    pub(super) fn parts(&mut self) -> &mut DelegationParts {
        self.world.proof.delegation.as_mut().unwrap()
    }

    pub(super) fn member(&mut self, index: usize) -> &mut CovenantSignatures {
        self.parts().covenant.values_mut().nth(index).unwrap()
    }

    pub(super) fn verify(&self) -> Result<VerifiedStake, VerifyError> {
        self.verify_proof(&self.world.proof)
    }

    pub(super) fn verify_proof(&self, proof: &StakeProof) -> Result<VerifiedStake, VerifyError> {
        let World { secp, chain, schedule, .. } = &self.world;
        verify_slashable(secp, proof, chain, schedule, &self.policy)
    }

    /// Breaks an honest proof, and sees which rule refuses it.
    pub(super) fn broken(change: impl FnOnce(&mut Service)) -> VerifyError {
        let mut service = Service::honest();
        change(&mut service);
        // What is wrong with a delegation says nothing against the stake's being on Bitcoin.
        assert!(service.world.verify().is_ok());
        service.verify().unwrap_err()
    }
}

pub(super) fn delegation_error(error: &VerifyError) -> &DelegationError {
    match error {
        VerifyError::Delegation(error) => error,
        other => panic!("{other}"),
    }
}
