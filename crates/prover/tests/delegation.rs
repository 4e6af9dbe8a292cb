//! A proof that carries its delegation, on the embedded chain: the verifier calls the stake slashable, and it is.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

mod common;

use bitcoin::key::Keypair;
use bitcoin::{Amount, Network, OutPoint, TxOut};
use tapstake_chain::{ChainSource, ElectrumConfig, SourceConfig, connect};
use tapstake_crypto::eots::{self, Seed, Vote};
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_devnet::{Config, Devnet};
use tapstake_params::{Height, local};
use tapstake_prover::{
    ProveError, StakeProof, as_phase_1, carry_delegation, claim_from_delegation, prove, sync_headers,
};
use tapstake_tx::delegation::{CheckedDelegation, Delegation, DelegationPackage, Draft, Verified};
use tapstake_verifier::equivocation::{Evidence, SelectiveSlashing, SignedVote};
use tapstake_verifier::headers::{Anchor, HeaderChain};
use tapstake_verifier::{Registration, Rule, ServicePolicy, VerifiedStake, verify_slashable};

use common::{STAKED, World, open_script, policy, spending};

/// A delegation that everybody has signed, on top of a coin of the embedded chain. `phase_1` says whether the staking
/// transaction says itself what it is.
fn delegation(devnet: &Devnet, world: &World, phase_1: bool) -> Delegation<Verified> {
    let secp = &world.secp;
    let value = STAKED + Amount::from_sat(1_000);
    let txid = devnet.fund(&open_script(), value).unwrap();
    let funding = devnet.transaction(&txid).unwrap();
    let vout = funding.output.iter().position(|output| output.script_pubkey == open_script()).unwrap();
    let mut outputs = world.phase_1_outputs();
    outputs.truncate(if phase_1 { 2 } else { 1 });
    let staking = spending(OutPoint { txid, vout: u32::try_from(vout).unwrap() }, outputs);
    let prevouts = [TxOut { value, script_pubkey: open_script() }];

    let staker = Keypair::from_seckey_slice(secp, &[5; 32]).unwrap();
    let params = world.schedule.latest();
    let (terms, fee) = (world.terms.clone(), params.slashing.as_ref().unwrap().min_fee);
    let network = Network::Regtest;
    let draft = Delegation::<Draft>::build(secp, network, params, terms, staking, &prevouts, STAKED, fee);
    let account = Account::from_raw(&[0xab; 20]).unwrap();
    let possession = ProofOfPossession::bip340(secp, &staker, account, None, &[0; 32]);
    let signed = draft.unwrap().sign(secp, &staker, &[0; 32], possession).unwrap();
    let mut package = signed.package();
    for member in &local::covenant_keypairs(secp)[..3] {
        let given = signed.covenant_signatures(secp, member, &[0; 32]);
        package.parts.covenant.insert(member.x_only_public_key().0, given);
    }
    match package.check(secp, &world.schedule).unwrap() {
        CheckedDelegation::Verified(verified) => verified,
        other => panic!("{other:?}"),
    }
}

struct Chain {
    devnet: Devnet,
    source: Box<dyn ChainSource>,
    world: World,
}

impl Chain {
    fn new() -> Self {
        let devnet = Devnet::start(&Config::default()).unwrap();
        let config = ElectrumConfig { timeout_secs: 5, ..ElectrumConfig::new(devnet.electrum_url()) };
        let source = connect(&SourceConfig::Electrum(config), Network::Regtest).unwrap();
        Chain { devnet, source, world: World::new() }
    }

    /// Sends the staking transaction, which only a verified delegation hands out.
    fn stake(&self, delegation: &Delegation<Verified>) {
        self.devnet.broadcast(&delegation.staking_tx().unwrap()).unwrap();
        self.devnet.mine(3).unwrap();
    }

    fn prove(&self, package: &DelegationPackage) -> StakeProof {
        let claim = claim_from_delegation(package);
        prove(&*self.source, package.outpoint(), None, claim).unwrap()
    }

    fn verify(&self, proof: &StakeProof) -> Result<VerifiedStake, tapstake_verifier::VerifyError> {
        let mut headers = HeaderChain::new(Anchor::genesis(Network::Regtest), 6);
        sync_headers(&*self.source, &mut headers, |_| ()).unwrap();
        let provider = self.world.terms.parties.providers().keys()[0];
        let policy = ServicePolicy::new(policy(3), [provider]);
        verify_slashable(&self.world.secp, proof, &headers, &self.world.schedule, &policy)
    }
}

#[test]
fn a_stake_that_the_verifier_calls_slashable_is_slashed_by_evidence_alone() {
    let chain = Chain::new();
    let secp = &chain.world.secp;
    let delegation = delegation(&chain.devnet, &chain.world, false);
    chain.stake(&delegation);
    let mut proof = chain.prove(&delegation.package());
    assert_eq!(chain.verify(&proof).unwrap_err().rule(), Rule::Delegation);
    carry_delegation(&mut proof, &delegation.package()).unwrap();
    let stake = chain.verify(&proof).unwrap();
    assert_eq!(stake.delegation(), &delegation.verified_parts());

    // From here on nothing is used but the proof and the two votes.
    let stake = chain.verify(&StakeProof::from_bytes(&proof.to_bytes()).unwrap()).unwrap();
    let provider = local::provider_keypair(secp, 0);
    let randomness = eots::randomness(secp, &Seed::new([6; 32]), b"a-service", 9);
    let votes = [[1; 32], [2; 32]].map(|block_hash| {
        let vote = Vote { height: 9, block_hash };
        SignedVote {
            service: "a-service".into(),
            provider: provider.x_only_public_key().0,
            vote,
            public_randomness: randomness.public(),
            committed: None,
            signature: eots::sign(&provider, &randomness, &vote.message()),
        }
    });
    let equivocation = Evidence::TwoVotes(votes.into()).verify(secp).unwrap();
    let slashing = stake.delegation().slash(secp, equivocation.exposed_key()).unwrap();
    let slashed = stake.delegation().slashing().slashed();
    chain.devnet.broadcast_burning(&slashing, slashed).unwrap();
    chain.devnet.mine(1).unwrap();
    let outpoint = stake.included().outpoint();
    assert_eq!(chain.devnet.spender(&outpoint), Some(slashing.compute_txid()));

    // And whoever sees it on the chain has the key too.
    let seen = chain.devnet.transaction(&slashing.compute_txid()).unwrap();
    let evidence = SelectiveSlashing::from_package(secp, &delegation.package(), seen).unwrap();
    let again = Evidence::SelectiveSlashing(evidence.into()).verify(secp).unwrap();
    assert_eq!(again.exposed_key(), equivocation.exposed_key());
}

#[test]
fn a_delegation_says_what_a_proof_claims() {
    let chain = Chain::new();
    for (phase_1, registration) in [(false, Registration::None), (true, Registration::Phase1)] {
        let delegation = delegation(&chain.devnet, &chain.world, phase_1);
        let claim = claim_from_delegation(&delegation.package());
        assert_eq!(claim, chain.world.claim(registration));
        chain.stake(&delegation);
        let mut proof = chain.prove(&delegation.package());
        carry_delegation(&mut proof, &delegation.package()).unwrap();
        assert_eq!(chain.verify(&proof).unwrap().included().registration(), registration);
    }
}

#[test]
fn an_op_return_of_other_terms_makes_no_phase_1_claim() {
    let world = World::new();
    let mut claim = world.claim(Registration::At(Height::new(5)));
    let stake = spending(OutPoint::null(), world.phase_1_outputs());
    assert_eq!(as_phase_1(claim.clone(), &stake), world.claim(Registration::Phase1));
    claim.staking_time = tapstake_params::Timelock::MAX;
    assert_eq!(as_phase_1(claim.clone(), &stake), claim);
}

#[test]
fn another_stakes_delegation_is_not_carried() {
    let chain = Chain::new();
    let [one, other] = [false, false].map(|phase_1| delegation(&chain.devnet, &chain.world, phase_1));
    chain.stake(&one);
    let mut proof = chain.prove(&one.package());
    let error = carry_delegation(&mut proof, &other.package()).unwrap_err();
    assert!(
        matches!(error, ProveError::OtherDelegation { delegation, .. } if delegation == other.package().outpoint())
    );
    let mut longer = one.package();
    longer.staking_time = tapstake_params::Timelock::MAX;
    assert!(carry_delegation(&mut proof, &longer).is_err(), "other terms");
    longer = one.package();
    longer.network = Network::Signet;
    assert!(carry_delegation(&mut proof, &longer).is_err(), "another network");
    assert_eq!(proof.delegation, None);
}
